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
//! small-batch points, each less its fitted overhead; `S_min` of (c) is the fit's.
//!
//! Their intervals are a parametric bootstrap of the overhead curves: studies simulated from the
//! fitted curve, with the caps and numbers of trials of this one, a redrawn variance and a redrawn
//! slope of the deviations, are refitted, and the errors of their overheads at each batch size give
//! this study's overheads a lower and an upper curve. Where those cross the level are the ends: as
//! Fieller's intervals they are open where the data do not close them.

use batchscope_core::{Estimate, statistics::quantile};

use crate::findings::{CriticalBatchSizes, OverheadFrom};
use crate::fit::{Hyperbola, NoFit};
use crate::intervals::Pooled;
use crate::lack_of_fit::Weighted;
use crate::measured::{Located, Measured, first_within, last_within};
use crate::sample::Sample;
use crate::simulate::{deviation_factor, draws};

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
    let normalized = [
        hyperbola.clone(),
        overhead.scaled(1.0 / OVERHEAD),
        plateau.scaled(PLATEAU),
    ];
    let disagreement = {
        let estimated: Vec<f64> = normalized
            .iter()
            .filter(|e| e.is_estimated())
            .filter_map(|e| e.value)
            .collect();
        let (low, high) = estimated
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(l, h), &v| (l.min(v), h.max(v)));
        (estimated.len() > 1).then(|| high / low)
    };
    let [hyperbola, overhead20, plateau_normalized] = normalized;
    CriticalBatchSizes {
        hyperbola,
        overhead20,
        plateau: plateau_normalized,
        overhead20_batch: overhead,
        plateau_batch: plateau,
        overhead_from: None,
        disagreement,
        to_settle: None,
    }
}

/// Zhang et al. 2024's `B* = 1.2·B₀ + 0.2·B_c`, of the estimate of `B_c`.
pub(crate) fn overhead_from(from: u64, hyperbola: &Estimate) -> OverheadFrom {
    let base = (1.0 + OVERHEAD) * from as f64;
    let part = hyperbola.scaled(OVERHEAD);
    let moved = |x: Option<f64>| x.map(|x| base + x);
    OverheadFrom {
        from,
        batch_size: Estimate {
            value: moved(part.value),
            low: moved(part.low),
            high: moved(part.high),
            ..part
        },
    }
}

/// (b) and (c) before normalization.
fn measured_definitions(
    samples: &[Sample],
    pooled: &Pooled,
    curve: &Hyperbola,
    level: f64,
    bootstrap: Bootstrap,
) -> (Estimate, Estimate) {
    let measured = Measured::new(samples, pooled);
    let grid = measured.grid();
    let errors = simulate(samples, pooled, curve, &grid, bootstrap);
    let report = Report {
        smallest: grid[0],
        largest: grid[grid.len() - 1],
        level,
        n: curve.fit.n,
    };
    // this study's curve over the upper and the lower quantiles of the simulated errors
    let curves = |values: &[f64], errors: &[Vec<f64>]| {
        let tail = 0.5 * (1.0 - level);
        let shifted = |p: f64| -> Vec<f64> {
            values
                .iter()
                .zip(errors)
                .map(|(v, e)| v / quantile(e, p).exp())
                .collect()
        };
        (shifted(1.0 - tail), shifted(tail))
    };

    let overhead = if curve.fit.e_min.is_estimated() {
        let values = measured.overheads(&grid, measured.ln_e_min(curve.ln_b_c));
        let (below, above) = curves(&values, &errors.overheads);
        let place = |curve: &[f64]| last_within(&grid, curve, OVERHEAD);
        report.estimate(
            place(&values),
            place(&above),
            place(&below),
            "the limit of 20 % more examples than E_min",
        )
    } else {
        let bound = curve.critical.high.map_or(report.smallest, |high| {
            (OVERHEAD * high).max(report.smallest)
        });
        Estimate::at_most(
            bound,
            level,
            curve.fit.n,
            "examples still fall at the smallest batch size",
        )
    };
    let plateau = if curve.fit.s_min.is_estimated() {
        let values = measured.excesses(&grid, curve.ln_e_min - curve.ln_b_c);
        let (below, above) = curves(&values, &errors.excesses);
        let place = |curve: &[f64]| first_within(&grid, curve, PLATEAU);
        report.estimate(
            place(&values),
            place(&below),
            place(&above),
            "the limit of 10 % more steps than S_min",
        )
    } else {
        let bound = curve
            .critical
            .low
            .map_or(report.largest, |low| (low / PLATEAU).min(report.largest));
        Estimate::at_least(
            bound,
            level,
            curve.fit.n,
            "steps still fall at the largest batch size",
        )
    };
    (overhead, plateau)
}

