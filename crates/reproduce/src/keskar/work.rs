//! The experiment as tasks, how long they take, and their running.

use batchscope_core::{
    Control, Trainer,
    format::{number, percent},
};
use serde_json::Value;

use super::lab::ExperimentContext;
use super::plan::Plan;
use super::record::{Ended, RunRecord, SharpnessRecord, SliceRecord};
use super::setting::Setting;
use super::task::{
    Method, Quantity, RunId, Space, StateId, Statistics, Task, searches_file, state_file,
};
use super::training::{spec, train, trainer, warm_state};
use super::{sharpness, slices};
use crate::{ExperimentEvent, Folder, ReproduceError, Side, runner};

/// Seconds that training on an example takes, on one of the threads that tasks are given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// In small batches.
    pub small: f64,
    /// In large batches.
    pub large: f64,
}

/// Seconds of timing per batch size.
const TIMING: f64 = 0.5;
/// Seconds that an entry of a random subspace's matrix costs: to draw, and to multiply by.
const SUBSPACE_ENTRY: f64 = 6e-8;

impl Pace {
    /// Measures it. `None` when told to stop.
    ///
    /// # Errors
    /// When the network cannot be trained on the data.
    pub fn measure(
        plan: &Plan,
        lab: &ExperimentContext<'_>,
        side: Side,
        control: &dyn Control,
    ) -> Result<Option<Self>, ReproduceError> {
        let pool = side.pool()?;
        let setting = &plan.setting;
        let time = |batch_size: u64| -> Result<Option<f64>, ReproduceError> {
            let run = RunId::plain(batch_size, 0);
            let failed = |source| ReproduceError::Training {
                task: format!("timing of {run}"),
                source,
            };
            let trainer = trainer(lab, setting, Method::Plain).map_err(failed)?;
            let timing = pool
                .install(|| trainer.time(&spec(setting, &run), TIMING, control))
                .map_err(|error| {
                    failed(batchscope_train::TrainError::Refused(error.to_string()))
                })?;
            Ok(timing.map(|timing| timing.seconds / batch_size as f64))
        };
        let (small, large) = (time(setting.small)?, time(setting.large)?);
        Ok(small.zip(large).map(|(small, large)| Self { small, large }))
    }
}

/// Seconds of a task at most: runs go to their cap.
fn seconds(plan: &Plan, parameters: u64, pace: &Pace, task: &Task) -> f64 {
    let Setting {
        examples,
        epochs,
        small,
        large,
        sharpness: wanted,
        evaluation,
        ..
    } = &plan.setting;
    match task {
        Task::Train(run) => {
            // Between the two, the pace is one between theirs.
            let span = (*large as f64 / *small as f64).ln();
            let part = (run.batch_size as f64 / *small as f64).ln() / span;
            let pace = pace.small * (pace.large / pace.small).powf(part);
            let times = match run.method {
                Method::Plain | Method::Augmented => 1.0,
                Method::Conservative => plan.setting.conservative.iterations as f64,
                Method::Adversarial => 3.0,
            };
            f64::from(*epochs) * times * *examples as f64 * pace
        }
        Task::Sharpness { quantity, .. } => {
            let evaluations =
                sharpness::evaluations(sharpness::iterations(&plan.setting, quantity));
            let mut once = evaluations * wanted.examples as f64 * pace.large;
            if let Quantity::Phi {
                space: Space::Random,
                ..
            } = quantity
            {
                once += SUBSPACE_ENTRY * parameters as f64 * wanted.dimension as f64;
            }
            f64::from(wanted.starts) * once
        }
        // A forward pass is a third of a step; estimating statistics is another.
        Task::Slice { statistics, .. } => {
            let passes = match statistics {
                Statistics::Interpolated => 2.0,
                Statistics::Estimated => 3.0,
            };
            25.0 * passes * *evaluation as f64 * pace.large / 3.0
        }
    }
}

/// The experiment as the runner takes it.
fn tasks(plan: &Plan, parameters: u64, pace: &Pace) -> Vec<runner::Task<Task>> {
    let tasks = plan.tasks();
    let names: Vec<String> = tasks.iter().map(Task::name).collect();
    let number = |task: Task| names.iter().position(|name| *name == task.name());
    let runs = |task: &Task| -> Vec<RunId> {
        match task {
            Task::Train(run) => match run.warm {
                Some(_) => vec![RunId {
                    batch_size: plan.setting.small,
                    warm: None,
                    ..run.clone()
                }],
                None => Vec::new(),
            },
            Task::Sharpness { state, .. } => vec![state.run.clone()],
            Task::Slice { start, .. } => minima(&plan.setting, *start).to_vec(),
        }
    };
    tasks
        .iter()
        .map(|task| runner::Task {
            what: task.clone(),
            name: task.name(),
            needs: runs(task)
                .into_iter()
                .filter_map(|run| number(Task::Train(run)))
                .collect(),
            weight: seconds(plan, parameters, pace, task),
        })
        .collect()
}

/// Seconds that what is not stored yet takes at most, if every run goes to its cap.
///
/// # Errors
/// When a stored result is damaged.
pub fn forecast(
    plan: &Plan,
    folder: &Folder,
    parameters: u64,
    pace: &Pace,
    side: Side,
) -> Result<f64, ReproduceError> {
    let tasks = tasks(plan, parameters, pace);
    let known = known(plan, &tasks, folder)?;
    let left = tasks.iter().zip(known).filter(|(_, known)| !known);
    Ok(left.map(|(task, _)| task.weight).sum::<f64>() / side.jobs.max(1) as f64)
}

