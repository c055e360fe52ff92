//! Tuning the learning rate: at each tuned batch size the same number of trials in a range of the
//! same width, raced, widened where the best sits on an edge (protocol of Shallue et al. 2018,
//! arXiv 1811.03600: quasi-random search, equal budgets, diverged trials counted, the space
//! extended at its edges).
//!
//! * A range is centered on the pilot's best rate, carried to the batch size by the power that the
//!   pilot measured. Its trials are numbered from the center outwards, so that the bound of the
//!   race is good from the start; which rates are tried does not depend on it.
//! * The best sits on an edge when no tried rate lies beyond it. Rates beyond it that diverged are
//!   the limit of stability, not an edge. Where no trial reached the target, the best is the one
//!   with the best metric at its end; where all diverged, the lowest rate.
//! * The chosen rate is the geometric center of the rates around the best one whose crossings
//!   cannot be told from its own: their brackets overlap, and no other rate lies between.
//! * Where momenta are tuned too, each trial has its own, and what is searched, ordered and widened
//!   is the rate that it has at the plan's momentum by the length of its steps, `η·(1 − m₀)/(1 − m)`.
//!   The best trial's own rate and momentum are then chosen: others differ in both.

use std::collections::BTreeMap;

use batchscope_core::{Direction, Outcome, TrialPurpose, TrialRecord, TrialSpec, format::number};
use batchscope_scaling::TuningSummary;

use super::{Assessment, Finished, Stage, pilot::Pilot, racing, target};
use crate::{Plan, RateRange, StudyError, identity::trial_seed};

/// Finds the learning rates; round 0, then one round for each widening.
pub(super) fn stage(round: u32) -> Stage {
    let stage = Stage::new("tuning");
    match round {
        0 => stage,
        round => stage.labeled(format!("tuning (widening {round})")),
    }
}

/// What tuning chose at a batch size, or the least bad where it chose nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tuned {
    pub rate: f64,
    /// Where momenta are tuned.
    pub momentum: Option<f64>,
}

/// The setting of each tuned batch size.
pub(super) type Tunings = BTreeMap<u64, Tuned>;

/// Tuning at one batch size.
struct RateSearch {
    batch_size: u64,
    /// The plan's momentum, where others are searched too.
    momentum: Option<f64>,
    /// What has been searched so far.
    range: RateRange,
    /// The range of the round to come.
    next: Option<RateRange>,
    /// Records of all rounds so far, finalized, in the order of their indices.
    records: Vec<TrialRecord>,
    widenings: Vec<String>,
}

/// A side of a range.
#[derive(Clone, Copy, PartialEq)]
enum Edge {
    Low,
    High,
}

/// Runs tuning's stages; `None` while trials are missing.
pub(super) fn run(
    plan: &Plan,
    pilot: &Pilot,
    finished: &Finished,
    study: &mut Assessment,
) -> Result<Option<Tunings>, StudyError> {
    let mut searches: Vec<RateSearch> = plan
        .tuned_sizes()
        .into_iter()
        .map(|b| RateSearch::new(plan, pilot, b))
        .collect();
    for round in 0..=plan.max_widenings {
        // Number by number across batch sizes: a batch size's early trials bound its later ones.
        let mut specs: Vec<TrialSpec> = searches
            .iter()
            .flat_map(|s| s.specs(plan, pilot, round))
            .collect();
        specs.sort_by_key(|spec| spec.purpose);
        if specs.is_empty() {
            break;
        }
        let Some(records) = finalized_stage(study, &stage(round), specs, finished, &mut searches)?
        else {
            return Ok(None);
        };
        for search in &mut searches {
            search.records.extend(
                records
                    .iter()
                    .filter(|r| r.spec.batch_size == search.batch_size)
                    .cloned(),
            );
            if let Some(decision) = search.widen(plan, round, pilot.target.direction) {
                study.decide(decision);
            }
        }
    }
    let mut tunings = Tunings::new();
    for search in searches {
        let (tuned, summary) = search.conclude(pilot.target.direction);
        let momentum = tuned.momentum.map_or_else(String::new, |momentum| {
            format!(" and momentum {}", number(momentum))
        });
        study.decide(match summary.chosen {
            Some(chosen) => format!(
                "batch size {}: learning rate {}{momentum} chosen of {} trials{}",
                summary.batch_size,
                number(chosen),
                summary.trials,
                if summary.on_edge { "; the best sits on the edge of the widest range" } else { "" }
            ),
            None => format!("batch size {}: no tuning trial reached the target; fresh trials run at the least bad rate, {}{momentum}", summary.batch_size, number(tuned.rate)),
        });
        tunings.insert(summary.batch_size, tuned);
        study.tuning.push(summary);
    }
    Ok(Some(tunings))
}

