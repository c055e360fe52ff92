use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchscope_core::{
    Control, Crossing, Diagnostic, Event, Flow, Measurement, Metric, Outcome, Purpose, Quantity,
    Split, StepTiming, StreamKey, Trainer, TrainerError, TrainerInfo, TrialRecord, TrialSpec,
};
use batchscope_rules::LearningRate;
use rand_core::Rng;

use crate::identity;

/// Validation error before training, and label of chance for ten classes.
const START: f64 = 0.9;
/// Validation error that [`FakeTrainer::steps_to`] is calibrated at.
const REFERENCE: f64 = 0.1;

/// A trainer without a model: a closed form with the shape of training, for tests and rehearsals of
/// whole studies in milliseconds.
///
/// The validation error after `s` steps is `0.9/(1 + 8·s/S)`, so that it is 0.1 after `S` steps:
///
/// `S(B, η, seed) = S_min·(1 + B_c/B) · exp(κ·ln²(η/η*(B))) · exp(σ·z)`,
///
/// with `z` standard normal by the trial's seed, and the best rate saturating as McCandlish et al.
/// 2018 (arXiv 1812.06162, equation 2.9) have it: `η*(B) = η_max/(1 + B_η/B)`. A rate above
/// `divergence·η*(B)` diverges. Every target thus has the same critical batch size, `B_c`.
///
/// It obeys its [`Control`], keeps the step it was interrupted at (in memory), and resumes there.
#[derive(Debug)]
pub struct FakeTrainer {
    /// Steps at infinite batch size and the best rate, `S_min`.
    pub s_min: f64,
    /// The critical batch size, `B_c`.
    pub critical_batch: f64,
    /// Standard deviation of `ln S` between seeds, `σ`.
    pub noise: f64,
    /// Best rate at infinite batch size, `η_max`.
    pub best_rate: f64,
    /// Batch size at which the best rate is half of that, `B_η`.
    pub rate_batch: f64,
    /// How fast a wrong rate hurts, `κ`.
    pub curvature: f64,
    /// Rates above this many times the best diverge.
    pub divergence: f64,
    /// Training examples, `N`.
    pub train_examples: u64,
    /// Real time a step takes.
    pub pace: Duration,
    /// What is kept of interrupted trials.
    pub checkpoints: FakeCheckpoints,
}

/// Steps already done, of trials that were interrupted. Clones share them, as two processes share
/// a folder of checkpoints.
#[derive(Debug, Clone, Default)]
pub struct FakeCheckpoints(Arc<Mutex<BTreeMap<String, u64>>>);

impl Default for FakeTrainer {
    fn default() -> Self {
        Self {
            s_min: 60.0,
            critical_batch: 256.0,
            noise: 0.05,
            best_rate: 1.0,
            rate_batch: 256.0,
            curvature: 0.15,
            divergence: 6.0,
            train_examples: 20_000,
            pace: Duration::ZERO,
            checkpoints: FakeCheckpoints::default(),
        }
    }
}

/// One run's constants.
struct Course {
    /// `S`.
    steps: f64,
    diverges: bool,
}

impl FakeTrainer {
    /// The rate with the fewest steps at a batch size, `η*(B)`.
    pub fn best_rate_at(&self, batch_size: u64) -> f64 {
        self.best_rate / (1.0 + self.rate_batch / batch_size as f64)
    }

    /// Steps at which the unsmoothed validation error is `error`, at the best rate and without
    /// noise.
    pub fn steps_to(&self, error: f64, batch_size: u64) -> f64 {
        let reference = self.s_min * (1.0 + self.critical_batch / batch_size as f64);
        reference * (START / error - 1.0) / (START / REFERENCE - 1.0)
    }

