#![allow(dead_code, reason = "each test binary uses its part")]
//! A study simulated end to end: trials whose validation error falls as a power of their steps,
//! driven as a trainer drives its own.

use std::collections::BTreeMap;

use batchscope_core::{
    Choice, Driving, Evaluate, Evaluation, EvaluationPlan, Metric, NeverStop, Next, Purpose,
    Schedule, StreamKey, Target, TrialDriver, TrialPurpose, TrialRecord, TrialSpec, Value,
    statistics::NormalDraws,
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
            target: Some(target()),
            target_origin: "fixed beforehand".into(),
            batch_sizes: self.batch_sizes.clone(),
            seeds: u64::from(self.seeds),
            study_seed: self.study_seed,
            base_batch: 64,
            tune: "every".into(),
            trials: BTreeMap::new(),
            conditions: None,
            own_settings: false,
            by_smoothing: false,
            measured_elsewhere: None,
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
                momentum: None,
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
            decay: Default::default(),
            study_seed: self.study_seed,
            seed: id,
            cap,
            max_examples: None,
            start: None,
            target: Some(target()),
            evaluation: EvaluationPlan::default(),
            diagnostics: Vec::new(),
        };
        run(spec, steps)
    }
}

/// Runs the power law to the target or the cap.
pub fn run(spec: TrialSpec, steps_to_target: f64) -> TrialRecord {
    let mut driver = TrialDriver::new(&spec, Driving::default());
    let events = &mut |_| {};
    driver.start(events);
    let seconds = 1e-3 * (1.0 + spec.batch_size as f64 / 64.0);
    let outcome = loop {
        match driver.next(&NeverStop) {
            Next::Step { .. } => driver.stepped(0.0, spec.learning_rate, seconds, events),
            Next::Evaluate(what) => {
                let error = 0.03 * (steps_to_target / driver.step() as f64).sqrt();
                let mut metrics: BTreeMap<Metric, f64> =
                    BTreeMap::from([("val-error".parse().unwrap(), error)]);
                if what == Evaluate::Whole {
                    metrics.insert("train-loss".parse().unwrap(), 2.0 * error);
                }
                driver.measured(Evaluation::new(metrics, spec.learning_rate), events);
            }
            Next::End(outcome) => break outcome,
            Next::Interrupt => unreachable!("nobody interrupts"),
        }
    };
    driver.record(outcome, spec.batch_size.min(128))
}
