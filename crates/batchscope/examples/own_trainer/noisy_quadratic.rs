//! A trainer small enough to read: the noisy quadratic `L(w) = ½ Σ hᵢ wᵢ²`, with gradients
//! `h ∘ w + z/√B`, `z` standard normal. Small batches are drowned in noise, large ones are not.
//!
//! A [`TrialDriver`] knows when to evaluate and when the trial ends; the trainer trains.

use std::{collections::BTreeMap, time::Instant};

use batchscope::{Opening, TrainerKind};
use batchscope_core::{
    Capabilities, Control, Descriptor, Driving, Evaluation, Event, Flow, Kind, Metric, Next,
    Outcome, Parameter, ParameterDefault, Purpose, Quantity, Split, StepTiming, StreamKey, Trainer,
    TrainerError, TrainerInfo, TrialDriver, TrialRecord, TrialSpec,
};
use rand_core::Rng;

/// How it is chosen: `--trainer noisy-quadratic`, `--trainer 'noisy-quadratic(dimensions=50)'`.
pub static NOISY_QUADRATIC: TrainerKind = TrainerKind {
    descriptor: Descriptor {
        name: "noisy-quadratic",
        aliases: &[],
        about: "A quadratic whose gradients are noisy",
        source: "Zhang et al. 2019, arXiv 1907.04164",
        parameters: &[Parameter {
            name: "dimensions",
            about: "Number of parameters; their curvatures are 1, 1/2, 1/3, …",
            kind: Kind::Whole(1, 10_000),
            default: ParameterDefault::Whole(20),
        }],
    },
    prefers: &[],
    open: |Opening { choice, .. }| {
        let dimensions = choice.whole("dimensions").unwrap_or(20);
        Ok(Box::new(NoisyQuadratic {
            curvatures: (1..=dimensions).map(|i| 1.0 / i as f64).collect(),
        }))
    },
};

struct NoisyQuadratic {
    curvatures: Vec<f64>,
}

impl NoisyQuadratic {
    fn loss(&self, w: &[f64]) -> f64 {
        let terms = self.curvatures.iter().zip(w);
        terms.map(|(h, w)| 0.5 * h * w * w).sum()
    }

    /// One step of stochastic gradient descent.
    fn step(&self, w: &mut [f64], spec: &TrialSpec, random: &mut impl Rng) {
        let scale = (spec.batch_size as f64).sqrt();
        for (w, h) in w.iter_mut().zip(&self.curvatures) {
            *w -= spec.learning_rate * (h * *w + normal(random) / scale);
        }
    }
}

/// The random numbers of a trial's steps.
fn key(spec: &TrialSpec) -> StreamKey {
    spec.key(Purpose::Order)
}

impl Trainer for NoisyQuadratic {
    fn info(&self) -> TrainerInfo {
        TrainerInfo {
            trainer: "noisy quadratic".to_owned(),
            model: format!("noisy quadratic in {} dimensions", self.curvatures.len()),
            data: "Gaussian gradient noise".to_owned(),
            device: "cpu".to_owned(),
            // Every example is new: there is no training set to pass over.
            train_examples: None,
            parameters: self.curvatures.len() as u64,
            metrics: vec![Metric::new(Split::Train, Quantity::Loss)],
            own_settings: false,
            directions: BTreeMap::new(),
            // What is not promised is not relied on.
            capabilities: Capabilities {
                deterministic: true,
                times_steps: true,
                ..Capabilities::default()
            },
        }
    }

    fn check(&self, spec: &TrialSpec) -> Result<(), TrainerError> {
        // A setting that would do nothing is refused, not ignored.
        match spec.optimizer.number("momentum") {
            Some(0.0) => Ok(()),
            _ => Err(TrainerError::Refused(
                "the noisy quadratic descends without momentum: choose the optimizer sgd with momentum 0"
                    .to_owned(),
            )),
        }
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let mut w = vec![1.0; self.curvatures.len()];
        let mut driver = TrialDriver::new(spec, Driving::default());
        driver.watch_divergence(self.loss(&w));
        driver.start(events);
        let outcome = loop {
            match driver.next(control) {
                Next::Step { step } => {
                    self.step(&mut w, spec, &mut key(spec).stream(step));
                    driver.stepped(self.loss(&w), spec.learning_rate, 0.0, events);
                }
                Next::Evaluate(_) => {
                    let metric = Metric::new(Split::Train, Quantity::Loss);
                    let metrics = BTreeMap::from([(metric, self.loss(&w))]);
                    driver.measured(Evaluation::new(metrics, spec.learning_rate), events);
                }
                // Nothing is saved: an interrupted trial begins again.
                Next::Interrupt => break Outcome::Interrupted,
                Next::End(outcome) => break outcome,
            }
        };
        Ok(driver.record(outcome, spec.batch_size))
    }

    fn time(
        &self,
        spec: &TrialSpec,
        budget: f64,
        control: &dyn Control,
    ) -> Result<Option<StepTiming>, TrainerError> {
        let mut w = vec![1.0; self.curvatures.len()];
        let (begun, mut seconds) = (Instant::now(), Vec::new());
        while seconds.len() < 5 || begun.elapsed().as_secs_f64() < budget {
            if control.flow() == Flow::Interrupt {
                return Ok(None);
            }
            let clock = Instant::now();
            self.step(&mut w, spec, &mut key(spec).stream(seconds.len() as u64));
            seconds.push(clock.elapsed().as_secs_f64());
        }
        Ok(StepTiming::of(spec.batch_size, spec.batch_size, seconds))
    }
}

/// A standard normal number, by Box and Muller.
fn normal(random: &mut impl Rng) -> f64 {
    let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}
