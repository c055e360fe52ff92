//! The planner of branches: from each checkpoint of a run, one trial for each batch size and seed.
//!
//! Branches of one seed see the same examples in the same order at every batch size, so that their losses can be compared
//! pair by pair; a text is read in as many streams as a step has examples, and only its passages are the same. Each is
//! evaluated once, at its end. The branches at the run's own batch size watch the gradient noise.

use batchscope_core::{
    Diagnostic, EvaluationPlan, Schedule, SettingError, TrainerInfo, TrialPurpose, TrialSpec,
};

use super::{Assessment, Finished, Planner, Stage};
use crate::{
    Load, Plan, StudyError,
    identity::trial_seed,
    plan::{BranchStart, Branching},
};

/// Runs the [`Branching`] of a plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct BranchPlanner;

impl Planner for BranchPlanner {
    fn assess(
        &self,
        plan: &Plan,
        info: &TrainerInfo,
        finished: &Finished,
    ) -> Result<Assessment, StudyError> {
        let branching = plan.branching.as_ref().ok_or_else(|| {
            StudyError::from(SettingError::new("checkpoints", "are missing: name one"))
        })?;
        let mut study = Assessment {
            modeled: true,
            ..Assessment::default()
        };
        let mut specs = Vec::new();
        // Seed by seed, so that what was interrupted has something to say about every checkpoint.
        for index in 0..plan.seeds {
            for from in &branching.checkpoints {
                for &factor in &branching.factors {
                    specs.push(branch(plan, branching, info, (from, factor, index))?);
                }
            }
        }
        study.records_of(&stage(), specs, finished)?;
        study.loads = loads(plan, branching, &study);
        Ok(study)
    }
}

/// The only stage.
fn stage() -> Stage {
    Stage::new("branches")
}

fn branch(
    plan: &Plan,
    branching: &Branching,
    info: &TrainerInfo,
    (from, factor, index): (&BranchStart, u64, u32),
) -> Result<TrialSpec, SettingError> {
    let setting = branching.setting(plan, from, factor, info.train_examples)?;
    let purpose = TrialPurpose::Fresh { index };
    let batch_size = factor * from.batch_size;
    let cap = branching.examples_from(from) / batch_size;
    let watches = plan.noise != Some(false) && factor == 1 && info.capabilities.measures_noise;
    Ok(TrialSpec {
        // That of the run's batch size at every factor: the order of the examples goes by it.
        seed: trial_seed(purpose, from.batch_size),
        curves: vec![branching.rule.to_string()],
        optimizer: setting.optimizer,
        schedule: Schedule::constant(),
        start: Some(from.start.clone()),
        cap,
        evaluation: EvaluationPlan {
            first: cap,
            ..plan.evaluation
        },
        diagnostics: match watches {
            true => vec![Diagnostic::named(Diagnostic::NOISE)],
            false => Vec::new(),
        },
        ..plan.trial(purpose, batch_size, setting.learning_rate)
    })
}

fn loads(plan: &Plan, branching: &Branching, study: &Assessment) -> Vec<Load> {
    let load = |batch_size: u64| {
        let makes_such = |from: &&BranchStart| {
            let own = branching.factors.iter();
            own.clone()
                .any(|factor| factor * from.batch_size == batch_size)
        };
        let starts: Vec<&BranchStart> = branching.checkpoints.iter().filter(makes_such).collect();
        let examples = starts.iter().map(|from| branching.examples_from(from));
        let steps = (examples.max().unwrap_or(0) / batch_size) as f64;
        let of_size = study.records.iter().map(|record| record.spec.batch_size);
        Load {
            stage: stage(),
            batch_size,
            trials: u64::from(plan.seeds) * starts.len() as u64,
            done: of_size.filter(|&size| size == batch_size).count() as u64,
            expected_steps: steps,
            most_steps: steps,
        }
    };
    branching.batch_sizes().into_iter().map(load).collect()
}
