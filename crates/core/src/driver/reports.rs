//! Trials of a program that trains at its own pace and says now and then how far it is.

use std::collections::BTreeMap;

use crate::{Control, Event, Flow, Measurement, Metric, Next, Outcome};

use super::{Events, TrialDriver};

/// Reports are taken where they lie this factor apart in steps.
const SPACING: f64 = 1.005;

/// What a program says after some steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Optimizer steps done, at least 1.
    pub step: u64,
    /// What it measured, unsmoothed.
    pub metrics: BTreeMap<Metric, f64>,
    /// The learning rate of the last step, where it says; else that of the trial is taken.
    pub learning_rate: Option<f64>,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// Why a report is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It says nothing new of a step before the last one.
    #[error("reported step {step} after step {last}: steps must not go backwards")]
    Backwards {
        /// The report's step.
        step: u64,
        /// The last one before it.
        last: u64,
    },
}

impl TrialDriver<'_> {
    /// Takes a report in place of [`TrialDriver::next`], [`TrialDriver::stepped`] and
    /// [`TrialDriver::measured`], which a trainer that walks step by step uses. Several reports of one step are
    /// one measurement; of reports closer than half a percent apart in steps the first is taken. The answer is
    /// [`Next::Step`] while the program is to go on.
    ///
    /// A report beyond the cap is not taken: the trial ends with what came before.
    ///
    /// A report of an earlier step is taken where it says something new of it: it came by another way.
    ///
    /// # Errors
    /// When its step lies before the last one, and it says nothing new.
    pub fn reported(
        &mut self,
        report: Report,
        control: &dyn Control,
        events: &mut Events<'_>,
    ) -> Result<Next, ReportError> {
        let (step, last) = (report.step, self.progress.step);
        if step < last {
            return match self.add_late(&report) {
                true => Ok(self.after_report(control)),
                false => Err(ReportError::Backwards { step, last }),
            };
        }
        if step > self.spec.cap {
            return Ok(Next::End(self.ended_by_itself()));
        }
        self.stepped = true;
        self.progress.step = step;
        self.progress.seconds = report.seconds;
        let rate = report.learning_rate.unwrap_or(self.spec.learning_rate);
        let loss = report
            .metrics
            .get(&Metric::new(crate::Split::Train, crate::Quantity::Loss));
        events(Event::Step {
            step,
            loss: loss.copied().unwrap_or(f64::NAN),
            learning_rate: rate,
        });
        if !report.metrics.is_empty() && self.is_wanted(&report) {
            self.take(report, rate, events);
        }
        Ok(self.after_report(control))
    }

    /// The end of a trial whose program ended by itself, or went past the cap: what was reported until then. Without
    /// a report of the target's metric it failed.
    pub fn ended_by_itself(&mut self) -> Outcome {
        if let Some(ended) = &self.progress.ended {
            return ended.clone();
        }
        let at = self.progress.step;
        let Some(target) = &self.spec.target else {
            return match at {
                0 => Outcome::Failed {
                    why: "the program reported no step".to_owned(),
                },
                step => Outcome::Completed { step },
            };
        };
        let reported = |m: &&Measurement| m.metrics.contains_key(&target.metric);
        let Some(last) = self.progress.measurements.iter().rfind(reported) else {
            return Outcome::Failed {
                why: format!("the program never reported {} after a step", target.metric),
            };
        };
        let last = last.step;
        let crossed = self
            .crossing
            .as_mut()
            .and_then(|crossing| crossing.at_end(last));
        crossed.map_or(Outcome::NotReached { cap: last }, |crossed| {
            crossed.outcome()
        })
    }

    /// Goes back to before `step`: a program that resumed from an earlier checkpoint reports again from there.
    pub fn back_to(&mut self, step: u64) {
        let mut progress = std::mem::take(&mut self.progress);
        progress.measurements.retain(|m| m.step < step);
        progress.step = step.saturating_sub(1);
        progress.ended = None;
        self.resume(progress);
    }

    /// Whether a report is taken: closer than [`SPACING`] they only take room and time, and say the same of the
    /// crossing. One that tells of a divergence, and those at the cap, always are.
    fn is_wanted(&self, report: &Report) -> bool {
        // Of a branch the end counts, and it is short.
        if self.spec.start.is_some() {
            return true;
        }
        let last = self.progress.measurements.last().map_or(0, |m| m.step);
        let apart = report.step as f64 >= SPACING * last as f64;
        let blew_up = report.metrics.values().any(|value| !value.is_finite());
        report.step == last || apart || blew_up || report.step >= self.spec.cap
    }

    /// Adds values that come late, by another way than later ones; false where nothing in them is new.
    fn add_late(&mut self, report: &Report) -> bool {
        if report.step == 0 || report.metrics.is_empty() {
            return false;
        }
        // A step whose other values were left out is left out.
        let known = |m: &Measurement| m.step == report.step;
        let blew_up = report.metrics.values().any(|value| !value.is_finite());
        let near = |m: &Measurement| {
            m.step.abs_diff(report.step) as f64 <= (SPACING - 1.0) * m.step as f64
        };
        let taken = &self.progress.measurements;
        if !blew_up && !taken.iter().any(known) && taken.iter().any(near) {
            return true;
        }
        let measurements = &mut self.progress.measurements;
        let at = measurements.partition_point(|m| m.step < report.step);
        match measurements.get_mut(at).filter(|m| m.step == report.step) {
            Some(known)
                if report
                    .metrics
                    .keys()
                    .any(|metric| known.metrics.contains_key(metric)) =>
            {
                return false;
            }
            Some(known) => known.metrics.extend(report.metrics.clone()),
            None => {
                let rate = report.learning_rate.unwrap_or(self.spec.learning_rate);
                measurements.insert(at, measurement(report, rate, self.spec.batch_size));
            }
        }
        if report.metrics.values().any(|value| !value.is_finite()) {
            self.progress.ended = Some(Outcome::Diverged { step: report.step });
            return true;
        }
        // The watch sees values in the order of their steps.
        self.crossing = self.spec.target.clone().map(crate::Crossing::new);
        let seen: Vec<_> = self
            .progress
            .measurements
            .iter()
            .map(|m| (m.step, m.metrics.clone()))
            .collect();
        for (step, metrics) in seen {
            if let Some(crossed) = self.watch(step, &metrics) {
                self.progress.ended = Some(crossed.outcome());
                break;
            }
        }
        true
    }

    fn take(&mut self, report: Report, rate: f64, events: &mut Events<'_>) {
        let step = report.step;
        let mut fresh = report.metrics.clone();
        let same = self
            .progress
            .measurements
            .last_mut()
            .filter(|last| last.step == step);
        if let Some(last) = same {
            // What was said of this step before stands.
            fresh.retain(|metric, _| !last.metrics.contains_key(metric));
            last.metrics.extend(fresh.clone());
        } else {
            let measurement = measurement(&report, rate, self.spec.batch_size);
            self.progress.measurements.push(measurement);
        }
        self.progress.evaluated = step;
        if let Some(last) = self.progress.measurements.last() {
            events(Event::Measured(last.clone()));
        }
        if fresh.values().any(|value| !value.is_finite()) {
            self.progress.ended = Some(Outcome::Diverged { step });
        } else if let Some(crossed) = self.watch(step, &fresh) {
            self.progress.ended = Some(crossed.outcome());
        }
    }

    fn after_report(&mut self, control: &dyn Control) -> Next {
        if let Some(ended) = &self.progress.ended {
            return Next::End(ended.clone());
        }
        let step = self.progress.step;
        if step >= self.spec.cap {
            return match (&self.spec.target, self.reported_at(step)) {
                // The value at the cap may be in the program's next line.
                (Some(_), false) => Next::Step { step },
                _ => Next::End(self.ended_by_itself()),
            };
        }
        let lost = control.race_bound().filter(|&bound| step >= bound);
        if let Some(at) = lost {
            self.progress.measurements.retain(|m| m.step <= at);
            return Next::End(Outcome::Raced { at });
        }
        match control.flow() {
            Flow::Interrupt => Next::Interrupt,
            Flow::Continue => Next::Step { step },
        }
    }

    /// Whether the target's metric was reported after `step` steps.
    fn reported_at(&self, step: u64) -> bool {
        let Some(target) = &self.spec.target else {
            return true;
        };
        let last = self.progress.measurements.last();
        last.is_some_and(|last| last.step == step && last.metrics.contains_key(&target.metric))
    }
}

/// A report as a measurement.
fn measurement(report: &Report, learning_rate: f64, batch_size: u64) -> Measurement {
    Measurement {
        step: report.step,
        examples: report.step.saturating_mul(batch_size),
        seconds: report.seconds,
        learning_rate,
        metrics: report.metrics.clone(),
        finer: false,
        noise: None,
    }
}
