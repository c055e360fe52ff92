//! Interrupted and resumed, beside others or alone: the same numbers. Broken checkpoints: an error
//! or a fresh start, never a panic and never other numbers.

mod common;

use std::{fs, path::Path, sync::Arc, time::Duration};

use batchscope_core::{
    Cadence, Choice, NetworkFactory, NeverStop, Outcome, Purpose, Solo, StateTensor, StreamKey,
    Trainer, TrainerError, TrialPurpose, TrialSpec, Value,
};
use batchscope_train::{BuiltIn, EvaluationSet, SingleRun, Stored, testing::TinyFactory};
use common::*;
use proptest::prelude::*;

fn reaching() -> TrialSpec {
    TrialSpec {
        purpose: TrialPurpose::Fresh { index: 0 },
        target: Some("val-loss=0.35".parse().unwrap()),
        learning_rate: 0.003,
        cap: 1000,
        ..spec()
    }
}

#[test]
fn a_run_in_pieces_is_the_run_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let ghost = TinyFactory {
        ghost: Some(4),
        dropout: 0.1,
        ..TinyFactory::default()
    };
    let adam = Choice::new(
        "adam",
        [
            ("beta1", Value::from(0.9)),
            ("beta2", Value::from(0.99)),
            ("epsilon", Value::from(1e-8)),
            ("weight_decay", Value::from(1e-3)),
        ],
    );
    let schedule_free = |name: &str| batchscope_optim::OPTIMIZERS.read(name).unwrap().1;
    let cases = [
        (TinyFactory::default(), reaching()),
        (
            TinyFactory::default(),
            TrialSpec {
                optimizer: schedule_free("schedule_free_sgd(weight_decay=0.001)"),
                learning_rate: 0.1,
                ..reaching()
            },
        ),
        // With batch norm, whose statistics are measured anew for every evaluation.
        (
            ghost,
            TrialSpec {
                optimizer: schedule_free("schedule_free_adamw"),
                cap: 150,
                ..reaching()
            },
        ),
        (
            ghost,
            TrialSpec {
                optimizer: adam,
                cap: 150,
                ..reaching()
            },
        ),
        (
            ghost,
            TrialSpec {
                target: None,
                cap: 90,
                ..spec()
            },
        ),
    ];
    for (factory, spec) in cases {
        let trainer = saving(folder.path(), factory);
        let whole = run(&trainer, &spec);
        for every in [1, 10, 31, 89] {
            let (pieces, interruptions) = in_pieces(&trainer, &spec, every);
            assert!(interruptions > 0 || every > 80);
            assert_eq!(
                essence(&pieces),
                essence(&whole),
                "interrupted every {every}"
            );
        }
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "forgotten checkpoints are gone"
    );
}

#[test]
fn a_killed_run_takes_up_its_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(TinyFactory::default(), classes());
    config.checkpoint_dir = Some(folder.path().to_owned());
    config.checkpoint_every = Duration::ZERO;
    let trainer = BuiltIn::new(config).unwrap();
    let whole = run(&trainer, &reaching());
    let mut log = Log::default();
    trainer.forget(&reaching());
    // Killed: a panic in the middle of everything, which only the receiver of events can cause.
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        trainer.run(&reaching(), &NeverStop, &mut |event| {
            log.take(event);
            assert!(log.steps.len() < 60, "killed");
        })
    }));
    assert!(killed.is_err() && log.checkpointed.len() > 50);
    let mut log = Log::default();
    let resumed = trainer
        .run(&reaching(), &NeverStop, &mut |event| log.take(event))
        .unwrap();
    assert_eq!(log.started, [59]);
    assert_eq!(essence(&resumed), essence(&whole));
}

#[test]
fn trials_side_by_side_are_trials_one_after_another() {
    let config = config(
        TinyFactory {
            dropout: 0.2,
            ..TinyFactory::default()
        },
        classes(),
    );
    let trainer = Arc::new(BuiltIn::new(config).unwrap());
    trainer.limit_threads(Some(2));
    let specs: Vec<_> = (0..6)
        .map(|i| TrialSpec {
            id: i,
            seed: i,
            batch_size: 8 << (i % 3),
            ..reaching()
        })
        .collect();
    let alone: Vec<_> = specs
        .iter()
        .map(|spec| essence(&run(trainer.as_ref(), spec)))
        .collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = specs
            .iter()
            .map(|spec| scope.spawn(|| essence(&run(trainer.as_ref(), spec))))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
    assert!(
        alone
            .iter()
            .any(|e| e.measurements != alone[0].measurements)
    );
}

