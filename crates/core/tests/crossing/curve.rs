//! Metrics with a known crossing, and runs along them.

use batchscope_core::{
    Driving, Evaluation, EvaluationPlan, NeverStop, Next, Outcome, Purpose, StreamKey, TrialDriver,
    TrialRecord, TrialSpec,
};
use rand_core::Rng;

/// Steps over which noise is correlated, where it is.
const MEMORY: f64 = 10.0;

/// A metric that is 1 after `truth` steps, noise apart.
pub struct Curve {
    pub p: f64,
    pub truth: f64,
    sigma: f64,
    /// The noise after each step.
    noise: Vec<f64>,
}

impl Curve {
    /// `(truth/s)^p` with noise of deviation `sigma`.
    pub fn new(p: f64, truth: f64, sigma: f64, correlated: bool, seed: u64) -> Self {
        let mut normal = normals(seed);
        let keep = match correlated {
            true => (-1.0 / MEMORY).exp(),
            false => 0.0,
        };
        // Nothing that is evaluated later is near the target.
        let length = if sigma > 0.0 { 4.0 * truth } else { 0.0 };
        let mut last = normal();
        let noise = std::iter::repeat_with(|| {
            last = keep * last + (1.0 - keep * keep).sqrt() * normal();
            last
        });
        Self {
            p,
            truth,
            sigma,
            noise: noise.take(length as usize).collect(),
        }
    }

    /// The metric after `step` steps.
    pub fn at(&self, step: u64) -> f64 {
        let noise = self.noise.get(step as usize).copied().unwrap_or(0.0);
        (self.truth / step as f64).powf(self.p) + self.sigma * noise
    }
}

/// Standard normal numbers (Box and Muller's).
fn normals(seed: u64) -> impl FnMut() -> f64 {
    let key = StreamKey {
        study_seed: 12,
        trial: seed,
        purpose: Purpose::Simulation,
    };
    let mut rng = key.stream(0);
    let mut second = None;
    move || {
        second.take().unwrap_or_else(|| {
            let mut unit = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            let radius = (-2.0 * unit().ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * unit()).sin_cos();
            second = Some(radius * sin);
            radius * cos
        })
    }
}

/// A run to a target, for eight times the steps that it takes at most.
pub fn spec(curve: &Curve, evaluation: EvaluationPlan, target: &str) -> TrialSpec {
    serde_json::from_value(serde_json::json!({
        "id": 0, "purpose": {"kind": "single"}, "curves": [], "batch_size": 10,
        "micro_batch": null, "learning_rate": 0.1, "clip": null, "study_seed": 0, "seed": 0,
        "schedule": {"warm_up": {"length": {"steps": 0}, "shape": "linear"},
                     "decay": {"kind": "constant"}, "base_learning_rate": null},
        "optimizer": {"kind": "sgd", "momentum": 0.0, "nesterov": false, "weight_decay": 0.0},
        "target": target.parse::<batchscope_core::Target>().unwrap(),
        "evaluation": evaluation, "cap": (8.0 * curve.truth) as u64, "diagnostics": []
    }))
    .unwrap()
}

/// Drives a run along a curve to its end.
pub fn run(spec: &TrialSpec, curve: &Curve, driving: Driving) -> TrialRecord {
    let metric = &spec.target.as_ref().unwrap().metric;
    let mut driver = TrialDriver::new(spec, driving);
    let events = &mut |_| {};
    driver.start(events);
    let outcome: Outcome = loop {
        match driver.next(&NeverStop) {
            Next::Step { .. } => driver.stepped(0.0, 0.1, 0.0, events),
            Next::Evaluate(_) => {
                let metrics = [(metric.clone(), curve.at(driver.step()))];
                driver.measured(Evaluation::new(metrics.into(), 0.1), events);
            }
            Next::End(outcome) => break outcome,
            Next::Interrupt => unreachable!("nobody interrupts"),
        }
    };
    driver.record(outcome, 10)
}
