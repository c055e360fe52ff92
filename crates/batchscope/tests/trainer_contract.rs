//! The built-in trainer, on a real network and real data, keeps the contract that the study loop
//! relies on. The suite is the study's, the trainer stands below it: this crate is where they meet.

use std::sync::Arc;

use batchscope_core::{
    Choice, EvaluationPlan, Outcome, Schedule, Trainer, TrialPurpose, TrialSpec, Value,
};
use batchscope_data::{GlyphOptions, LoadOptions, open};
use batchscope_navigation::{NAVIGATION, NavigationSettings, NavigationTrainer};
use batchscope_nn::{DeviceSpec, Factory};
use batchscope_study::trainer_contract;
use batchscope_train::{BuiltIn, BuiltInConfig};

/// A trainer of `model` on a few glyphs, saving what is unfinished into `folder`.
fn trainer(model: &str, folder: &std::path::Path) -> BuiltIn {
    let options = LoadOptions {
        glyphs: GlyphOptions {
            train: 600,
            test: 50,
            seed: 0,
        },
        ..LoadOptions::default()
    };
    let data = open("glyphs", &options).unwrap();
    let factory = Factory::new(model.parse().unwrap(), DeviceSpec::Cpu).unwrap();
    let mut config = BuiltInConfig::new(
        Arc::new(factory),
        data.description.clone(),
        data.train.clone(),
        Some(data.validation.clone()),
        data.test.clone(),
    );
    config.checkpoint_dir = Some(folder.to_owned());
    let trainer = BuiltIn::new(config).unwrap();
    trainer.limit_threads(Some(1));
    trainer
}

fn spec(optimizer: Choice, learning_rate: f64, target: &str) -> TrialSpec {
    TrialSpec {
        max_examples: None,
        start: None,
        id: 0,
        purpose: TrialPurpose::Tune { index: 0, round: 0 },
        curves: Vec::new(),
        batch_size: 32,
        micro_batch: Some(20),
        learning_rate,
        schedule: Schedule::warm_up(5),
        optimizer,
        methods: Vec::new(),
        controller: None,
        clip: None,
        decay: Default::default(),
        study_seed: 3,
        seed: 1,
        cap: 150,
        target: Some(target.parse().unwrap()),
        evaluation: EvaluationPlan {
            examples: 60,
            ..EvaluationPlan::default()
        },
        diagnostics: Vec::new(),
    }
}

fn momentum() -> Choice {
    Choice::new(
        "sgd",
        [
            ("momentum", Value::from(0.9)),
            ("nesterov", Value::from(false)),
            ("weight_decay", Value::from(1e-4)),
        ],
    )
}

/// The suite must see a trial that ends as the test says, or it would test another thing.
fn keeps_the_contract(model: &str, spec: &TrialSpec, ends: fn(&Outcome) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let trainer = trainer(model, folder.path());
    let record = trainer
        .run(spec, &batchscope_core::NeverStop, &mut |_| {})
        .unwrap();
    trainer.forget(spec);
    assert!(ends(&record.outcome), "{:?}", record.outcome);
    trainer_contract(&trainer, spec);
    let left = std::fs::read_dir(folder.path()).map_or(0, |files| files.count());
    assert_eq!(left, 0, "checkpoints of trials that ended are forgotten");
}

#[test]
fn a_perceptron_that_reaches_its_target() {
    keeps_the_contract("mlp(16)", &spec(momentum(), 0.05, "train-loss=1.5"), |o| {
        matches!(o, Outcome::Reached { .. })
    });
}

#[test]
fn a_convolutional_network_that_does_not() {
    let mut spec = spec(momentum(), 0.005, "val-error=0.0001");
    spec.cap = 25;
    keeps_the_contract("lenet", &spec, |o| matches!(o, Outcome::NotReached { .. }));
}

#[test]
fn adam_with_dropout() {
    let adam = Choice::new(
        "adam",
        [
            ("beta1", Value::from(0.9)),
            ("beta2", Value::from(0.999)),
            ("epsilon", Value::from(1e-8)),
            ("weight_decay", Value::from(0.0)),
        ],
    );
    let mut spec = spec(adam, 0.003, "train-loss=0.001");
    spec.cap = 25;
    keeps_the_contract("lenet(dropout=0.2)", &spec, |o| {
        matches!(o, Outcome::NotReached { .. })
    });
}

/// Policy optimization, whose batches are the frames of an update: it may be stopped between rollouts alone.
#[test]
fn navigation_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let workload = "navigation(rooms=1,triangles=600,scenes=2,held_out=2,farthest=2,width=4,hidden=8,layers=1,horizon=4,episodes=3)";
    let choice = NAVIGATION.read(&workload.parse().unwrap()).unwrap();
    let settings = NavigationSettings::of(&choice).unwrap();
    let checkpoints = Some(folder.path().to_owned());
    let trainer = NavigationTrainer::new(settings, workload.to_owned(), checkpoints).unwrap();
    trainer.limit_threads(Some(1));
    let lamb = batchscope_optim::OPTIMIZERS.read("lamb").unwrap().1;
    let spec = TrialSpec {
        batch_size: 16,
        micro_batch: None,
        cap: 21,
        evaluation: EvaluationPlan {
            examples: 3,
            ratio: 1.6,
            ..EvaluationPlan::default()
        },
        ..spec(lamb, 1e-3, "val-success=1.5")
    };
    trainer_contract(&trainer, &spec);
}
