//! One step from micro-batches equals the step from the whole batch, replicas included.

mod common;

use std::{collections::BTreeMap, sync::Arc};

use batchscope_core::{
    Choice, DataShape, DecayPolicy, Diagnostic, Driving, Examples, Group, InputShape, Metric,
    NetworkFactory, NeverStop, Outcome, Purpose, Schedule, Solo, StateTensor, StreamKey, Task,
    TrainerError, TrialDriver, TrialSpec, Value,
};
use batchscope_group::ThreadGroup;
use batchscope_rules::{Controller, Course, controller};
use batchscope_train::{
    BatchStream, BuiltIn, EvaluationSet, Evaluator, Plain, Portions, Run, Supervised, Synchronous,
    augment::Augmenter,
    testing::{Blobs, TinyFactory},
    train_loop,
};
use common::*;

/// What leads a run of a spec on so many examples.
fn led_by(spec: &TrialSpec, train_examples: u64) -> Box<dyn Controller> {
    let course = Course::of(spec, Some(train_examples));
    controller(spec.controller.as_ref(), &course).unwrap()
}

/// Trains `steps` steps by the public parts, as member of a group; the network's state at the end.
fn train(
    factory: TinyFactory,
    shape: DataShape,
    spec: &TrialSpec,
    micro_batch: u64,
    augment: &str,
    group: &dyn Group,
) -> (Vec<StateTensor>, BTreeMap<Metric, f64>) {
    let examples = Blobs::new(300, shape, 2000);
    let key = StreamKey {
        study_seed: spec.study_seed,
        trial: spec.seed,
        purpose: Purpose::Initialization,
    };
    let network = factory.build(&shape, key).unwrap();
    let sampler = examples
        .sampler(key.with_purpose(Purpose::Order), spec.batch_size)
        .unwrap();
    let unit = network.ghost_size(spec.batch_size).unwrap_or(1);
    let portions = Portions::of_member(micro_batch, unit, group);
    let augmenter = Augmenter::new(&augment.parse().unwrap(), &shape, key).unwrap();
    let optimizer =
        batchscope_optim::build(&spec.optimizer, network.layout(), DecayPolicy::Weights).unwrap();
    let mut run = Run {
        driver: TrialDriver::new(spec, Driving::default()),
        source: Box::new(Supervised::new(BatchStream::new(
            sampler, shape, portions, augmenter, key,
        ))),
        rule: Box::new(Synchronous::new(optimizer, spec.clip)),
        method: Box::new(Plain),
        controller: led_by(spec, 300),
        evaluator: Evaluator {
            train: EvaluationSet::drawn(&examples, 100, 32, spec.study_seed).unwrap(),
            validation: None,
            test: None,
            shape,
        },
        checkpointer: None,
        network,
        group,
        portions,
    };
    let outcome = train_loop(&mut run, &NeverStop, &mut |_| {}).unwrap();
    assert_eq!(outcome, Outcome::Completed { step: spec.cap });
    let metrics = run
        .driver
        .progress()
        .measurements
        .last()
        .unwrap()
        .metrics
        .clone();
    (run.network.export().unwrap(), metrics)
}

fn close(a: &[StateTensor], b: &[StateTensor], tolerance: f32, what: &str) {
    for (a, b) in a.iter().zip(b) {
        for (x, y) in a.values.iter().zip(&b.values) {
            assert!(
                (x - y).abs() <= tolerance * (1.0 + y.abs()),
                "{what}: {} {x} against {y}",
                a.name
            );
        }
    }
}

fn image() -> DataShape {
    DataShape {
        input: InputShape::Image {
            height: 4,
            width: 4,
            channels: 1,
        },
        task: Task::Classify { classes: 3 },
    }
}

