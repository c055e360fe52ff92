//! The analysis of a study, start to end: records in, [`Findings`] out.

use std::collections::BTreeMap;

use batchscope_core::{
    Estimate, Measurement, Outcome, TrialPurpose, TrialRecord, statistics::t_quantile,
};

use crate::critical::{Bootstrap, critical_batch_sizes, overhead_from};
use crate::curves::{CurveTrials, TUNED, curves, point_state, repeat, warm_up_steps};
use crate::findings::{Curve, Findings, Point, SCHEMA, StudySummary, TuningSummary};
use crate::fit::fit;
use crate::generalization::generalization;
use crate::intervals::{LnInterval, ONE_SEED, Pooled};
use crate::linearity::linearity;
use crate::noise::NoiseTrajectory;
use crate::regimes::regimes;
use crate::sample::Sample;
use crate::settle::{Study, settle};
use crate::shapes;
use crate::targets::movement;

/// How to analyze.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnalysisOptions {
    /// Coverage of every interval, in (0, 1); anything else is taken for 0.95.
    pub level: f64,
    /// Simulated studies behind the intervals of definitions (b) and (c).
    pub bootstrap: u64,
    /// The batch size from which Zhang et al. 2024 would measure an overhead of 20 %, if that is wanted.
    pub overhead_from: Option<u64>,
}

impl Default for AnalysisOptions {
    fn default() -> Self {
        Self {
            level: 0.95,
            bootstrap: 400,
            overhead_from: None,
        }
    }
}

/// Analyzes a study. Never fails: what the records do not say is `undefined`, with the reason.
///
/// Curves are made of the `Fresh` trials, by the names in [`batchscope_core::TrialSpec::curves`] (a
/// trial may serve several). Tuning trials give only Shallue et al. 2018's minimum over trials. The
/// order of `records` does not matter, and the same records give the same findings to the last bit.
/// The verdict, the remarks and the command of [`crate::Settle`] are left empty, for the program that
/// words the findings.
pub fn analyze(
    summary: StudySummary,
    tuning: Vec<TuningSummary>,
    records: &[TrialRecord],
    options: &AnalysisOptions,
) -> Findings {
    let level = if options.level > 0.0 && options.level < 1.0 {
        options.level
    } else {
        0.95
    };
    let mut records: Vec<&TrialRecord> = records.iter().filter(|r| r.spec.batch_size > 0).collect();
    records.sort_by_key(|r| (r.spec.id, r.spec.batch_size, r.spec.seed));
    let tuned_everywhere = summary.tune != "base";

    let mut findings = Findings {
        schema: SCHEMA.to_owned(),
        study: summary,
        curves: Vec::new(),
        critical_batch_size: BTreeMap::new(),
        regimes: BTreeMap::new(),
        targets: BTreeMap::new(),
        generalization: BTreeMap::new(),
        linearity: Vec::new(),
        noise: BTreeMap::new(),
        tuning,
        laws: Vec::new(),
        advice: None,
        verdict: String::new(),
        remarks: Vec::new(),
    };
    for (index, trials) in curves(&records, tuned_everywhere).iter().enumerate() {
        let bootstrap = Bootstrap {
            replicates: options.bootstrap,
            study_seed: findings.study.study_seed,
            curve: index as u64,
        };
        add_curve(
            &mut findings,
            trials,
            &records,
            level,
            (bootstrap, options.overhead_from),
        );
    }
    findings
}

