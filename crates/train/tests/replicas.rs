//! Replicas on threads take the steps of one process: for every optimizer and method, with what is measured along the way,
//! across interruptions, and when one of them fails.

mod common;

use std::sync::{Arc, atomic::AtomicU64};

use batchscope_core::{
    Control, DataShape, Diagnostic, InputShape, Metric, NeverStop, NoiseRecord, Outcome, Schedule,
    Task, Trainer, TrialPurpose, TrialRecord, TrialSpec,
};
use batchscope_optim::OPTIMIZERS;
use batchscope_train::{
    BuiltIn, NoiseRequest, Replicas, read_methods,
    testing::{Blobs, TinyFactory},
};
use common::*;

fn replicated(factory: TinyFactory, shape: DataShape, threads: usize) -> BuiltIn {
    let mut config = config(factory, shape);
    config.replicas = Replicas::Threads(threads);
    BuiltIn::new(config).unwrap()
}

fn normalized() -> TinyFactory {
    TinyFactory {
        ghost: Some(4),
        dropout: 0.2,
        ..TinyFactory::default()
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

/// A run of 25 steps of 24 examples.
fn short() -> TrialSpec {
    TrialSpec {
        purpose: TrialPurpose::Single,
        batch_size: 24,
        learning_rate: 0.01,
        schedule: Schedule::constant(),
        cap: 25,
        ..spec()
    }
}

/// True if two runs differ by no more than the order of sums.
fn close(a: &TrialRecord, b: &TrialRecord, what: &str) {
    assert_eq!(a.outcome, b.outcome, "{what}");
    assert_eq!(a.measurements.len(), b.measurements.len(), "{what}");
    for (a, b) in a.measurements.iter().zip(&b.measurements) {
        assert_eq!((a.step, a.examples), (b.step, b.examples), "{what}");
        for (metric, x) in &a.metrics {
            let y = b.metrics[metric];
            // One example more or less is classified rightly.
            let name = metric.to_string();
            let tolerance = match () {
                () if name.contains("loss") => 1e-4 * (1.0 + y.abs()),
                () if name.contains("noise") => 1e-2 * y.abs(),
                () => 0.011,
            };
            assert!((x - y).abs() <= tolerance, "{what}: {metric} {x} and {y}");
        }
    }
}

#[test]
fn every_optimizer_takes_the_steps_of_one_process() {
    // Without batch norm: the gradient of a bias before it is nothing but rounding, which Adam scales up to a step.
    let dropping = TinyFactory {
        dropout: 0.2,
        ..TinyFactory::default()
    };
    for kind in OPTIMIZERS.all {
        let spec = TrialSpec {
            optimizer: kind.descriptor.defaults().unwrap(),
            clip: Some(0.5),
            ..short()
        };
        let name = kind.descriptor.name;
        let alone = run(&replicated(dropping, classes(), 1), &spec);
        for threads in [2, 4, 8] {
            let trainer = replicated(dropping, classes(), threads);
            let together = run(&trainer, &spec);
            close(&together, &alone, &format!("{name} on {threads}"));
            let again = run(&trainer, &spec);
            assert_eq!(essence(&together), essence(&again), "{name} on {threads}");
        }
    }
}

#[test]
fn every_method_and_measurement_does() {
    for (what, methods, measure, factory) in [
        (
            "adversarial",
            "adversarial(0.1)",
            "attacked(0.1)",
            normalized(),
        ),
        ("conadv", "conadv(0.1)", "schedule", normalized()),
        ("conservative", "conservative(0.1, 2)", "", normalized()),
        ("augmented", "", "linearity", TinyFactory::default()),
        ("measured by signs", "", "sign_noise", normalized()),
    ] {
        let diagnostics = batchscope_train::read_measurements(measure).unwrap();
        let spec = TrialSpec {
            methods: read_methods(methods).unwrap(),
            diagnostics,
            ..short()
        };
        let trainer = |threads| {
            let mut config = config(factory, image());
            config.augment = "crop(1)+flip".replace('+', ", ").parse().unwrap();
            config.replicas = Replicas::Threads(threads);
            // The noise by signs takes two thousand examples.
            config.train = Arc::new(Blobs::new(2500, image(), 1000));
            BuiltIn::new(config).unwrap()
        };
        let alone = run(&trainer(1), &spec);
        // Of 24 examples in groups of 4, eight replicas leave two without any.
        for threads in [3, 8] {
            close(
                &run(&trainer(threads), &spec),
                &alone,
                &format!("{what} on {threads}"),
            );
        }
    }
}

#[test]
fn the_gradient_noise_is_that_of_one_process_or_comes_from_the_replicas_gradients() {
    let by_examples = TinyFactory {
        per_example_grad_norms: true,
        ..TinyFactory::default()
    };
    let spec = TrialSpec {
        diagnostics: vec![Diagnostic::named(Diagnostic::NOISE)],
        cap: 300,
        ..short()
    };
    let traces = |record: &TrialRecord| -> Vec<f64> {
        let moments = record.measurements.iter().filter_map(|m| match &m.noise {
            Some(NoiseRecord::Measured(moments)) => Some(moments.trace / moments.steps as f64),
            _ => None,
        });
        moments.collect()
    };
    let alone = traces(&run(&replicated(by_examples, classes(), 1), &spec));
    let together = traces(&run(&replicated(by_examples, classes(), 4), &spec));
    assert!(alone.len() > 5 && alone.len() == together.len());
    for (a, b) in alone.iter().zip(&together) {
        assert!((a / b).ln().abs() < 0.02, "{a} {b}");
    }
    // Where examples are not told apart, each replica's gradient is a part of the step.
    let parts = traces(&run(
        &replicated(TinyFactory::default(), classes(), 4),
        &spec,
    ));
    assert!(parts.len() > 5);
    let mean = |traces: &[f64]| traces.iter().sum::<f64>() / traces.len() as f64;
    let ratio = mean(&parts) / mean(&alone);
    assert!((ratio.ln()).abs() < 0.25, "{ratio}");
}

#[test]
fn the_noise_of_a_network_at_rest_is_measured_by_all() {
    let request = NoiseRequest {
        batch_size: 16,
        micro_batch: None,
        seed: 4,
        checkpoint: None,
        width: 1.0,
        max_examples: 8_000,
        level: 0.95,
    };
    let measured = |threads| {
        let trainer = replicated(TinyFactory::default(), classes(), threads);
        let found = trainer.measure_noise(&request, &NeverStop, &mut |_, _| {});
        found.unwrap().unwrap()
    };
    let (alone, together) = (measured(1), measured(4));
    assert_eq!(alone.steps, together.steps);
    let value = |m: &batchscope_train::NoiseMeasurement| {
        m.noise.whole.population.noise_scale.value.unwrap()
    };
    // Parts of two examples alone, of two and of one where four replicas share sixteen: the same quantity.
    let ratio = value(&together) / value(&alone);
    assert!(ratio.ln().abs() < 0.1, "{ratio}");
    // It stops when it is told to.
    let trainer = replicated(TinyFactory::default(), classes(), 4);
    let stopped =
        trainer.measure_noise(&request, &InterruptAfter(AtomicU64::new(3)), &mut |_, _| {});
    assert!(stopped.unwrap().is_none());
}

#[test]
fn a_run_goes_on_on_any_number_of_replicas() {
    let folder = tempfile::tempdir().unwrap();
    let spec = TrialSpec { cap: 60, ..short() };
    let trainer = |threads| {
        let mut config = config(normalized(), classes());
        config.replicas = Replicas::Threads(threads);
        config.checkpoint_dir = Some(folder.path().to_owned());
        BuiltIn::new(config).unwrap()
    };
    let whole = run(&trainer(4), &spec);
    // Of one size: to the bit.
    let (pieces, interruptions) = in_pieces(&trainer(4), &spec, 7);
    assert!(interruptions > 3);
    assert_eq!(essence(&pieces), essence(&whole));
    // Of several.
    let mut last = None;
    for threads in [4, 1, 2, 8, 3] {
        let control: Box<dyn Control> = match threads {
            3 => Box::new(NeverStop),
            _ => Box::new(InterruptAfter::steps(15)),
        };
        let record = trainer(threads)
            .run(&spec, control.as_ref(), &mut |_| {})
            .unwrap();
        last = Some(record);
    }
    let last = last.unwrap();
    assert!(
        !last.notes.iter().any(|note| note.contains("started again")),
        "{:?}",
        last.notes
    );
    close(&last, &whole, "on 4, 1, 2, 8 and 3 replicas");
}

#[test]
fn a_replica_that_fails_ends_the_run_with_its_reason() {
    static PASSES: AtomicU64 = AtomicU64::new(42);
    let factory = TinyFactory {
        passes_left: Some(&PASSES),
        ..TinyFactory::default()
    };
    let record = run(&replicated(factory, classes(), 4), &short());
    let Outcome::Failed { why } = &record.outcome else {
        panic!("{:?}", record.outcome);
    };
    assert!(why.contains("it was unplugged"), "{why}");
}

#[test]
fn steps_are_timed_together() {
    let trainer = replicated(normalized(), classes(), 2);
    let timing = trainer.time(&short(), 0.01, &NeverStop).unwrap().unwrap();
    assert_eq!(timing.batch_size, 24);
    let stopped = trainer
        .time(&short(), 1e9, &InterruptAfter::steps(9))
        .unwrap();
    assert!(stopped.is_none());
}

#[test]
fn a_target_is_reached_by_all_at_the_same_step() {
    let spec = TrialSpec {
        purpose: TrialPurpose::Fresh { index: 0 },
        target: Some("val-loss=0.5".parse().unwrap()),
        cap: 500,
        learning_rate: 0.02,
        ..short()
    };
    let record = run(&replicated(normalized(), classes(), 4), &spec);
    assert!(
        matches!(record.outcome, Outcome::Reached { .. }),
        "{:?}",
        record.outcome
    );
    let metric: Metric = "test-loss".parse().unwrap();
    assert!(
        record
            .measurements
            .last()
            .unwrap()
            .metrics
            .contains_key(&metric)
    );
    assert!(record.notes[0].contains("4 replicas"), "{:?}", record.notes);
}
