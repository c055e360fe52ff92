//! Methods against a baseline, on an endpoint that was fixed before the runs.
//!
//! The primary endpoint is one number a method: at the largest batch size, the mean over seeds of the
//! difference to the baseline's run with the same seed, of a metric or of the logarithm of steps.
//! Student's t on the paired differences; Holm's correction over the methods (S. Holm, "A simple
//! sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979). Everything else stands
//! beside it without a test.

use batchscope_core::{
    Estimate, Metric, Outcome, Target, TrialPurpose, TrialRecord, statistics::t_quantile,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distribution::f_survival;

/// What methods are compared by. The two answer different questions and are never mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A metric at the end of runs of equal length in examples: compared by differences.
    Metric(Metric),
    /// Steps to a target: compared by ratios.
    Steps(Target),
}

/// Power with which [`Contrast::detectable`] would have been found.
const POWER: f64 = 0.8;

/// A comparison's results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contrasts {
    /// By what.
    pub endpoint: Endpoint,
    /// What the others are compared with.
    pub baseline: String,
    /// Where the primary endpoint is taken: the largest batch size.
    pub batch_size: u64,
    /// Level of the intervals and of the tests.
    pub level: f64,
    /// The primary endpoint of every method but the baseline, in the order of the methods.
    pub primary: Vec<Contrast>,
    /// What each method gave at each batch size.
    pub points: Vec<MethodPoint>,
}

/// A method against the baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contrast {
    /// The method.
    pub method: String,
    /// Mean difference of the metric, or ratio of steps, method to baseline; undefined where runs are
    /// missing.
    pub difference: Estimate,
    /// Two-sided, uncorrected.
    pub p: Option<f64>,
    /// Corrected for the number of methods.
    pub p_holm: Option<f64>,
    /// The smallest difference (or ratio above 1) that so many seeds, scattering as they do, would have
    /// shown in four of five such comparisons.
    pub detectable: Option<f64>,
    /// What follows.
    pub verdict: ContrastVerdict,
}

/// What a contrast says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContrastVerdict {
    /// Better than the baseline.
    Better,
    /// Worse than the baseline.
    Worse,
    /// No significant difference.
    Undecided,
    /// Runs of the method or the baseline have no value: they diverged, or did not reach the target.
    Missing,
}

/// A method at a batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MethodPoint {
    /// The method.
    pub method: String,
    /// Examples per step.
    pub batch_size: u64,
    /// The learning rate of its fresh runs.
    pub learning_rate: f64,
    /// Mean of the metric, or geometric mean of the steps, over the runs that have a value.
    pub value: Estimate,
    /// Runs that have a value.
    pub with_value: u64,
    /// Runs that diverged.
    pub diverged: u64,
    /// Runs that did not reach the target.
    pub not_reached: u64,
    /// Runs that failed or could not be run.
    pub failed: u64,
}