/// A schedule-free run is judged by its averaged parameters; those in training, and batch norm's statistics, are the same
/// however often it is evaluated. Its checkpoint gives the average to whoever looks at the network.
#[test]
fn evaluations_at_the_average_leave_the_run_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_, optimizer) = batchscope_optim::OPTIMIZERS
        .read("schedule_free_sgd")
        .unwrap();
    let spec = TrialSpec {
        optimizer,
        learning_rate: 0.2,
        target: None,
        cap: 40,
        ..spec()
    };
    for ghost in [None, Some(4)] {
        let factory = TinyFactory {
            ghost,
            ..TinyFactory::default()
        };
        let config = config(factory, classes());
        let trainer = BuiltIn::new(config.clone()).unwrap();
        let ends = [1, 40].map(|every| {
            let path = folder.path().join(format!("{every}.safetensors"));
            let single = SingleRun {
                cadence: Cadence::Every(every),
                resume: None,
                checkpoint: Some(path.clone()),
                keep: Vec::new(),
            };
            let record = trainer
                .train_once(&spec, &single, &NeverStop, &mut |_| {})
                .unwrap();
            let stored = Stored::read(&path).unwrap();
            let metrics = record.measurements.last().unwrap().metrics.clone();
            (stored.network.clone(), stored.into_run().unwrap(), metrics)
        });
        let [(often, run, metrics), (once, _, same)] = ends;
        assert_eq!((&often, &metrics), (&once, &same));
        assert!(run.is_average);
        assert_ne!(often, run.network);
        // What was measured is the average's.
        let measured = |state: &[StateTensor]| {
            let mut network = factory.build(&classes(), key()).unwrap();
            let ordered = network.export().unwrap().into_iter().map(|tensor| {
                let stored = state.iter().find(|stored| stored.name == tensor.name);
                stored.unwrap().clone()
            });
            network.import(&ordered.collect::<Vec<_>>()).unwrap();
            let (train, validation) = (&config.train, config.validation.as_ref().unwrap());
            let mut set = EvaluationSet::drawn(train.as_ref(), 2000, 250, spec.study_seed).unwrap();
            if let Some(ghost) = network.ghost_size(spec.batch_size) {
                set.recalibrate(network.as_mut(), ghost, &Solo).unwrap();
            }
            let mut set = EvaluationSet::stored(validation.as_ref(), 2000, 250);
            let sums = set.measure(network.as_mut(), &Solo).unwrap();
            sums.loss / sums.weight
        };
        let stored = metrics[&"val-loss".parse().unwrap()];
        assert_eq!(measured(&run.network), stored);
        assert_ne!(measured(&often), stored);
    }
}

fn key() -> StreamKey {
    StreamKey {
        study_seed: 0,
        trial: 0,
        purpose: Purpose::Initialization,
    }
}

/// A single run interrupted after 40 steps, and where it was saved.
fn interrupted(folder: &Path) -> (BuiltIn, SingleRun, std::path::PathBuf) {
    let trainer = trainer();
    let path = folder.join("run.safetensors");
    let single = SingleRun {
        checkpoint: Some(path.clone()),
        ..SingleRun::default()
    };
    let record = trainer
        .train_once(
            &reaching(),
            &single,
            &InterruptAfter::steps(40),
            &mut |_| {},
        )
        .unwrap();
    assert_eq!(record.outcome, Outcome::Interrupted);
    assert!(!record.measurements.is_empty());
    (
        trainer,
        SingleRun {
            resume: Some(path.clone()),
            ..single
        },
        path,
    )
}

