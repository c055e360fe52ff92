//! The whole experiment on a perceptron written by hand: straight through, in pieces, and grown.

mod support;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use batchscope_core::{
    Batch, Control, DataShape, EstimateState, Examples, Flow, InputShape, NetworkFactory,
    NeverStop, Purpose, StateTensor, StreamKey, Task,
};
use batchscope_landscape::{Objective, ObjectiveError};
use batchscope_reproduce::{
    Folder, ReproduceError, Side,
    keskar::{
        self, Ended, ExperimentContext, Method, Pace, Part, Plan, Plateau, Results, RunId, Scope,
        Setting, Sharpening, Statistics,
    },
};
use batchscope_train::{
    read_state,
    testing::{Blobs, TinyFactory},
};
use support::TrainingLoss;

const SHAPE: DataShape = DataShape {
    input: InputShape::Image {
        height: 3,
        width: 3,
        channels: 1,
    },
    task: Task::Classify { classes: 3 },
};

const PACE: Pace = Pace {
    small: 1e-5,
    large: 1e-5,
};

fn plan(parts: &[Part]) -> Plan {
    Plan {
        setting: Setting {
            network: "f1".to_owned(),
            model: "tiny(12)".to_owned(),
            data: "blobs".to_owned(),
            examples: 400,
            small: 4,
            large: 40,
            learning_rate: 3e-3,
            epochs: 12,
            plateau: Plateau {
                patience: 3,
                ..Plateau::default()
            },
            evaluation: 300,
            sharpness: Sharpening {
                examples: 200,
                starts: 2,
                iterations: 4,
                patience: Sharpening::PATIENCE,
                epsilons: vec![1e-2, 5e-3],
                dimension: 5,
                adaptive: 0.1,
            },
            augment: "flip".to_owned(),
            conservative: Default::default(),
            adversarial: Default::default(),
            seed: 3,
        },
        scope: Scope {
            starts: 3,
            parts: parts.iter().copied().collect::<BTreeSet<Part>>(),
            between: vec![12],
            between_starts: 2,
            warm_epochs: vec![1, 3, 50],
            snapshots: vec![1, 2],
            remedy_starts: 2,
            statistics: [Statistics::Interpolated, Statistics::Estimated].into(),
        },
    }
}

/// Runs `then` in the experiment's laboratory.
fn laboratory<T>(then: impl FnOnce(&ExperimentContext<'_>) -> T) -> T {
    let factory = Arc::new(TinyFactory::default());
    let train: Arc<dyn Examples> = Arc::new(Blobs::new(400, SHAPE, 1000));
    let objective =
        |state: &[StateTensor], examples: u64| -> Result<Box<dyn Objective>, ObjectiveError> {
            let mut network = factory.build(&SHAPE, key(0)).map_err(ObjectiveError::new)?;
            network.import(state).map_err(ObjectiveError::new)?;
            let mut batch = Batch::empty(SHAPE);
            train.fill_in_order(0..examples, &mut batch);
            Ok(Box::new(TrainingLoss::new(network, batch)))
        };
    // The perceptron has no running statistics: what is done to them shows in its first bias.
    let reestimate = |state: &[StateTensor], examples: u64| {
        assert_eq!(examples, 300);
        let mut state = state.to_vec();
        state[1].values.fill(0.0);
        Ok(state)
    };
    then(&ExperimentContext {
        factory: factory.clone(),
        train: train.clone(),
        test: Arc::new(Blobs::new(300, SHAPE, 1001)),
        objective: &objective,
        reestimate: &reestimate,
    })
}

fn key(start: u64) -> StreamKey {
    StreamKey {
        study_seed: 3,
        trial: start,
        purpose: Purpose::Initialization,
    }
}

/// Goes on with the experiment in a folder.
fn go_on(
    plan: &Plan,
    place: &Path,
    jobs: usize,
    control: &dyn Control,
) -> Result<Results, ReproduceError> {
    let folder = Folder::create(place)?;
    let side = Side { jobs, threads: 1 };
    laboratory(|lab| keskar::run(plan, lab, &folder, &PACE, side, control, &|_| {}))?;
    keskar::results(plan, &folder)
}

/// What must not depend on the clock.
fn timeless(mut results: Results) -> Results {
    for run in &mut results.runs {
        run.seconds = 0.0;
    }
    results
}

/// Asks to stop after a number of questions.
struct After(AtomicU64);

impl Control for After {
    fn flow(&self) -> Flow {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            0..=1 | 1_000_000.. => Flow::Interrupt,
            _ => Flow::Continue,
        }
    }
}

