//! The course of a trial, as one pure state machine.
//!
//! A [`TrialDriver`] knows when to evaluate, when the target is met and between which steps, when
//! the trial has diverged, lost its race or come to its cap, and what its record is. It trains
//! nothing: it says what to do [`Next`], the trainer does it and answers. Every trainer walks
//! through it, so all of them end trials alike.
//!
//! **Near the target** evaluations are spaced finer ([`EvaluationPlan::refine`]): the target's split
//! alone, between the regular evaluations. The trial ends a little after its crossing, at the
//! evaluation that finds it ([`Crossing`]), which is completed to a whole one.
//!
//! **Evaluations cost** multiply-adds too. What the crossing needs is always made: the target's
//! split at the planned steps from where the target is in sight, at every third planned step before
//! (all splits where there is no target, outside of pilots within half of the multiply-adds), and a
//! whole evaluation at the end. More planned steps and other splits are added where evaluations stay
//! within a tenth of the run's multiply-adds so far, finer ones within a sixth. This goes by counts of
//! examples ([`EvaluationCost`]), never by a clock, so a trial stays a function of its spec. A metric
//! is measured on the same examples throughout.
//!
//! [`EvaluationPlan::refine`]: crate::EvaluationPlan::refine

mod reports;

use std::collections::BTreeMap;

use crate::{
    Cadence, Control, Crossed, Crossing, Decision, Diagnostic, Divergence, Driving, Evaluate,
    Evaluation, Event, Flow, Measurement, Metric, Next, NoiseRecord, Outcome, Progress,
    ScheduleRow, TrialPurpose, TrialRecord, TrialSpec,
};

pub use reports::{Report, ReportError};

/// Receives the events of a trial, one at a time.
pub type Events<'a> = dyn FnMut(Event) + Send + 'a;

/// Leads a trial from its beginning, or from where it was interrupted, to its end.
///
/// ```
/// use std::collections::BTreeMap;
/// use batchscope_core::{
///     Driving, EvaluationPlan, Evaluation, Metric, NeverStop, Next, Outcome, TrialDriver, TrialSpec,
/// };
///
/// let spec: TrialSpec = serde_json::from_str(r#"{
///     "id": 0, "purpose": {"kind": "single"}, "curves": [], "batch_size": 32, "micro_batch": null,
///     "learning_rate": 0.02, "clip": null, "study_seed": 0, "seed": 0, "cap": 100,
///     "schedule": {"warm_up": {"length": {"steps": 0}, "shape": "linear"},
///                  "decay": {"kind": "constant"}, "base_learning_rate": null},
///     "optimizer": {"kind": "sgd", "momentum": 0.0, "nesterov": false, "weight_decay": 0.0},
///     "target": {"metric": "train-loss", "value": 0.1, "direction": "lower"},
///     "evaluation": {"first": 5, "ratio": 1.2, "examples": 1, "refine": 1}, "diagnostics": []
/// }"#).unwrap();
/// let metric: Metric = "train-loss".parse().unwrap();
/// let mut w = 1.0f64;
/// let mut driver = TrialDriver::new(&spec, Driving::default());
/// let events = &mut |_| {};
/// driver.start(events);
/// let outcome = loop {
///     match driver.next(&NeverStop) {
///         Next::Step { .. } => {
///             w -= spec.learning_rate * w; // the gradient of w²/2
///             driver.stepped(w * w / 2.0, spec.learning_rate, 0.0, events);
///         }
///         Next::Evaluate(_) => {
///             let metrics = BTreeMap::from([(metric.clone(), w * w / 2.0)]);
///             driver.measured(Evaluation::new(metrics, spec.learning_rate), events);
///         }
///         Next::End(outcome) => break outcome,
///         Next::Interrupt => unreachable!("nobody interrupts"),
///     }
/// };
/// let record = driver.record(outcome, spec.batch_size);
/// let crossing = record.outcome.crossing().unwrap();
/// assert!((crossing / 39.8 - 1.0).abs() < 0.03); // 0.98²ˢ/2 = 0.1 after 39.8 steps
/// ```
#[derive(Debug, Clone)]
pub struct TrialDriver<'a> {
    spec: &'a TrialSpec,
    driving: Driving,
    progress: Progress,
    phase: Phase,
    /// What was asked for last.
    asked: Evaluate,
    /// The watch for the target: what [`Progress::measurements`] make of it.
    crossing: Option<Crossing>,
    /// A step was taken since [`TrialDriver::start`]. Stops are obeyed only then, so that even a
    /// trial interrupted at every turn comes to its end.
    stepped: bool,
}