/// Compares methods, the first of which is the baseline, by the fresh trials that serve the curves of
/// their names. `level` is that of intervals and tests, for example 0.95.
pub fn contrasts(
    methods: &[String],
    endpoint: &Endpoint,
    batch_sizes: &[u64],
    records: &[TrialRecord],
    level: f64,
) -> Contrasts {
    let of = |method: &str, batch_size: u64| -> Vec<(u32, &TrialRecord)> {
        let own = records.iter().filter(|record| {
            record.spec.batch_size == batch_size
                && record.spec.curves.iter().any(|curve| curve == method)
        });
        let fresh = own.filter_map(|record| match record.spec.purpose {
            TrialPurpose::Fresh { index } => Some((index, record)),
            _ => None,
        });
        let mut fresh: Vec<_> = fresh.collect();
        fresh.sort_by_key(|(index, _)| *index);
        fresh
    };
    let points = methods.iter().flat_map(|method| {
        let points = batch_sizes.iter().filter_map(|&batch_size| {
            point(method, batch_size, &of(method, batch_size), endpoint, level)
        });
        points.collect::<Vec<_>>()
    });
    let points = points.collect();
    let batch_size = batch_sizes.iter().copied().max().unwrap_or(0);
    let baseline = methods.first().cloned().unwrap_or_default();
    let others = methods.get(1..).unwrap_or_default();
    let base = of(&baseline, batch_size);
    let mut primary: Vec<Contrast> = others
        .iter()
        .map(|method| {
            let own = of(method, batch_size);
            contrast(method, &own, &base, endpoint, (level, others.len()))
        })
        .collect();
    holm(&mut primary);
    let better = |contrast: &Contrast| {
        let value = contrast.difference.value.unwrap_or(f64::NAN);
        match endpoint {
            Endpoint::Steps(_) => value < 1.0,
            Endpoint::Metric(metric) => metric.natural_direction().better(value, 0.0),
        }
    };
    for contrast in &mut primary {
        if let Some(p) = contrast.p_holm {
            contrast.verdict = match (p < 1.0 - level, better(contrast)) {
                (false, _) => ContrastVerdict::Undecided,
                (true, true) => ContrastVerdict::Better,
                (true, false) => ContrastVerdict::Worse,
            };
        }
    }
    Contrasts {
        endpoint: endpoint.clone(),
        baseline,
        batch_size,
        level,
        primary,
        points,
    }
}

/// What a run gives, on the scale that is averaged: the metric at its end, or the logarithm of its
/// steps to the target.
fn value(record: &TrialRecord, endpoint: &Endpoint) -> Option<f64> {
    match endpoint {
        Endpoint::Metric(metric) => match record.outcome {
            Outcome::Completed { .. } => {
                let last = record.measurements.last()?;
                let value = last.metrics.get(metric).copied();
                value.filter(|value| value.is_finite())
            }
            _ => None,
        },
        Endpoint::Steps(_) => match &record.outcome {
            Outcome::Reached { step, located, .. } => {
                let steps = located.map_or(*step as f64, |at| at.crossing);
                Some(steps.max(f64::MIN_POSITIVE).ln())
            }
            _ => None,
        },
    }
}

/// A mean, its standard error and Student's quantile; of one value, the value alone.
pub(crate) fn mean_of(values: &[f64], level: f64) -> Option<(f64, f64, f64)> {
    let n = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some((mean, (variance / n).sqrt(), t_quantile(level, n - 1.0)))
}

fn point(
    method: &str,
    batch_size: u64,
    own: &[(u32, &TrialRecord)],
    endpoint: &Endpoint,
    level: f64,
) -> Option<MethodPoint> {
    let (_, first) = own.first()?;
    let values: Vec<f64> = own
        .iter()
        .filter_map(|(_, record)| value(record, endpoint))
        .collect();
    let count = |test: fn(&Outcome) -> bool| {
        own.iter()
            .filter(|(_, record)| test(&record.outcome))
            .count() as u64
    };
    let shown = |x: f64| match endpoint {
        Endpoint::Steps(_) => x.exp(),
        Endpoint::Metric(_) => x,
    };
    let n = values.len() as u64;
    let estimate = match mean_of(&values, level) {
        None => Estimate::undefined(level, 0, "no run has a value"),
        Some((mean, ..)) if n == 1 => Estimate {
            low: None,
            high: None,
            ..Estimate::estimated(shown(mean), 0.0, 0.0, level, 1)
        }
        .because("one run tells nothing of the scatter"),
        Some((mean, error, t)) => Estimate::estimated(
            shown(mean),
            shown(mean - t * error),
            shown(mean + t * error),
            level,
            n,
        ),
    };
    Some(MethodPoint {
        method: method.to_owned(),
        batch_size,
        learning_rate: first.spec.learning_rate,
        value: estimate,
        with_value: n,
        diverged: count(|outcome| matches!(outcome, Outcome::Diverged { .. })),
        not_reached: count(|outcome| matches!(outcome, Outcome::NotReached { .. })),
        failed: count(|outcome| {
            matches!(outcome, Outcome::Failed { .. } | Outcome::Infeasible { .. })
        }),
    })
}

