//! The measured overhead curves, `E(B)/E_min` and `S(B)/S_min`, and where they cross a level.
//!
//! Means are made monotone (pool adjacent violators) and interpolated: examples linearly in `B`,
//! steps linearly in `1/B`. Both are exact on a hyperbola, so interpolation adds no disagreement
//! of its own.

use crate::intervals::Pooled;
use crate::sample::Sample;

/// Parts into which the grid divides the ratio of neighboring batch sizes.
const PARTS: u32 = 8;

/// Where a measured curve crosses a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Located {
    /// Below the smallest batch size.
    Below,
    /// At this batch size.
    At(f64),
    /// Above the largest.
    Above,
}

/// The batch sizes with a mean, increasing.
pub(crate) struct Measured {
    batch_sizes: Vec<f64>,
    ln_steps: Vec<f64>,
    weights: Vec<f64>,
}

impl Measured {
    pub fn new(samples: &[Sample], pooled: &Pooled) -> Self {
        let mut points: Vec<(f64, f64, f64)> = samples
            .iter()
            .zip(&pooled.means)
            .filter_map(|(s, mean)| Some((s.batch_size as f64, (*mean)?, s.n_reached() as f64)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self {
            batch_sizes: points.iter().map(|p| p.0).collect(),
            ln_steps: points.iter().map(|p| p.1).collect(),
            weights: points.iter().map(|p| p.2).collect(),
        }
    }

    /// `ln E_min` from the small-batch points (`B ≤ B_c/2`, at least three): their mean `ln E`
    /// less the overhead `ln(1 + B/B_c)` that the fit gives them.
    pub fn ln_e_min(&self, ln_b_c: f64) -> f64 {
        let small = self
            .batch_sizes
            .iter()
            .filter(|b| b.ln() <= ln_b_c - 2f64.ln())
            .count();
        let count = small.max(3).min(self.batch_sizes.len());
        let (mut sum, mut weight) = (0.0, 0.0);
        for i in 0..count {
            let b = self.batch_sizes[i].ln();
            sum += self.weights[i] * (self.ln_steps[i] + b - (b - ln_b_c).exp().ln_1p());
            weight += self.weights[i];
        }
        sum / weight
    }

    /// The measured batch sizes and [`PARTS`]` − 1` places between neighbors, at equal ratios.
    pub fn grid(&self) -> Vec<f64> {
        let mut grid: Vec<f64> = self
            .batch_sizes
            .windows(2)
            .flat_map(|w| {
                (0..PARTS).map(|i| w[0] * (w[1] / w[0]).powf(f64::from(i) / f64::from(PARTS)))
            })
            .collect();
        grid.extend(self.batch_sizes.last());
        grid
    }

    /// `E(B)/E_min` on a grid, non-decreasing; NaN outside the measured batch sizes.
    pub fn overheads(&self, grid: &[f64], ln_e_min: f64) -> Vec<f64> {
        let ln_e: Vec<f64> = self
            .batch_sizes
            .iter()
            .zip(&self.ln_steps)
            .map(|(b, s)| s + b.ln() - ln_e_min)
            .collect();
        let overheads: Vec<f64> = isotonic(&ln_e, &self.weights)
            .into_iter()
            .map(f64::exp)
            .collect();
        grid.iter()
            .map(|&b| interpolate(&self.batch_sizes, &overheads, b))
            .collect()
    }

    /// `S(B)/S_min` on a grid, non-increasing; NaN outside the measured batch sizes.
    pub fn excesses(&self, grid: &[f64], ln_s_min: f64) -> Vec<f64> {
        let negated: Vec<f64> = self.ln_steps.iter().map(|s| ln_s_min - s).collect();
        let excesses: Vec<f64> = isotonic(&negated, &self.weights)
            .into_iter()
            .map(|s| (-s).exp())
            .collect();
        let inverse: Vec<f64> = self.batch_sizes.iter().map(|b| -1.0 / b).collect();
        grid.iter()
            .map(|&b| interpolate(&inverse, &excesses, -1.0 / b))
            .collect()
    }
}

/// The largest batch size on the grid at which the overhead in examples is at most `1 + overhead`.
pub(crate) fn last_within(grid: &[f64], overheads: &[f64], overhead: f64) -> Located {
    let rising = isotonic(overheads, &vec![1.0; overheads.len()]);
    crossing(grid, &rising, 1.0 + overhead)
}

/// The batch size on the grid from which steps are at most `1 + excess` times the fewest.
pub(crate) fn first_within(grid: &[f64], excesses: &[f64], excess: f64) -> Located {
    let negated: Vec<f64> = excesses.iter().map(|s| -s).collect();
    let rising = isotonic(&negated, &vec![1.0; negated.len()]);
    // steps are linear in 1/B
    let inverse: Vec<f64> = grid.iter().map(|b| -1.0 / b).collect();
    match rising.partition_point(|&v| v < -(1.0 + excess)) {
        0 => Located::Below,
        i if i == rising.len() => Located::Above,
        i => Located::At(
            -1.0 / between(
                (inverse[i - 1], rising[i - 1]),
                (inverse[i], rising[i]),
                -(1.0 + excess),
            ),
        ),
    }
}

/// Where non-decreasing `y` passes `level`, linear in `x` between points.
fn crossing(x: &[f64], y: &[f64], level: f64) -> Located {
    match y.partition_point(|&v| v <= level) {
        0 => Located::Below,
        i if i == y.len() => Located::Above,
        i => Located::At(between((x[i - 1], y[i - 1]), (x[i], y[i]), level)),
    }
}

/// `x` on the line through two points where it meets `level`; infinite values leave their point.
fn between(from: (f64, f64), to: (f64, f64), level: f64) -> f64 {
    let part = (level - from.1) / (to.1 - from.1);
    from.0 + (to.0 - from.0) * if part.is_finite() { part } else { 0.5 }
}

/// `y` at `at`, linear between points of increasing `x`; NaN outside them.
fn interpolate(x: &[f64], y: &[f64], at: f64) -> f64 {
    match x.partition_point(|&v| v < at) {
        i if x.get(i) == Some(&at) => y[i],
        i if i == 0 || i == x.len() => f64::NAN,
        i => y[i - 1] + (y[i] - y[i - 1]) * (at - x[i - 1]) / (x[i] - x[i - 1]),
    }
}

/// Weighted isotonic (non-decreasing) regression: pool adjacent violators.
fn isotonic(values: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, f64, usize)> = Vec::with_capacity(values.len());
    for (&value, &weight) in values.iter().zip(weights) {
        let mut block = (value, weight, 1);
        while let Some(&(before, w, n)) = blocks.last() {
            if before <= block.0 {
                break;
            }
            blocks.pop();
            block = (
                (before * w + block.0 * block.1) / (w + block.1),
                w + block.1,
                n + block.2,
            );
        }
        blocks.push(block);
    }
    blocks
        .into_iter()
        .flat_map(|(value, _, n)| std::iter::repeat_n(value, n))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotonic_regression_pools_violators_by_weight() {
        assert_eq!(
            isotonic(&[1.0, 3.0, 2.0, 4.0], &[1.0, 1.0, 1.0, 1.0]),
            [1.0, 2.5, 2.5, 4.0]
        );
        assert_eq!(isotonic(&[3.0, 0.0], &[1.0, 2.0]), [1.0, 1.0]);
    }

    #[test]
    fn a_hyperbola_is_crossed_where_algebra_says() {
        let samples: Vec<Sample> = (2..15)
            .map(|i| {
                let mut sample = Sample::new(1 << i);
                sample.reached(u64::MAX, 100.0 * (1.0 + 150.0 / f64::from(1u32 << i)));
                sample
            })
            .collect();
        let measured = Measured::new(&samples, &Pooled::new(&samples));
        let ln_e_min = measured.ln_e_min(150f64.ln());
        assert!((ln_e_min.exp() - 15_000.0).abs() < 1e-6);
        let grid = measured.grid();
        let at = |located| match located {
            Located::At(b) => b,
            other => panic!("{other:?}"),
        };
        assert!(
            (at(last_within(
                &grid,
                &measured.overheads(&grid, ln_e_min),
                0.2
            )) - 30.0)
                .abs()
                < 1e-6
        );
        let ln_s_min = 100f64.ln();
        assert!(
            (at(first_within(
                &grid,
                &measured.excesses(&grid, ln_s_min),
                0.1
            )) - 1500.0)
                .abs()
                < 1e-4
        );
        assert_eq!(
            last_within(&grid, &measured.overheads(&grid, 1.0), 0.2),
            Located::Below
        );
        assert_eq!(
            first_within(&grid, &measured.excesses(&grid, 1.0), 0.1),
            Located::Above
        );
    }
}
