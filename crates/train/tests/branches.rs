//! Trials that begin at a checkpoint.

mod common;

use std::path::{Path, PathBuf};

use batchscope_core::{
    Cadence, Described, EvaluationPlan, Metric, NeverStop, Schedule, Start, Trainer, TrialPurpose,
    TrialRecord, TrialSpec,
};
use batchscope_optim::OPTIMIZERS;
use batchscope_train::{BuiltIn, SingleRun, Stored, kept, testing::TinyFactory};

/// All examples in every step, at a rate of the optimizer's own: whatever their order, the gradient is the same.
fn full_batches(optimizer: &str, cap: u64) -> TrialSpec {
    let (kind, choice) = OPTIMIZERS.read(optimizer).unwrap();
    TrialSpec {
        purpose: TrialPurpose::Single,
        batch_size: 500,
        learning_rate: kind.rates.usual,
        schedule: Schedule::constant(),
        optimizer: choice,
        evaluation: EvaluationPlan {
            first: cap,
            ..EvaluationPlan::default()
        },
        cap,
        ..common::spec()
    }
}

/// Runs a spec in a folder; the checkpoints kept of these steps.
fn keeping(
    trainer: &BuiltIn,
    spec: &TrialSpec,
    folder: &Path,
    steps: &[u64],
) -> (TrialRecord, Vec<PathBuf>) {
    let checkpoint = folder.join("run.safetensors");
    let single = SingleRun {
        cadence: Cadence::Planned,
        resume: None,
        checkpoint: Some(checkpoint.clone()),
        keep: steps.to_vec(),
    };
    let record = trainer
        .train_once(spec, &single, &NeverStop, &mut |_| {})
        .unwrap();
    let files = steps.iter().map(|&step| kept(&checkpoint, step));
    (record, files.collect())
}

fn start(checkpoint: &Path) -> Option<Start> {
    Some(Start {
        checkpoint: checkpoint.display().to_string(),
        checksum: Some(Stored::read(checkpoint).unwrap().checksum),
        step: 10,
        counts_anew: false,
    })
}

fn last(record: &TrialRecord, metric: &str) -> f64 {
    let metric: Metric = metric.parse().unwrap();
    record.measurements.last().unwrap().metrics[&metric]
}

/// Ten steps and ten more from a checkpoint are twenty steps, with every optimizer: its memory goes along, and the count
/// of steps by which moments are corrected.
#[test]
fn a_branch_goes_on_where_the_run_was() {
    let trainer = common::trainer();
    for kind in OPTIMIZERS.all {
        let name = kind.descriptor().name;
        let folder = tempfile::tempdir().unwrap();
        let whole = full_batches(name, 20);
        let (record, files) = keeping(&trainer, &whole, folder.path(), &[10, 20]);
        let straight = last(&record, "train-loss");
        let branch = TrialSpec {
            start: start(&files[0]),
            // Other examples first.
            seed: 77,
            ..full_batches(name, 10)
        };
        let gone_on = last(&common::run(&trainer, &branch), "train-loss");
        assert!(
            (gone_on / straight - 1.0).abs() < 1e-4,
            "{name}: {straight} straight, {gone_on} by a branch"
        );
        // Without a step it is what it was.
        let metric = "train-loss".parse().unwrap();
        let as_kept = trainer
            .untrained(
                &TrialSpec {
                    start: start(&files[1]),
                    ..whole
                },
                &metric,
            )
            .unwrap();
        let averages = name.starts_with("schedule_free");
        assert!(averages || as_kept == Some(straight), "{name}");
    }
}

/// What is kept of a step is the checkpoint of a run that ends there, and the run is the same with it and without.
#[test]
fn what_is_kept_of_a_step_is_the_run_at_that_step() {
    let trainer = common::trainer();
    let spec = TrialSpec {
        purpose: TrialPurpose::Single,
        cap: 40,
        ..common::spec()
    };
    let [whole, short, plain] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (record, files) = keeping(&trainer, &spec, whole.path(), &[25, 40]);
    let (same, _) = keeping(&trainer, &spec, plain.path(), &[]);
    assert_eq!(common::essence(&record), common::essence(&same));
    let spec = TrialSpec { cap: 25, ..spec };
    keeping(&trainer, &spec, short.path(), &[]);
    let ended = Stored::read(&short.path().join("run.safetensors")).unwrap();
    let kept = Stored::read(&files[0]).unwrap();
    assert_eq!(kept.network, ended.network);
    assert_eq!(kept.into_run().unwrap().step, 25);
    assert!(files[1].exists());
}

#[test]
fn what_no_branch_can_begin_at_is_refused() {
    let trainer = common::trainer();
    let folder = tempfile::tempdir().unwrap();
    let spec = full_batches("sgd", 5);
    let (_, files) = keeping(&trainer, &spec, folder.path(), &[5]);
    let from = |start| TrialSpec {
        start,
        ..spec.clone()
    };
    let refusal =
        |trainer: &BuiltIn, spec: &TrialSpec| trainer.check(spec).unwrap_err().to_string();
    let good = start(&files[0]);
    trainer.check(&from(good.clone())).unwrap();
    let nowhere = Some(Start {
        checkpoint: "nowhere.safetensors".to_owned(),
        checksum: None,
        step: 10,
        counts_anew: false,
    });
    assert!(refusal(&trainer, &from(nowhere)).contains("nowhere.safetensors"));
    let other = good.clone().map(|start| Start {
        checksum: Some("00000000".to_owned()),
        ..start
    });
    assert!(refusal(&trainer, &from(other)).contains("checksum"));
    let adam = TrialSpec {
        start: good.clone(),
        ..full_batches("adam", 5)
    };
    assert!(refusal(&trainer, &adam).contains("its optimizer is sgd"));
    let wider = TinyFactory {
        hidden: 9,
        ..TinyFactory::default()
    };
    let wider = BuiltIn::new(common::config(wider, common::classes())).unwrap();
    assert!(refusal(&wider, &from(good)).contains("safetensors"));
}
