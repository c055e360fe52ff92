//! A training run, led from plateau to plateau.

use std::{collections::BTreeSet, path::Path, time::Duration};

use batchscope_core::{
    Cadence, Choice, Control, EvaluationPlan, Event, Metric, Network, Outcome, Quantity, Schedule,
    Split, StateTensor, TrialPurpose, TrialSpec, Value,
};
use batchscope_train::{
    BuiltIn, BuiltInConfig, Checkpointer, Run, TrainError, read_state, train_loop, write_state,
};

use super::lab::{ExperimentContext, parameters};
use super::plan::Plan;
use super::record::{Ended, EpochLoss, RunRecord, Snapshot};
use super::setting::Setting;
use super::task::{Method, RunId, StateId, checkpoint_file, run_file, state_file};
use crate::{Folder, ReproduceError, stop_signal::StopSignal};

/// Time between two checkpoints of a run.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// The steps that make an epoch at a batch size: as near to all examples as whole steps come.
pub(crate) fn steps_per_epoch(setting: &Setting, batch_size: u64) -> u64 {
    ((setting.examples + batch_size / 2) / batch_size).max(1)
}

/// The trainer of a method.
pub(crate) fn trainer(
    lab: &ExperimentContext<'_>,
    setting: &Setting,
    method: Method,
) -> Result<BuiltIn, TrainError> {
    let mut config = BuiltInConfig::new(
        lab.factory.clone(),
        setting.data.clone(),
        lab.train.clone(),
        None,
        None,
    );
    match method {
        Method::Plain | Method::Conservative | Method::Adversarial => {}
        Method::Augmented => {
            config.augment = setting
                .augment
                .parse()
                .map_err(|e| TrainError::Refused(format!("augment: {e}")))?;
        }
    }
    BuiltIn::new(config)
}

/// What the trainer is asked for.
pub(crate) fn spec(setting: &Setting, run: &RunId) -> TrialSpec {
    let per_epoch = steps_per_epoch(setting, run.batch_size);
    TrialSpec {
        id: 0,
        purpose: TrialPurpose::Single,
        // Part of a checkpoint's identity, so that no run takes up another's.
        curves: vec![run.to_string()],
        batch_size: run.batch_size,
        micro_batch: None,
        learning_rate: setting.learning_rate,
        schedule: Schedule::constant(),
        optimizer: Choice::new(
            "adam",
            [
                ("beta1", Value::from(0.9)),
                ("beta2", Value::from(0.999)),
                ("epsilon", Value::from(1e-8)),
                ("weight_decay", Value::from(0.0)),
            ],
        ),
        methods: match run.method {
            Method::Plain | Method::Augmented => Vec::new(),
            Method::Conservative => vec![setting.conservative.method()],
            Method::Adversarial => vec![setting.adversarial.method()],
        },
        controller: None,
        clip: None,
        decay: Default::default(),
        study_seed: setting.seed,
        seed: u64::from(run.start),
        cap: u64::from(setting.epochs) * per_epoch,
        max_examples: None,
        start: None,
        target: None,
        evaluation: EvaluationPlan {
            examples: setting.evaluation,
            ..EvaluationPlan::default()
        },
        diagnostics: Vec::new(),
    }
}

/// The state that a run takes up from small batches.
pub(crate) fn warm_state(setting: &Setting, run: &RunId) -> Option<StateId> {
    let small = RunId {
        batch_size: setting.small,
        warm: None,
        ..run.clone()
    };
    run.warm.map(|epoch| StateId::after(small, epoch))
}

/// A state of the folder's with its note. One that is damaged says that its run can be made again.
pub(crate) fn stored_state(
    path: &Path,
    like: &[StateTensor],
    task: &str,
) -> Result<(Vec<StateTensor>, String), ReproduceError> {
    read_state(path, like).map_err(|source| match source {
        TrainError::Stored { path, why } => ReproduceError::Damaged { path, why },
        source => ReproduceError::Training {
            task: task.to_owned(),
            source,
        },
    })
}