/// Where in the course of a trial a driver is.
#[derive(Debug, Clone)]
enum Phase {
    /// Between two evaluations.
    Training,
    /// The target's split alone found the crossing: the other splits follow.
    Found(Box<(Crossed, Evaluation)>),
    /// The last evaluation waits for the test examples.
    Testing(Box<Pending>),
}

/// An evaluation that is not recorded yet.
#[derive(Debug, Clone)]
struct Pending {
    measurement: Measurement,
    finite: bool,
    crossed: Option<Crossed>,
}

impl<'a> TrialDriver<'a> {
    /// A trial at its beginning.
    pub fn new(spec: &'a TrialSpec, driving: Driving) -> Self {
        Self {
            spec,
            driving,
            progress: Progress::default(),
            phase: Phase::Training,
            asked: Evaluate::Whole,
            crossing: spec.target.clone().map(Crossing::new),
            stepped: false,
        }
    }

    /// Continues from a saved progress.
    pub fn resume(&mut self, progress: Progress) {
        self.crossing = self.spec.target.clone().map(Crossing::new);
        for measurement in &progress.measurements {
            self.watch(measurement.step, &measurement.metrics);
        }
        self.progress = progress;
        self.phase = Phase::Training;
        self.stepped = false;
    }

    /// Watches the training loss for a divergence, from the loss of knowing nothing. Without it
    /// only a loss that is not finite counts.
    pub fn watch_divergence(&mut self, uninformed: f64) {
        self.progress.divergence = Some(Divergence::new(uninformed));
    }