/// A stage's records, cut at the exact bounds of the race.
fn finalized_stage(
    study: &mut Assessment,
    stage: &Stage,
    specs: Vec<TrialSpec>,
    finished: &Finished,
    searches: &mut [RateSearch],
) -> Result<Option<Vec<TrialRecord>>, StudyError> {
    let before = study.records.len();
    let complete = study.records_of(stage, specs, finished)?.is_some();
    let mut finalized = study.records.split_off(before);
    for search in searches {
        // The bounds of this round come from earlier rounds too.
        let (mut own, rest) = finalized
            .into_iter()
            .partition::<Vec<_>, _>(|r| r.spec.batch_size == search.batch_size);
        let known = search.records.len();
        let mut all = search.records.clone();
        all.append(&mut own);
        racing::finalize(&mut all);
        finalized = rest;
        finalized.extend(all.split_off(known));
    }
    finalized.sort_by_key(|r| (r.spec.purpose, r.spec.batch_size));
    study.records.extend(finalized.iter().cloned());
    Ok(complete.then_some(finalized))
}

impl RateSearch {
    fn new(plan: &Plan, pilot: &Pilot, batch_size: u64) -> Self {
        let range = plan.tune_width.map_or(plan.learning_rates, |width| {
            RateRange::around(pilot.center(batch_size), width)
        });
        let momentum = plan.optimizer.number("momentum");
        Self {
            batch_size,
            momentum: momentum.filter(|_| plan.tune_momentum.is_some()),
            range,
            next: Some(range),
            records: Vec::new(),
            widenings: Vec::new(),
        }
    }

    fn specs(&self, plan: &Plan, pilot: &Pilot, round: u32) -> Vec<TrialSpec> {
        let Some(range) = self.next else {
            return Vec::new();
        };
        let first = round * plan.tune_trials;
        let search = trial_seed(
            TrialPurpose::Tune {
                index: first,
                round,
            },
            self.batch_size,
        );
        let (n, seed) = (plan.tune_trials, plan.study_seed);
        let mut settings: Vec<(f64, Option<f64>)> = match plan.tune_momentum {
            Some(momenta) => range
                .rates_with_momenta(momenta, n, seed, search)
                .into_iter()
                .map(|(rate, momentum)| (rate, Some(momentum)))
                .collect(),
            None => {
                let rates = range.rates(n, seed, search).into_iter();
                rates.map(|rate| (rate, None)).collect()
            }
        };
        let center = self.range.center().ln();
        settings.sort_by(|(a, _), (b, _)| {
            (a.ln() - center)
                .abs()
                .total_cmp(&(b.ln() - center).abs())
                .then(a.total_cmp(b))
        });
        (first..)
            .zip(settings)
            .map(|(index, (rate, momentum))| {
                let purpose = TrialPurpose::Tune { index, round };
                let mut optimizer = plan.optimizer_at(self.batch_size);
                let mut rate = rate;
                if let (Some(m), Some(m0)) = (momentum, self.momentum) {
                    optimizer.set("momentum", m);
                    rate *= (1.0 - m) / (1.0 - m0);
                }
                let base_rate = if self.batch_size == plan.base_batch {
                    rate
                } else {
                    pilot.base_rate()
                };
                TrialSpec {
                    schedule: plan.schedule_from(base_rate),
                    optimizer,
                    seed: trial_seed(purpose, self.batch_size),
                    cap: pilot.model.cap(plan, self.batch_size),
                    target: Some(pilot.target.clone()),
                    ..plan.trial(purpose, self.batch_size, rate)
                }
            })
            .collect()
    }

    /// A trial's rate as it is searched: at the plan's momentum.
    fn rate(&self, record: &TrialRecord) -> f64 {
        let rate = record.spec.learning_rate;
        match (self.momentum, self.tuned(record).momentum) {
            (Some(m0), Some(m)) => rate * (1.0 - m0) / (1.0 - m),
            _ => rate,
        }
    }

    /// A trial's setting, as far as it is tuned.
    fn tuned(&self, record: &TrialRecord) -> Tuned {
        let momentum = record.spec.optimizer.number("momentum");
        Tuned {
            rate: record.spec.learning_rate,
            momentum: momentum.filter(|_| self.momentum.is_some()),
        }
    }

    /// The best record so far, and whether it reached the target.
    fn best(&self, direction: Direction) -> Option<(&TrialRecord, bool)> {
        let rate = |r: &&TrialRecord| self.rate(r);
        let reached = self.records.iter().filter(|r| r.steps().is_some());
        if let Some(best) =
            reached.min_by(|a, b| a.steps().cmp(&b.steps()).then(rate(a).total_cmp(&rate(b))))
        {
            return Some((best, true));
        }
        let ended = |r: &&TrialRecord| {
            let metric = &r.spec.target.as_ref()?.metric;
            target::smoothed(r, metric)
                .last()
                .map(|&(_, value)| value)
                .filter(|v| v.is_finite())
        };
        let unreached = self
            .records
            .iter()
            .filter(|r| matches!(r.outcome, Outcome::NotReached { .. }));
        let best = unreached
            .filter_map(|r| Some((r, ended(&r)?)))
            .reduce(|a, b| if direction.better(b.1, a.1) { b } else { a })
            .map(|(record, _)| record);
        // Everything diverged (or could not run): the lowest rate is the least bad.
        let lowest = || {
            self.records
                .iter()
                .min_by(|a, b| rate(a).total_cmp(&rate(b)))
        };
        best.or_else(lowest).map(|record| (record, false))
    }

