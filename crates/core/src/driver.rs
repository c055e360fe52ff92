//! The course of a trial, as one pure state machine.
//!
//! A [`TrialDriver`] knows when to evaluate, when the target is met and between which steps, when
//! the trial has diverged, lost its race or come to its cap, and what its record is. It trains
//! nothing: it says what to do [`Next`], the trainer does it and answers. Every trainer walks
//! through it, so all of them end trials alike.
//!
//! **Near the target** evaluations are spaced finer ([`EvaluationPlan::refine`]): the target's split
//! alone, between the regular evaluations. The trial ends a little after its crossing, at the
//! evaluation that finds it ([`Crossing`]), which is a whole one.
//!
//! [`EvaluationPlan::refine`]: crate::EvaluationPlan::refine

use std::collections::BTreeMap;

use crate::{
    Cadence, Control, Crossed, Crossing, Divergence, Event, Flow, Measurement, Metric, NoiseRecord,
    Outcome, Progress, Split, TrialRecord, TrialSpec,
};

/// Receives the events of a trial, one at a time.
pub type Events<'a> = dyn FnMut(Event) + Send + 'a;

/// What a trainer does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Take the optimizer step of this number, counted from 0, and answer
    /// [`TrialDriver::stepped`].
    Step {
        /// Steps done before it.
        step: u64,
    },
    /// Measure, and answer [`TrialDriver::measured`].
    Evaluate(Evaluate),
    /// Stop here, with the trial to be resumed: save [`TrialDriver::progress`] and the trainer's
    /// own state.
    Interrupt,
    /// The trial has ended.
    End(Outcome),
}

/// What is to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluate {
    /// A regular evaluation: the training and validation examples, and the diagnostics.
    Regular,
    /// A finer evaluation near the target: this split is all that counts.
    Finer(Split),
    /// The test examples, at the last evaluation, where [`Driving::looks_at_test`].
    Test,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The metrics, unsmoothed.
    pub metrics: BTreeMap<Metric, f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// False if a loss was not finite: the trial has diverged.
    pub finite: bool,
    /// Training examples consumed so far; `None` is the spec's batch size for every step.
    pub examples: Option<u64>,
}

impl Evaluation {
    /// These metrics after a step at `learning_rate`; a value that is not finite is a divergence.
    pub fn new(metrics: BTreeMap<Metric, f64>, learning_rate: f64) -> Self {
        Self {
            finite: metrics.values().all(|value| value.is_finite()),
            metrics,
            learning_rate,
            examples: None,
        }
    }
}

/// How a trainer is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Driving {
    /// When it evaluates.
    pub cadence: Cadence,
    /// The last evaluation looks at the test examples too.
    pub looks_at_test: bool,
    /// Steps of warm-up: a target reached within them is remarked upon.
    pub warm_up_steps: u64,
}

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
    /// A finer evaluation found the crossing: a whole one follows.
    Found(Crossed),
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

    /// What has been done so far. To be saved after [`Next::Interrupt`], or before a step that is
    /// not replayed.
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

    /// Begins a session: the first, or one after an interruption.
    pub fn start(&mut self, events: &mut Events<'_>) {
        self.stepped = false;
        events(Event::Started {
            step: self.progress.step,
        });
    }

    /// The next regularly evaluated step.
    fn next_regular(&self) -> u64 {
        let plan = &self.spec.evaluation;
        let evaluated = self.progress.evaluated;
        self.driving
            .cadence
            .next_after(evaluated, plan, self.spec.cap)
    }

    /// The next evaluated step.
    pub fn next_evaluation(&self) -> u64 {
        let regular = self.next_regular();
        if !self.crossing.as_ref().is_some_and(Crossing::is_near) {
            return regular;
        }
        let (from, looked) = (self.progress.evaluated, self.looked());
        let finer = self.spec.evaluation.finer_steps(from, regular);
        let next = finer.into_iter().find(|&step| step > looked);
        next.unwrap_or(regular)
    }

    /// The last evaluated step, regular or finer.
    fn looked(&self) -> u64 {
        self.progress.measurements.last().map_or(0, |m| m.step)
    }

    /// What to do next. `control` is asked for the race bound before every step, and whether to
    /// stop once after every step.
    pub fn next(&mut self, control: &dyn Control) -> Next {
        let (step, cap) = (self.progress.step, self.spec.cap);
        match self.phase {
            Phase::Found(_) => return Next::Evaluate(Evaluate::Regular),
            Phase::Testing(_) => return Next::Evaluate(Evaluate::Test),
            Phase::Training => {}
        }
        if let Some(ended) = &self.progress.ended {
            return Next::End(ended.clone());
        }
        if self.looked() < step && self.next_evaluation() <= step {
            return Next::Evaluate(match &self.spec.target {
                Some(target) if self.next_regular() > step => Evaluate::Finer(target.metric.split),
                _ => Evaluate::Regular,
            });
        }
        if step >= cap {
            return Next::End(match self.spec.target {
                Some(_) => Outcome::NotReached { cap },
                None => Outcome::Completed { step },
            });
        }
        // The race is decided at regular evaluations only, which all trials share: the one at or
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
        match std::mem::replace(&mut self.phase, Phase::Training) {
            Phase::Training => self.evaluated(evaluation, events),
            Phase::Found(crossed) => self.complete(evaluation, false, Some(crossed), events),
            Phase::Testing(mut pending) => {
                pending.measurement.metrics.extend(evaluation.metrics);
                self.conclude(*pending, events);
            }
        }
    }

    /// The record of a trial that ended so, in micro-batches of so many examples.
    pub fn record(self, outcome: Outcome, micro_batch: u64) -> TrialRecord {
        TrialRecord {
            spec: self.spec.clone(),
            outcome,
            measurements: self.progress.measurements,
            micro_batch,
            seconds: self.progress.seconds,
            notes: self.progress.notes,
        }
    }

    /// An evaluation between others: watches for the target.
    fn evaluated(&mut self, evaluation: Evaluation, events: &mut Events<'_>) {
        let step = self.progress.step;
        let finer = self.next_regular() > step;
        let crossed = self.watch(step, &evaluation.metrics);
        match crossed {
            Some(crossed) if finer && evaluation.finite => self.phase = Phase::Found(crossed),
            crossed => self.complete(evaluation, finer, crossed, events),
        }
    }

    /// Shows the watch for the target the metrics after `step` steps.
    fn watch(&mut self, step: u64, metrics: &BTreeMap<Metric, f64>) -> Option<Crossed> {
        let crossing = self.crossing.as_mut()?;
        let value = *metrics.get(&crossing.target().metric)?;
        let crossed = crossing.observe(step, value);
        if step < self.spec.cap {
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
        let last = evaluation.finite && (crossed.is_some() || step >= self.spec.cap);
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
