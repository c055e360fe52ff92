//! The course of a trial, as one pure state machine.
//!
//! A [`TrialDriver`] knows when to evaluate, when the target is met and between which steps, when
//! the trial has diverged, lost its race or come to its cap, and what its record is. It trains
//! nothing: it says what to do [`Next`], the trainer does it and answers. Every trainer walks
//! through it, so all of them end trials alike.
//!
//! **Replay.** Evaluations are spaced geometrically, so a crossing is first known to lie in a
//! bracket `(after, step]` 20 % wide. A trainer that can return to an earlier state does the steps
//! from `after` on again, evaluating the target's split at [`EvaluationPlan::replay_steps`]; the
//! smoothing continues from `after`. If the finer evaluations never meet the target, the crossing
//! lies between the last of them and `step`.
//!
//! [`EvaluationPlan::replay_steps`]: crate::EvaluationPlan::replay_steps

use std::collections::BTreeMap;

use crate::{
    Cadence, Control, Crossing, Divergence, Event, Flow, Measurement, Metric, NoiseRecord, Outcome,
    Progress, Split, TrialRecord, TrialSpec,
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
    /// Keep the present state: a crossing found at the next evaluation is replayed from here.
    /// Replaces what was kept before.
    Keep {
        /// Steps done.
        step: u64,
    },
    /// Set the present state aside and return to the one kept after `step` steps; or answer
    /// [`TrialDriver::cannot_rewind`].
    Rewind {
        /// Steps done then.
        step: u64,
    },
    /// Return to the state that was set aside.
    Return,
    /// Stop here, with the trial to be resumed: save [`TrialDriver::progress`] and the trainer's
    /// own state. A replay that was interrupted is left as if its evaluation had not been made.
    Interrupt,
    /// The trial has ended.
    End(Outcome),
}

/// What is to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluate {
    /// A regular evaluation: the training and validation examples, and the diagnostics.
    Regular,
    /// An evaluation of a replay: this split is all that counts.
    Replayed(Split),
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
    /// It can return to an earlier state, so that crossings are replayed.
    pub replays: bool,
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
///     "learning_rate": 0.1, "clip": null, "study_seed": 0, "seed": 0, "cap": 100,
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
///     match driver.next(&NeverStop, events) {
///         Next::Step { .. } => {
///             w -= spec.learning_rate * w; // the gradient of w²/2
///             driver.stepped(w * w / 2.0, spec.learning_rate, 0.0, events);
///         }
///         Next::Evaluate(_) => {
///             let metrics = BTreeMap::from([(metric.clone(), w * w / 2.0)]);
///             driver.measured(Evaluation::new(metrics, spec.learning_rate), events);
///         }
///         Next::End(outcome) => break outcome,
///         other => unreachable!("neither replays nor interruptions here: {other:?}"),
///     }
/// };
/// let record = driver.record(outcome, spec.batch_size);
/// assert_eq!(record.outcome, Outcome::Reached { step: 10, after: 8 });
/// ```
#[derive(Debug, Clone)]
pub struct TrialDriver<'a> {
    spec: &'a TrialSpec,
    driving: Driving,
    progress: Progress,
    phase: Phase,
    /// A step was taken since [`TrialDriver::start`]. Stops are obeyed only then, so that even a
    /// trial interrupted at every turn comes to its end.
    stepped: bool,
}

/// Where in the course of a trial a driver is.
#[derive(Debug, Clone)]
enum Phase {
    /// Between two evaluations.
    Training,
    /// After the beginning or an evaluation: the state may have to be kept.
    Passed,
    /// The last evaluation waits for the test examples.
    Testing(Box<Pending>),
    /// A crossing is being located.
    Replaying(Box<Replay>),
}

/// An evaluation that is not recorded yet.
#[derive(Debug, Clone)]
struct Pending {
    measurement: Measurement,
    finite: bool,
    /// The bracket of a crossing, and the watch for the target as it was before.
    found: Option<((u64, u64), Crossing)>,
}

/// The second look at a bracket.
#[derive(Debug, Clone)]
struct Replay {
    /// The evaluation that found the bracket.
    pending: Pending,
    /// The watch as it was before that evaluation, to be put back if the replay is interrupted.
    before: Crossing,
    /// The watch of the replay.
    crossing: Crossing,
    /// Where the replay begins, and where the crossing was found.
    span: (u64, u64),
    /// Steps that are evaluated.
    finer: Vec<u64>,
    /// Seconds of training at both ends of the span.
    seconds: (f64, f64),
    at: u64,
    bracket: (u64, u64),
    measurements: Vec<Measurement>,
    state: ReplayState,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum ReplayState {
    /// The trainer has not returned to its beginning yet.
    Ahead,
    /// A step is next, or its evaluation.
    Between,
    /// A step was taken.
    Stepped,
    /// The step was evaluated, or need not be.
    Looked,
    /// The crossing was found.
    Found,
    /// The trainer is on its way back.
    Returned { interrupted: bool },
}

impl<'a> TrialDriver<'a> {
    /// A trial at its beginning.
    pub fn new(spec: &'a TrialSpec, driving: Driving) -> Self {
        Self {
            spec,
            driving,
            progress: Progress::new(spec.target.clone().map(Crossing::new)),
            phase: Phase::Passed,
            stepped: false,
        }
    }

