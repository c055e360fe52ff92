use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchscope_core::{
    Capabilities, Control, Diagnostic, Driving, Evaluation, Event, Metric, Next, Outcome, Progress,
    Purpose, Quantity, Split, StepTiming, Trainer, TrainerError, TrainerInfo, TrialDriver,
    TrialRecord, TrialSpec,
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
/// It obeys its [`Control`], keeps the progress of what was interrupted (in memory), and resumes there.
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

/// The progress of trials that were interrupted. Clones share them, as two processes share
/// a folder of checkpoints.
#[derive(Debug, Clone, Default)]
pub struct FakeCheckpoints(Arc<Mutex<BTreeMap<String, Progress>>>);

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

    /// Steps at which the validation error is `error`, at the best rate and without
    /// noise.
    pub fn steps_to(&self, error: f64, batch_size: u64) -> f64 {
        let reference = self.s_min * (1.0 + self.critical_batch / batch_size as f64);
        reference * (START / error - 1.0) / (START / REFERENCE - 1.0)
    }

    fn course(&self, spec: &TrialSpec) -> Course {
        let ratio = spec.learning_rate / self.best_rate_at(spec.batch_size);
        let response = (self.curvature * ratio.ln().powi(2)).min(20.0).exp();
        let key = spec.key(Purpose::Simulation);
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

    fn saved(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Progress>> {
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

impl Course {
    /// The metrics after `step` steps, the last of them at `learning_rate`.
    fn metrics(&self, spec: &TrialSpec, step: u64, learning_rate: f64) -> BTreeMap<Metric, f64> {
        let error = START / (1.0 + (START / REFERENCE - 1.0) * step as f64 / self.steps);
        let loss = error * 10f64.ln() / START;
        let mut metrics: BTreeMap<Metric, f64> = [
            (Metric::new(Split::Val, Quantity::Error), error),
            (Metric::new(Split::Val, Quantity::Accuracy), 1.0 - error),
            (Metric::new(Split::Val, Quantity::Loss), loss),
            (Metric::new(Split::Train, Quantity::Error), error * 0.8),
            (Metric::new(Split::Train, Quantity::Loss), loss * 0.8),
        ]
        .into();
        if spec.asks_for(Diagnostic::LINEARITY) {
            metrics.insert(
                Metric::new(Split::Train, Quantity::Other("linearity".to_owned())),
                learning_rate * loss,
            );
        }
        metrics
    }

    /// The training loss of a step; not a number where a divergent run blows up, which is a little
    /// later the nearer it is to the limit.
    fn loss(&self, spec: &TrialSpec, step: u64, learning_rate: f64) -> f64 {
        if self.diverges && step == 3 + spec.seed % 5 {
            return f64::NAN;
        }
        self.metrics(spec, step, learning_rate)[&Metric::new(Split::Train, Quantity::Loss)]
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
            train_examples: Some(self.train_examples),
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
            own_settings: false,
            directions: BTreeMap::new(),
            capabilities: Capabilities {
                measures_noise: false,
                ..Capabilities::all()
            },
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
            Some(self.train_examples),
        )
        .map_err(|e| TrainerError::Refused(e.to_string()))?;
        let micro_batch = spec.micro_batch.unwrap_or(spec.batch_size);
        let micro_batch = micro_batch.min(spec.batch_size);
        let mut driver = TrialDriver::new(spec, Driving::default());
        if spec.batch_size > self.train_examples {
            let why = format!(
                "batch size {} is larger than the training set ({})",
                spec.batch_size, self.train_examples
            );
            return Ok(driver.record(Outcome::Infeasible { why }, micro_batch));
        }
        if let Some(progress) = self.saved().get(&identity(spec)).cloned() {
            driver.resume(progress);
        }
        let course = self.course(spec);
        let seconds = self.seconds_per_step(spec.batch_size);
        driver.start(events);
        let outcome = loop {
            match driver.next(control) {
                Next::Step { step } => {
                    if !self.pace.is_zero() {
                        std::thread::sleep(self.pace);
                    }
                    let learning_rate = rate.at(step);
                    let loss = course.loss(spec, step + 1, learning_rate);
                    driver.stepped(loss, learning_rate, seconds, events);
                }
                Next::Evaluate(_) => {
                    let learning_rate = rate.at(driver.step().saturating_sub(1));
                    let metrics = course.metrics(spec, driver.step(), learning_rate);
                    driver.measured(Evaluation::new(metrics, learning_rate), events);
                }
                Next::Interrupt => {
                    let progress = driver.progress().clone();
                    let step = progress.step;
                    self.saved().insert(identity(spec), progress);
                    events(Event::Checkpointed { step });
                    break Outcome::Interrupted;
                }
                Next::End(outcome) => break outcome,
            }
        };
        Ok(driver.record(outcome, micro_batch))
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
