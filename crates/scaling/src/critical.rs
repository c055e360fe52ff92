//! The critical batch size by three definitions on the same runs.
//!
//! * (a) `hyperbola`: `B_c = E_min/S_min` of the fit (`fit.rs`; McCandlish et al. 2018).
//! * (b) `overhead20`: the largest batch size that needs at most 20 % more examples than `E_min`
//!   (Zhang et al. 2024, arXiv 2410.21676); `0.2·B_c` under the hyperbola.
//! * (c) `plateau`: the batch size from which steps stay within 10 % of `S_min`; `10·B_c` under
//!   the hyperbola.
//!
//! (b) and (c) are read off the *measured* points, so that they may disagree with (a): the points
//! are made monotone (pool adjacent violators) and interpolated, examples linearly in `B` and
//! steps linearly in `1/B`, both exact on a hyperbola. `E_min` of (b) is the level of the
//! small-batch points, each less its fitted overhead; `S_min` of (c) is the fit's. Their intervals
//! are a parametric bootstrap: studies simulated from the fitted curve, with the caps and numbers
//! of trials of this one and a redrawn variance, refitted and read off again.

use batchwise_core::Estimate;

use crate::findings::CriticalBatchSizes;
use crate::fit::{Hyperbola, NoFit, point};
use crate::intervals::Pooled;
use crate::profile::Profile;
use crate::sample::Sample;
use crate::simulate::draws;

/// Overhead in examples of definition (b).
const OVERHEAD: f64 = 0.2;
/// Overhead in steps of definition (c).
const PLATEAU: f64 = 0.1;

/// How intervals of (b) and (c) are simulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bootstrap {
    pub replicates: u64,
    pub study_seed: u64,
    /// Tells curves apart in the random streams.
    pub curve: u64,
}

/// Where a measured curve crosses a level.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Located {
    /// Below the smallest batch size.
    Below,
    At(f64),
    /// Above the largest.
    Above,
}

impl Located {
    /// `ln` of the place, infinite outside the range.
    fn ln(self) -> f64 {
        match self {
            Located::Below => f64::NEG_INFINITY,
            Located::At(batch_size) => batch_size.ln(),
            Located::Above => f64::INFINITY,
        }
    }
}

/// The measured curve: batch sizes with a mean, increasing.
struct Measured {
    batch_sizes: Vec<f64>,
    ln_steps: Vec<f64>,
    weights: Vec<f64>,
}

