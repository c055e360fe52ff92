//! How the critical batch size moves with the target, from the same runs.
//!
//! Harder targets tend to have larger critical batch sizes (the gradient noise grows as training
//! goes on), so an answer for one target says little until its neighbors are seen. Every easier
//! target was passed on the way to the study's own, so its steps are estimated from the
//! recorded evaluations, as those to the study's own were. In studies of versions up to 0.1.0 those
//! were of another kind ([`Outcome::is_by_smoothing`]): such a study has its own target alone.

use batchscope_core::{Estimate, Measurement, Outcome, Target, TrialRecord};

use crate::curves::CurveTrials;
use crate::findings::TargetMovement;
use crate::fit::fit;
use crate::sample::Sample;
use crate::trajectory::{evaluated, value_at};

/// Easier targets between the study's and the easiest.
const EASIER: usize = 4;
/// The easiest target is what half of the trials had reached at this part of their steps.
const EASIEST_AT: f64 = 0.25;

/// The answer at the study's target and at easier ones, hardest first.
pub(crate) fn movement(
    trials: &CurveTrials,
    target: &Target,
    here: &Estimate,
    level: f64,
) -> Vec<TargetMovement> {
    let reached = trials.trials().filter(|r| r.steps().is_some()).count() as u64;
    let mut rows = vec![TargetMovement {
        target: target.clone(),
        hyperbola: here.clone(),
        reached,
    }];
    if trials.trials().any(|r| r.outcome.is_by_smoothing()) {
        return rows;
    }
    for target in ladder(trials, target) {
        let samples: Vec<Sample> = trials
            .by_batch
            .iter()
            .map(|(&batch_size, records)| {
                let mut sample = Sample::new(batch_size);
                records
                    .iter()
                    .for_each(|record| add(&mut sample, record, &target));
                sample
            })
            .collect();
        let reached = samples.iter().map(|s| s.n_reached() as u64).sum();
        let trials = samples.iter().map(Sample::trials).sum();
        let hyperbola = match fit(&samples, level) {
            Ok(curve) => curve.critical,
            Err(reason) => Estimate::undefined(level, trials, reason.to_string()),
        };
        rows.push(TargetMovement {
            target,
            hyperbola,
            reached,
        });
    }
    rows
}

/// Adds a trial's crossing of any target.
fn add(sample: &mut Sample, record: &TrialRecord, target: &Target) {
    if matches!(
        record.outcome,
        Outcome::Infeasible { .. } | Outcome::Failed { .. } | Outcome::Interrupted
    ) {
        return;
    }
    match record.crossing(target) {
        Some(crossed) if crossed.after == 0 => sample.reached(0, crossed.crossing),
        Some(crossed) => sample.reached(u64::MAX, crossed.crossing),
        None if matches!(record.outcome, Outcome::Diverged { .. }) => sample.diverged += 1,
        None => {
            let metric = &target.metric;
            let looked = |m: &&Measurement| !m.finer && m.metrics.contains_key(metric);
            if let Some(last) = record.measurements.iter().rfind(looked) {
                sample.not_reached(last.step as f64);
            }
        }
    }
}

/// Easier targets, hardest first, evenly spaced (in log where values are positive) and rounded to
/// three digits.
fn ladder(trials: &CurveTrials, target: &Target) -> Vec<Target> {
    let mut early: Vec<f64> = trials
        .trials()
        .filter_map(|record| {
            let steps = record.outcome.crossing()?;
            value_at(
                &evaluated(record, &target.metric),
                (EASIEST_AT * steps).max(1.0),
            )
        })
        .filter(|v| v.is_finite() && target.direction.better(target.value, *v))
        .collect();
    early.sort_by(f64::total_cmp);
    let Some(&easiest) = early.get(early.len() / 2) else {
        return Vec::new();
    };
    let mut last = target.value;
    (1..=EASIER)
        .filter_map(|i| {
            let part = i as f64 / EASIER as f64;
            let value = if target.value > 0.0 && easiest > 0.0 {
                target.value * (easiest / target.value).powf(part)
            } else {
                target.value + part * (easiest - target.value)
            };
            let value = three_digits(value);
            let easier = target.direction.better(last, value);
            last = if easier { value } else { last };
            easier.then(|| Target {
                value,
                ..target.clone()
            })
        })
        .collect()
}

/// Rounds to three significant digits.
fn three_digits(x: f64) -> f64 {
    format!("{x:.2e}").parse().unwrap_or(x)
}
