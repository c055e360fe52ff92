#![allow(dead_code, reason = "each test binary uses its part")]
//! A study simulated end to end: trials whose validation error falls as a power of their steps,
//! evaluated, smoothed, bracketed and replayed as a trainer would.

use std::collections::BTreeMap;

use batchscope_core::{
    Choice, Crossing, EvaluationPlan, Measurement, Metric, Outcome, Purpose, Schedule, StreamKey,
    Target, TrialPurpose, TrialRecord, TrialSpec, Value, statistics::NormalDraws,
};
use batchscope_scaling::{StudySummary, TuningSummary};
use rand_core::Rng;

/// The truth behind a simulated study.
#[derive(Debug, Clone)]
pub struct World {
    pub s_min: f64,
    pub critical: f64,
    /// Deviation of `ln S` between seeds, at the geometric mean of the smallest and largest batch size.
    pub sigma: f64,
    /// Its power of the batch size.
    pub sigma_slope: f64,
    /// Deviation of `ln S` between batch sizes beyond their seeds'.
    pub between: f64,
    pub batch_sizes: Vec<u64>,
    pub seeds: u32,
    /// Caps at this multiple of the true curve.
    pub cap: f64,
    pub curves: Vec<String>,
    pub study_seed: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            s_min: 300.0,
            critical: 200.0,
            sigma: 0.06,
            sigma_slope: 0.0,
            between: 0.0,
            batch_sizes: (3..12).map(|i| 1 << i).collect(),
            seeds: 3,
            cap: 4.0,
            curves: vec!["tuned".to_owned()],
            study_seed: 1,
        }
    }
}

pub fn target() -> Target {
    "val-error=0.03".parse().unwrap()
}

impl World {
    /// True steps to the target.
    pub fn steps(&self, batch_size: u64) -> f64 {
        self.s_min * (1.0 + self.critical / batch_size as f64)
    }

    pub fn summary(&self) -> StudySummary {
        StudySummary {
            model: "simulated".into(),
            data: "power law".into(),
            trainer: "test 1".into(),
            device: "none".into(),
            train_examples: Some(60_000),
            parameters: 100_000,
            target: target(),
            target_origin: "fixed beforehand".into(),
            batch_sizes: self.batch_sizes.clone(),
            seeds: u64::from(self.seeds),
            study_seed: self.study_seed,
            base_batch: 64,
            tune: "every".into(),
            trials: BTreeMap::new(),
        }
    }

    pub fn tuning(&self) -> Vec<TuningSummary> {
        self.batch_sizes
            .iter()
            .map(|&batch_size| TuningSummary {
                batch_size,
                trials: 2,
                steps: 1000,
                low: 0.01,
                high: 1.0,
                widenings: Vec::new(),
                chosen: Some(0.1),
                indistinct: Some((0.08, 0.13)),
                on_edge: false,
            })
            .collect()
    }

    /// Two tuning trials and the fresh seeds at every batch size.
    pub fn records(&self) -> Vec<TrialRecord> {
        let mut records = Vec::new();
        for &batch_size in &self.batch_sizes {
            for index in 0..2 {
                let id = records.len() as u64;
                records.push(self.trial(id, TrialPurpose::Tune { index, round: 0 }, batch_size));
            }
            for index in 0..self.seeds {
                let id = records.len() as u64;
                records.push(self.trial(id, TrialPurpose::Fresh { index }, batch_size));
            }
        }
        records
    }

    pub fn trial(&self, id: u64, purpose: TrialPurpose, batch_size: u64) -> TrialRecord {
        let key = StreamKey {
            study_seed: self.study_seed,
            trial: id,
            purpose: Purpose::Simulation,
        };
        let mut rng = key.stream(0);
        let mut uniform = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let normal = (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let ends = self.batch_sizes[0] as f64 * self.batch_sizes[self.batch_sizes.len() - 1] as f64;
        let relative = (batch_size as f64 / ends.sqrt()).powf(self.sigma_slope);
        let between = if self.between > 0.0 {
            let key = StreamKey {
                trial: batch_size,
                purpose: Purpose::Initialization,
                ..key
            };
            NormalDraws::new(key.stream(0)).normal()
        } else {
            0.0
        };
        let steps = self.steps(batch_size)
            * (self.sigma * relative * normal + self.between * between).exp();
        let cap = (self.cap * self.steps(batch_size)) as u64;
        let tuning = matches!(purpose, TrialPurpose::Tune { .. });
        let spec = TrialSpec {
            id,
            purpose,
            curves: if tuning {
                Vec::new()
            } else {
                self.curves.clone()
            },
            batch_size,
            micro_batch: None,
            learning_rate: 0.1,
            schedule: Schedule::warm_up(20),
            optimizer: Choice::new(
                "sgd",
                [
                    ("momentum", Value::from(0.9)),
                    ("nesterov", Value::from(false)),
                    ("weight_decay", Value::from(0.0)),
                ],
            ),
            methods: Vec::new(),
            controller: None,
            clip: None,
            study_seed: self.study_seed,
            seed: id,
            cap,
            target: Some(target()),
            evaluation: EvaluationPlan::default(),
            diagnostics: Vec::new(),
        };
        run(spec, steps)
    }
}

/// Runs the power law to the target or the cap.
pub fn run(spec: TrialSpec, steps_to_target: f64) -> TrialRecord {
    let error = |step: u64| 0.03 * (steps_to_target / step as f64).sqrt();
    let measure = |step: u64, replayed: bool| {
        let metrics: [(Metric, f64); 2] = [
            ("val-error".parse().unwrap(), error(step)),
            ("train-loss".parse().unwrap(), 2.0 * error(step)),
        ];
        Measurement {
            step,
            examples: step * spec.batch_size,
            seconds: step as f64 * 1e-3,
            learning_rate: spec.learning_rate,
            metrics: metrics.into_iter().collect(),
            replayed,
            noise: None,
        }
    };
    let mut measurements = Vec::new();
    let mut crossing = Crossing::new(spec.target.clone().unwrap());
    let mut step = 0;
    let outcome = loop {
        step = spec.evaluation.next_after(step).min(spec.cap);
        let before = crossing.clone();
        measurements.push(measure(step, false));
        if let Some((after, upper)) = crossing.observe(step, error(step)) {
            let mut replay = before;
            let mut found = (after, upper);
            for finer in spec.evaluation.replay_steps(after, upper) {
                measurements.push(measure(finer, true));
                if let Some(bracket) = replay.observe(finer, error(finer)) {
                    found = bracket;
                    break;
                }
                found.0 = finer;
            }
            break Outcome::Reached {
                step: found.1,
                after: found.0,
            };
        }
        if step == spec.cap {
            break Outcome::NotReached { cap: spec.cap };
        }
    };
    measurements.sort_by_key(|m| m.step);
    let end = measurements[measurements.len() - 1].step;
    TrialRecord {
        micro_batch: spec.batch_size.min(128),
        seconds: end as f64 * 1e-3 * (1.0 + spec.batch_size as f64 / 64.0),
        spec,
        outcome,
        measurements,
        notes: Vec::new(),
    }
}