/// Every combination that must not notice the cut into micro-batches.
fn settings() -> Vec<(
    &'static str,
    TinyFactory,
    DataShape,
    TrialSpec,
    &'static str,
)> {
    let tiny = TinyFactory::default();
    let base = TrialSpec {
        batch_size: 16,
        cap: 30,
        schedule: Schedule::constant(),
        ..spec()
    };
    let plain = Choice::new(
        "sgd",
        [
            ("momentum", Value::from(0.0)),
            ("nesterov", Value::from(false)),
            ("weight_decay", Value::from(0.0)),
        ],
    );
    let nesterov = Choice::new(
        "sgd",
        [
            ("momentum", Value::from(0.9)),
            ("nesterov", Value::from(true)),
            ("weight_decay", Value::from(0.01)),
        ],
    );
    let adamw = Choice::new(
        "adamw",
        [
            ("beta1", Value::from(0.9)),
            ("beta2", Value::from(0.999)),
            ("epsilon", Value::from(1e-3)),
            ("weight_decay", Value::from(0.1)),
        ],
    );
    let regression = DataShape {
        input: InputShape::Vector { features: 6 },
        task: Task::Regress { outputs: 2 },
    };
    vec![
        (
            "plain",
            tiny,
            classes(),
            TrialSpec {
                optimizer: plain,
                ..base.clone()
            },
            "none",
        ),
        ("momentum and decay", tiny, classes(), base.clone(), "none"),
        (
            "nesterov",
            tiny,
            classes(),
            TrialSpec {
                optimizer: nesterov,
                ..base.clone()
            },
            "none",
        ),
        (
            "adamw",
            tiny,
            classes(),
            TrialSpec {
                optimizer: adamw,
                learning_rate: 0.01,
                ..base.clone()
            },
            "none",
        ),
        (
            "schedule",
            tiny,
            classes(),
            TrialSpec {
                schedule: Schedule::warm_up(12),
                ..base.clone()
            },
            "none",
        ),
        (
            "clipped",
            tiny,
            classes(),
            TrialSpec {
                clip: Some(0.3),
                decay: Default::default(),
                ..base.clone()
            },
            "none",
        ),
        (
            "regression",
            tiny,
            regression,
            TrialSpec {
                learning_rate: 0.005,
                ..base.clone()
            },
            "none",
        ),
        (
            "dropout",
            TinyFactory {
                dropout: 0.3,
                ..tiny
            },
            classes(),
            base.clone(),
            "none",
        ),
        (
            "augmented",
            tiny,
            image(),
            base.clone(),
            "crop:1,flip,rotate:20,translate:0.3,cutout:2",
        ),
        (
            "straddling epochs",
            tiny,
            classes(),
            TrialSpec {
                batch_size: 113,
                cap: 12,
                ..base
            },
            "none",
        ),
    ]
}

#[test]
fn any_micro_batch_gives_the_step_of_the_whole_batch() {
    for (what, factory, shape, spec, augment) in settings() {
        let (whole, metrics) = train(factory, shape, &spec, spec.batch_size, augment, &Solo);
        for micro_batch in [1, 2, 4, 8, 5, 7, 16, 1000] {
            let (parts, part_metrics) = train(factory, shape, &spec, micro_batch, augment, &Solo);
            close(
                &parts,
                &whole,
                2e-4,
                &format!("{what}, micro-batch {micro_batch}"),
            );
            for (metric, value) in &part_metrics {
                assert!(
                    (value - metrics[metric]).abs() < 0.011,
                    "{what}, micro-batch {micro_batch}: {metric}"
                );
            }
        }
    }
}

#[test]
fn batch_norm_goes_by_ghost_batches_running_statistics_included() {
    let factory = TinyFactory {
        ghost: Some(4),
        ..TinyFactory::default()
    };
    let spec = TrialSpec { cap: 30, ..spec() };
    for batch_size in [16, 18] {
        let spec = TrialSpec {
            batch_size,
            ..spec.clone()
        };
        let (whole, _) = train(factory, classes(), &spec, batch_size, "none", &Solo);
        for micro_batch in [4, 8, 12] {
            let (parts, _) = train(factory, classes(), &spec, micro_batch, "none", &Solo);
            assert_eq!(parts[6].name, "norm.mean");
            close(
                &parts,
                &whole,
                2e-4,
                &format!("batch {batch_size}, micro-batch {micro_batch}"),
            );
        }
    }
}