    fn course(&self, spec: &TrialSpec) -> Course {
        let ratio = spec.learning_rate / self.best_rate_at(spec.batch_size);
        let response = (self.curvature * ratio.ln().powi(2)).min(20.0).exp();
        let key = StreamKey {
            study_seed: spec.study_seed,
            trial: spec.seed,
            purpose: Purpose::Simulation,
        };
        let noise = (self.noise * standard_normal(&mut key.stream(0))).exp();
        let steps =
            self.s_min * (1.0 + self.critical_batch / spec.batch_size as f64) * response * noise;
        Course {
            steps,
            diverges: ratio.is_nan() || ratio > self.divergence,
        }
    }

    fn seconds_per_step(&self, batch_size: u64) -> f64 {
        1e-3 + 1e-5 * batch_size as f64
    }

    fn saved(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.checkpoints
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Box and Muller's normal.
fn standard_normal(rng: &mut impl Rng) -> f64 {
    let mut unit = || (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
    let (u, v) = (1.0 - unit(), unit());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A run in the making.
struct Run<'a> {
    trainer: &'a FakeTrainer,
    spec: &'a TrialSpec,
    course: Course,
    rate: LearningRate,
    crossing: Option<Crossing>,
    measurements: Vec<Measurement>,
}

impl Run<'_> {
    fn measure(&self, step: u64, replayed: bool) -> Measurement {
        let error = START / (1.0 + (START / REFERENCE - 1.0) * step as f64 / self.course.steps);
        let loss = error * 10f64.ln() / START;
        let learning_rate = self.rate.at(step.saturating_sub(1));
        let mut metrics: BTreeMap<Metric, f64> = [
            (Metric::new(Split::Val, Quantity::Error), error),
            (Metric::new(Split::Val, Quantity::Accuracy), 1.0 - error),
            (Metric::new(Split::Val, Quantity::Loss), loss),
            (Metric::new(Split::Train, Quantity::Error), error * 0.8),
            (Metric::new(Split::Train, Quantity::Loss), loss * 0.8),
        ]
        .into();
        if self.spec.diagnostics.contains(&Diagnostic::Linearity) {
            metrics.insert(
                Metric::new(Split::Train, Quantity::Other("linearity".to_owned())),
                learning_rate * loss,
            );
        }
        let seconds = step as f64 * self.trainer.seconds_per_step(self.spec.batch_size);
        Measurement {
            step,
            examples: step * self.spec.batch_size,
            seconds,
            learning_rate,
            metrics,
            replayed,
            noise: None,
        }
    }

    /// Evaluates at `step`; the bracket of a crossing, located by finer evaluations inside it.
    fn evaluate(&mut self, step: u64) -> Option<(u64, u64)> {
        let measurement = self.measure(step, false);
        let before = self.crossing.clone();
        let found = self.crossing.as_mut().and_then(|crossing| {
            let value = measurement.metrics.get(&crossing.target().metric)?;
            crossing.observe(step, *value)
        });
        let (Some((after, step)), Some(mut finer)) = (found, before) else {
            self.measurements.push(measurement);
            return None;
        };
        let mut bracket = (after, step);
        for at in self.spec.evaluation.replay_steps(after, step) {
            let replayed = self.measure(at, true);
            let value = replayed.metrics[&finer.target().metric];
            self.measurements.push(replayed);
            if finer.observe(at, value).is_some() {
                bracket.1 = at;
                break;
            }
            bracket.0 = at;
        }
        self.measurements.push(measurement);
        Some(bracket)
    }

    fn record(self, outcome: Outcome, step: u64) -> TrialRecord {
        TrialRecord {
            spec: self.spec.clone(),
            outcome,
            measurements: self.measurements,
            micro_batch: self
                .spec
                .micro_batch
                .unwrap_or(self.spec.batch_size)
                .min(self.spec.batch_size),
            seconds: step as f64 * self.trainer.seconds_per_step(self.spec.batch_size),
            notes: Vec::new(),
        }
    }
}

impl Trainer for FakeTrainer {
    fn info(&self) -> TrainerInfo {
        let law = format!(
            "S = {}·(1 + {}/B), σ {}",
            self.s_min, self.critical_batch, self.noise
        );
        let rates = format!(
            "η* = {}/(1 + {}/B), κ {}, limit {}",
            self.best_rate, self.rate_batch, self.curvature, self.divergence
        );
        TrainerInfo {
            trainer: concat!("fake ", env!("CARGO_PKG_VERSION")).to_owned(),
            model: format!("closed form: {law}; {rates}"),
            data: format!("none ({} examples)", self.train_examples),
            device: "none".to_owned(),
            train_examples: self.train_examples,
            parameters: 0,
            metrics: [
                "val-error",
                "val-accuracy",
                "val-loss",
                "train-error",
                "train-loss",
            ]
            .map(|m| m.parse().expect("a metric"))
            .to_vec(),
        }
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let rate = LearningRate::new(
            &spec.schedule,
            spec.learning_rate,
            spec.batch_size,
            self.train_examples,
        )
        .map_err(|e| TrainerError::Refused(e.to_string()))?;
        let crossing = spec.target.clone().map(Crossing::new);
        let mut run = Run {
            trainer: self,
            spec,
            course: self.course(spec),
            rate,
            crossing,
            measurements: Vec::new(),
        };
        if spec.batch_size > self.train_examples {
            let why = format!(
                "batch size {} is larger than the training set ({})",
                spec.batch_size, self.train_examples
            );
            return Ok(run.record(Outcome::Infeasible { why }, 0));
        }
        let saved = self.saved().get(&identity(spec)).copied().unwrap_or(0);
        events(Event::Started { step: saved });
        // A divergent run blows up a little later the nearer it is to the limit.
        let blows_up = if run.course.diverges {
            3 + spec.seed % 5
        } else {
            u64::MAX
        };
        let mut next = spec.evaluation.next_after(0);
        for step in 1..=spec.cap {
            let anew = step > saved;
            if anew {
                if control.flow() == Flow::Interrupt {
                    self.saved().insert(identity(spec), step - 1);
                    events(Event::Checkpointed { step: step - 1 });
                    return Ok(run.record(Outcome::Interrupted, step - 1));
                }
                if control.race_bound().is_some_and(|bound| step > bound) {
                    return Ok(run.record(Outcome::Raced { at: step - 1 }, step - 1));
                }
                if !self.pace.is_zero() {
                    std::thread::sleep(self.pace);
                }
                let loss =
                    run.measure(step, false).metrics[&Metric::new(Split::Train, Quantity::Loss)];
                events(Event::Step {
                    step,
                    loss,
                    learning_rate: run.rate.at(step - 1),
                });
            }
            if step == blows_up {
                return Ok(run.record(Outcome::Diverged { step }, step));
            }
            if step == next || step == spec.cap {
                let found = run.evaluate(step);
                if step == next {
                    next = spec.evaluation.next_after(step);
                }
                if let Some(measurement) = run.measurements.last().filter(|_| anew) {
                    events(Event::Measured(measurement.clone()));
                }
                if let Some((after, step)) = found {
                    return Ok(run.record(Outcome::Reached { step, after }, step));
                }
            }
        }
        let outcome = if spec.target.is_some() {
            Outcome::NotReached { cap: spec.cap }
        } else {
            Outcome::Completed { step: spec.cap }
        };
        Ok(run.record(outcome, spec.cap))
    }

    fn forget(&self, spec: &TrialSpec) {
        self.saved().remove(&identity(spec));
    }

    fn time(
        &self,
        spec: &TrialSpec,
        _budget: f64,
        _control: &dyn Control,
    ) -> Result<Option<StepTiming>, TrainerError> {
        let seconds = self.seconds_per_step(spec.batch_size);
        let micro_batch = spec.micro_batch.unwrap_or(spec.batch_size);
        Ok(Some(StepTiming {
            batch_size: spec.batch_size,
            micro_batch,
            seconds,
            low: seconds,
            high: seconds,
            n: 1,
        }))
    }
}
