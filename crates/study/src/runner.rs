use std::collections::BTreeMap;

use batchscope_core::{
    Trainer, TrainerError, TrainerInfo, TrialPurpose, TrialRecord, TrialSpec, check_untrained,
};
use batchscope_scaling::{Conditions, StudySummary, TuningSummary};

use crate::{
    BranchPlanner, ComparisonPlanner, Header, Observer, Plan, Planner, Queue, StopToken, Store,
    StudyError, StudyEvent, TargetChoice, TunedPlanner,
    forecast::Tracker,
    known::Known,
    observer::tell,
    planner::{Assessment, Finished},
    resume_check::resume_check,
    stage::{DEAD_AFTER, Ended, StageRun, run_stage},
};

/// What a study gave.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyResult {
    /// What was studied. `None` only when the study was interrupted before its target was known.
    pub summary: Option<StudySummary>,
    /// What tuning did at each tuned batch size; empty when interrupted before its end.
    pub tuning: Vec<TuningSummary>,
    /// Every finished trial of the plan, by number.
    pub records: Vec<TrialRecord>,
    /// What was decided, in order.
    pub decisions: Vec<String>,
    /// The plan as it was run, every choice made.
    pub plan: Plan,
    /// True if the stop token ended it; run it again to resume.
    pub interrupted: bool,
}

/// The planner of a plan: [`ComparisonPlanner`] where it compares methods, [`BranchPlanner`] where it branches a run, else
/// [`TunedPlanner`].
fn planner_of(plan: &Plan) -> &'static dyn Planner {
    match (&plan.comparison, &plan.branching) {
        (Some(_), _) => &ComparisonPlanner,
        (None, Some(_)) => &BranchPlanner,
        (None, None) => &TunedPlanner,
    }
}

/// Runs the study of a plan with the planner it asks for: [`run_with`] is the loop.
/// Observers may be none: `&[]`.
///
/// # Errors
/// See [`StudyError`]; whatever was finished is stored.
pub fn run(
    plan: &Plan,
    trainer: &dyn Trainer,
    store: &mut dyn Queue,
    stop: &StopToken,
    observers: &[&dyn Observer],
) -> Result<StudyResult, StudyError> {
    run_with(planner_of(plan), plan, trainer, store, stop, observers)
}

/// The study loop: asks the planner what comes next, runs it, stores it, until nothing is left.
///
/// Everything known is in the store, so that a study that was interrupted, killed or extended goes
/// on from there as if nothing had happened. Failures of single trials are counted and the study
/// goes on; it ends when the store fails, or every trial of a stage does.
///
/// # Errors
/// See [`StudyError`]; whatever was finished is stored.
pub fn run_with(
    planner: &dyn Planner,
    plan: &Plan,
    trainer: &dyn Trainer,
    store: &mut dyn Queue,
    stop: &StopToken,
    observers: &[&dyn Observer],
) -> Result<StudyResult, StudyError> {
    let info = trainer.info();
    let plan = resume_check(plan, &info, store)?;
    store.recover(DEAD_AFTER)?;
    let mut known = Known::of(store)?;
    if known.finished().is_empty() {
        refuse_met_target(&plan, trainer)?;
    }
    // A process that was killed between the two had stored these and not forgotten them.
    for record in known.finished().records() {
        trainer.forget(&record.spec);
    }
    if let Err(error) = planner.assess(&plan, &info, known.finished()) {
        retry_failed(&error, store)?;
    }
    let mut ended = Ended::Complete;
    loop {
        known.refresh(store)?;
        let study = planner.assess(&plan, &info, known.finished())?;
        publish(&study, known.finished(), store, observers)?;
        let Some(stage) = study.stage.clone().filter(|_| ended != Ended::Stopped) else {
            return Ok(result(&plan, &info, study));
        };
        // While others run the rest of a stage, it is looked at again and again.
        if ended != Ended::Elsewhere {
            tell(
                observers,
                StudyEvent::Stage {
                    stage: stage.clone(),
                },
            );
        }
        let numbers = store.add(&study.trials)?;
        let run = StageRun {
            planner,
            trainer,
            jobs: plan.jobs,
            store,
            known: &mut known,
            stop,
            observers,
            tracker: &mut Tracker::new(&study, &stage),
        };
        ended = run_stage(run, &numbers)?;
    }
}