/// Trains a run to its end, or on from where it was stopped, and stores its states and its record.
pub(crate) fn train(
    plan: &Plan,
    lab: &ExperimentContext<'_>,
    folder: &Folder,
    id: &RunId,
    control: &dyn Control,
    tell: &(dyn Fn(f64) + Sync),
) -> Result<RunRecord, ReproduceError> {
    let setting = &plan.setting;
    let failed = |source| of_run(id, source);
    let trainer = trainer(lab, setting, id.method).map_err(failed)?;
    let spec = spec(setting, id);
    let per_epoch = steps_per_epoch(setting, id.batch_size);
    let warm = match warm_state(setting, id) {
        None => None,
        Some(from) => {
            let path = folder.file(&state_file(&from));
            if !path.exists() {
                let epoch = from.epoch.unwrap_or_default();
                let why = format!("the small batches had stopped before epoch {epoch}");
                return skip(folder, id, why);
            }
            Some(path)
        }
    };
    let begin = || -> Result<_, ReproduceError> {
        let (mut run, identity) = trainer
            .begin(&spec, Cadence::Every(per_epoch))
            .map_err(failed)?;
        if let Some(path) = &warm {
            let like = run.network.export()?;
            let (state, _) = stored_state(path, &like, &id.to_string())?;
            run.network.import(&state)?;
        }
        Ok((run, identity))
    };
    let (mut run, mut identity) = begin()?;
    let start = parameters(run.network.as_ref(), &run.network.export()?);

    let kept = plan.kept(id);
    let path = folder.file(&checkpoint_file(id));
    if path.exists() {
        let again = match run.resume(&path, &identity, false) {
            Err(error) => Some(error.to_string()),
            Ok(_) => lost_state(folder, id, &kept, run.driver.progress().step, per_epoch),
        };
        if let Some(why) = again {
            (run, identity) = begin()?;
            run.driver.note(format!("started again: {why}"));
        }
    }
    run.checkpointer = Some(Checkpointer::new(path.clone(), CHECKPOINT_EVERY, identity));

    let ended = train_to_end(plan, lab, folder, id, &mut run, control, tell)?;
    let record = finish(lab, setting, folder, id, &mut run, ended, &start).map_err(failed)?;
    folder.write(&run_file(id), &record)?;
    // The record stands: what could be resumed is resumed no more.
    let _ = std::fs::remove_file(path);
    Ok(record)
}

/// A fault of the trainer's, with the run it struck.
fn of_run(id: &RunId, source: TrainError) -> ReproduceError {
    ReproduceError::Training {
        task: id.to_string(),
        source,
    }
}

/// Why a run that was stopped at `step` is trained again: fewer of its states were wanted then.
fn lost_state(
    folder: &Folder,
    id: &RunId,
    kept: &BTreeSet<u32>,
    step: u64,
    per_epoch: u64,
) -> Option<String> {
    let missing = kept.iter().find(|&&epoch| {
        let state = StateId::after(id.clone(), epoch);
        u64::from(epoch) * per_epoch < step && !folder.file(&state_file(&state)).exists()
    });
    missing.map(|epoch| format!("its state after epoch {epoch} is wanted now"))
}

/// Trains to the plateau, the cap or divergence; keeps the states that are wanted on the way.
fn train_to_end(
    plan: &Plan,
    lab: &ExperimentContext<'_>,
    folder: &Folder,
    id: &RunId,
    run: &mut Run<'_>,
    control: &dyn Control,
    tell: &(dyn Fn(f64) + Sync),
) -> Result<Ended, ReproduceError> {
    let setting = &plan.setting;
    let failed = |source| of_run(id, source);
    let kept = plan.kept(id);
    let per_epoch = steps_per_epoch(setting, id.batch_size);
    let cap = u64::from(setting.epochs) * per_epoch;
    loop {
        let epoch = (run.driver.progress().step / per_epoch) as u32;
        if run.driver.progress().step == u64::from(epoch) * per_epoch && kept.contains(&epoch) {
            keep(lab, setting, folder, id, epoch, run.network.as_mut()).map_err(failed)?;
        }
        let mut losses = losses(run);
        if setting.plateau.reached(&losses) {
            return Ok(Ended::Plateau);
        }
        let next = kept.range(epoch + 1..).next();
        let next = next.map(|&epoch| u64::from(epoch) * per_epoch);
        // Interrupted where this run wants to stop.
        let stop = StopSignal::new(control);
        let outcome = train_loop(run, &stop, &mut |event| match event {
            Event::Step { step, .. } => {
                if Some(step) == next {
                    stop.interrupt();
                }
                if step % per_epoch == 0 || step % 16 == 0 {
                    tell(step as f64 / cap as f64);
                }
            }
            Event::Measured(measurement) => {
                losses.extend(measurement.metrics.get(&train_loss()));
                if setting.plateau.reached(&losses) {
                    stop.interrupt();
                }
            }
            Event::Started { .. } | Event::Decided(_) | Event::Checkpointed { .. } => {}
        })
        .map_err(failed)?;
        match outcome {
            Outcome::Interrupted if !stop.is_interrupted() => {
                return Err(ReproduceError::Interrupted);
            }
            Outcome::Interrupted => {}
            Outcome::Diverged { .. } => return Ok(Ended::Diverged),
            _ => {
                let epoch = (run.driver.progress().step / per_epoch) as u32;
                if kept.contains(&epoch) {
                    keep(lab, setting, folder, id, epoch, run.network.as_mut()).map_err(failed)?;
                }
                let at_rest = setting.plateau.reached(&losses);
                return Ok(if at_rest { Ended::Plateau } else { Ended::Cap });
            }
        }
    }
}