    /// The trial.
    pub fn spec(&self) -> &'a TrialSpec {
        self.spec
    }

    /// How the trainer is driven.
    pub fn driving(&self) -> Driving {
        self.driving
    }

    /// What has been done so far. To be saved after [`Next::Interrupt`], or before a step.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Adds a remark for the reader of the record, once.
    pub fn note(&mut self, note: impl Into<String>) {
        self.progress.note(note);
    }

    /// The gradient noise since the last evaluation, for the trainer to add to.
    pub fn noise(&mut self) -> &mut Option<NoiseRecord> {
        &mut self.progress.noise
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.progress.step
    }

    /// True once a step was taken since [`TrialDriver::start`].
    pub fn has_stepped(&self) -> bool {
        self.stepped
    }

    /// The step at which the trial ends at the latest.
    pub fn cap(&self) -> u64 {
        let cap = self.spec.cap;
        self.progress.last_step.map_or(cap, |last| last.min(cap))
    }

    /// The examples that the steps so far have drawn, and whether the trial is over with them: it then ends as at its cap,
    /// evaluated once more. For trainers whose batch size may change.
    pub fn drew(&mut self, examples: u64, over: bool) {
        self.progress.drawn = Some(examples);
        self.progress.last_step = over.then_some(self.progress.step);
    }

    /// Takes down what the next step is made with, where the trial asks for it.
    pub fn made_with(&mut self, row: ScheduleRow) {
        let rows = &mut self.progress.schedule;
        let differs = rows.last().is_none_or(|last| {
            (last.batch_size, last.learning_rate) != (row.batch_size, row.learning_rate)
        });
        if differs && self.spec.asks_for(Diagnostic::SCHEDULE) {
            rows.push(row);
        }
    }

    /// The controller decided something for the next step.
    pub fn decided(&mut self, decision: Decision, events: &mut Events<'_>) {
        events(Event::Decided(decision.clone()));
        self.progress.decisions.push(decision);
    }

    /// Begins a session: the first, or one after an interruption.
    pub fn start(&mut self, events: &mut Events<'_>) {
        self.stepped = false;
        events(Event::Started {
            step: self.progress.step,
        });
    }

    /// The next planned step of evaluation.
    fn next_planned(&self) -> u64 {
        let plan = &self.spec.evaluation;
        let evaluated = self.progress.evaluated;
        self.driving.cadence.next_after(evaluated, plan, self.cap())
    }

    /// Whether the evaluation that was asked for includes the trial's diagnostics. These are
    /// measured once after every planned step that is evaluated, and at the end.
    pub fn wants_diagnostics(&self) -> bool {
        let planned = self.next_planned() == self.progress.step;
        match self.asked {
            Evaluate::Whole => true,
            Evaluate::Only(_) => planned,
            Evaluate::Rest(_) => !planned,
            Evaluate::Test => false,
        }
    }

    /// What is to be evaluated after this step, if anything.
    fn due(&self) -> Option<Evaluate> {
        let (step, looked) = (self.progress.step, self.looked());
        if looked >= step {
            return None;
        }
        let planned = self.next_planned();
        if step < planned {
            return self.finer(planned);
        }
        let every = matches!(self.driving.cadence, Cadence::Every(_));
        if every || step >= self.cap() || self.affords(Evaluate::Whole, 10) {
            return Some(Evaluate::Whole);
        }
        let plan = &self.spec.evaluation;
        let third = |from| (0..3).fold(from, |step, _| plan.next_after(step));
        let needed = looked == 0 || step >= third(looked);
        let (Some(target), Some(crossing)) = (&self.spec.target, &self.crossing) else {
            // A curve is looked at; only a pilot's points are waited for: targets and caps come from them.
            let pilot = matches!(self.spec.purpose, TrialPurpose::Pilot { .. });
            let due = needed && (looked == 0 || pilot || self.affords(Evaluate::Whole, 2));
            return due.then_some(Evaluate::Whole);
        };
        let needed = needed || crossing.is_in_sight();
        let only = Evaluate::Only(target.metric.split);
        (needed || self.affords(only, 10)).then_some(only)
    }

    /// The finer evaluation that is due after this step, before the `planned` one.
    fn finer(&self, planned: u64) -> Option<Evaluate> {
        let target = self.spec.target.as_ref()?;
        let only = Evaluate::Only(target.metric.split);
        let is_near = || self.crossing.as_ref().is_some_and(Crossing::is_near);
        let steps = || (self.spec.evaluation).finer_steps(self.progress.evaluated, planned);
        let due = self.affords(only, 6) && steps().contains(&self.progress.step) && is_near();
        due.then_some(only)
    }

    /// True where an evaluation keeps all of them within one `part`-th of the run's multiply-adds.
    ///
    /// A step takes at least twice the multiply-adds per example that an evaluation does: those of
    /// the forward pass again for the gradient with respect to the weights. (That with respect to
    /// the activations is as much again but for the first layer, which has none.)
    fn affords(&self, what: Evaluate, part: u128) -> bool {
        let passed = u128::from(self.progress.evaluated_examples);
        let evaluated = passed + u128::from(self.driving.cost.of(what));
        let steps = u128::from(self.progress.step) * u128::from(self.spec.batch_size);
        let trained = self.progress.drawn.map_or(steps, u128::from);
        // e/(2t + e) ≤ 1/part
        (part - 1) * evaluated <= 2 * trained
    }

    /// The last step after which something was measured.
    fn looked(&self) -> u64 {
        self.progress.measurements.last().map_or(0, |m| m.step)
    }

    /// What to do next. `control` is asked for the race bound before every step, and whether to
    /// stop once after every step.
    pub fn next(&mut self, control: &dyn Control) -> Next {
        let (step, cap) = (self.progress.step, self.cap());
        match (&self.phase, &self.spec.target) {
            (Phase::Found(_), Some(target)) => {
                return self.ask(Evaluate::Rest(target.metric.split));
            }
            (Phase::Testing(_), _) => return self.ask(Evaluate::Test),
            _ => {}
        }
        if let Some(ended) = &self.progress.ended {
            return Next::End(ended.clone());
        }
        if let Some(what) = self.due() {
            return self.ask(what);
        }
        if step > 0 && step == self.next_planned() {
            self.progress.evaluated = step; // or rather left out
        }
        if step >= cap {
            return Next::End(match self.spec.target {
                Some(_) => Outcome::NotReached { cap },
                None => Outcome::Completed { step },
            });
        }
        // The race is decided at planned evaluations only, which all trials share: the one at or
        // past the bound still counts.
        let lost = control
            .race_bound()
            .filter(|&bound| self.progress.evaluated >= bound);
        if let Some(at) = lost {
            self.progress.measurements.retain(|m| m.step <= at);
            return Next::End(Outcome::Raced { at });
        }
        if self.stepped && control.flow() == Flow::Interrupt {
            return Next::Interrupt;
        }
        Next::Step { step }
    }

    fn ask(&mut self, what: Evaluate) -> Next {
        self.asked = what;
        Next::Evaluate(what)
    }

    /// A step is done: its mean training loss, learning rate and seconds.
    pub fn stepped(
        &mut self,
        loss: f64,
        learning_rate: f64,
        seconds: f64,
        events: &mut Events<'_>,
    ) {
        self.stepped = true;
        self.progress.seconds += seconds;
        self.progress.step += 1;
        let step = self.progress.step;
        events(Event::Step {
            step,
            loss,
            learning_rate,
        });
        let diverged = match &mut self.progress.divergence {
            Some(watch) => watch.observe(loss),
            None => !loss.is_finite(),
        };
        if diverged {
            self.progress.ended = Some(Outcome::Diverged { step });
        }
    }

    /// An evaluation is done.
    pub fn measured(&mut self, evaluation: Evaluation, events: &mut Events<'_>) {
        self.progress.evaluated_examples += self.driving.cost.of(self.asked);
        match std::mem::replace(&mut self.phase, Phase::Training) {
            Phase::Training => self.evaluated(evaluation, events),
            Phase::Found(found) => {
                let (crossed, mut whole) = *found;
                whole.finite &= evaluation.finite;
                whole.metrics.extend(evaluation.metrics);
                self.complete(whole, false, Some(crossed), events);
            }
            Phase::Testing(mut pending) => {
                pending.measurement.metrics.extend(evaluation.metrics);
                self.conclude(*pending, events);
            }
        }
    }

    /// The record of the trial, which ended with `outcome` and used `micro_batch` examples a pass.
    pub fn record(self, outcome: Outcome, micro_batch: u64) -> TrialRecord {
        TrialRecord {
            spec: self.spec.clone(),
            outcome,
            measurements: self.progress.measurements,
            micro_batch,
            seconds: self.progress.seconds,
            decisions: self.progress.decisions,
            schedule: self.progress.schedule,
            notes: self.progress.notes,
        }
    }

    /// An evaluation between others: watches for the target.
    fn evaluated(&mut self, evaluation: Evaluation, events: &mut Events<'_>) {
        let step = self.progress.step;
        let finer = self.next_planned() > step;
        let crossed = self.watch(step, &evaluation.metrics);
        let partial = matches!(self.asked, Evaluate::Only(_));
        match crossed {
            Some(crossed) if partial && evaluation.finite => {
                self.phase = Phase::Found(Box::new((crossed, evaluation)));
            }
            crossed => self.complete(evaluation, finer, crossed, events),
        }
    }

    /// Shows the watch for the target the metrics after `step` steps.
    fn watch(&mut self, step: u64, metrics: &BTreeMap<Metric, f64>) -> Option<Crossed> {
        let cap = self.cap();
        let crossing = self.crossing.as_mut()?;
        let value = *metrics.get(&crossing.target().metric)?;
        let crossed = crossing.observe(step, value);
        if step < cap {
            return crossed;
        }
        crossed.or_else(|| crossing.at_end(step))
    }

    /// An evaluation of all that is asked for; the test examples may be missing.
    fn complete(
        &mut self,
        evaluation: Evaluation,
        finer: bool,
        crossed: Option<Crossed>,
        events: &mut Events<'_>,
    ) {
        let step = self.progress.step;
        let last = evaluation.finite && (crossed.is_some() || step >= self.cap());
        let pending = Pending {
            finite: evaluation.finite,
            measurement: Measurement {
                step,
                examples: evaluation
                    .examples
                    .unwrap_or_else(|| step.saturating_mul(self.spec.batch_size)),
                seconds: self.progress.seconds,
                learning_rate: evaluation.learning_rate,
                metrics: evaluation.metrics,
                finer,
                noise: match finer {
                    true => None,
                    false => self.progress.noise.take(),
                },
            },
            crossed,
        };
        if last && self.driving.looks_at_test {
            self.phase = Phase::Testing(Box::new(pending));
        } else {
            self.conclude(pending, events);
        }
    }

    /// Records an evaluation, and what follows from it.
    fn conclude(&mut self, pending: Pending, events: &mut Events<'_>) {
        let step = self.progress.step;
        events(Event::Measured(pending.measurement.clone()));
        if !pending.measurement.finer {
            self.progress.evaluated = step;
        }
        self.progress.measurements.push(pending.measurement);
        if !pending.finite {
            self.progress.ended = Some(Outcome::Diverged { step });
        } else if let Some(crossed) = pending.crossed {
            let (reached, warm_up) = (crossed.step(), self.driving.warm_up_steps);
            if reached <= warm_up {
                self.note(format!(
                    "target reached during warm-up (step {reached} of {warm_up})"
                ));
            }
            self.progress.ended = Some(crossed.outcome());
        }
    }
}
