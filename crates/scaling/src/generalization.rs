//! Generalization against batch size under three comparisons that answer different questions and
//! must not be mixed: equal epochs (same examples seen), equal steps (same updates made), equal
//! training loss (same fit to the data).
//!
//! Each compares where *all* batch sizes have been: at the most examples, steps and lowest training
//! loss that every trial reached. Values are the smoothed validation metric, interpolated in log
//! steps, averaged over seeds with a variance pooled over batch sizes.

use batchscope_core::{
    Estimate, Metric, Outcome, Quantity, Split, Target, TrialRecord, statistics::t_quantile,
};

use crate::curves::CurveTrials;
use crate::findings::{Generalization, GeneralizationAt};
use crate::intervals::ONE_SEED;
use crate::trajectory::{FirstMet, best, first_met, smoothed, value_at};

/// One trial with both trajectories.
struct Seen {
    batch_size: u64,
    validation: Vec<(f64, f64)>,
    train_loss: Vec<(f64, f64)>,
}

/// The three comparisons of a curve; `None` where no validation metric was recorded.
pub(crate) fn generalization(
    trials: &CurveTrials,
    target: &Target,
    train_examples: Option<u64>,
    level: f64,
) -> Option<Generalization> {
    let metric = validation_metric(trials, target)?;
    let train_loss = Metric::new(Split::Train, Quantity::Loss);
    let seen: Vec<Seen> = trials
        .trials()
        .filter(|r| ran(r))
        .map(|r| Seen {
            batch_size: r.spec.batch_size,
            validation: smoothed(r, &metric),
            train_loss: smoothed(r, &train_loss),
        })
        .filter(|s| !s.validation.is_empty())
        .collect();
    if seen.is_empty() {
        return None;
    }
    let last = |s: &Seen| s.validation[s.validation.len() - 1].0;
    let least = |f: &dyn Fn(&Seen) -> f64| seen.iter().map(f).fold(f64::INFINITY, f64::min);
    let compare = |at: f64, step: &dyn Fn(&Seen) -> Option<f64>| {
        let values: Vec<(u64, f64)> = seen
            .iter()
            .filter_map(|s| {
                Some((
                    s.batch_size,
                    value_at(&s.validation, step(s)?.min(last(s)))?,
                ))
            })
            .filter(|(_, v)| v.is_finite())
            .collect();
        let points = means(&values, level);
        (points.len() > 1).then_some(GeneralizationAt { at, points })
    };

    let examples = least(&|s| last(s) * s.batch_size as f64);
    let steps = least(&last);
    let lowest: Vec<f64> = seen
        .iter()
        .filter_map(|s| best(&s.train_loss, train_loss.natural_direction()))
        .collect();
    let equal_loss = (lowest.len() == seen.len())
        .then(|| lowest.into_iter().fold(f64::NEG_INFINITY, f64::max))
        .filter(|loss| loss.is_finite())
        .and_then(|loss| {
            let target = Target {
                direction: train_loss.natural_direction(),
                metric: train_loss.clone(),
                value: loss,
            };
            compare(loss, &|s| match first_met(&s.train_loss, &target) {
                FirstMet::At(step) | FirstMet::AtFirst(step) => Some(step),
                FirstMet::Never => None,
            })
        });
    Some(Generalization {
        metric,
        equal_epochs: train_examples.and_then(|n| {
            compare(examples / n.max(1) as f64, &|s| {
                Some(examples / s.batch_size as f64)
            })
        }),
        equal_steps: compare(steps, &|_| Some(steps)),
        equal_loss,
    })
}

/// True for trials whose trajectory stands for their batch size.
fn ran(record: &TrialRecord) -> bool {
    matches!(
        record.outcome,
        Outcome::Reached { .. } | Outcome::NotReached { .. } | Outcome::Completed { .. }
    )
}

/// The target's quantity on the validation examples, or whatever else was recorded on them.
fn validation_metric(trials: &CurveTrials, target: &Target) -> Option<Metric> {
    let wanted = [
        target.metric.quantity.clone(),
        Quantity::Error,
        Quantity::Loss,
    ];
    let recorded = |metric: &Metric| {
        trials.trials().any(|r| {
            r.measurements
                .iter()
                .any(|m| m.metrics.contains_key(metric))
        })
    };
    wanted
        .into_iter()
        .map(|quantity| Metric::new(Split::Val, quantity))
        .find(recorded)
}

/// Means by batch size with t-intervals of pooled variance.
pub(crate) fn means(values: &[(u64, f64)], level: f64) -> Vec<(u64, Estimate)> {
    let mut batch_sizes: Vec<u64> = values.iter().map(|v| v.0).collect();
    batch_sizes.sort_unstable();
    batch_sizes.dedup();
    let groups: Vec<(u64, f64, f64, f64)> = batch_sizes
        .iter()
        .map(|&b| {
            let here = || values.iter().filter(move |v| v.0 == b).map(|v| v.1);
            let n = here().count() as f64;
            let mean = here().sum::<f64>() / n;
            (b, n, mean, here().map(|v| (v - mean).powi(2)).sum())
        })
        .collect();
    let dof = values.len() as f64 - groups.len() as f64;
    let variance = groups.iter().map(|g| g.3).sum::<f64>() / dof;
    groups
        .into_iter()
        .map(|(b, n, mean, _)| {
            let estimate = if dof > 0.0 {
                let half = t_quantile(level, dof) * (variance / n).sqrt();
                Estimate::estimated(mean, mean - half, mean + half, level, n as u64)
            } else {
                Estimate {
                    low: None,
                    high: None,
                    ..Estimate::estimated(mean, mean, mean, level, n as u64)
                }
                .because(ONE_SEED)
            };
            (b, estimate)
        })
        .collect()
}
