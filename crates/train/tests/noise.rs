//! Gradient noise from the gradients of training: what is measured is what is there, and measuring
//! leaves the run alone.

mod common;

use batchscope_core::{
    Batch, DataShape, Diagnostic, EvaluationPlan, Examples, Network, NetworkFactory, NoiseMoments,
    NoiseRecord, Outcome, Purpose, StepBatch, StreamKey, Trainer, TrialPurpose, TrialRecord,
    TrialSpec,
};
use batchscope_scaling::noise::{Pieces, Sampling, noise_of};
use batchscope_train::{
    BatchStream, BuiltIn, GradientSource, NoiseEstimator, NoiseRequest, Portions, StepNoise,
    Supervised,
    noise::window_norms,
    testing::{Blobs, TinyFactory},
};
use common::*;

const KEY: StreamKey = StreamKey {
    study_seed: 3,
    trial: 1,
    purpose: Purpose::Initialization,
};

/// The gradient of every example of a split, flat, one after the other alone.
fn gradients(network: &mut dyn Network, examples: &dyn Examples) -> Vec<Vec<f64>> {
    let mut batch = Batch::empty(examples.shape());
    let of = |i: u64| {
        network.begin_step(1);
        examples.fill_in_order(i..i + 1, &mut batch);
        batch.first_position = 0;
        network.accumulate(&batch, 1.0).unwrap();
        let mut flat = Vec::new();
        network
            .visit(&mut |_, _, g| flat.extend(g.iter().map(|&g| f64::from(g))))
            .unwrap();
        flat
    };
    (0..examples.len()).map(of).collect()
}

/// `|G_N|²` and `tr Σ` of these gradients, with N − 1 in the denominator.
fn truth(gradients: &[Vec<f64>]) -> (f64, f64) {
    let n = gradients.len() as f64;
    let mut mean = vec![0.0; gradients[0].len()];
    for gradient in gradients {
        mean.iter_mut().zip(gradient).for_each(|(m, g)| *m += g / n);
    }
    let apart = |g: &Vec<f64>| -> f64 { g.iter().zip(&mean).map(|(g, m)| (g - m).powi(2)).sum() };
    let trace = gradients.iter().map(apart).sum::<f64>() / (n - 1.0);
    (mean.iter().map(|m| m * m).sum(), trace)
}

/// The pieces of steps at fixed weights, however they are measured.
fn measured(
    network: &mut dyn Network,
    examples: &dyn Examples,
    batch_size: u64,
    micro_batch: u64,
    steps: u64,
) -> Vec<Pieces> {
    let sampler = examples
        .sampler(KEY.with_purpose(Purpose::Order), batch_size)
        .unwrap();
    let portions = Portions::whole(micro_batch);
    let stream = BatchStream::new(sampler, examples.shape(), portions, None, KEY);
    let mut source = Supervised::new(stream).measuring_every_step();
    let mut step = |k| {
        let step = StepBatch::constant(k, batch_size);
        let (_, found) = source.measured_gradient(network, step).unwrap();
        let StepNoise::Parts(parts) = found else {
            panic!("{found:?}");
        };
        let pieces = parts.pieces(&window_norms(network).unwrap()).unwrap();
        pieces.into_iter().sum()
    };
    (0..steps).map(&mut step).collect()
}

fn regression() -> DataShape {
    use batchscope_core::{InputShape, Task};
    DataShape {
        input: InputShape::Vector { features: 6 },
        task: Task::Regress { outputs: 2 },
    }
}

/// Example by example, in micro-batches, ragged ones, and a step cut in two: the means over many
/// steps are the `tr Σ` and `|G_N|²` of all examples' gradients.
#[test]
fn every_way_of_measuring_is_unbiased() {
    for shape in [classes(), regression()] {
        let examples = Blobs::new(60, shape, 2000);
        for (tells, micro_batch) in [(true, 12), (true, 5), (false, 4), (false, 5), (false, 12)] {
            let factory = TinyFactory {
                per_example_grad_norms: tells,
                ..TinyFactory::default()
            };
            let mut network = factory.build(&shape, KEY).unwrap();
            let (squared_norm, trace) = truth(&gradients(network.as_mut(), &examples));
            let mut moments = NoiseMoments::new(12);
            for pieces in measured(network.as_mut(), &examples, 12, micro_batch, 1000) {
                moments.push(pieces.trace, pieces.squared_norm + pieces.trace / 60.0);
            }
            let error = |scatter: f64| (scatter / 999.0 / 1000.0).sqrt();
            let what = format!("{shape:?}, examples {tells}, micro-batch {micro_batch}");
            for (name, found, scatter, expected) in [
                ("trace", moments.trace, moments.trace_scatter, trace),
                (
                    "norm",
                    moments.squared_norm,
                    moments.squared_norm_scatter,
                    squared_norm,
                ),
            ] {
                let error = error(scatter);
                assert!(
                    (found - expected).abs() < 4.0 * error && error < 0.2 * expected,
                    "{what}: {name} {found} ± {error}, expected {expected}"
                );
            }
        }
    }
}

