//! Whether a stored study may be continued with the plan at hand.

use batchscope_core::{TrainerInfo, TrialPurpose};
use serde_json::Value;

use crate::{Header, Plan, Queue, Store, StudyError, TrialState};

/// Keys that may change between runs of one study: its budgets, which are totals, and what only
/// concerns the machine. Every one of them leaves the specs of trials already run alone.
const EXTENDABLE: [&str; 6] = [
    "seeds",
    "jobs",
    "batch-sizes",
    "rules",
    "max-widenings",
    "linearity-seeds",
];

/// Of branches: which there are, and how they are judged. Each trial is known by its own settings.
const BRANCHES_EXTENDABLE: [&str; 5] =
    ["checkpoints", "factors", "tolerance", "run", "fixed_batch"];

/// Checks the plan, compares it with the stored one, and stores it. Returns it resolved.
pub(crate) fn resume_check(
    plan: &Plan,
    info: &TrainerInfo,
    store: &mut dyn Queue,
) -> Result<Plan, StudyError> {
    let plan = resume_plan(plan, info, store)?;
    let header = Header {
        plan: plan.clone(),
        trainer: info.clone(),
    };
    if store.header()?.as_ref() != Some(&header) {
        store.set_header(&header)?;
    }
    Ok(plan)
}

/// The plan that [`crate::run`] would follow on this store, every choice made: those of a study that
/// has begun are kept. Writes nothing.
///
/// Until the first trial beyond the pilot is stored, everything in the plan may change: a target
/// that proved too hard is replaced in the same folder. The trainer, model and data never may.
///
/// # Errors
/// When the plan makes no sense, the stored study is another one, or the store cannot be read.
pub fn resume_plan(plan: &Plan, info: &TrainerInfo, store: &dyn Store) -> Result<Plan, StudyError> {
    plan.check_against(info)?;
    let stored = store.header()?;
    let mut kept = None;
    if let Some(header) = &stored {
        let trials = store.trials()?;
        let smoothed = trials.iter().find(|trial| {
            matches!(&trial.state, TrialState::Finished(record) if record.outcome.is_by_smoothing())
        });
        if let Some(trial) = smoothed {
            return Err(StudyError::EarlierCrossings {
                trial: trial.spec.id,
            });
        }
        let trainer = TrainerInfo {
            trainer: renamed(&header.trainer.trainer),
            ..header.trainer.clone()
        };
        if let Some(mismatch) = difference(&value(&trainer), &value(info), &[]) {
            return Err(mismatch);
        }
        let begun = trials
            .iter()
            .any(|trial| !matches!(trial.spec.purpose, TrialPurpose::Pilot { .. }));
        if begun {
            let resolved = plan.resolved(Some(&header.plan));
            if let Some(mismatch) = difference(&value(&header.plan), &value(&resolved), &EXTENDABLE)
            {
                return Err(mismatch);
            }
            kept = Some(&header.plan);
        } else if plan.pilot_batch.is_none() && same_but_budgets(&header.plan, plan) {
            kept = Some(&header.plan);
        }
    }
    let plan = plan.resolved(kept);
    plan.check_against(info)?;
    Ok(plan)
}

/// The trainer's name as it is today: batchscope was called batchwise up to 0.1.0.
fn renamed(trainer: &str) -> String {
    match trainer.strip_prefix("batchwise ") {
        Some(version) => format!("batchscope {version}"),
        None => trainer.to_owned(),
    }
}

fn same_but_budgets(stored: &Plan, plan: &Plan) -> bool {
    difference(
        &value(stored),
        &value(&plan.resolved(Some(stored))),
        &EXTENDABLE,
    )
    .is_none()
}

fn value<T: serde::Serialize>(of: &T) -> Value {
    serde_json::to_value(of).expect("plain data")
}

/// The first key in which two objects differ, those in `free` aside.
fn difference(stored: &Value, given: &Value, free: &[&str]) -> Option<StudyError> {
    let (Value::Object(stored), Value::Object(given)) = (stored, given) else {
        return None;
    };
    let keys = stored
        .keys()
        .chain(given.keys().filter(|key| !stored.contains_key(*key)));
    keys.filter(|key| !free.contains(&key.as_str()))
        .find_map(|key| {
            let (old, new) = (stored.get(key), given.get(key));
            if let ("branching", Some(old), Some(new)) = (key.as_str(), old, new)
                && old.is_object()
                && new.is_object()
            {
                return difference(old, new, &BRANCHES_EXTENDABLE);
            }
            (old != new).then(|| StudyError::Mismatch {
                key: key.clone(),
                stored: show(old),
                given: show(new),
            })
        })
}

fn show(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