    /// Continues from a saved progress. What was kept for a replay must be saved with it.
    pub fn resume(&mut self, progress: Progress) {
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

    /// True while steps are done again to locate a crossing: nothing may be saved then.
    pub fn is_replaying(&self) -> bool {
        matches!(self.phase, Phase::Replaying(_))
    }

    /// Steps done; in a replay, those done up to here.
    pub fn step(&self) -> u64 {
        match &self.phase {
            Phase::Replaying(replay) => replay.at,
            _ => self.progress.step,
        }
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
    pub fn next_evaluation(&self) -> u64 {
        let evaluated = self.progress.evaluated;
        let plan = &self.spec.evaluation;
        self.driving
            .cadence
            .next_after(evaluated, plan, self.spec.cap)
    }

    /// What to do next. `control` is asked for the race bound before every step, and whether to
    /// stop once after every step.
    pub fn next(&mut self, control: &dyn Control, events: &mut Events<'_>) -> Next {
        let (step, cap) = (self.progress.step, self.spec.cap);
        match std::mem::replace(&mut self.phase, Phase::Training) {
            Phase::Replaying(replay) => return self.next_of_replay(replay, control, events),
            Phase::Passed if self.is_worth_keeping() => return Next::Keep { step },
            Phase::Testing(pending) => {
                self.phase = Phase::Testing(pending);
                return Next::Evaluate(Evaluate::Test);
            }
            Phase::Training | Phase::Passed => {}
        }
        if let Some(ended) = &self.progress.ended {
            return Next::End(ended.clone());
        }
        if self.progress.evaluated < step && self.next_evaluation() <= step {
            return Next::Evaluate(Evaluate::Regular);
        }
        if step >= cap {
            return Next::End(match self.spec.target {
                Some(_) => Outcome::NotReached { cap },
                None => Outcome::Completed { step },
            });
        }
        // The race is decided at regular evaluations only: the one at or past the bound still
        // counts, for the crossing it may bracket can lie before the bound.
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
        if let Phase::Replaying(replay) = &mut self.phase {
            replay.at += 1;
            replay.state = ReplayState::Stepped;
            return;
        }
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
            Phase::Replaying(mut replay) => {
                replay.measured(evaluation, self.spec.batch_size);
                self.phase = Phase::Replaying(replay);
            }
            Phase::Testing(mut pending) => {
                pending.measurement.metrics.extend(evaluation.metrics);
                self.conclude(*pending, events);
            }
            Phase::Training | Phase::Passed => self.evaluated(evaluation, events),
        }
    }

    /// The state asked for by [`Next::Rewind`] was not kept: the crossing stays as it was found.
    pub fn cannot_rewind(&mut self, events: &mut Events<'_>) {
        if let Phase::Replaying(replay) = std::mem::replace(&mut self.phase, Phase::Training) {
            self.reached(replay.pending, replay.span, Vec::new(), events);
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

    /// True if a crossing found at the next evaluation would be replayed from here.
    fn is_worth_keeping(&self) -> bool {
        let (step, next) = (self.progress.step, self.next_evaluation());
        self.driving.replays
            && self.spec.target.is_some()
            && !self.spec.evaluation.replay_steps(step, next).is_empty()
    }

    /// A regular evaluation: watches for the target.
    fn evaluated(&mut self, evaluation: Evaluation, events: &mut Events<'_>) {
        let step = self.progress.step;
        let before = self.progress.crossing.clone();
        let bracket = self.progress.crossing.as_mut().and_then(|crossing| {
            let value = evaluation.metrics.get(&crossing.target().metric).copied()?;
            crossing.observe(step, value)
        });
        let last = evaluation.finite && (bracket.is_some() || step >= self.spec.cap);
        let pending = Pending {
            finite: evaluation.finite,
            measurement: Measurement {
                noise: self.progress.noise.take(),
                ..measurement(
                    step,
                    self.spec.batch_size,
                    self.progress.seconds,
                    evaluation,
                )
            },
            found: bracket.zip(before),
        };
        if last && self.driving.looks_at_test {
            self.phase = Phase::Testing(Box::new(pending));
        } else {
            self.conclude(pending, events);
        }
    }

    /// What follows from an evaluation.
    fn conclude(&mut self, pending: Pending, events: &mut Events<'_>) {
        let step = self.progress.step;
        if let Some(((after, reached), before)) = &pending.found {
            let span = (*after, *reached);
            let finer = self.spec.evaluation.replay_steps(span.0, span.1);
            if !self.driving.replays || finer.is_empty() {
                return self.reached(pending, span, Vec::new(), events);
            }
            self.phase = Phase::Replaying(Box::new(Replay {
                before: before.clone(),
                crossing: before.clone(),
                seconds: (self.seconds_at(span.0), self.progress.seconds),
                pending,
                span,
                finer,
                at: span.0,
                bracket: span,
                measurements: Vec::new(),
                state: ReplayState::Ahead,
            }));
            return;
        }
        self.take(pending.measurement, events);
        if pending.finite {
            self.phase = Phase::Passed;
        } else {
            self.progress.ended = Some(Outcome::Diverged { step });
        }
    }

    /// The target is reached in this bracket.
    fn reached(
        &mut self,
        pending: Pending,
        (after, step): (u64, u64),
        replayed: Vec<Measurement>,
        events: &mut Events<'_>,
    ) {
        for measurement in &replayed {
            events(Event::Measured(measurement.clone()));
        }
        self.progress.measurements.extend(replayed);
        // The replayed steps have been measured before.
        self.progress.noise = None;
        self.take(pending.measurement, events);
        let warm_up = self.driving.warm_up_steps;
        if step <= warm_up {
            self.note(format!(
                "target reached during warm-up (step {step} of {warm_up})"
            ));
        }
        self.progress.ended = Some(Outcome::Reached { step, after });
    }

    /// Records a regular evaluation.
    fn take(&mut self, measurement: Measurement, events: &mut Events<'_>) {
        events(Event::Measured(measurement.clone()));
        self.progress.evaluated = measurement.step;
        self.progress.measurements.push(measurement);
    }

    /// Training seconds at the evaluation after `step` steps.
    fn seconds_at(&self, step: u64) -> f64 {
        let mut recorded = self.progress.measurements.iter().rev();
        recorded.find(|m| m.step == step).map_or(0.0, |m| m.seconds)
    }

    /// The next part of a replay.
    fn next_of_replay(
        &mut self,
        mut replay: Box<Replay>,
        control: &dyn Control,
        events: &mut Events<'_>,
    ) -> Next {
        let stop = || self.stepped && control.flow() == Flow::Interrupt;
        let next = match replay.turn() {
            Turn::Do(next) => next,
            Turn::Ask if stop() => replay.leave(true),
            Turn::Ask => replay.go_on(),
            Turn::Back { interrupted: true } => {
                // As if the evaluation had not been made.
                self.progress.crossing = Some(replay.before);
                self.progress.noise = replay.pending.measurement.noise;
                return Next::Interrupt;
            }
            Turn::Back { interrupted: false } => {
                let (after, step) = replay.bracket;
                self.reached(replay.pending, (after, step), replay.measurements, events);
                return Next::End(Outcome::Reached { step, after });
            }
        };
        self.phase = Phase::Replaying(replay);
        next
    }
}

/// What a replay comes to next.
enum Turn {
    /// Something for the trainer.
    Do(Next),
    /// Whether to stop is asked first.
    Ask,
    /// The trainer is back where the crossing was found.
    Back { interrupted: bool },
}

impl Replay {
    fn turn(&mut self) -> Turn {
        match self.state {
            ReplayState::Ahead => {
                self.state = ReplayState::Between;
                Turn::Do(Next::Rewind { step: self.span.0 })
            }
            ReplayState::Stepped if self.finer.binary_search(&self.at).is_ok() => {
                let split = self.crossing.target().metric.split;
                Turn::Do(Next::Evaluate(Evaluate::Replayed(split)))
            }
            ReplayState::Stepped | ReplayState::Looked => Turn::Ask,
            ReplayState::Between => Turn::Do(self.go_on()),
            ReplayState::Found => Turn::Do(self.leave(false)),
            ReplayState::Returned { interrupted } => Turn::Back { interrupted },
        }
    }

    /// One more step, until the last that is evaluated.
    fn go_on(&mut self) -> Next {
        if self.finer.last().is_none_or(|&last| self.at >= last) {
            return self.leave(false);
        }
        self.state = ReplayState::Between;
        Next::Step { step: self.at }
    }

    fn leave(&mut self, interrupted: bool) -> Next {
        self.state = ReplayState::Returned { interrupted };
        Next::Return
    }

    fn measured(&mut self, evaluation: Evaluation, batch_size: u64) {
        let metric = &self.crossing.target().metric;
        let value = evaluation.metrics.get(metric).copied().unwrap_or(f64::NAN);
        // The replay costs the trial no time: what it would have taken is interpolated.
        let ((after, step), (start, end)) = (self.span, self.seconds);
        let share = (self.at - after) as f64 / (step - after) as f64;
        self.measurements.push(Measurement {
            replayed: true,
            ..measurement(
                self.at,
                batch_size,
                start + (end - start) * share,
                evaluation,
            )
        });
        match self.crossing.observe(self.at, value) {
            Some(found) => {
                self.bracket = found;
                self.state = ReplayState::Found;
            }
            None => {
                self.bracket.0 = self.at;
                self.state = ReplayState::Looked;
            }
        }
    }
}

/// An evaluation after `step` steps.
fn measurement(step: u64, batch_size: u64, seconds: f64, evaluation: Evaluation) -> Measurement {
    Measurement {
        step,
        examples: evaluation
            .examples
            .unwrap_or_else(|| step.saturating_mul(batch_size)),
        seconds,
        learning_rate: evaluation.learning_rate,
        metrics: evaluation.metrics,
        replayed: false,
        noise: None,
    }
}