fn train_loss() -> Metric {
    Metric::new(Split::Train, Quantity::Loss)
}

/// The training losses of a run so far, an epoch each.
fn losses(run: &Run<'_>) -> Vec<f64> {
    let measurements = run.driver.progress().measurements.iter();
    measurements
        .filter_map(|m| m.metrics.get(&train_loss()).copied())
        .collect()
}

/// The record of a run that could not be begun.
fn skip(folder: &Folder, id: &RunId, why: String) -> Result<RunRecord, ReproduceError> {
    let record = RunRecord {
        run: id.clone(),
        ended: Ended::Skipped { why },
        last: None,
        distance: 0.0,
        epochs: Vec::new(),
        kept: Vec::new(),
        steps: 0,
        seconds: 0.0,
        notes: Vec::new(),
    };
    folder.write(&run_file(id), &record)?;
    Ok(record)
}

/// Stores the state after an epoch, and what it is worth.
fn keep(
    lab: &ExperimentContext<'_>,
    setting: &Setting,
    folder: &Folder,
    id: &RunId,
    epoch: u32,
    network: &mut dyn Network,
) -> Result<(), TrainError> {
    let state = StateId::after(id.clone(), epoch);
    let path = folder.file(&state_file(&state));
    if !path.exists() {
        let worth = lab.evaluate(network, setting.evaluation, epoch)?.storable();
        let about = serde_json::to_string(&worth)
            .map_err(|e| TrainError::Bug(format!("a state's note cannot be written: {e}")))?;
        write_state(&path, &network.export()?, &about)?;
    }
    Ok(())
}

fn finish(
    lab: &ExperimentContext<'_>,
    setting: &Setting,
    folder: &Folder,
    id: &RunId,
    run: &mut Run<'_>,
    ended: Ended,
    start: &[f64],
) -> Result<RunRecord, TrainError> {
    let per_epoch = steps_per_epoch(setting, id.batch_size);
    let epoch = (run.driver.progress().step / per_epoch) as u32;
    let state = run.network.export()?;
    let x = parameters(run.network.as_ref(), &state);
    let squares: f64 = x.iter().zip(start).map(|(x, s)| (x - s).powi(2)).sum();
    let mut last = None;
    if ended != Ended::Diverged {
        let worth = lab.evaluate(run.network.as_mut(), setting.evaluation, epoch)?;
        last = Some(worth.storable());
        let path = folder.file(&state_file(&StateId::last(id.clone())));
        write_state(&path, &state, &id.to_string())?;
    }
    let epochs = (1..).zip(losses(run));
    let epochs = epochs.map(|(epoch, train_loss)| EpochLoss { epoch, train_loss });
    Ok(RunRecord {
        run: id.clone(),
        ended,
        last,
        distance: if squares.is_finite() {
            squares.sqrt()
        } else {
            f64::MAX
        },
        epochs: epochs.collect(),
        kept: kept_snapshots(folder, id, epoch, &state)?,
        steps: run.driver.progress().step,
        seconds: run.driver.progress().seconds,
        notes: run.driver.progress().notes.clone(),
    })
}

/// What the states kept on the way are worth, from the notes in their files.
fn kept_snapshots(
    folder: &Folder,
    id: &RunId,
    epochs: u32,
    like: &[StateTensor],
) -> Result<Vec<Snapshot>, TrainError> {
    let mut kept = Vec::new();
    for epoch in 0..=epochs {
        let state = StateId::after(id.clone(), epoch);
        let path = folder.file(&state_file(&state));
        if path.exists() {
            let (_, about) = read_state(&path, like)?;
            let snapshot = serde_json::from_str(&about).map_err(|e| TrainError::Stored {
                path,
                why: format!("its note cannot be read: {e}"),
            })?;
            kept.push(snapshot);
        }
    }
    Ok(kept)
}