/// What a stored study has given so far, as its planner sees it, without running anything; `None` before its first
/// run. It counts as interrupted while trials are missing.
///
/// # Errors
/// When the store cannot be read, or its pilot gave no target.
pub fn load(store: &dyn Store) -> Result<Option<StudyResult>, StudyError> {
    match store.header()? {
        Some(header) => load_with(planner_of(&header.plan), store),
        None => Ok(None),
    }
}

/// What a stored study has given so far, as [`load`], as a planner sees it.
///
/// # Errors
/// When the store cannot be read, or the study cannot go on.
pub fn load_with(
    planner: &dyn Planner,
    store: &dyn Store,
) -> Result<Option<StudyResult>, StudyError> {
    let Some(Header { plan, trainer }) = store.header()? else {
        return Ok(None);
    };
    let study = planner.assess(&plan, &trainer, Known::of(store)?.finished())?;
    Ok(Some(result(&plan, &trainer, study)))
}

/// Refuses a target fixed beforehand that the untrained network meets.
///
/// # Errors
/// [`StudyError::Plan`] of the key `target`.
pub fn refuse_met_target(plan: &Plan, trainer: &dyn Trainer) -> Result<(), StudyError> {
    let TargetChoice::Fixed(target) = &plan.target else {
        return Ok(());
    };
    let rate = plan.learning_rates.low;
    let spec = TrialSpec {
        target: Some(target.clone()),
        ..plan.trial(TrialPurpose::Single, plan.base_batch, rate)
    };
    match check_untrained(trainer, &spec) {
        Err(TrainerError::Setting(error)) => Err(error.into()),
        // A trainer that cannot run the spec at all says so of its trials.
        _ => Ok(()),
    }
}

/// Where an earlier run ended because a whole stage failed, its trials are tried again.
fn retry_failed(error: &StudyError, store: &mut dyn Queue) -> Result<(), StudyError> {
    if let StudyError::AllFailed { trials, .. } = error {
        for &id in trials {
            store.requeue(id)?;
        }
    }
    Ok(())
}

/// Stores what the assessment knows better than the records as they came in: exact bounds of the
/// race, curves that look at a trial, decisions.
fn publish(
    study: &Assessment,
    stored: &Finished,
    store: &mut dyn Queue,
    observers: &[&dyn Observer],
) -> Result<(), StudyError> {
    for record in &study.records {
        let old = stored.record(&record.spec);
        if old.is_some_and(|old| !crate::same_record(old, record)) {
            store.amend(record)?;
        }
    }
    let old = store.decisions()?;
    if old != study.decisions {
        store.set_decisions(&study.decisions)?;
        for decision in study
            .decisions
            .iter()
            .filter(|decision| !old.contains(decision))
        {
            let decision = decision.clone();
            tell(observers, StudyEvent::Decision { decision });
        }
    }
    Ok(())
}

/// What is known, as a result; it counts as interrupted while a stage is to be run.
fn result(plan: &Plan, info: &TrainerInfo, study: Assessment) -> StudyResult {
    let interrupted = study.stage.is_some();
    let mut records = study.records;
    records.sort_by_key(|record| record.spec.id);
    let mut trials = BTreeMap::new();
    for record in &records {
        *trials.entry(record.outcome.name().to_owned()).or_insert(0) += 1;
    }
    let summary = study.target.map(|(target, target_origin)| StudySummary {
        model: info.model.clone(),
        data: info.data.clone(),
        trainer: info.trainer.clone(),
        device: info.device.clone(),
        train_examples: info.train_examples,
        parameters: info.parameters,
        target: Some(target),
        target_origin,
        batch_sizes: plan.batch_sizes.clone(),
        seeds: u64::from(plan.seeds),
        study_seed: plan.study_seed,
        base_batch: plan.base_batch,
        tune: plan.tune.to_string(),
        trials,
        own_settings: info.own_settings,
        conditions: (!info.own_settings).then(|| Conditions {
            optimizer: plan.optimizer.clone(),
            tuned_momentum: plan.tune_momentum.map(|range| (range.low, range.high)),
            token_half_life: plan.token_half_life,
            schedule: plan.schedule.clone(),
            clip: plan.clip,
            decay: plan.decay,
            methods: plan.methods.clone(),
            eval_examples: Some(plan.evaluation.examples),
        }),
        by_smoothing: records.iter().any(|r| r.outcome.is_by_smoothing()),
        measured_elsewhere: None,
    });
    StudyResult {
        summary,
        tuning: study.tuning,
        records,
        decisions: study.decisions,
        plan: plan.clone(),
        interrupted,
    }
}