/// One step against the definition: norms of the examples' own gradients.
#[test]
fn a_step_s_pieces_are_those_of_its_examples() {
    let examples = Blobs::new(60, classes(), 2000);
    let factory = TinyFactory {
        per_example_grad_norms: true,
        ..TinyFactory::default()
    };
    let mut network = factory.build(&classes(), KEY).unwrap();
    // one step of everything: the order does not matter
    let all = gradients(network.as_mut(), &examples);
    let (squared_norm, trace) = truth(&all);
    let expected = squared_norm - trace / 60.0;
    for micro_batch in [60, 17] {
        let found = measured(network.as_mut(), &examples, 60, micro_batch, 1)[0];
        assert!((found.trace / trace - 1.0).abs() < 1e-4, "{found:?}");
        assert!((found.squared_norm / expected - 1.0).abs() < 1e-3);
    }
}

#[test]
fn how_a_step_is_measured_follows_from_the_network_and_the_sizes() {
    let way = |factory: TinyFactory, batch_size, micro_batch| {
        let network = factory.build(&classes(), KEY).unwrap();
        NoiseEstimator::of(network.as_ref(), batch_size, micro_batch)
    };
    let plain = TinyFactory::default();
    let told = TinyFactory {
        per_example_grad_norms: true,
        ..plain
    };
    let ghost = TinyFactory {
        ghost: Some(8),
        ..told
    };
    assert_eq!(way(told, 16, 16), FREE);
    assert_eq!(way(plain, 16, 4), NoiseEstimator::MicroBatches);
    assert_eq!(way(plain, 16, 16), NoiseEstimator::Split { first: 8 });
    assert_eq!(way(plain, 7, 7), NoiseEstimator::Split { first: 3 });
    assert_eq!(way(ghost, 24, 24), NoiseEstimator::Split { first: 16 });
    assert_eq!(way(ghost, 32, 8), NoiseEstimator::MicroBatches);
    for (factory, batch_size, why) in [
        (told, 1, "at least 2"),
        (ghost, 8, "two ghost batches"),
        (ghost, 20, "multiple of 8"),
    ] {
        let NoiseEstimator::Nothing(found) = way(factory, batch_size, batch_size) else {
            panic!("{batch_size} should not be measured");
        };
        assert!(found.contains(why), "{found}");
    }
    // Rarely where it costs, always where it does not.
    assert_eq!(FREE.every(32, 32), 16);
    assert_eq!(FREE.every(256, 256), 4);
    assert_eq!(NoiseEstimator::MicroBatches.every(4096, 1024), 1);
    assert_eq!(NoiseEstimator::Split { first: 16 }.every(32, 32), 64);
    assert_eq!(NoiseEstimator::Split { first: 512 }.every(1024, 1024), 4);
}

const FREE: NoiseEstimator = NoiseEstimator::Examples { cost: 0.0 };