fn refusal(trainer: &BuiltIn, spec: &TrialSpec, single: &SingleRun) -> String {
    match trainer.train_once(spec, single, &NeverStop, &mut |_| {}) {
        Err(TrainerError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_single_run_resumes_says_how_it_ended_and_can_be_made_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (trainer, single, _) = interrupted(folder.path());
    let whole = run(&trainer, &reaching());
    let resumed = trainer
        .train_once(&reaching(), &single, &NeverStop, &mut |_| {})
        .unwrap();
    assert_eq!(essence(&resumed), essence(&whole));
    // Ended for good: asked again, it answers without a step.
    let mut log = Log::default();
    let again = trainer
        .train_once(&reaching(), &single, &NeverStop, &mut |event| {
            log.take(event)
        })
        .unwrap();
    assert_eq!(essence(&again), essence(&whole));
    assert!(log.steps.is_empty());

    let path = folder.path().join("free.safetensors");
    let every = SingleRun {
        cadence: Cadence::Every(10),
        resume: None,
        checkpoint: Some(path.clone()),
        keep: Vec::new(),
    };
    let short = TrialSpec {
        target: None,
        cap: 30,
        ..reaching()
    };
    let long = TrialSpec {
        cap: 50,
        ..short.clone()
    };
    trainer
        .train_once(&short, &every, &NeverStop, &mut |_| {})
        .unwrap();
    let taken_up = SingleRun {
        resume: Some(path),
        ..every.clone()
    };
    let longer = trainer
        .train_once(&long, &taken_up, &NeverStop, &mut |_| {})
        .unwrap();
    let straight = trainer
        .train_once(
            &long,
            &SingleRun {
                checkpoint: None,
                ..every
            },
            &NeverStop,
            &mut |_| {},
        )
        .unwrap();
    assert_eq!(
        longer
            .measurements
            .iter()
            .map(|m| m.step)
            .collect::<Vec<_>>(),
        [10, 20, 30, 40, 50]
    );
    assert_eq!(
        longer.measurements[4].metrics,
        straight.measurements[4].metrics
    );
    assert!(refusal(&trainer, &short, &taken_up).contains("beyond the cap of 30"));
}

#[test]
fn foreign_checkpoints_are_refused_by_name_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (trainer, single, path) = interrupted(folder.path());
    let why = refusal(
        &trainer,
        &TrialSpec {
            learning_rate: 0.004,
            ..reaching()
        },
        &single,
    );
    assert!(
        why.contains("learning_rate 0.003, this run has 0.004"),
        "{why}"
    );
    assert!(
        why.contains(&path.display().to_string()) && why.contains("delete it"),
        "{why}"
    );
    let other = BuiltIn::new(config(
        TinyFactory {
            hidden: 13,
            ..TinyFactory::default()
        },
        classes(),
    ))
    .unwrap();
    let why = refusal(&other, &reaching(), &single);
    assert!(
        why.contains(r#"model "tiny(12)", this run has "tiny(13)""#),
        "{why}"
    );

    let missing = SingleRun {
        resume: Some(folder.path().join("none")),
        ..single.clone()
    };
    assert!(refusal(&trainer, &reaching(), &missing).contains("No such file"));
    fs::write(&path, b"").unwrap();
    assert!(refusal(&trainer, &reaching(), &single).contains("no whole safetensors file"));
    fs::write(
        &path,
        safetensors::serialize(Vec::<(String, Nothing)>::new(), None).unwrap(),
    )
    .unwrap();
    assert!(refusal(&trainer, &reaching(), &single).contains("no checkpoint of batchscope"));
    // A header that promises more than any machine has.
    fs::write(&path, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
    assert!(refusal(&trainer, &reaching(), &single).contains("no whole safetensors file"));
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(refusal(&trainer, &reaching(), &single).contains("larger than any such checkpoint"));
}

/// A tensor type for files without tensors.
struct Nothing;

impl safetensors::View for Nothing {
    fn dtype(&self) -> safetensors::Dtype {
        safetensors::Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &[]
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        Vec::new().into()
    }
    fn data_len(&self) -> usize {
        0
    }
}

#[test]
fn in_a_study_a_broken_checkpoint_only_costs_the_shortcut() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = saving(folder.path(), TinyFactory::default());
    let whole = run(&trainer, &reaching());
    let first = trainer
        .run(&reaching(), &InterruptAfter::steps(40), &mut |_| {})
        .unwrap();
    assert_eq!(first.outcome, Outcome::Interrupted);
    let path = folder.path().join("trial-3.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut again = run(&trainer, &reaching());
    let note = again.notes.remove(0);
    assert!(
        note.contains("trial-3.safetensors") && note.contains("damaged"),
        "{note}"
    );
    assert_eq!(essence(&again), essence(&whole));
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_an_error_only_when_it_is_all_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("blocked");
    fs::write(&blocked, b"a file where a folder should be").unwrap();
    let mut config = config(TinyFactory::default(), classes());
    config.checkpoint_dir = Some(blocked);
    config.checkpoint_every = Duration::ZERO;
    let trainer = BuiltIn::new(config).unwrap();
    let whole = run(&common::trainer(), &reaching());
    let mut unsaved = run(&trainer, &reaching());
    let note = unsaved.notes.remove(0);
    assert!(note.contains("cannot write checkpoint"), "{note}");
    assert_eq!(essence(&unsaved), essence(&whole));
    let error = trainer
        .run(&reaching(), &InterruptAfter::steps(3), &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(
            error,
            TrainerError::File {
                what: "cannot write checkpoint",
                ..
            }
        ),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any few bytes changed, any cut, anything appended: refused, or (where the change means
    /// nothing, as in padding) taken up to the same end.
    #[test]
    fn no_mutation_of_a_checkpoint_panics_or_changes_the_numbers(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        header_changes in prop::collection::vec((0usize..6000, any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        appended in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        thread_local! {
            static SOUND: (tempfile::TempDir, BuiltIn, SingleRun, Vec<u8>, Essence) = {
                let folder = tempfile::tempdir().unwrap();
                let (trainer, single, path) = interrupted(folder.path());
                let bytes = fs::read(path).unwrap();
                let whole = essence(&run(&trainer, &reaching()));
                (folder, trainer, single, bytes, whole)
            };
        }
        SOUND.with(|(folder, trainer, single, bytes, whole)| {
            let mut mutated = bytes.clone();
            for (index, value) in &changes {
                let at = index.index(mutated.len());
                mutated[at] = *value;
            }
            for &(at, value) in &header_changes {
                let at = at % mutated.len();
                mutated[at] = value;
            }
            if let Some(cut) = cut {
                mutated.truncate(cut.index(mutated.len()));
            }
            mutated.extend(&appended);
            let path = folder.path().join("mutated.safetensors");
            fs::write(&path, &mutated).unwrap();
            let single = SingleRun { resume: Some(path), checkpoint: None, ..single.clone() };
            match trainer.train_once(&reaching(), &single, &NeverStop, &mut |_| {}) {
                Ok(record) => prop_assert_eq!(&essence(&record), whole),
                Err(TrainerError::Refused(why)) => prop_assert!(why.contains("mutated.safetensors"), "{}", why),
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
            Ok(())
        })?;
    }
}
