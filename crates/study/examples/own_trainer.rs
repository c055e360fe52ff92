//! Studies a training program of your own: implement `Trainer`, hand it to `run`.
//!
//! The program here is the noisy quadratic, small enough to read: `L(w) = ½ Σ hᵢ wᵢ²`, with gradients
//! `h ∘ w + z/√B`, `z` standard normal. Small batches are drowned in noise, large ones are not.
//!
//! A [`TrialDriver`] knows when to evaluate and when the trial ends; the trainer trains.
//!
//! `cargo run --release -p batchscope-study --example own_trainer`

use std::collections::BTreeMap;

use batchscope_core::{
    Capabilities, Control, Driving, Evaluation, Event, Metric, Next, Outcome, Purpose, Quantity,
    Split, StreamKey, Trainer, TrainerError, TrainerInfo, TrialDriver, TrialRecord, TrialSpec,
};
use batchscope_scaling::{AnalysisOptions, analyze};
use batchscope_study::{MemoryStore, Plan, RateRange, StopToken, run};
use rand_core::Rng;

struct NoisyQuadratic {
    curvatures: Vec<f64>,
}

impl NoisyQuadratic {
    fn loss(&self, w: &[f64]) -> f64 {
        self.curvatures
            .iter()
            .zip(w)
            .map(|(h, w)| 0.5 * h * w * w)
            .sum()
    }

    /// One step of stochastic gradient descent.
    fn step(&self, w: &mut [f64], spec: &TrialSpec, random: &mut impl Rng) {
        let scale = (spec.batch_size as f64).sqrt();
        for (w, h) in w.iter_mut().zip(&self.curvatures) {
            *w -= spec.learning_rate * (h * *w + normal(random) / scale);
        }
    }
}

impl Trainer for NoisyQuadratic {
    fn info(&self) -> TrainerInfo {
        TrainerInfo {
            trainer: "own_trainer example".to_owned(),
            model: format!("noisy quadratic in {} dimensions", self.curvatures.len()),
            data: "Gaussian gradient noise".to_owned(),
            device: "cpu".to_owned(),
            train_examples: 1 << 20,
            parameters: self.curvatures.len() as u64,
            metrics: vec![Metric::new(Split::Train, Quantity::Loss)],
            directions: BTreeMap::new(),
            capabilities: Capabilities {
                deterministic: true,
                has_epochs: true,
                ..Capabilities::default()
            },
        }
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let key = StreamKey {
            study_seed: spec.study_seed,
            trial: spec.seed,
            purpose: Purpose::Order,
        };
        let mut w = vec![1.0; self.curvatures.len()];
        let mut driver = TrialDriver::new(spec, Driving::default());
        driver.watch_divergence(self.loss(&w));
        driver.start(events);
        let outcome = loop {
            match driver.next(control, events) {
                Next::Step { step } => {
                    self.step(&mut w, spec, &mut key.stream(step));
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
                // States are kept and returned to only by trainers that can replay.
                Next::Keep { .. } | Next::Rewind { .. } | Next::Return => {}
            }
        };
        Ok(driver.record(outcome, spec.batch_size))
    }
}

/// A standard normal number, by Box and Muller.
fn normal(random: &mut impl Rng) -> f64 {
    let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let trainer = NoisyQuadratic {
        curvatures: (1..=20).map(|i| 1.0 / f64::from(i)).collect(),
    };
    let plan = Plan {
        batch_sizes: vec![4, 16, 64, 256, 1024, 4096],
        target: "train-loss=0.1".parse()?,
        learning_rates: RateRange {
            low: 0.001,
            high: 2.0,
        },
        tune_width: None,
        seeds: 5,
        ..Plan::default()
    };
    let result = run(
        &plan,
        &trainer,
        &mut MemoryStore::new(),
        &StopToken::new(),
        &[],
    )?;
    let summary = result.summary.ok_or("the study was interrupted")?;
    let findings = analyze(
        summary,
        result.tuning,
        &result.records,
        &AnalysisOptions::default(),
    );
    println!("{}", findings.verdict);
    for point in &findings.curves[0].points {
        println!(
            "batch size {:>5}: {} steps at learning rate {}",
            point.batch_size, point.steps, point.learning_rate
        );
    }
    Ok(())
}
