//! Concurrent adversarial learning: whose weights move which examples, on how many threads, and across interruptions and
//! batches that grow.

mod common;

use batchscope_core::{
    Batch, Cadence, Choice, Decay, Diagnostic, Examples, Inputs, Length, Mode, Network,
    NetworkFactory, NeverStop, NormStatistics, Purpose, Schedule, StateTensor, StepBatch,
    StreamKey, Trainer, TrialSpec, Value,
};
use batchscope_train::{
    Attack, AttackNorm, BuiltIn, read_methods,
    testing::{Blobs, TinyFactory},
    train_loop,
};
use common::*;

fn factory() -> TinyFactory {
    TinyFactory {
        ghost: Some(4),
        dropout: 0.2,
        ..TinyFactory::default()
    }
}

fn method(text: &str) -> TrialSpec {
    TrialSpec {
        methods: read_methods(text).unwrap(),
        cap: 12,
        ..spec()
    }
}

/// The network's state at the end of a run.
fn trained(spec: &TrialSpec) -> Vec<StateTensor> {
    let trainer = BuiltIn::new(config(factory(), classes())).unwrap();
    let (mut run, _) = trainer.begin(spec, Cadence::Planned).unwrap();
    train_loop(&mut run, &NeverStop, &mut |_| {}).unwrap();
    run.network.export().unwrap()
}

/// Steps of plain descent at a rate, written out: two networks, and every step's weights kept.
fn written_out(staleness: usize, attack: Attack, steps: u64, rate: f32) -> Vec<StateTensor> {
    let spec = spec();
    let key = StreamKey {
        study_seed: spec.study_seed,
        trial: spec.seed,
        purpose: Purpose::Initialization,
    };
    let shape = classes();
    let examples = Blobs::new(500, shape, 1000);
    let mut sampler = examples
        .sampler(key.with_purpose(Purpose::Order), 16)
        .unwrap();
    let mut network = factory().build(&shape, key).unwrap();
    let mut attacker = factory().build(&shape, key).unwrap();
    let weights = |network: &mut dyn Network| {
        let mut weights = Vec::new();
        let mut keep = |_: usize, w: &mut [f32], _: &mut [f32]| weights.push(w.to_vec());
        network.visit(&mut keep).unwrap();
        weights
    };
    let mut history = Vec::new();
    let mut batch = Batch::empty(shape);
    for t in 0..steps {
        history.push(weights(network.as_mut()));
        let old = &history[(t as usize).saturating_sub(staleness)];
        let mut bring = |tensor: usize, w: &mut [f32], _: &mut [f32]| {
            w.copy_from_slice(&old[tensor]);
        };
        attacker.visit(&mut bring).unwrap();
        sampler.fill(StepBatch::constant(t, 16), 0..16, &mut batch);
        batch.noise = Some(key.with_purpose(Purpose::Network));
        let mut slope = Vec::new();
        attacker.begin_step(16);
        attacker
            .input_gradient(&batch, Mode::Training, &mut slope)
            .unwrap();

        network.begin_step(16);
        network.accumulate(&batch, 0.5 / 16.0).unwrap();
        let Inputs::Values(values) = &mut batch.inputs else {
            unreachable!("blobs are values")
        };
        attack.shift(values, &slope, 16);
        network.collect_statistics(NormStatistics::Auxiliary);
        network.accumulate(&batch, 0.5 / 16.0).unwrap();
        network
            .visit(&mut |_, w, g| w.iter_mut().zip(g).for_each(|(w, g)| *w -= rate * *g))
            .unwrap();
        network.end_step();
    }
    network.export().unwrap()
}

