//! Critical batch sizes from branches of a run.
//!
//! W. Merrill, S. Arora, D. Groeneveld, H. Hajishirzi, "Critical Batch Size Revisited: A Simple Empirical Approach to
//! Large-Batch Language Model Training" (arXiv 2505.23971): from a checkpoint, training goes on at `k` times the batch
//! size, with the rate that a rule gives it, for a fixed number of examples. The critical batch size there is `k*` times the
//! run's, with `k*` the largest `k` up to which the loss in the end stays within a tolerance of the least loss at smaller `k`.
//!
//! Branches of one seed see the same examples, so differences are paired by seed. Between the last `k` that holds and the
//! first that does not, the mean difference to the least loss before is interpolated in `log k`; the ends of the interval
//! are where the ends of the differences' own intervals (Student's t over the seeds) cross the tolerance.

use batchscope_core::Estimate;
use serde::{Deserialize, Serialize};

use crate::contrasts::mean_of;

/// The losses after branches at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Times the batch size of the run.
    pub factor: u64,
    /// Loss in the end, by seed. A branch that diverged has none ([`f64::INFINITY`] stands for it).
    pub losses: Vec<f64>,
}

/// What branches at one batch size say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchPoint {
    /// Times the batch size of the run.
    pub factor: u64,
    /// Examples per step.
    pub batch_size: u64,
    /// Mean loss over the seeds, with Student's interval; undefined where a branch diverged.
    pub loss: Estimate,
    /// Mean difference to the least loss at a smaller factor, paired by seed; 0 at factor 1, undefined where a branch
    /// diverged.
    pub excess: Estimate,
    /// Branches that diverged.
    pub diverged: u64,
}

/// The critical batch size at a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branched {
    /// By factor.
    pub points: Vec<BranchPoint>,
    /// `k*` times the batch size of the run, in examples.
    pub critical_batch_size: Estimate,
}

/// The critical batch size from branches, the first of which has factor 1; factors increase, and all have the same seeds, two
/// at least. `None` where that is not so.
pub fn branched(
    branches: &[Branch],
    base_batch: u64,
    tolerance: f64,
    level: f64,
) -> Option<Branched> {
    let base = branches.first().filter(|branch| branch.factor == 1)?;
    let seeds = base.losses.len();
    let are_sound = branches.windows(2).all(|w| w[0].factor < w[1].factor)
        && branches.iter().all(|branch| branch.losses.len() == seeds)
        && seeds >= 2
        && tolerance > 0.0;
    if !are_sound {
        return None;
    }
    let points = branches.iter().enumerate().map(|(k, branch)| BranchPoint {
        factor: branch.factor,
        batch_size: branch.factor.saturating_mul(base_batch),
        loss: mean(&branch.losses, level),
        excess: excess(branches, k, least_before(branches, k), level),
        diverged: branch
            .losses
            .iter()
            .filter(|loss| !loss.is_finite())
            .count() as u64,
    });
    Some(Branched {
        points: points.collect(),
        critical_batch_size: critical(branches, base_batch, tolerance, level),
    })
}

/// The branches before the `k`-th whose loss is least on average; the first of none.
fn least_before(branches: &[Branch], k: usize) -> usize {
    let sum = |k: usize| branches[k].losses.iter().sum::<f64>();
    (0..k)
        .reduce(|a, b| if sum(b) < sum(a) { b } else { a })
        .unwrap_or(0)
}

/// The mean difference of two branches, paired by seed.
fn excess(branches: &[Branch], k: usize, reference: usize, level: f64) -> Estimate {
    if k == reference {
        return Estimate::exact(0.0);
    }
    let pairs = branches[k].losses.iter().zip(&branches[reference].losses);
    mean(
        &pairs
            .map(|(loss, least)| loss - least)
            .collect::<Vec<f64>>(),
        level,
    )
}

/// The mean of at least two numbers, with Student's interval.
fn mean(values: &[f64], level: f64) -> Estimate {
    let n = values.len() as u64;
    if values.iter().any(|value| !value.is_finite()) {
        return Estimate::undefined(level, n, "a branch diverged");
    }
    let Some((mean, error, t)) = mean_of(values, level) else {
        return Estimate::undefined(level, n, "there is no branch");
    };
    Estimate::estimated(mean, mean - t * error, mean + t * error, level, n)
}