    /// The edge on which the best record sits.
    fn edge(&self, direction: Direction) -> Option<Edge> {
        let best = self.best(direction)?.0;
        if matches!(
            best.outcome,
            Outcome::Failed { .. } | Outcome::Infeasible { .. }
        ) {
            return None; // Another rate would not help.
        }
        let rates = || self.records.iter().map(|r| self.rate(r));
        let best = self.rate(best);
        if rates().all(|rate| rate >= best) {
            Some(Edge::Low)
        } else if rates().all(|rate| rate <= best) {
            Some(Edge::High)
        } else {
            None
        }
    }

    /// Plans the next round if the best sits on an edge.
    fn widen(&mut self, plan: &Plan, round: u32, direction: Direction) -> Option<String> {
        let planned = self.next.take().is_some();
        let edge = self
            .edge(direction)
            .filter(|_| planned && round < plan.max_widenings)?;
        let (next, side) = match edge {
            Edge::Low => (self.range.below(plan.widen_factor), "lower"),
            Edge::High => (self.range.above(plan.widen_factor), "upper"),
        };
        let old = self.range;
        self.range = RateRange {
            low: old.low.min(next.low),
            high: old.high.max(next.high),
        };
        self.next = Some(next);
        let widening = format!(
            "the best sat on the {side} edge of {}..{}: widened by a factor of {} to {}..{}",
            number(old.low),
            number(old.high),
            plan.widen_factor,
            number(self.range.low),
            number(self.range.high)
        );
        self.widenings.push(widening.clone());
        Some(format!("batch size {}: {widening}", self.batch_size))
    }

    fn conclude(self, direction: Direction) -> (Tuned, TuningSummary) {
        let chosen = self.choose();
        let least_bad = || {
            let center = Tuned {
                rate: self.range.center(),
                momentum: self.momentum,
            };
            let best = self.best(direction);
            best.map_or(center, |(record, _)| self.tuned(record))
        };
        let tuned = chosen.map_or_else(least_bad, |(tuned, _)| tuned);
        let on_edge = self.edge(direction).is_some();
        let summary = TuningSummary {
            batch_size: self.batch_size,
            trials: self.records.len() as u64,
            steps: self.records.iter().map(steps_spent).sum(),
            low: self.range.low,
            high: self.range.high,
            widenings: self.widenings,
            chosen: chosen.map(|(tuned, _)| tuned.rate),
            momentum: chosen.and_then(|(tuned, _)| tuned.momentum),
            indistinct: chosen.map(|(_, range)| range),
            on_edge,
        };
        (tuned, summary)
    }

    /// The chosen setting and the range of rates within 10 % of the best.
    fn choose(&self) -> Option<(Tuned, (f64, f64))> {
        let mut sorted: Vec<&TrialRecord> = self.records.iter().collect();
        sorted.sort_by(|a, b| a.spec.learning_rate.total_cmp(&b.spec.learning_rate));
        let best = (0..sorted.len())
            .filter(|&i| sorted[i].steps().is_some())
            .min_by_key(|&i| sorted[i].steps())?;
        let steps = sorted[best].steps()?;
        let near = |record: &&&TrialRecord| {
            record
                .steps()
                .is_some_and(|s| s as f64 <= 1.1 * steps as f64)
        };
        let near_low = sorted.iter().find(near)?.spec.learning_rate;
        let near_high = sorted.iter().rfind(near)?.spec.learning_rate;
        let tuned = match self.momentum {
            Some(_) => self.tuned(sorted[best]),
            None => Tuned {
                rate: center_of_ties(&sorted, best, steps),
                momentum: None,
            },
        };
        Some((tuned, (near_low, near_high)))
    }
}

/// The geometric center of the rates around the best one whose crossings cannot be told from its own,
/// of records in the order of their rates.
fn center_of_ties(sorted: &[&TrialRecord], best: usize, steps: u64) -> f64 {
    let tied = |record: &TrialRecord| matches!(record.outcome, Outcome::Reached { after, .. } if after < steps);
    let first = (0..best)
        .rev()
        .take_while(|&i| tied(sorted[i]))
        .last()
        .unwrap_or(best);
    let last = (best + 1..sorted.len())
        .take_while(|&i| tied(sorted[i]))
        .last()
        .unwrap_or(best);
    let rate = |i: usize| sorted[i].spec.learning_rate;
    match first == last {
        true => rate(first),
        false => (rate(first) * rate(last)).sqrt(),
    }
}

/// Steps a record's trial made: one that reached its target made them up to the evaluation that
/// found it there.
pub(crate) fn steps_spent(record: &TrialRecord) -> u64 {
    let last = match record.outcome.is_by_smoothing() {
        // Found at the regularly evaluated step after the crossing.
        true => racing::coarse_end(record),
        false => record.outcome.last_step(),
    };
    last.unwrap_or(0)
}