/// Simulated errors of `ln` of the overhead curves: for each node of the grid, sorted.
struct Errors {
    overheads: Vec<Vec<f64>>,
    excesses: Vec<Vec<f64>>,
}

/// Studies simulated from the fitted curve, analyzed like this one.
fn simulate(
    samples: &[Sample],
    pooled: &Pooled,
    curve: &Hyperbola,
    grid: &[f64],
    bootstrap: Bootstrap,
) -> Errors {
    let (sigma, dof) = match pooled.sigma {
        Some(sigma) if curve.between_sigma > 0.0 => (sigma, pooled.dof),
        _ => (curve.fit.sigma, curve.dof),
    };
    let count = grid.len();
    let mut errors = Errors {
        overheads: vec![Vec::new(); count],
        excesses: vec![Vec::new(); count],
    };
    for replicate in 0..bootstrap.replicates {
        let mut draws = draws(bootstrap.study_seed, bootstrap.curve, replicate);
        let sigma = sigma * deviation_factor(&mut draws, dof);
        let deviations = pooled.deviations.redrawn(&mut draws);
        let between = if curve.between_sigma > 0.0 {
            curve.between_sigma * deviation_factor(&mut draws, curve.dof)
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
                let sigma = sigma * deviations.relative(s.batch_size);
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
        let pooled = Pooled::new(&simulated);
        if pooled.batch_sizes < 3 {
            continue;
        }
        let best = Weighted::new(&simulated, &pooled).best;
        let again = Measured::new(&simulated, &pooled);
        let overheads = again.overheads(grid, again.ln_e_min(best.b));
        let excesses = again.excesses(grid, best.a - best.b);
        for (i, b) in grid.iter().enumerate() {
            // a batch size none of whose simulated trials reached may leave its surroundings unknown
            if !overheads[i].is_nan() {
                let ratio = (b.ln() - curve.ln_b_c).exp();
                errors.overheads[i].push(overheads[i].ln() - ratio.ln_1p());
                errors.excesses[i].push(excesses[i].ln() - (1.0 / ratio).ln_1p());
            }
        }
    }
    errors
        .overheads
        .iter_mut()
        .chain(&mut errors.excesses)
        .for_each(|e| e.sort_by(f64::total_cmp));
    errors
}

/// Words crossings of the measured curve and of its confidence curves as an estimate.
struct Report {
    smallest: f64,
    largest: f64,
    level: f64,
    n: u64,
}

impl Report {
    fn estimate(&self, value: Located, low: Located, high: Located, what: &str) -> Estimate {
        let low = match low {
            Located::Below => None,
            Located::At(low) => Some(low),
            Located::Above => Some(self.largest),
        };
        let high = match high {
            Located::Below => Some(self.smallest),
            Located::At(high) => Some(high),
            Located::Above => None,
        };
        let (at_least, at_most) = (
            |low, reason: String| Estimate::at_least(low, self.level, self.n, reason),
            |high, reason: String| Estimate::at_most(high, self.level, self.n, reason),
        );
        match (value, low, high) {
            // a crossing inside the range is a number, even where its interval leaves the range
            (Located::At(value), low, high) => {
                let (low, high) = (low.map(|l| l.min(value)), high.map(|h| h.max(value)));
                let estimate = Estimate::estimated(value, value, value, self.level, self.n);
                let estimate = Estimate {
                    low,
                    high,
                    ..estimate
                };
                if low.is_some() && high.is_some() {
                    estimate
                } else {
                    estimate.because("the interval leaves the range of batch sizes studied")
                }
            }
            (Located::Above, Some(low), _) => {
                at_least(low, format!("the largest batch size does not reach {what}"))
            }
            (Located::Below, _, Some(high)) => at_most(
                high,
                format!("the smallest batch size is already past {what}"),
            ),
            _ => Estimate::undefined(
                self.level,
                self.n,
                format!("the batch size at {what} has an interval wider than the range studied"),
            ),
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
}