/// Examples are moved by the weights of τ steps before, the run's first in its first τ steps.
#[test]
fn examples_are_moved_by_weights_as_old_as_stated() {
    let signs = Attack {
        epsilon: 0.3,
        norm: AttackNorm::Sign,
    };
    let lengths = Attack {
        epsilon: 0.8,
        norm: AttackNorm::L2,
    };
    for (staleness, attack, text) in [
        (0, signs, "disadv(0.3)"),
        (1, signs, "conadv(0.3)"),
        (2, lengths, "conadv(0.8, l2, staleness=2)"),
        (5, signs, "conadv(0.3, staleness=5)"),
    ] {
        let spec = TrialSpec {
            schedule: Schedule::constant(),
            optimizer: Choice::new(
                "sgd",
                [
                    ("momentum", Value::from(0.0)),
                    ("nesterov", Value::from(false)),
                    ("weight_decay", Value::from(0.0)),
                ],
            ),
            learning_rate: 0.5,
            ..method(text)
        };
        let expected = written_out(staleness, attack, spec.cap, 0.5);
        for (found, expected) in trained(&spec).iter().zip(&expected) {
            assert_eq!(found.name, expected.name, "{text}");
            for (found, expected) in found.values.iter().zip(&expected.values) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{text}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let trainer = BuiltIn::new(config(factory(), classes())).unwrap();
    let spec = method("conadv(0.3, staleness=2)");
    let of_threads = |threads: usize, spec: &TrialSpec| {
        trainer.limit_threads(Some(threads));
        essence(&run(&trainer, spec)).measurements
    };
    let expected = of_threads(1, &spec);
    assert!(!expected.is_empty());
    for threads in [2, 3, 7] {
        assert_eq!(of_threads(threads, &spec), expected, "{threads}");
    }
    let most = TrialSpec {
        methods: read_methods("conadv(0.3, staleness=2, threads=1000)").unwrap(),
        ..spec.clone()
    };
    assert_eq!(of_threads(3, &most), expected);
}

/// A checkpoint holds the old weights: interrupted after every step, what had been moved ahead is lost each time, and moved
/// again by the same weights.
#[test]
fn a_run_resumes_in_the_middle_of_an_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = saving(folder.path(), factory());
    for text in [
        "conadv(0.3)",
        "conadv(0.3, staleness=3)",
        "conadv(0.3, staleness=12)",
        "conadv(0.3, staleness=2), conservative(0.01, 2)",
    ] {
        let spec = TrialSpec {
            diagnostics: vec![Diagnostic::named(Diagnostic::LINEARITY)],
            cap: 30,
            ..method(text)
        };
        let whole = essence(&run(&trainer, &spec));
        let (pieces, interruptions) = in_pieces(&trainer, &spec, 1);
        assert!(interruptions > 20, "{interruptions}");
        assert_eq!(essence(&pieces), whole, "{text}");
    }
}

/// Where the next batch is larger than was foreseen, it is moved by weights as old as any. Straight through, batches are
/// moved ahead and sometimes in vain; interrupted after every step, each when it is there.
#[test]
fn batches_that_grow_are_moved_by_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = saving(folder.path(), factory());
    let spec = TrialSpec {
        schedule: Schedule {
            decay: Decay::Step {
                at: vec![Length::Steps(10), Length::Steps(20)],
                factor: 0.5,
            },
            ..Schedule::constant()
        },
        controller: Some(Choice::new("grow", [("limit", Value::from(0.5))])),
        diagnostics: vec![Diagnostic::named(Diagnostic::SCHEDULE)],
        micro_batch: Some(8),
        cap: 40,
        ..method("conadv(0.3, staleness=2)")
    };
    let whole = essence(&run(&trainer, &spec));
    assert!(whole.schedule.len() > 1, "{:?}", whole.schedule);
    let (pieces, _) = in_pieces(&trainer, &spec, 1);
    assert_eq!(essence(&pieces), whole);
}

/// The noise of signs is that of examples; steps of a method take other gradients.
#[test]
fn the_noise_of_its_steps_is_not_measured() {
    let trainer = BuiltIn::new(config(factory(), classes())).unwrap();
    let spec = TrialSpec {
        diagnostics: vec![Diagnostic::named(Diagnostic::SIGN_NOISE)],
        ..method("conadv")
    };
    let error = trainer.check(&spec).unwrap_err().to_string();
    assert!(error.contains("step method"), "{error}");
}

/// Two networks compute at a time, and the moved examples of two steps wait.
#[test]
fn memory_is_counted_for_both_networks() {
    let shape = classes();
    let bytes = factory().memory(&shape, 16) + 2 * 3 * 4 * (6 * 12 + 12 + 12 * 4 + 4 + 24);
    let mut config = config(factory(), shape);
    config.max_memory = Some(bytes);
    let trainer = BuiltIn::new(config).unwrap();
    assert_eq!(run(&trainer, &method("disadv")).micro_batch, 16);
    let of = |text: &str| run(&trainer, &method(text)).micro_batch;
    let beside = of("conadv");
    assert!(beside < 16, "{beside}");
    // Each step of age is a copy of the weights, and another one when they are saved.
    let within = |text: &str, bytes: u64| trainer.micro_batch_within(&method(text), bytes).unwrap();
    let parameters = trainer.info().parameters;
    let copies = 2 * 4 * 4 * parameters;
    assert_eq!(
        within("conadv", 1 << 16),
        within("conadv(staleness=5)", (1 << 16) + copies)
    );
    assert!(within("conadv", 1 << 16) > within("conadv(staleness=5)", 1 << 16));
}