#[test]
fn a_micro_batch_that_is_no_multiple_of_the_ghost_size_is_refused() {
    let factory = TinyFactory {
        ghost: Some(4),
        ..TinyFactory::default()
    };
    let trainer = BuiltIn::new(config(factory, classes())).unwrap();
    let outcome =
        |spec: &TrialSpec| batchscope_core::Trainer::run(&trainer, spec, &NeverStop, &mut |_| {});
    let odd = TrialSpec {
        micro_batch: Some(6),
        cap: 5,
        ..spec()
    };
    let Err(TrainerError::Setting(error)) = outcome(&odd) else {
        panic!()
    };
    assert_eq!(error.key, "micro-batch");
    assert!(error.why.contains("multiple of 4"), "{error}");
    let record = outcome(&TrialSpec {
        micro_batch: Some(8),
        cap: 5,
        ..spec()
    })
    .unwrap();
    assert!(record.notes.is_empty(), "{:?}", record.notes);
    // A batch smaller than the ghost size changes the network, and says so.
    let record = outcome(&TrialSpec {
        batch_size: 3,
        cap: 5,
        ..spec()
    })
    .unwrap();
    assert!(
        record.notes[0].contains("3 examples instead of 4"),
        "{:?}",
        record.notes
    );
}

#[test]
fn a_group_of_threads_takes_the_steps_of_one_process() {
    for (what, factory, shape, spec, augment) in settings() {
        let (solo, metrics) = train(factory, shape, &spec, 8, augment, &Solo);
        for size in [2, 3] {
            let states: Vec<_> = std::thread::scope(|scope| {
                let spec = &spec;
                let threads: Vec<_> = ThreadGroup::members(size)
                    .into_iter()
                    .map(|member| {
                        scope.spawn(move || train(factory, shape, spec, 5, augment, &member))
                    })
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            for (state, member_metrics) in &states {
                close(state, &solo, 2e-4, &format!("{what}, {size} replicas"));
                assert_eq!(state, &states[0].0, "{what}: the replicas drift apart");
                for (metric, value) in member_metrics {
                    assert!((value - metrics[metric]).abs() < 0.011, "{what}: {metric}");
                }
            }
        }
    }
}

#[test]
fn the_mean_gradient_is_what_is_clipped() {
    // Clipped to a tiny norm, plain descent moves by exactly rate · clip, whatever the batch.
    let optimizer = Choice::new(
        "sgd",
        [
            ("momentum", Value::from(0.0)),
            ("nesterov", Value::from(false)),
            ("weight_decay", Value::from(0.0)),
        ],
    );
    for batch_size in [2, 64] {
        let spec = TrialSpec {
            batch_size,
            optimizer: optimizer.clone(),
            clip: Some(1e-3),
            decay: Default::default(),
            learning_rate: 0.5,
            schedule: Schedule::constant(),
            cap: 1,
            ..spec()
        };
        let key = StreamKey {
            study_seed: spec.study_seed,
            trial: spec.seed,
            purpose: Purpose::Initialization,
        };
        let before = TinyFactory::default()
            .build(&classes(), key)
            .unwrap()
            .export()
            .unwrap();
        let (after, _) = train(TinyFactory::default(), classes(), &spec, 1, "none", &Solo);
        let moved: f64 = before
            .iter()
            .zip(&after)
            .flat_map(|(b, a)| b.values.iter().zip(&a.values))
            .map(|(b, a)| f64::from(a - b).powi(2))
            .sum();
        assert!((moved.sqrt() - 5e-4).abs() < 1e-6, "{}", moved.sqrt());
    }
}

#[test]
fn a_probe_leaves_the_run_to_the_bit_and_tells_the_error_of_the_first_order() {
    for factory in [
        TinyFactory::default(),
        TinyFactory {
            ghost: Some(4),
            dropout: 0.2,
            ..TinyFactory::default()
        },
    ] {
        let trainer = BuiltIn::new(config(factory, classes())).unwrap();
        let linearity: Metric = "train-linearity".parse().unwrap();
        let plain = TrialSpec {
            cap: 60,
            target: Some("val-loss=0.4".parse().unwrap()),
            ..spec()
        };
        let without = run(&trainer, &plain);
        let mut with = run(
            &trainer,
            &TrialSpec {
                diagnostics: vec![Diagnostic::named(Diagnostic::LINEARITY)],
                ..plain.clone()
            },
        );
        let found: Vec<f64> = with
            .measurements
            .iter_mut()
            .filter(|m| !m.finer)
            .map(|m| m.metrics.remove(&linearity).unwrap())
            .collect();
        with.spec = plain.clone();
        assert_eq!(essence(&with), essence(&without));
        // Small steps are linear, and the error falls faster than the rate.
        let slow = TrialSpec {
            learning_rate: 0.0005,
            diagnostics: vec![Diagnostic::named(Diagnostic::LINEARITY)],
            ..plain
        };
        let slow = run(&trainer, &slow).measurements[3].metrics[&linearity];
        assert!(
            slow < found[3] && slow < 1e-2,
            "{slow} against {}",
            found[3]
        );
    }
}

#[test]
fn linearity_is_the_formula_on_a_loss_known_in_closed_form() {
    // Full-batch linear-in-parameters check: with one step taken by hand from the public parts.
    let shape = classes();
    let examples = Arc::new(Blobs::new(40, shape, 3000));
    let mut config = config(TinyFactory::default(), shape);
    config.train = examples.clone();
    let trainer = BuiltIn::new(config).unwrap();
    let spec = TrialSpec {
        batch_size: 40,
        cap: 1,
        optimizer: Choice::new(
            "sgd",
            [
                ("momentum", Value::from(0.0)),
                ("nesterov", Value::from(false)),
                ("weight_decay", Value::from(0.0)),
            ],
        ),
        schedule: Schedule::constant(),
        learning_rate: 0.3,
        diagnostics: vec![Diagnostic::named(Diagnostic::LINEARITY)],
        ..spec()
    };
    let linearity: Metric = "train-linearity".parse().unwrap();
    let loss: Metric = "train-loss".parse().unwrap();
    let watched = run(&trainer, &spec).measurements[0].metrics[&linearity];

    // The step after it, taken for real, with the full batch: L(w) is its training loss, and
    // ‖g‖² = ‖Δw‖²/η².
    let two = TrialSpec {
        cap: 2,
        diagnostics: Vec::new(),
        ..spec.clone()
    };
    let (first, m1) = states_after(
        &examples,
        &TrialSpec {
            cap: 1,
            ..two.clone()
        },
    );
    let (second, m2) = states_after(&examples, &two);
    let moved: f64 = first
        .iter()
        .zip(&second)
        .flat_map(|(a, b)| a.values.iter().zip(&b.values))
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum();
    let predicted = m1[&loss] - moved / 0.3;
    let expected = (m2[&loss] - predicted).abs();
    assert!(
        (watched - expected).abs() < 1e-4 * (1.0 + expected) && expected > 1e-3,
        "{watched} against {expected}"
    );
}

fn states_after(examples: &Blobs, spec: &TrialSpec) -> (Vec<StateTensor>, BTreeMap<Metric, f64>) {
    let shape = examples.shape();
    let key = StreamKey {
        study_seed: spec.study_seed,
        trial: spec.seed,
        purpose: Purpose::Initialization,
    };
    let network = TinyFactory::default().build(&shape, key).unwrap();
    let optimizer =
        batchscope_optim::build(&spec.optimizer, network.layout(), DecayPolicy::Weights).unwrap();
    let sampler = examples
        .sampler(key.with_purpose(Purpose::Order), spec.batch_size)
        .unwrap();
    let mut run = Run {
        driver: TrialDriver::new(spec, Driving::default()),
        source: Box::new(Supervised::new(BatchStream::new(
            sampler,
            shape,
            Portions::whole(40),
            None,
            key,
        ))),
        rule: Box::new(Synchronous::new(optimizer, None)),
        method: Box::new(Plain),
        controller: led_by(spec, 40),
        evaluator: Evaluator {
            train: EvaluationSet::stored(examples, 40, 250),
            validation: None,
            test: None,
            shape,
        },
        checkpointer: None,
        network,
        group: &Solo,
        portions: Portions::whole(40),
    };
    train_loop(&mut run, &NeverStop, &mut |_| {}).unwrap();
    (
        run.network.export().unwrap(),
        run.driver
            .progress()
            .measurements
            .last()
            .unwrap()
            .metrics
            .clone(),
    )
}