/// Which tasks are stored already. A run that was made when fewer of its states were wanted, or whose
/// states are gone, is made again, to the same end.
fn known(
    plan: &Plan,
    tasks: &[runner::Task<Task>],
    folder: &Folder,
) -> Result<Vec<bool>, ReproduceError> {
    let mut known = Vec::with_capacity(tasks.len());
    for task in tasks {
        let file = task.what.file();
        let exists = |state: &StateId| folder.file(&state_file(state)).exists();
        // That a state is missing is a result only where the run that would have made it is done.
        let settled = task.needs.iter().all(|&need| known[need]);
        let stored = match &task.what {
            Task::Train(run) => match folder.read::<RunRecord>(&file)? {
                Some(RunRecord {
                    ended: Ended::Skipped { .. },
                    ..
                }) => settled && !warm_state(&plan.setting, run).is_some_and(|from| exists(&from)),
                Some(record) => states(plan, &record).iter().all(|state| {
                    let noted = |epoch| record.kept.iter().any(|kept| kept.epoch == epoch);
                    exists(state) && state.epoch.is_none_or(noted)
                }),
                None => false,
            },
            Task::Sharpness { state, .. } => folder
                .read::<SharpnessRecord>(&file)?
                .is_some_and(|record| record.loss.is_some() || (settled && !exists(state))),
            Task::Slice { start, .. } => match folder.read::<SliceRecord>(&file)? {
                Some(record) if record.missing.is_some() => {
                    settled
                        && !minima(&plan.setting, *start)
                            .map(StateId::last)
                            .iter()
                            .all(exists)
                }
                Some(record) => record.finished(),
                None => false,
            },
        };
        if let (Task::Sharpness { state, quantity }, true) = (&task.what, stored) {
            // Killed after its record was written.
            folder.remove(&searches_file(state, quantity));
        }
        known.push(stored);
    }
    Ok(known)
}

/// The states that a run which ended like this has left.
fn states(plan: &Plan, record: &RunRecord) -> Vec<StateId> {
    let kept = plan.kept(&record.run);
    let kept = kept.range(..=record.epochs.len() as u32);
    let kept = kept.map(|&epoch| StateId::after(record.run.clone(), epoch));
    let last = record
        .last
        .is_some()
        .then(|| StateId::last(record.run.clone()));
    kept.chain(last).collect()
}

/// The runs between whose minima slices of a start are drawn.
fn minima(setting: &Setting, start: u32) -> [RunId; 2] {
    [setting.small, setting.large].map(|batch_size| RunId::plain(batch_size, start))
}

/// The file that says what the folder is of.
const SETTING: &str = "setting.json";

/// Takes the folder for a setting, or refuses one that holds another's results.
fn claim(setting: &Setting, folder: &Folder) -> Result<(), ReproduceError> {
    let Some(stored) = folder.read::<Value>(SETTING)? else {
        return folder.write(SETTING, setting);
    };
    let wanted = serde_json::to_value(setting).unwrap_or_default();
    let names = wanted.as_object().into_iter().flat_map(|map| map.keys());
    for name in names {
        if stored[name] != wanted[name] {
            return Err(ReproduceError::OtherExperiment {
                path: folder.path().to_owned(),
                difference: format!("{name} {} and not {}", stored[name], wanted[name]),
            });
        }
    }
    Ok(())
}

/// Does what is left of the experiment.
///
/// # Errors
/// When the plan makes no sense, the folder belongs to another experiment, a run or measurement
/// cannot be made, or `control` asks to stop ([`ReproduceError::Interrupted`]): what is finished is
/// stored then, and calling this again goes on from there.
pub fn run(
    plan: &Plan,
    lab: &ExperimentContext<'_>,
    folder: &Folder,
    pace: &Pace,
    side: Side,
    control: &dyn Control,
    observe: &(dyn Fn(ExperimentEvent<'_>) + Sync),
) -> Result<(), ReproduceError> {
    plan.check()?;
    claim(&plan.setting, folder)?;
    let network = lab.network(plan.setting.seed, 0)?;
    let parameters = network.layout().parameters() as u64;
    drop(network);
    let tasks = tasks(plan, parameters, pace);
    let known = known(plan, &tasks, folder)?;
    let setting = &plan.setting;
    let work = |task: &Task, control: &dyn Control, tell: &(dyn Fn(f64) + Sync)| match task {
        Task::Train(run) => {
            let record = train(plan, lab, folder, run, control, tell)?;
            Ok(said(&record))
        }
        Task::Sharpness { state, quantity } => {
            let record = sharpness::measure(setting, lab, folder, state, quantity, control, tell)?;
            Ok(record.phi.to_string())
        }
        Task::Slice {
            start,
            shape,
            statistics,
        } => {
            let which = (*start, *shape, *statistics);
            slices::measure(plan, lab, folder, which, control, tell)?;
            Ok("25 points".to_owned())
        }
    };
    runner::run(&tasks, &known, side, control, observe, &work)
}

/// What a run came to, in a few words.
fn said(record: &RunRecord) -> String {
    let ended = match &record.ended {
        Ended::Plateau => "stopped improving",
        Ended::Cap => "at the cap",
        Ended::Diverged => "diverged",
        Ended::Skipped { why } => return format!("left out: {why}"),
    };
    let epochs = record.epochs.len();
    match &record.last {
        Some(last) => format!(
            "{ended} after {epochs} epochs: train loss {}, test accuracy {}",
            number(last.train_loss),
            percent(last.test_accuracy)
        ),
        None => format!("{ended} after {epochs} epochs"),
    }
}