/// Everything about one curve.
fn add_curve(
    findings: &mut Findings,
    trials: &CurveTrials,
    records: &[&TrialRecord],
    level: f64,
    (bootstrap, from): (Bootstrap, Option<u64>),
) {
    let name = trials.name.clone();
    let samples = trials.samples();
    let pooled = Pooled::new(&samples);
    let mut curve = fit(&samples, level);
    let mut critical = critical_batch_sizes(&samples, &pooled, &curve, level, bootstrap);
    critical.overhead_from = from.map(|from| overhead_from(from, &critical.hyperbola));
    // Nothing here can make measurements of somebody else's.
    let elsewhere = findings.study.measured_elsewhere.is_some();
    critical.to_settle = settle(
        &Study {
            trials,
            samples: &samples,
            pooled: &pooled,
            curve: curve.as_ref().ok(),
            tuning_trials: if name == TUNED {
                mean_tuning_trials(&findings.tuning)
            } else {
                0.0
            },
            train_examples: findings.study.train_examples,
        },
        &critical,
    )
    .filter(|_| !elsewhere);

    let shape = elsewhere.then(|| shapes::compare(&samples));
    if let (true, Ok(curve)) = (elsewhere, &mut curve) {
        curve.fit.least_squares = shapes::least_squares(&samples);
    }
    let target = findings.study.target.clone();
    if let Some(target) = &target {
        findings.targets.insert(
            name.clone(),
            movement(trials, target, &critical.hyperbola, level),
        );
    }
    findings.regimes.insert(
        name.clone(),
        regimes(&samples, &pooled, &critical.hyperbola),
    );
    let examples = findings.study.train_examples;
    let found = target.and_then(|target| generalization(trials, &target, examples, level));
    if let Some(found) = found {
        findings.generalization.insert(name.clone(), found);
    }
    findings.linearity.extend(linearity(trials, level));
    let noise = noise(trials, findings.study.train_examples, level);
    if !noise.is_empty() {
        findings.noise.insert(name.clone(), noise);
        only_quoted_layers(findings, &name);
    }
    findings.critical_batch_size.insert(name.clone(), critical);
    let points = Points {
        trials,
        samples: &samples,
        pooled: &pooled,
        records,
        findings,
        level,
    }
    .all();
    findings.curves.push(Curve {
        rule: name,
        points,
        fit: curve.ok().map(|c| c.fit),
        shape,
    });
}

/// Keeps the layers of the batch size that is quoted; a deep network has a hundred of them.
fn only_quoted_layers(findings: &mut Findings, curve: &str) {
    let quoted = findings.quoted_noise(curve).map(|course| course.batch_size);
    for course in findings.noise.get_mut(curve).into_iter().flatten() {
        if Some(course.batch_size) != quoted {
            course.layers.clear();
        }
    }
}

/// The noise scale at every batch size of a curve that was watched, from the runs that trained to
/// their target or cap.
fn noise(trials: &CurveTrials, train_examples: Option<u64>, level: f64) -> Vec<NoiseTrajectory> {
    let of = |(&batch_size, records): (&u64, &Vec<&TrialRecord>)| {
        let ended = |record: &&&TrialRecord| {
            matches!(
                record.outcome,
                Outcome::Reached { .. } | Outcome::NotReached { .. } | Outcome::Completed { .. }
            )
        };
        let runs: Vec<&[Measurement]> = records
            .iter()
            .filter(ended)
            .map(|record| record.measurements.as_slice())
            .collect();
        NoiseTrajectory::new(batch_size, &runs, train_examples, level)
    };
    trials.by_batch.iter().filter_map(of).collect()
}

/// Tuning trials per batch size, on average.
fn mean_tuning_trials(tuning: &[TuningSummary]) -> f64 {
    let trials: u64 = tuning.iter().map(|t| t.trials).sum();
    trials as f64 / tuning.len().max(1) as f64
}

/// What the points of a curve are made from.
struct Points<'a> {
    trials: &'a CurveTrials<'a>,
    samples: &'a [Sample],
    pooled: &'a Pooled,
    records: &'a [&'a TrialRecord],
    findings: &'a Findings,
    level: f64,
}