/// Where examples' norms are a third of a step they are taken on one step in 27, at the variance of
/// which two halves, at most twice as uncertain, are soon the better bargain.
#[test]
fn examples_that_cost_are_measured_where_that_is_cheapest() {
    let factory = TinyFactory {
        per_example_grad_norms: true,
        example_norms_cost: 1.0 / 3.0,
        ..TinyFactory::default()
    };
    let network = factory.build(&classes(), KEY).unwrap();
    let examples = NoiseEstimator::Examples { cost: 1.0 / 3.0 };
    for batch_size in [8, 32, 4096] {
        assert_eq!(examples.every(batch_size, batch_size), 27);
    }
    let way =
        |batch_size, micro_batch| NoiseEstimator::of(network.as_ref(), batch_size, micro_batch);
    assert_eq!(way(8, 8), examples);
    assert_eq!(way(128, 128), examples);
    assert_eq!(way(512, 512), NoiseEstimator::Split { first: 256 });
    // Micro-batches are at hand: sixteen times as often for twice the variance at most.
    assert_eq!(way(4096, 1024), NoiseEstimator::MicroBatches);
    assert_eq!(way(32, 16), examples);
    // Where every step is measured a third more of it is less than twice the steps, but more than
    // the 8/7 of eight parts.
    let way = |micro_batch| NoiseEstimator::of_every_step(network.as_ref(), 256, micro_batch);
    assert_eq!(way(256), examples);
    assert_eq!(way(128), examples);
    assert_eq!(way(32), NoiseEstimator::MicroBatches);
}

fn watched(spec: TrialSpec) -> TrialSpec {
    TrialSpec {
        diagnostics: vec![Diagnostic::named(Diagnostic::NOISE)],
        ..spec
    }
}

fn moments(record: &TrialRecord) -> Vec<(u64, NoiseMoments)> {
    let of = |m: &batchscope_core::Measurement| match &m.noise {
        Some(NoiseRecord::Measured(moments)) => Some((m.step, moments.clone())),
        _ => None,
    };
    record.measurements.iter().filter_map(of).collect()
}

/// Examples and micro-batches change nothing; a split only what accumulation may.
#[test]
fn watching_leaves_the_run_alone() {
    for (tells, micro_batch, exact) in [
        (true, None, true),
        (false, Some(8), true),
        (false, None, false),
    ] {
        let factory = TinyFactory {
            per_example_grad_norms: tells,
            ..TinyFactory::default()
        };
        let trainer = BuiltIn::new(config(factory, classes())).unwrap();
        let plain = TrialSpec {
            micro_batch,
            ..spec()
        };
        let without = run(&trainer, &plain);
        let with = run(&trainer, &watched(plain));
        assert!(moments(&without).is_empty());
        assert!(!moments(&with).is_empty());
        for (a, b) in without.measurements.iter().zip(&with.measurements) {
            for (metric, value) in &a.metrics {
                let other = b.metrics[metric];
                let close = if exact {
                    0.0
                } else {
                    1e-3 * (1.0 + value.abs())
                };
                assert!(
                    (other - value).abs() <= close,
                    "{metric}: {value} and {other}"
                );
            }
        }
    }
}

/// Every step that is due is counted once, finer evaluations and interruptions notwithstanding.
#[test]
fn interrupted_steps_are_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    for (factory, every) in [
        (TinyFactory::default(), 64),
        (
            TinyFactory {
                per_example_grad_norms: true,
                ..TinyFactory::default()
            },
            16,
        ),
        (
            TinyFactory {
                ghost: Some(4),
                dropout: 0.1,
                ..TinyFactory::default()
            },
            64,
        ),
    ] {
        let mut config = config(factory, classes());
        config.checkpoint_dir = Some(folder.path().to_owned());
        let trainer = BuiltIn::new(config).unwrap();
        let spec = watched(TrialSpec {
            purpose: TrialPurpose::Fresh { index: 0 },
            target: Some("val-loss=0.35".parse().unwrap()),
            learning_rate: 0.003,
            cap: 1000,
            // Few, so that finer evaluations can be afforded.
            evaluation: EvaluationPlan {
                examples: 8,
                ..EvaluationPlan::default()
            },
            ..spec()
        });
        let whole = run(&trainer, &spec);
        assert!(matches!(whole.outcome, Outcome::Reached { .. }));
        let last = whole.measurements.iter().rfind(|m| !m.finer).unwrap();
        let counted: u64 = moments(&whole).iter().map(|(_, m)| m.steps).sum();
        assert_eq!(counted, last.step.div_ceil(every));
        assert!(whole.measurements.iter().any(|m| m.finer));
        for pause in [1, 13, 40] {
            let pieces = loop {
                let record = trainer
                    .run(&spec, &InterruptAfter::steps(pause), &mut |_| {})
                    .unwrap();
                if record.outcome != Outcome::Interrupted {
                    trainer.forget(&spec);
                    break record;
                }
            };
            assert_eq!(
                essence(&pieces),
                essence(&whole),
                "interrupted every {pause}"
            );
        }
    }
}

