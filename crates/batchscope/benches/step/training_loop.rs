//! One step of the training loop at W1, batch 32: forward and backward passes, the update, and the
//! rest, which is the loop's own (drawing examples, events, watching for divergence and stops).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use batchscope_core::{
    Cadence, Choice, EvaluationPlan, Event, NeverStop, Schedule, Trainer, TrialPurpose, TrialSpec,
    Value,
};
use batchscope_data::{GlyphOptions, LoadOptions};
use batchscope_nn::{DeviceSpec, Factory};
use batchscope_train::{BuiltIn, BuiltInConfig, SingleRun};
use criterion::Criterion;

use crate::{
    clocked::{Clock, ClockedFactory},
    workloads::THREADS,
};

/// What a measurement counts.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Passes,
    Update,
    Rest,
}

/// Adds the group.
pub fn bench(criterion: &mut Criterion) {
    let clock = Arc::new(Clock::default());
    let trainer = trainer(clock.clone());
    let mut group = criterion.benchmark_group("loop/W1/32");
    for (name, part) in [
        ("whole step", Part::Whole),
        ("passes", Part::Passes),
        ("update", Part::Update),
        ("the loop's own", Part::Rest),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|steps| time(&trainer, &clock, steps, part));
        });
    }
    group.finish();
}

/// The built-in trainer of 784-512-512-10 on images of 28 × 28.
fn trainer(clock: Arc<Clock>) -> BuiltIn {
    let options = LoadOptions {
        glyphs: GlyphOptions {
            train: 4000,
            test: 100,
            seed: 0,
        },
        ..LoadOptions::default()
    };
    let data = batchscope_data::open("glyphs", &options).expect("the built-in data");
    let model = "mlp(512,512)".parse().expect("a known model");
    let factory = Factory::new(model, DeviceSpec::Cpu).expect("a CPU");
    let config = BuiltInConfig::new(
        Arc::new(ClockedFactory { factory, clock }),
        data.description.clone(),
        data.train.clone(),
        Some(data.validation.clone()),
        None,
    );
    let trainer = BuiltIn::new(config).expect("a model that fits the data");
    trainer.limit_threads(Some(THREADS));
    trainer
}

/// Trains `steps` steps without an evaluation between them, and returns the time of one part.
fn time(trainer: &BuiltIn, clock: &Clock, steps: u64, part: Part) -> Duration {
    let single = SingleRun {
        cadence: Cadence::Every(u64::MAX),
        ..SingleRun::default()
    };
    let (mut begun, mut counted) = (Instant::now(), None);
    let events = &mut |event| match event {
        Event::Started { .. } => {
            clock.reset();
            begun = Instant::now();
        }
        Event::Step { step, .. } if step == steps => {
            let (whole, passes, update) = (begun.elapsed(), clock.network(), clock.update());
            counted = Some(match part {
                Part::Whole => whole,
                Part::Passes => passes,
                Part::Update => update,
                Part::Rest => whole.saturating_sub(passes + update),
            });
        }
        _ => {}
    };
    trainer
        .train_once(&spec(steps), &single, &NeverStop, events)
        .expect("a run on the CPU");
    counted.expect("a run to its cap")
}

fn spec(cap: u64) -> TrialSpec {
    TrialSpec {
        max_examples: None,
        start: None,
        id: 0,
        purpose: TrialPurpose::Single,
        curves: Vec::new(),
        batch_size: 32,
        micro_batch: None,
        learning_rate: 0.01,
        schedule: Schedule::constant(),
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
        study_seed: 0,
        seed: 0,
        cap,
        target: None,
        evaluation: EvaluationPlan {
            examples: 1,
            ..EvaluationPlan::default()
        },
        diagnostics: Vec::new(),
    }
}