impl Points<'_> {
    fn all(&self) -> Vec<Point> {
        let seconds = self.seconds();
        let pooled_seconds = Pooled::new(&seconds);
        self.samples
            .iter()
            .zip(&seconds)
            .map(|(sample, seconds)| {
                let fresh = self
                    .trials
                    .by_batch
                    .get(&sample.batch_size)
                    .map_or(&[][..], |t| t);
                let tuning: Vec<&TrialRecord> = self
                    .records
                    .iter()
                    .filter(|r| r.spec.batch_size == sample.batch_size)
                    .filter(|r| matches!(r.spec.purpose, TrialPurpose::Tune { .. }))
                    .copied()
                    .collect();
                let mut outcomes = BTreeMap::new();
                for record in fresh {
                    *outcomes
                        .entry(record.outcome.name().to_owned())
                        .or_default() += 1;
                }
                let steps = if fresh.is_empty() && !tuning.is_empty() {
                    Estimate::undefined(
                        self.level,
                        0,
                        "no tuning trial reached the target, so no rate was chosen",
                    )
                } else {
                    self.pooled.steps(sample, self.level)
                };
                Point {
                    batch_size: sample.batch_size,
                    state: point_state(fresh, &tuning),
                    examples: steps.scaled(sample.batch_size as f64),
                    steps,
                    seconds: pooled_seconds.steps(seconds, self.level),
                    learning_rate: self.learning_rate(sample.batch_size, fresh),
                    momentum: self.tuned_momentum(fresh),
                    warm_up_steps: fresh
                        .first()
                        .map_or(0, |r| warm_up_steps(r, self.findings.study.train_examples)),
                    speed_up: self.speed_up(sample),
                    minimum_over_trials: tuning.iter().filter_map(|r| r.steps()).min(),
                    repeats: fresh.iter().filter_map(|r| repeat(r)).collect(),
                    outcomes,
                }
            })
            .collect()
    }

    /// Seconds to the target as samples of their own: log-normal like steps.
    fn seconds(&self) -> Vec<Sample> {
        self.trials
            .by_batch
            .iter()
            .map(|(&batch_size, records)| {
                let mut sample = Sample::new(batch_size);
                for record in records
                    .iter()
                    .filter(|r| r.seconds.is_finite() && r.seconds > 0.0)
                {
                    match record.outcome {
                        batchscope_core::Outcome::Reached { .. } => {
                            sample.ln_steps.push(seconds_to_target(record).ln())
                        }
                        batchscope_core::Outcome::NotReached { .. } => {
                            sample.ln_caps.push(record.seconds.ln())
                        }
                        _ => {}
                    }
                }
                sample
            })
            .collect()
    }

    /// The momentum of a batch size's trials, where it was tuned.
    fn tuned_momentum(&self, fresh: &[&TrialRecord]) -> Option<f64> {
        let conditions = self.findings.study.conditions.as_ref()?;
        conditions.tuned_momentum?;
        fresh.first()?.spec.optimizer.number("momentum")
    }

    fn learning_rate(&self, batch_size: u64, fresh: &[&TrialRecord]) -> Estimate {
        let tuning = self
            .findings
            .tuning
            .iter()
            .find(|t| t.batch_size == batch_size);
        let tuned = tuning.filter(|_| self.trials.name == TUNED);
        let rate = fresh
            .first()
            .map(|r| r.spec.learning_rate)
            .or(tuned.and_then(|t| t.chosen));
        match (rate, tuned.and_then(|t| t.indistinct)) {
            (None, _) => Estimate::undefined(self.level, 0, "no rate was chosen"),
            // Measurements made elsewhere may not state it.
            (Some(rate), _) if rate.is_nan() => {
                Estimate::undefined(self.level, 0, "the rate is not stated")
            }
            (Some(rate), Some((low, high))) if low <= rate && rate <= high && low < high => {
                Estimate::estimated(rate, low, high, 1.0, tuned.map_or(0, |t| t.trials))
                    .because("the range of rates that tuning could not tell apart (steps within 10 % of the best)")
            }
            (Some(rate), _) => Estimate::exact(rate),
        }
    }

    /// `S(B₀)/S(B)` against the smallest batch size that reached the target.
    fn speed_up(&self, sample: &Sample) -> Estimate {
        let n = sample.trials();
        let base = self
            .samples
            .iter()
            .zip(&self.pooled.means)
            .find_map(|(s, m)| Some((s, (*m)?)));
        let Some((base, base_mean)) = base else {
            return Estimate::undefined(self.level, n, "no batch size reached the target");
        };
        if base.batch_size == sample.batch_size {
            return Estimate {
                level: self.level,
                n,
                ..Estimate::exact(1.0)
            };
        }
        match self.pooled.ln_interval(sample, self.level) {
            LnInterval::Nothing => {
                Estimate::undefined(self.level, n, "no trial reached the target")
            }
            LnInterval::AtLeast(bound) => Estimate::at_most(
                (base_mean - bound).exp(),
                self.level,
                n,
                "no trial reached the target by its cap",
            ),
            LnInterval::Open(mean) => Estimate {
                low: None,
                high: None,
                ..Estimate::estimated((base_mean - mean).exp(), 0.0, 0.0, self.level, n)
                    .because(ONE_SEED)
            },
            LnInterval::Closed { mean, .. } => {
                let (total, dof) = self
                    .pooled
                    .variance(&[base, sample])
                    .unwrap_or((0.0, f64::INFINITY));
                let (value, half) = (base_mean - mean, t_quantile(self.level, dof) * total.sqrt());
                Estimate::estimated(
                    value.exp(),
                    (value - half).exp(),
                    (value + half).exp(),
                    self.level,
                    n,
                )
            }
        }
    }
}

/// Seconds of training up to the crossing: in proportion to the steps, of which some follow it.
fn seconds_to_target(record: &TrialRecord) -> f64 {
    let (crossing, end) = (record.outcome.crossing(), record.outcome.last_step());
    let part = crossing.zip(end).map_or(1.0, |(at, end)| at / end as f64);
    record.seconds * part
}