#[test]
fn what_cannot_be_measured_says_why() {
    let ghost = TinyFactory {
        ghost: Some(64),
        ..TinyFactory::default()
    };
    let trainer = BuiltIn::new(config(ghost, classes())).unwrap();
    let record = run(&trainer, &watched(spec()));
    for measurement in &record.measurements {
        let Some(NoiseRecord::Undefined { why }) = &measurement.noise else {
            panic!("{measurement:?}");
        };
        assert!(why.contains("ghost"), "{why}");
    }
    let error = trainer
        .measure_noise(&request(16), &batchscope_core::NeverStop, &mut |_, _| {})
        .unwrap_err();
    assert!(error.to_string().contains("undefined"), "{error}");
}

fn request(batch_size: u64) -> NoiseRequest {
    NoiseRequest {
        batch_size,
        micro_batch: None,
        seed: 4,
        checkpoint: None,
        width: 1.0,
        max_examples: 20_000,
        level: 0.95,
    }
}

/// At rest: the training set's noise scale, whose truth is known, layer by layer adding up.
#[test]
fn at_rest_the_interval_holds_the_truth() {
    let config = config(TinyFactory::default(), classes());
    let key = StreamKey {
        study_seed: 4,
        trial: 0,
        purpose: Purpose::Initialization,
    };
    let mut network = config.factory.build(&classes(), key).unwrap();
    let (squared_norm, trace) = truth(&gradients(network.as_mut(), config.train.as_ref()));
    let trainer = BuiltIn::new(config).unwrap();
    let mut heard = 0;
    let found = trainer
        .measure_noise(
            &request(40),
            &batchscope_core::NeverStop,
            &mut |examples, _| {
                heard = examples;
            },
        )
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.examples, heard, found.settled),
        (20_000, 20_000, false)
    );
    assert_eq!(found.micro_batch, 5);
    let inner = found.noise.whole.training_set.unwrap().noise_scale;
    let expected = trace / squared_norm;
    assert!(
        inner.low.unwrap() <= expected && expected <= inner.high.unwrap(),
        "{inner:?} should hold {expected}"
    );
    let names: Vec<&str> = found.noise.layers.iter().map(|l| l.0.as_str()).collect();
    assert_eq!(names, ["hidden", "out"]);
    let sum: f64 = found
        .noise
        .layers
        .iter()
        .map(|l| l.1.population.trace.value.unwrap())
        .sum();
    let whole = found.noise.whole.population.trace.value.unwrap();
    assert!((sum / whole - 1.0).abs() < 1e-9);
    // Less accuracy is had sooner.
    let wide = NoiseRequest {
        width: 3.0,
        ..request(40)
    };
    let sooner = trainer
        .measure_noise(&wide, &batchscope_core::NeverStop, &mut |_, _| {})
        .unwrap()
        .unwrap();
    assert!(sooner.settled && sooner.examples < 20_000);
}

/// Too few steps for a look at the interval along the way, which is narrow enough all the same.
#[test]
fn a_short_measurement_may_settle_too() {
    let trainer = BuiltIn::new(config(TinyFactory::default(), classes())).unwrap();
    let settled = |width| {
        let short = NoiseRequest {
            width,
            max_examples: 12 * 40,
            ..request(40)
        };
        let found = trainer
            .measure_noise(&short, &batchscope_core::NeverStop, &mut |_, _| {})
            .unwrap()
            .unwrap();
        assert_eq!(found.steps, 12);
        let scale = found.noise.whole.population.noise_scale;
        assert!(
            scale.low.unwrap() > 0.0 && scale.high.is_some(),
            "{scale:?}"
        );
        found.settled
    };
    assert!(settled(1e9));
    assert!(!settled(1.0));
}

/// A step in one pass is cut in two to be measured, and what is said of it are the halves.
#[test]
fn the_parts_of_a_split_step_are_named_by_their_size() {
    let trainer = BuiltIn::new(config(TinyFactory::default(), classes())).unwrap();
    let whole = NoiseRequest {
        micro_batch: Some(40),
        max_examples: 400,
        ..request(40)
    };
    let halves = NoiseRequest {
        micro_batch: Some(20),
        ..whole.clone()
    };
    let found = |request| {
        trainer
            .measure_noise(request, &batchscope_core::NeverStop, &mut |_, _| {})
            .unwrap()
            .unwrap()
    };
    assert_eq!(found(&whole).micro_batch, 20);
    assert_eq!(found(&whole), found(&halves));
}