impl Measured {
    fn new(samples: &[Sample], pooled: &Pooled) -> Self {
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
    fn ln_e_min(&self, ln_b_c: f64) -> f64 {
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

    /// The largest batch size whose examples are at most `1 + OVERHEAD` times `E_min`.
    fn overhead(&self, ln_e_min: f64) -> Located {
        let ln_e: Vec<f64> = self
            .batch_sizes
            .iter()
            .zip(&self.ln_steps)
            .map(|(b, s)| s + b.ln())
            .collect();
        let examples: Vec<f64> = isotonic(&ln_e, &self.weights)
            .into_iter()
            .map(f64::exp)
            .collect();
        let level = (1.0 + OVERHEAD) * ln_e_min.exp();
        crossing(&self.batch_sizes, &examples, level)
    }

    /// The batch size from which steps are at most `1 + PLATEAU` times `S_min`.
    fn plateau(&self, ln_s_min: f64) -> Located {
        let rising: Vec<f64> = self.ln_steps.iter().map(|s| -s).collect();
        let steps: Vec<f64> = isotonic(&rising, &self.weights)
            .into_iter()
            .map(|s| (-s).exp())
            .collect();
        let level = (1.0 + PLATEAU) * ln_s_min.exp();
        // steps fall with B, so over falling 1/B the negated steps rise
        let inverse: Vec<f64> = self.batch_sizes.iter().map(|b| 1.0 / b).collect();
        let negated: Vec<f64> = steps.iter().map(|s| -s).collect();
        match crossing(&inverse, &negated, -level) {
            Located::At(inverse) => Located::At(1.0 / inverse),
            outside => outside,
        }
    }
}

/// Where non-decreasing `y` passes `level`, linear in `x` between points.
fn crossing(x: &[f64], y: &[f64], level: f64) -> Located {
    match y.partition_point(|&v| v <= level) {
        0 => Located::Below,
        i if i == y.len() => Located::Above,
        i => Located::At(x[i - 1] + (x[i] - x[i - 1]) * (level - y[i - 1]) / (y[i] - y[i - 1])),
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

/// The three definitions for one curve.
pub(crate) fn critical_batch_sizes(
    samples: &[Sample],
    pooled: &Pooled,
    curve: &Result<Hyperbola, NoFit>,
    level: f64,
    bootstrap: Bootstrap,
) -> CriticalBatchSizes {
    let (hyperbola, overhead, plateau) = match curve {
        Err(reason) => {
            let n = samples.iter().map(Sample::trials).sum();
            let none = Estimate::undefined(level, n, reason.to_string());
            (none.clone(), none.clone(), none)
        }
        Ok(curve) if curve.critical.value.is_none() => (
            curve.critical.clone(),
            curve.critical.clone(),
            curve.critical.clone(),
        ),
        Ok(curve) => {
            let (overhead, plateau) =
                measured_definitions(samples, pooled, curve, level, bootstrap);
            (curve.critical.clone(), overhead, plateau)
        }
    };
    let normalised = [
        hyperbola.clone(),
        overhead.scaled(1.0 / OVERHEAD),
        plateau.scaled(PLATEAU),
    ];
    let disagreement = {
        let estimated: Vec<f64> = normalised
            .iter()
            .filter(|e| e.is_estimated())
            .filter_map(|e| e.value)
            .collect();
        let (low, high) = estimated
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(l, h), &v| (l.min(v), h.max(v)));
        (estimated.len() > 1).then(|| high / low)
    };
    let [hyperbola, overhead20, plateau_normalised] = normalised;
    CriticalBatchSizes {
        hyperbola,
        overhead20,
        plateau: plateau_normalised,
        overhead20_batch: overhead,
        plateau_batch: plateau,
        disagreement,
        to_settle: None,
    }
}

/// (b) and (c) before normalisation.
fn measured_definitions(
    samples: &[Sample],
    pooled: &Pooled,
    curve: &Hyperbola,
    level: f64,
    bootstrap: Bootstrap,
) -> (Estimate, Estimate) {
    let measured = Measured::new(samples, pooled);
    let (overheads, plateaus) = simulate(samples, pooled, curve, bootstrap);
    let (smallest, largest) = (
        measured.batch_sizes[0],
        measured.batch_sizes[measured.batch_sizes.len() - 1],
    );
    let report = Report {
        smallest,
        largest,
        level,
        n: curve.fit.n,
    };

    let overhead = if curve.fit.e_min.is_estimated() {
        let located = measured.overhead(measured.ln_e_min(curve.ln_b_c));
        report.estimate(
            located,
            OVERHEAD.ln() + curve.ln_b_c,
            overheads,
            "20 % more examples than E_min",
        )
    } else {
        let bound = curve
            .critical
            .high
            .map_or(smallest, |high| (OVERHEAD * high).max(smallest));
        Estimate::at_most(
            bound,
            level,
            curve.fit.n,
            "examples still fall at the smallest batch size",
        )
    };
    let plateau = if curve.fit.s_min.is_estimated() {
        let located = measured.plateau(curve.ln_e_min - curve.ln_b_c);
        report.estimate(
            located,
            curve.ln_b_c - PLATEAU.ln(),
            plateaus,
            "10 % more steps than S_min",
        )
    } else {
        let bound = curve
            .critical
            .low
            .map_or(largest, |low| (low / PLATEAU).min(largest));
        Estimate::at_least(
            bound,
            level,
            curve.fit.n,
            "steps still fall at the largest batch size",
        )
    };
    (overhead, plateau)
}

/// Simulated places (`ln`, sorted) of the two crossings.
fn simulate(
    samples: &[Sample],
    pooled: &Pooled,
    curve: &Hyperbola,
    bootstrap: Bootstrap,
) -> (Vec<f64>, Vec<f64>) {
    let (sigma, dof) = match pooled.sigma {
        Some(sigma) if curve.between_sigma > 0.0 => (sigma, pooled.dof),
        _ => (curve.fit.sigma, curve.dof),
    };
    let (mut overheads, mut plateaus) = (Vec::new(), Vec::new());
    for replicate in 0..bootstrap.replicates {
        let mut draws = draws(bootstrap.study_seed, bootstrap.curve, replicate);
        let sigma = sigma * draws.deviation_factor(dof);
        let between = if curve.between_sigma > 0.0 {
            curve.between_sigma * draws.deviation_factor(curve.dof)
        } else {
            0.0
        };
        let simulated: Vec<Sample> = samples
            .iter()
            .filter(|s| s.trials() > 0)
            .map(|s| {
                let cap = s
                    .ln_caps
                    .iter()
                    .copied()
                    .reduce(f64::max)
                    .unwrap_or(f64::INFINITY);
                let mean = curve.ln_steps(s.batch_size as f64) + between * draws.normal();
                let mut sample = Sample::new(s.batch_size);
                for _ in 0..s.trials() {
                    let ln_steps = mean + sigma * draws.normal();
                    if ln_steps > cap {
                        sample.ln_caps.push(cap)
                    } else {
                        sample.ln_steps.push(ln_steps)
                    }
                }
                sample
            })
            .collect();
        let profile = Profile::new(&simulated);
        if profile.batch_sizes < 3 {
            continue;
        }
        let (ln_e_min, ln_b_c) = point(&profile);
        let measured = Measured::new(&simulated, &Pooled::new(&simulated));
        overheads.push(measured.overhead(measured.ln_e_min(ln_b_c)).ln());
        plateaus.push(measured.plateau(ln_e_min - ln_b_c).ln());
    }
    overheads.sort_by(f64::total_cmp);
    plateaus.sort_by(f64::total_cmp);
    (overheads, plateaus)
}

/// Words a located crossing as an estimate.
struct Report {
    smallest: f64,
    largest: f64,
    level: f64,
    n: u64,
}

impl Report {
    /// `simulated` are sorted places whose truth is `ln_truth`.
    fn estimate(
        &self,
        located: Located,
        ln_truth: f64,
        simulated: Vec<f64>,
        what: &str,
    ) -> Estimate {
        let quantile = |p: f64| {
            let last = simulated.len().saturating_sub(1) as f64;
            simulated.get((p * last).round() as usize).copied()
        };
        let tail = 0.5 * (1.0 - self.level);
        let (low, high) = (quantile(tail), quantile(1.0 - tail));
        match located {
            Located::Above => {
                let bound = low.map_or(self.largest, |low| {
                    low.exp().clamp(self.smallest, self.largest)
                });
                Estimate::at_least(
                    bound,
                    self.level,
                    self.n,
                    format!("the largest batch size does not cross {what}"),
                )
            }
            Located::Below => {
                let bound = high.map_or(self.smallest, |high| {
                    high.exp().clamp(self.smallest, self.largest)
                });
                Estimate::at_most(
                    bound,
                    self.level,
                    self.n,
                    format!("the smallest batch size is already past {what}"),
                )
            }
            Located::At(batch_size) => {
                // the simulated errors, relative to the simulated truth, about the measured place
                let end = |q: Option<f64>| {
                    q.map(|q| batch_size * (q - ln_truth).exp())
                        .filter(|e| e.is_finite() && *e > 0.0)
                };
                let (low, high) = (
                    end(low).map(|e| e.min(batch_size)),
                    end(high).map(|e| e.max(batch_size)),
                );
                match (low, high) {
                    (Some(low), Some(high)) => {
                        Estimate::estimated(batch_size, low, high, self.level, self.n)
                    }
                    (Some(low), None) => Estimate::at_least(
                        low,
                        self.level,
                        self.n,
                        format!(
                            "crosses {what} at {batch_size:.0}, but perhaps only past the largest batch size"
                        ),
                    ),
                    (None, Some(high)) => Estimate::at_most(
                        high,
                        self.level,
                        self.n,
                        format!(
                            "crosses {what} at {batch_size:.0}, but perhaps already below the smallest batch size"
                        ),
                    ),
                    (None, None) => Estimate::undefined(
                        self.level,
                        self.n,
                        format!(
                            "crosses {what} at {batch_size:.0}, with an interval wider than the range studied"
                        ),
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::fit;

    const BOOTSTRAP: Bootstrap = Bootstrap {
        replicates: 200,
        study_seed: 7,
        curve: 0,
    };

    fn studied(
        batch_sizes: impl IntoIterator<Item = u64>,
        curve: impl Fn(f64) -> f64,
    ) -> Vec<Sample> {
        batch_sizes
            .into_iter()
            .map(|b| {
                let mut sample = Sample::new(b);
                for noise in [-0.02, 0.0, 0.02f64] {
                    sample.reached(u64::MAX, curve(b as f64) * noise.exp());
                }
                sample
            })
            .collect()
    }

    fn definitions(samples: &[Sample]) -> CriticalBatchSizes {
        critical_batch_sizes(
            samples,
            &Pooled::new(samples),
            &fit(samples, 0.95),
            0.95,
            BOOTSTRAP,
        )
    }

    #[test]
    fn on_a_hyperbola_all_three_agree() {
        let samples = studied((2..15).map(|i| 1 << i), |b| 100.0 * (1.0 + 150.0 / b));
        let found = definitions(&samples);
        for estimate in [&found.hyperbola, &found.overhead20, &found.plateau] {
            assert!(
                (estimate.value.unwrap() / 150.0 - 1.0).abs() < 0.01,
                "{estimate:?}"
            );
            assert!(
                estimate.low.unwrap() < 150.0 && estimate.high.unwrap() > 150.0,
                "{estimate:?}"
            );
        }
        assert!((found.overhead20_batch.value.unwrap() / 30.0 - 1.0).abs() < 0.01);
        assert!((found.plateau_batch.value.unwrap() / 1500.0 - 1.0).abs() < 0.01);
        assert!(found.disagreement.unwrap() < 1.02);
    }

    /// Two straight lines meeting at 256 are no hyperbola: (b) says 256·1.2/0.2 at the corner, (c)
    /// 256/1.1/10, and the disagreement shows it.
    #[test]
    fn on_another_shape_they_disagree() {
        let samples = studied((2..14).map(|i| 1 << i), |b| 100.0 * (256.0 / b).max(1.0));
        let found = definitions(&samples);
        assert!(found.disagreement.unwrap() > 3.0, "{found:?}");
        assert!(
            found.hyperbola.reason.is_some(),
            "lack of fit must be said: {:?}",
            found.hyperbola
        );
    }

    #[test]
    fn outside_the_range_are_bounds_inside_it() {
        let straight = definitions(&studied((3..9).map(|i| 1 << i), |b| 1e6 / b));
        assert_eq!(straight.overhead20_batch.low, Some(256.0), "{straight:?}");
        assert!(straight.overhead20_batch.high.is_none() && straight.plateau_batch.high.is_none());
        assert!(straight.hyperbola.high.is_none() && straight.hyperbola.value.unwrap() <= 256.0);
        let flat = definitions(&studied((3..9).map(|i| 1 << i), |_| 500.0));
        assert_eq!(flat.hyperbola.low, None, "{flat:?}");
        assert!(flat.hyperbola.value.unwrap() >= 8.0);
        assert!(flat.overhead20_batch.low.is_none() && flat.plateau_batch.low.is_none());
    }

    #[test]
    fn isotonic_regression_pools_violators_by_weight() {
        assert_eq!(
            isotonic(&[1.0, 3.0, 2.0, 4.0], &[1.0, 1.0, 1.0, 1.0]),
            [1.0, 2.5, 2.5, 4.0]
        );
        assert_eq!(isotonic(&[3.0, 0.0], &[1.0, 2.0]), [1.0, 1.0]);
    }
}