fn contrast(
    method: &str,
    own: &[(u32, &TrialRecord)],
    base: &[(u32, &TrialRecord)],
    endpoint: &Endpoint,
    (level, methods): (f64, usize),
) -> Contrast {
    let missing = |whose: &str, runs: &[(u32, &TrialRecord)]| {
        let without = runs
            .iter()
            .filter(|(_, record)| value(record, endpoint).is_none());
        match (runs.len(), without.count()) {
            (0, _) => Some(format!("there are no runs of {whose}")),
            (_, 0) => None,
            (all, some) => Some(format!("{some} of {all} runs of {whose} have no value")),
        }
    };
    let undefined = |why: String| Contrast {
        method: method.to_owned(),
        difference: Estimate::undefined(level, own.len() as u64, why),
        p: None,
        p_holm: None,
        detectable: None,
        verdict: ContrastVerdict::Missing,
    };
    if let Some(why) = missing(method, own).or_else(|| missing("the baseline", base)) {
        return undefined(why);
    }
    let pairs: Vec<f64> = own
        .iter()
        .filter_map(|(index, record)| {
            let (_, other) = base.iter().find(|(other, _)| other == index)?;
            Some(value(record, endpoint)? - value(other, endpoint)?)
        })
        .collect();
    let n = pairs.len() as u64;
    let Some((mean, error, t)) = mean_of(&pairs, level).filter(|_| n > 1) else {
        return undefined("a difference needs two seeds that both methods ran".to_owned());
    };
    let dof = (n - 1) as f64;
    let ratio = matches!(endpoint, Endpoint::Steps(_));
    let shown = |x: f64| if ratio { x.exp() } else { x };
    // Runs that are all equally far apart, or equal, have no scatter to be measured by.
    let p = (error > 0.0).then(|| f_survival((mean / error).powi(2), 1.0, dof));
    let strictest = 1.0 - (1.0 - level) / methods.max(1) as f64;
    let detectable = (t_quantile(strictest, dof) + t_quantile(2.0 * POWER - 1.0, dof)) * error;
    Contrast {
        method: method.to_owned(),
        difference: Estimate::estimated(
            shown(mean),
            shown(mean - t * error),
            shown(mean + t * error),
            level,
            n,
        ),
        p,
        p_holm: None,
        detectable: (error > 0.0).then(|| shown(detectable)),
        verdict: ContrastVerdict::Undecided,
    }
}

/// Holm's corrected p-values: the smallest times their number, the next times one fewer, …, never
/// falling.
fn holm(contrasts: &mut [Contrast]) {
    let mut order: Vec<usize> = (0..contrasts.len())
        .filter(|&i| contrasts[i].p.is_some())
        .collect();
    order.sort_by(|&a, &b| {
        let p = |i: usize| contrasts[i].p.unwrap_or(f64::NAN);
        p(a).total_cmp(&p(b))
    });
    let mut largest: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        let p = contrasts[i].p.unwrap_or(f64::NAN);
        largest = largest.max((p * (order.len() - rank) as f64).min(1.0));
        contrasts[i].p_holm = Some(largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(p: f64) -> Contrast {
        Contrast {
            method: String::new(),
            difference: Estimate::exact(0.0),
            p: Some(p),
            p_holm: None,
            detectable: None,
            verdict: ContrastVerdict::Undecided,
        }
    }

    /// R's `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` is 0.03, 0.06, 0.06, 0.02.
    #[test]
    fn holm_is_that_of_r() {
        let mut contrasts = [0.01, 0.04, 0.03, 0.005].map(of);
        holm(&mut contrasts);
        let found = contrasts.map(|contrast| contrast.p_holm.unwrap());
        for (found, expected) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
}