#[test]
fn in_pieces_and_side_by_side_it_is_the_experiment_in_one_go() {
    let place = tempfile::tempdir().unwrap();
    let plan = plan(&Part::ALL);
    let whole = go_on(&plan, &place.path().join("whole"), 1, &NeverStop).unwrap();
    let pieces = place.path().join("pieces");
    let mut stops = 0;
    let found = loop {
        match go_on(&plan, &pieces, 2, &After(AtomicU64::new(900))) {
            Ok(results) => break results,
            Err(ReproduceError::Interrupted) => stops += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(stops < 1000, "no headway");
    };
    assert!(stops > 3, "{stops}");
    assert_eq!(timeless(found), timeless(whole.clone()));

    // Everything that was asked for is there.
    assert_eq!(whole.table.len(), 2 + 4 + 2 + 1);
    assert!(whole.table.iter().all(|row| row.compared.n == 3));
    // A search that is led on finds no less, and says where even that was not enough.
    let of = |start: &str, end: &str| {
        let mut rows = whole.table.iter();
        let row = rows.find(|row| row.quantity.starts_with(start) && row.quantity.ends_with(end));
        row.unwrap()
    };
    let (short, long) = (
        of("φ, full space", "(%)"),
        of("φ, full space", "up to 200 iterations (%)"),
    );
    assert!(!short.quantity.contains("iterations"));
    for (short, long) in [(&short.small, &long.small), (&short.large, &long.large)] {
        assert!(long.value.unwrap() >= short.value.unwrap());
    }
    assert!(
        whole
            .notes
            .iter()
            .any(|note| note.starts_with("phi-full-") && note.contains("searches converged"))
    );
    let distance = whole.distance.as_ref().unwrap();
    assert_eq!(distance.ratio.state, EstimateState::Estimated);
    let slices = &whole.slices[0];
    for slice in [&slices.straight, &slices.curved] {
        let points = &slice.as_ref().unwrap().points;
        assert_eq!(points.len(), 25);
        assert!(points.iter().all(Option::is_some));
    }
    assert_eq!(whole.batch_sizes.len(), 3 * 2);
    assert_eq!(whole.trajectory.len(), 2 * 3);
    let after: Vec<u32> = whole.warm_starts.iter().map(|w| w.after).collect();
    assert_eq!(after, [1, 3]);
    assert!(
        whole.notes.iter().any(|n| n.contains("before epoch 50")),
        "{:?}",
        whole.notes
    );
    let methods: Vec<Method> = whole.remedies.iter().map(|r| r.method).collect();
    let expected = [
        Method::Plain,
        Method::Plain,
        Method::Augmented,
        Method::Conservative,
        Method::Adversarial,
    ];
    assert_eq!(methods, expected);
    assert!(whole.claims.iter().any(|c| c.claim.contains("sharper")));
    // The second pair of slices is of states that were re-estimated, point by point.
    let [interpolated, estimated] = &whole.slices[..] else {
        panic!("{} pairs", whole.slices.len());
    };
    assert_eq!(interpolated.statistics, Statistics::Interpolated);
    assert_eq!(estimated.statistics, Statistics::Estimated);
    for (one, other) in [
        (&interpolated.straight, &estimated.straight),
        (&interpolated.curved, &estimated.curved),
    ] {
        let (one, other) = (one.as_ref().unwrap(), other.as_ref().unwrap());
        assert_eq!(other.statistics, Statistics::Estimated);
        assert!(other.points.iter().all(Option::is_some));
        assert_ne!(one.points[8], other.points[8]);
    }
    // The ends of both paths are the minima of the runs.
    let run = |batch_size: u64| {
        let same = |r: &&keskar::RunRecord| {
            r.run.batch_size == batch_size && r.run.start == 0 && r.run.method == Method::Plain
        };
        whole.runs.iter().find(same).unwrap().last.unwrap()
    };
    for slice in [&slices.straight, &slices.curved] {
        let points = &slice.as_ref().unwrap().points;
        for (at, batch_size) in [(8, 4), (16, 40)] {
            let point = points[at].unwrap();
            assert_eq!(point.train_loss, Some(run(batch_size).train_loss));
            assert_eq!(point.test_accuracy, run(batch_size).test_accuracy);
        }
    }
}

#[test]
fn a_small_part_first_and_the_rest_later() {
    let place = tempfile::tempdir().unwrap();
    let small = plan(&[Part::Table]);
    let first = go_on(&small, place.path(), 2, &NeverStop).unwrap();
    assert_eq!(first.runs.len(), 6);
    assert!(first.trajectory.is_empty() && first.remedies.is_empty());
    let all = go_on(&plan(&Part::ALL), place.path(), 2, &NeverStop).unwrap();
    assert_eq!(all.table, first.table);
    // States that the first call did not keep are made now.
    assert_eq!(all.trajectory.len(), 6);
    assert_eq!(all.warm_starts.len(), 2);
}

/// A run that was stopped when fewer of its states were wanted makes those too, wherever it stood,
/// and so does one whose states are gone; a damaged one is named.
#[test]
fn states_that_a_later_call_wants_are_made() {
    let few = |parts: &[Part]| {
        let whole = plan(parts);
        Plan {
            scope: Scope {
                starts: 1,
                between_starts: 1,
                remedy_starts: 1,
                ..whole.scope
            },
            ..whole
        }
    };
    let (small, all) = (few(&[Part::Table]), few(&Part::ALL));
    // which run was started again is no result
    let found = |mut results: Results| {
        for run in &mut results.runs {
            run.notes.clear();
        }
        timeless(results)
    };
    let place = tempfile::tempdir().unwrap();
    let straight = found(go_on(&all, place.path(), 1, &NeverStop).unwrap());
    assert_eq!(straight.trajectory.len(), 6);
    let state = place.path().join("states/b40-s0.safetensors");
    std::fs::write(&state, b"nothing").unwrap();
    std::fs::remove_dir_all(place.path().join("measured")).unwrap();
    std::fs::create_dir(place.path().join("measured")).unwrap();
    let error = go_on(&all, place.path(), 1, &NeverStop).unwrap_err();
    assert!(matches!(error, ReproduceError::Damaged { .. }), "{error}");
    std::fs::remove_file(&state).unwrap();
    let again = found(go_on(&all, place.path(), 1, &NeverStop).unwrap());
    assert_eq!(again, straight);

    for questions in [30, 60, 120, 240] {
        let place = tempfile::tempdir().unwrap();
        let stop = After(AtomicU64::new(questions));
        let stopped = go_on(&small, place.path(), 1, &stop).unwrap_err();
        assert!(matches!(stopped, ReproduceError::Interrupted), "{stopped}");
        let went_on = found(go_on(&all, place.path(), 1, &NeverStop).unwrap());
        assert_eq!(went_on, straight, "{questions}");
    }
}

/// The records say what the states hold: the plateau, the distance from the start.
#[test]
fn records_tell_of_their_states() {
    let place = tempfile::tempdir().unwrap();
    let plan = plan(&[Part::Table]);
    let results = go_on(&plan, place.path(), 2, &NeverStop).unwrap();
    for record in &results.runs {
        let losses: Vec<f64> = record.epochs.iter().map(|e| e.train_loss).collect();
        let rule = &plan.setting.plateau;
        match record.ended {
            Ended::Plateau => {
                assert!(rule.reached(&losses));
                assert!(!rule.reached(&losses[..losses.len() - 1]));
            }
            Ended::Cap => assert_eq!(losses.len(), 12),
            ref other => panic!("{other:?}"),
        }
        let RunId {
            batch_size, start, ..
        } = record.run;
        assert_eq!(record.steps, losses.len() as u64 * (400 / batch_size));
        let factory = TinyFactory::default();
        let begun = factory.build(&SHAPE, key(u64::from(start))).unwrap();
        let x0 = begun.export().unwrap();
        let path = place
            .path()
            .join(format!("states/b{batch_size}-s{start}.safetensors"));
        let (x, _) = read_state(&path, &x0).unwrap();
        let squares: f64 = x
            .iter()
            .zip(&x0)
            .filter(|(tensor, _)| !tensor.name.starts_with("norm"))
            .flat_map(|(x, x0)| x.values.iter().zip(&x0.values))
            .map(|(x, x0)| f64::from(x - x0).powi(2))
            .sum();
        assert!((record.distance / squares.sqrt() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_folder_keeps_to_its_setting_and_senseless_plans_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::create(place.path()).unwrap();
    let run = |plan: &Plan, control: &dyn Control| {
        let side = Side {
            jobs: 1,
            threads: 1,
        };
        laboratory(|lab| keskar::run(plan, lab, &folder, &PACE, side, control, &|_| {}))
    };
    let stop = || After(AtomicU64::new(0));
    let first = plan(&[Part::Table]);
    assert!(matches!(
        run(&first, &stop()),
        Err(ReproduceError::Interrupted)
    ));
    let mut other = first.clone();
    other.setting.epochs = 13;
    let error = run(&other, &stop()).unwrap_err().to_string();
    assert!(error.contains("epochs 12 and not 13"), "{error}");

    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = first.clone();
        change(&mut plan);
        match run(&plan, &NeverStop) {
            Err(ReproduceError::Setting { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|p| p.setting.small = 5), "examples");
    assert_eq!(refused(&|p| p.setting.learning_rate = 0.0), "learning-rate");
    assert_eq!(refused(&|p| p.setting.epochs = 0), "epochs");
    assert_eq!(refused(&|p| p.scope.starts = 0), "starts");
    assert_eq!(refused(&|p| p.scope.parts.clear()), "part");
    assert_eq!(
        refused(&|p| p.setting.sharpness.examples = 401),
        "sharpness-examples"
    );
    assert_eq!(
        refused(&|p| p.setting.sharpness.epsilons = vec![f64::NAN]),
        "epsilon"
    );
}

/// A damaged result is named with what to do, and what it held is made again once it is gone.
#[test]
fn damage_is_told_and_mended() {
    let place = tempfile::tempdir().unwrap();
    let plan = Plan {
        scope: Scope {
            starts: 1,
            between_starts: 1,
            remedy_starts: 1,
            ..plan(&[Part::Table]).scope
        },
        ..plan(&[Part::Table])
    };
    let whole = go_on(&plan, place.path(), 1, &NeverStop).unwrap();
    let victim = place.path().join("runs/b40-s0.json");
    std::fs::write(&victim, b"{\"run\":").unwrap();
    let error = go_on(&plan, place.path(), 1, &NeverStop).unwrap_err();
    assert!(matches!(error, ReproduceError::Damaged { .. }), "{error}");
    std::fs::remove_file(&victim).unwrap();
    let mended = go_on(&plan, place.path(), 1, &NeverStop).unwrap();
    assert_eq!(timeless(mended), timeless(whole));
}