fn critical(branches: &[Branch], base_batch: u64, tolerance: f64, level: f64) -> Estimate {
    let seeds = branches[0].losses.len() as u64;
    if branches[0].losses.iter().any(|loss| !loss.is_finite()) {
        let why = "a branch at the run's own batch size diverged";
        return Estimate::undefined(level, seeds, why);
    }
    let scaled = |factor: f64| factor * base_batch as f64;
    let crossing = |of: &dyn Fn(&Estimate) -> Option<f64>| crossing(branches, tolerance, level, of);
    let at = crossing(&|excess| excess.value);
    // Where the differences may be too large earlier, or are surely so only later, it may lie there.
    let low = crossing(&|excess| excess.high).map(|crossed| crossed.from);
    let high = crossing(&|excess| excess.low).map(|crossed| crossed.to);
    let largest = branches.last().map_or(1, |branch| branch.factor) as f64;
    let Some(crossed) = at else {
        let why = "the loss stays within the tolerance up to the largest batch size";
        return Estimate::at_least(scaled(low.unwrap_or(largest)), level, seeds, why);
    };
    let low = low.map_or(crossed.from, |low| low.min(crossed.from));
    match high {
        Some(high) => Estimate::estimated(
            scaled(crossed.from),
            scaled(low),
            scaled(high.max(crossed.from)),
            level,
            seeds,
        ),
        None => {
            let why = "the seeds scatter more than the loss rises";
            Estimate::at_least(scaled(low), level, seeds, why)
        }
    }
}

/// Where a curve crosses, as a factor: one number, or two that it lies between.
struct Crossed {
    from: f64,
    to: f64,
}

/// Where a reading of the differences first crosses the tolerance; `None` where it does not. A branch that diverged is
/// beyond it by an unknown amount: then it crosses at some factor from the one before on.
fn crossing(
    branches: &[Branch],
    tolerance: f64,
    level: f64,
    of: &dyn Fn(&Estimate) -> Option<f64>,
) -> Option<Crossed> {
    let excess = |k, reference| of(&excess(branches, k, reference, level));
    let beyond = (1..branches.len()).find(|&k| {
        let excess = excess(k, least_before(branches, k));
        excess.is_none_or(|excess| excess > tolerance)
    })?;
    let [from, to] = [beyond - 1, beyond].map(|k| branches[k].factor as f64);
    // Both against what the later one is measured by.
    let reference = least_before(branches, beyond);
    let (Some(start), Some(end)) = (excess(beyond - 1, reference), excess(beyond, reference))
    else {
        return Some(Crossed { from, to });
    };
    let part = ((tolerance - start) / (end - start)).clamp(0.0, 1.0);
    let at = from * (to / from).powf(part);
    Some(Crossed { from: at, to: at })
}

/// A batch size to train with from some point on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrownBatch {
    /// Examples that the run has seen by then.
    pub from_examples: u64,
    /// Times the run's batch size.
    pub factor: u64,
}

