//! A small problem for all suites: blobs to classify, a perceptron written by hand.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use batchscope_core::{
    Choice, Control, DataShape, Decision, EvaluationPlan, Event, Flow, Metric, NeverStop,
    NoiseRecord, Outcome, Schedule, ScheduleRow, Trainer, TrialPurpose, TrialRecord, TrialSpec,
    Value,
};
use batchscope_train::{
    BuiltIn, BuiltInConfig,
    testing::{Blobs, TinyFactory},
};

pub fn config(factory: TinyFactory, shape: DataShape) -> BuiltInConfig {
    BuiltInConfig::new(
        Arc::new(factory),
        "blobs",
        Arc::new(Blobs::new(500, shape, 1000)),
        Some(Arc::new(Blobs::new(200, shape, 1001))),
        Some(Arc::new(Blobs::new(300, shape, 1002))),
    )
}

pub fn classes() -> DataShape {
    use batchscope_core::{InputShape, Task};
    DataShape {
        input: InputShape::Vector { features: 6 },
        task: Task::Classify { classes: 4 },
    }
}

pub fn trainer() -> BuiltIn {
    BuiltIn::new(config(TinyFactory::default(), classes())).unwrap()
}

pub fn spec() -> TrialSpec {
    TrialSpec {
        id: 3,
        purpose: TrialPurpose::Tune { index: 0, round: 0 },
        curves: Vec::new(),
        batch_size: 16,
        micro_batch: None,
        learning_rate: 0.05,
        schedule: Schedule::warm_up(10),
        optimizer: Choice::new(
            "sgd",
            [
                ("momentum", Value::from(0.9)),
                ("nesterov", Value::from(false)),
                ("weight_decay", Value::from(1e-3)),
            ],
        ),
        methods: Vec::new(),
        controller: None,
        clip: None,
        decay: Default::default(),
        study_seed: 11,
        seed: 5,
        cap: 200,
        max_examples: None,
        start: None,
        target: None,
        evaluation: EvaluationPlan::default(),
        diagnostics: Vec::new(),
    }
}

/// A trainer that saves its trials.
pub fn saving(folder: &Path, factory: TinyFactory) -> BuiltIn {
    let mut config = config(factory, classes());
    config.checkpoint_dir = Some(folder.to_owned());
    BuiltIn::new(config).unwrap()
}

/// Runs to the end, interrupted every so many questions; how often it was.
pub fn in_pieces(trainer: &BuiltIn, spec: &TrialSpec, every: u64) -> (TrialRecord, u64) {
    for interruptions in 0..100_000 {
        let record = trainer
            .run(spec, &InterruptAfter::steps(every), &mut |_| {})
            .unwrap();
        if record.outcome != Outcome::Interrupted {
            trainer.forget(spec);
            return (record, interruptions);
        }
    }
    panic!("no headway");
}

/// Runs a spec undisturbed.
pub fn run(trainer: &dyn Trainer, spec: &TrialSpec) -> TrialRecord {
    trainer.run(spec, &NeverStop, &mut |_| {}).unwrap()
}

/// Step, examples, learning rate, finer or not, metrics, noise: a measurement without its time.
pub type Measured = (
    u64,
    u64,
    f64,
    bool,
    BTreeMap<Metric, f64>,
    Option<NoiseRecord>,
);

/// What must not depend on the machine, the interruptions or the neighbors.
#[derive(Debug, PartialEq)]
pub struct Essence {
    pub outcome: batchscope_core::Outcome,
    pub measurements: Vec<Measured>,
    pub decisions: Vec<Decision>,
    pub schedule: Vec<ScheduleRow>,
    pub notes: Vec<String>,
}

pub fn essence(record: &TrialRecord) -> Essence {
    let measurement = |m: &batchscope_core::Measurement| {
        (
            m.step,
            m.examples,
            m.learning_rate,
            m.finer,
            m.metrics.clone(),
            m.noise.clone(),
        )
    };
    Essence {
        outcome: record.outcome.clone(),
        measurements: record.measurements.iter().map(measurement).collect(),
        decisions: record.decisions.clone(),
        schedule: record.schedule.clone(),
        notes: record.notes.clone(),
    }
}

/// Interrupts after a number of questions.
pub struct InterruptAfter(pub AtomicU64);

impl InterruptAfter {
    pub fn steps(steps: u64) -> Self {
        Self(AtomicU64::new(steps))
    }
}

impl Control for InterruptAfter {
    fn flow(&self) -> Flow {
        match self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
        {
            Ok(1) | Err(_) => Flow::Interrupt,
            Ok(_) => Flow::Continue,
        }
    }
}

/// The steps of the events of each kind.
#[derive(Debug, Default)]
pub struct Log {
    pub started: Vec<u64>,
    pub steps: Vec<u64>,
    pub losses: Vec<f64>,
    pub measured: Vec<u64>,
    pub checkpointed: Vec<u64>,
}

impl Log {
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Started { step } => self.started.push(step),
            Event::Step { step, loss, .. } => {
                self.steps.push(step);
                self.losses.push(loss);
            }
            Event::Measured(measurement) => self.measured.push(measurement.step),
            Event::Checkpointed { step } => self.checkpointed.push(step),
            Event::Decided(_) => {}
        }
    }
}