/// The first gradient, of all examples, is not waited for.
#[test]
fn a_measurement_stops_between_micro_batches() {
    let trainer = BuiltIn::new(config(TinyFactory::default(), classes())).unwrap();
    // 500 examples in micro-batches of 7, then the draws
    for (questions, heard_of) in [(1, 0), (71, 0), (73, 1)] {
        let mut heard = 0;
        let law = trainer
            .measure_law(
                &request(40),
                &InterruptAfter::steps(questions),
                &mut |_, _| heard += 1,
            )
            .unwrap();
        assert_eq!((law, heard), (None, heard_of), "{questions} questions");
    }
    let mut heard = 0;
    let whole = trainer
        .measure_noise(&request(500), &InterruptAfter::steps(3), &mut |_, _| {
            heard += 1;
        })
        .unwrap();
    assert_eq!((whole, heard), (None, 0));
}

/// A run keeps moments instead of steps, and loses nothing by it.
#[test]
fn moments_give_the_same_scale_as_their_steps() {
    let examples = Blobs::new(60, classes(), 2000);
    let mut network = TinyFactory::default().build(&classes(), KEY).unwrap();
    let steps = measured(network.as_mut(), &examples, 12, 4, 40);
    let mut moments = NoiseMoments::new(12);
    let mut replicates = batchscope_scaling::noise::Replicates::new();
    for pieces in steps {
        moments.push(pieces.trace, pieces.squared_norm);
        replicates.push(pieces).unwrap();
    }
    let sampling = Sampling::TrainingSet { examples: 60 };
    let (a, b) = (
        noise_of(&moments, sampling, 0.95).population.noise_scale,
        replicates.estimate(sampling, 0.95).population.noise_scale,
    );
    for (a, b) in [(a.value, b.value), (a.low, b.low), (a.high, b.high)] {
        match (a, b) {
            (Some(a), Some(b)) => assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}"),
            (a, b) => assert_eq!(a, b),
        }
    }
}

/// The root mean square error is `√(tr Σ·(1/B − 1/N))` at every size, and the truth is known.
#[test]
fn the_error_of_a_gradient_follows_its_law() {
    let config = config(TinyFactory::default(), classes());
    let key = StreamKey {
        study_seed: 4,
        trial: 0,
        purpose: Purpose::Initialization,
    };
    let mut network = config.factory.build(&classes(), key).unwrap();
    let (squared_norm, trace) = truth(&gradients(network.as_mut(), config.train.as_ref()));
    let trainer = BuiltIn::new(config).unwrap();
    let mut heard = Vec::new();
    let law = trainer
        .measure_law(
            &request(40),
            &batchscope_core::NeverStop,
            &mut |done, of| {
                heard.push((done, of));
            },
        )
        .unwrap()
        .unwrap();
    assert_eq!(heard.len(), 8);
    assert_eq!(law.examples, 500);
    assert!((law.gradient_norm / squared_norm.sqrt() - 1.0).abs() < 1e-3);
    // From micro-batches of 7: some 70 degrees of freedom in several dimensions.
    assert!((0.7..1.4).contains(&(law.trace / trace)), "{}", law.trace);
    let sizes: Vec<u64> = law.points.iter().map(|p| p.batch_size).collect();
    assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 128]);
    for point in &law.points {
        let b = point.batch_size as f64;
        let expected = (trace * (1.0 / b - 1.0 / 500.0)).sqrt();
        let ratio = point.error.value.unwrap() / expected;
        // Mean squares over 32 draws, 4 at the end.
        let bound = if point.error.n < 10 { 2.0 } else { 1.4 };
        assert!(
            ratio < bound && ratio > 1.0 / bound,
            "{point:?}: {expected}"
        );
        let again = (law.trace * (1.0 / b - 1.0 / 500.0)).sqrt();
        assert!((point.predicted / again - 1.0).abs() < 1e-9);
    }
}