/// The batch sizes that critical batch sizes along a run allow, as Merrill et al. propose: from each checkpoint on, the run's
/// times the largest power of two that is no larger than the critical batch size there. It never shrinks, and before
/// the first checkpoint it is the run's own. `along`: examples seen, in increasing order, and the critical batch size.
pub fn grown_batches(along: &[(u64, &Estimate)], base_batch: u64) -> Vec<GrownBatch> {
    let mut grown = vec![GrownBatch {
        from_examples: 0,
        factor: 1,
    }];
    for &(from_examples, critical) in along {
        let times = critical.value.unwrap_or(0.0) / base_batch.max(1) as f64;
        let factor = match times >= 1.0 {
            true => 1 << (times.log2().floor() as u32).min(62),
            false => 1,
        };
        if factor > grown[grown.len() - 1].factor {
            grown.push(GrownBatch {
                from_examples,
                factor,
            });
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use batchscope_core::statistics::t_quantile;

    use super::*;

    fn branch(factor: u64, losses: &[f64]) -> Branch {
        Branch {
            factor,
            losses: losses.to_vec(),
        }
    }

    /// Excesses of 0.005 at 2 and 0.02 at 4: 0.01 is crossed a third of the way, at 2·2^(1/3) times 64.
    #[test]
    fn the_tolerance_is_crossed_between_two_factors() {
        let branches = [
            branch(1, &[1.0, 1.1, 0.9]),
            branch(2, &[1.005, 1.105, 0.905]),
            branch(4, &[1.02, 1.12, 0.92]),
        ];
        let found = branched(&branches, 64, 0.01, 0.95).unwrap();
        let critical = &found.critical_batch_size;
        let expected = 128.0 * 2f64.powf(1.0 / 3.0);
        for value in [critical.value, critical.low, critical.high] {
            assert!((value.unwrap() - expected).abs() < 1e-6, "{found:?}");
        }
    }

    /// Differences at 4 of 0.01, 0.02 and 0.03: a mean of 0.02, ± 4.303·0.01/√3 = 0.0248.
    #[test]
    fn scatter_over_the_seeds_widens_the_interval_on_both_sides() {
        let branches = [
            branch(1, &[1.0, 1.0, 1.0]),
            branch(4, &[1.01, 1.02, 1.03]),
            branch(16, &[1.2, 1.21, 1.22]),
        ];
        let found = branched(&branches, 1, 0.01, 0.95).unwrap();
        let half = t_quantile(0.95, 2.0) * 0.01 / 3f64.sqrt();
        let critical = found.critical_batch_size;
        let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-9;
        assert!(close(critical.value, 4f64.powf(0.5)), "{critical:?}");
        assert!(close(critical.low, 4f64.powf(0.01 / (0.02 + half))));
        // Below 4 the lower end of the difference is under 0.01 yet; it crosses on the way to 0.21 − half.
        let part = (0.01 - (0.02 - half)) / (0.21 - 0.02);
        assert!(close(critical.high, 4.0 * 4f64.powf(part)), "{critical:?}");
    }

    /// A larger batch may do better, as where a rate that grows more slowly quietens it: those beyond are held to its loss.
    #[test]
    fn the_least_loss_before_is_what_counts() {
        let branches = [
            branch(1, &[1.0, 1.1]),
            branch(2, &[0.9, 1.0]),
            branch(4, &[0.905, 1.005]),
            branch(8, &[0.925, 1.025]),
        ];
        let found = branched(&branches, 10, 0.01, 0.95).unwrap();
        let excess = found.points.iter().map(|point| point.excess.value.unwrap());
        for (excess, expected) in excess.zip([0.0, -0.1, 0.005, 0.025]) {
            assert!((excess - expected).abs() < 1e-12, "{found:?}");
        }
        // From 0.005 at 4 to 0.025 at 8: a quarter of the way.
        let value = found.critical_batch_size.value.unwrap();
        assert!((value - 40.0 * 2f64.powf(0.25)).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn branches_that_hold_or_diverge_give_bounds_and_ends() {
        let held = [branch(1, &[1.0, 1.1]), branch(8, &[1.0, 1.1])];
        let found = branched(&held, 32, 0.01, 0.95).unwrap();
        assert!(!found.critical_batch_size.is_estimated());
        assert_eq!(found.critical_batch_size.value, Some(256.0));
        let diverged = [
            branch(1, &[1.0, 1.1]),
            branch(2, &[1.0, 1.1]),
            branch(4, &[f64::INFINITY, 1.0]),
        ];
        let found = branched(&diverged, 32, 0.01, 0.95).unwrap();
        let critical = found.critical_batch_size;
        assert_eq!((critical.value, critical.high), (Some(64.0), Some(128.0)));
        assert_eq!(found.points[2].diverged, 1);
        assert_eq!(found.points[2].excess.value, None);
    }

    #[test]
    fn where_the_run_itself_diverges_nothing_is_known() {
        let branches = [branch(1, &[1.0, f64::INFINITY]), branch(2, &[1.0, 1.0])];
        let critical = branched(&branches, 8, 0.01, 0.95)
            .unwrap()
            .critical_batch_size;
        assert_eq!(
            (critical.value, critical.low, critical.high),
            (None, None, None)
        );
        assert!(critical.reason.unwrap().contains("diverged"));
    }

    #[test]
    fn what_is_no_set_of_branches_is_none() {
        assert!(branched(&[], 32, 0.01, 0.95).is_none());
        assert!(branched(&[branch(2, &[1.0, 1.0])], 32, 0.01, 0.95).is_none());
        assert!(branched(&[branch(1, &[1.0])], 32, 0.01, 0.95).is_none());
        let unequal = [branch(1, &[1.0, 1.0]), branch(2, &[1.0])];
        assert!(branched(&unequal, 32, 0.01, 0.95).is_none());
    }

    #[test]
    fn batches_grow_by_doublings_and_never_shrink() {
        let at = |value| Estimate::exact(value);
        let (small, large, smaller) = (at(40.0), at(300.0), at(100.0));
        let unknown = Estimate::undefined(0.95, 3, "a branch diverged");
        let grown = grown_batches(
            &[
                (640, &small),
                (1280, &large),
                (2560, &smaller),
                (5120, &unknown),
            ],
            32,
        );
        let plain: Vec<(u64, u64)> = grown.iter().map(|g| (g.from_examples, g.factor)).collect();
        assert_eq!(plain, [(0, 1), (1280, 8)]);
    }
}
