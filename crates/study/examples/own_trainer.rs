//! Studies a training program of your own: implement `Trainer`, hand it to `run`.
//!
//! The program here is the noisy quadratic, small enough to read: `L(w) = ½ Σ hᵢ wᵢ²`, with gradients
//! `h ∘ w + z/√B`, `z` standard normal. Small batches are drowned in noise, large ones are not.
//!
//! `cargo run --release -p batchscope-study --example own_trainer`

use std::collections::BTreeMap;

use batchscope_core::{
    Control, Crossing, Event, Flow, Measurement, Metric, Outcome, Purpose, Quantity, Split,
    StreamKey, Trainer, TrainerError, TrainerInfo, TrialRecord, TrialSpec,
};
use batchscope_scaling::{AnalysisOptions, analyze};
use batchscope_study::{MemoryStore, Plan, RateRange, Silent, StopToken, run};
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
        }
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let metric = Metric::new(Split::Train, Quantity::Loss);
        let key = StreamKey {
            study_seed: spec.study_seed,
            trial: spec.seed,
            purpose: Purpose::Order,
        };
        let mut w = vec![1.0; self.curvatures.len()];
        let start = self.loss(&w);
        let mut crossing = spec.target.clone().map(Crossing::new);
        let mut measurements = Vec::new();
        let mut due = spec.evaluation.next_after(0);
        events(Event::Started { step: 0 });
        let mut step = 0;
        let outcome = loop {
            if step == spec.cap {
                break if spec.target.is_some() {
                    Outcome::NotReached { cap: step }
                } else {
                    Outcome::Completed { step }
                };
            }
            let mut noise = key.stream(step);
            for (w, h) in w.iter_mut().zip(&self.curvatures) {
                *w -= spec.learning_rate
                    * (h * *w + normal(&mut noise) / (spec.batch_size as f64).sqrt());
            }
            step += 1;
            let loss = self.loss(&w);
            events(Event::Step {
                step,
                loss,
                learning_rate: spec.learning_rate,
            });
            if loss.is_nan() || loss > 10.0 * start {
                break Outcome::Diverged { step };
            }
            if step == due.min(spec.cap) {
                due = spec.evaluation.next_after(step);
                let measurement = Measurement {
                    step,
                    examples: step * spec.batch_size,
                    seconds: 0.0,
                    learning_rate: spec.learning_rate,
                    metrics: BTreeMap::from([(metric.clone(), loss)]),
                    replayed: false,
                    noise: None,
                };
                events(Event::Measured(measurement.clone()));
                measurements.push(measurement);
                if let Some((after, step)) = crossing
                    .as_mut()
                    .and_then(|crossing| crossing.observe(step, loss))
                {
                    break Outcome::Reached { step, after };
                }
                if let Some(at) = control.race_bound().filter(|&bound| step >= bound) {
                    break Outcome::Raced { at };
                }
            }
            if control.flow() == Flow::Interrupt {
                break Outcome::Interrupted;
            }
        };
        Ok(TrialRecord {
            spec: spec.clone(),
            outcome,
            measurements,
            micro_batch: spec.batch_size,
            seconds: 0.0,
            notes: Vec::new(),
        })
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
        &Silent,
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