/// At half of all examples too, where two steps of one order are equally far from the truth: of a
/// hundred intervals from such pairs some 68 hold it, of those from independent draws most.
#[test]
fn the_law_s_intervals_hold_the_truth_at_half_of_the_examples() {
    let mut held = 0;
    for seed in 0..100 {
        let mut config = config(TinyFactory::default(), classes());
        config.train = std::sync::Arc::new(Blobs::new(64, classes(), 1000));
        let key = StreamKey {
            study_seed: seed,
            trial: 0,
            purpose: Purpose::Initialization,
        };
        let mut network = config.factory.build(&classes(), key).unwrap();
        let (_, trace) = truth(&gradients(network.as_mut(), config.train.as_ref()));
        let request = NoiseRequest { seed, ..request(8) };
        let law = BuiltIn::new(config)
            .unwrap()
            .measure_law(&request, &batchscope_core::NeverStop, &mut |_, _| {})
            .unwrap()
            .unwrap();
        let half = law.points.last().unwrap();
        assert_eq!((half.batch_size, half.error.n), (32, 4));
        let expected = (trace * (1.0 / 32.0 - 1.0 / 64.0)).sqrt();
        let (low, high) = (half.error.low.unwrap(), half.error.high.unwrap());
        held += u32::from(low <= expected && expected <= high);
    }
    assert!(held > 82, "{held} of 100");
}

/// Along a run the noise scale in the ℓ1 norm is what `noise --l1` finds at its end, within the intervals, and the run is the
/// same with it and without.
#[test]
fn the_sign_noise_along_a_run_is_that_of_its_network() {
    use batchscope_core::{Metric, NeverStop};
    use batchscope_train::{BuiltInConfig, NoiseNorms, SingleRun};
    use std::sync::Arc;

    let with = |examples| {
        let data = |n, seed| Arc::new(Blobs::new(n, classes(), seed));
        BuiltIn::new(BuiltInConfig::new(
            Arc::new(TinyFactory::default()),
            "blobs",
            data(examples, 1000),
            Some(data(200, 1001)),
            None,
        ))
        .unwrap()
    };
    let trainer = with(1500);
    let plain = TrialSpec {
        purpose: TrialPurpose::Single,
        cap: 30,
        ..spec()
    };
    let watched = TrialSpec {
        diagnostics: vec![Diagnostic::named(Diagnostic::SIGN_NOISE)],
        ..plain.clone()
    };
    // No example is taken twice.
    let refused = with(1000).check(&watched).unwrap_err().to_string();
    assert!(refused.contains("1024 examples"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("run.safetensors");
    let single = SingleRun {
        checkpoint: Some(checkpoint.clone()),
        ..SingleRun::default()
    };
    let run = |spec: &TrialSpec| {
        trainer
            .train_once(spec, &single, &NeverStop, &mut |_| {})
            .unwrap()
    };
    let unwatched = run(&plain);
    std::fs::remove_file(&checkpoint).unwrap();
    let record = run(&watched);
    let metric = |name: &str| -> Metric { format!("train-noise_l1{name}").parse().unwrap() };
    for (with, without) in record.measurements.iter().zip(&unwatched.measurements) {
        let mut metrics = with.metrics.clone();
        let low = metrics.remove(&metric("_low")).unwrap();
        assert!(low > 0.0);
        for name in ["", "_high"] {
            metrics.remove(&metric(name));
        }
        assert_eq!(metrics, without.metrics);
    }
    let request = NoiseRequest {
        batch_size: 32,
        micro_batch: None,
        seed: 9,
        checkpoint: Some(checkpoint),
        width: 1.25,
        max_examples: 1500,
        level: 0.95,
    };
    let norms = NoiseNorms {
        l1: true,
        nuclear: false,
    };
    let there = trainer
        .measure_norm_noise(&request, norms, &NeverStop, &mut |_, _| {})
        .unwrap()
        .unwrap();
    let there = there.l1.unwrap().noise_scale;
    let last = &record.measurements.last().unwrap().metrics;
    let low = last[&metric("_low")];
    let high = last.get(&metric("_high")).copied().unwrap_or(f64::INFINITY);
    let (from, to) = (
        there.low.or(there.value).unwrap(),
        there.high.unwrap_or(f64::INFINITY),
    );
    assert!(
        low <= to && from <= high,
        "{low} to {high} along the run, {from} to {to} of its end"
    );
}
