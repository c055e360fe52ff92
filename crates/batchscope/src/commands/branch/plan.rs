//! The plan of branches: what was asked for, and the defaults.

use batchscope_core::{EvaluationPlan, Schedule, TrialSpec};
use batchscope_report::format::{count, number};
use batchscope_rules::Rule;
use batchscope_study::{BranchStart, Branching, Plan, TargetChoice};

use crate::{
    error::CliError,
    settings::{BranchingArgs, StudySettings},
};

/// Largest multiple of the run's batch size when nothing is said.
const LARGEST: u64 = 32;
/// Steps of the largest batch when nothing is said.
const STEPS: u64 = 32;
/// Loss that a larger batch may cost when nothing is said.
const TOLERANCE: f64 = 0.01;

/// A plan of the run's settings, with its branches; `notes` takes what is taken for granted.
///
/// # Errors
/// When a setting makes no sense, or has no default here.
pub(super) fn planned(
    plan: Plan,
    settings: &StudySettings,
    (checkpoints, run, train_examples): (Vec<BranchStart>, Option<Box<TrialSpec>>, Option<u64>),
    notes: &mut Vec<String>,
) -> Result<Plan, CliError> {
    let asked = &settings.branching;
    let base = checkpoints.iter().map(|from| from.batch_size).max();
    let base = base.unwrap_or(1).max(1);
    let factors = factors(asked, base, train_examples)?;
    let rule = rule(asked, &plan, notes)?;
    let largest = factors.last().copied().unwrap_or(1).saturating_mul(base);
    let branching = Branching {
        examples: asked
            .branch_examples
            .unwrap_or_else(|| STEPS.saturating_mul(largest)),
        metric: asked
            .loss
            .clone()
            .unwrap_or_else(|| "train-loss".parse().expect("a metric")),
        tolerance: asked.tolerance.unwrap_or(TOLERANCE),
        checkpoints,
        factors,
        rule,
        run,
        fixed_batch: None,
    };
    for from in &branching.checkpoints {
        notes.push(format!(
            "{}: batch size {}, learning rate {}; branches of {} examples",
            from.start.checkpoint,
            from.batch_size,
            number(from.learning_rate),
            count(branching.examples_from(from))
        ));
    }
    let standard = Plan::default();
    let evaluated = settings.workload.measure.eval_examples;
    let plan = Plan {
        batch_sizes: branching.batch_sizes(),
        base_batch: branching.checkpoints[0].batch_size,
        seeds: settings.trials.seeds.unwrap_or(standard.seeds),
        target: TargetChoice::Auto {
            metric: branching.metric.clone(),
        },
        schedule: Schedule::constant(),
        micro_batch: settings.workload.compute.micro_batch,
        evaluation: EvaluationPlan {
            examples: evaluated.unwrap_or(standard.evaluation.examples),
            ..standard.evaluation
        },
        max_steps: Some(u64::MAX),
        branching: Some(branching),
        jobs: settings.trials.jobs.unwrap_or(standard.jobs),
        ..plan
    };
    plan.check().map_err(crate::resolve::from_plan)?;
    Ok(plan)
}

/// Multiples of the run's batch size: by default doublings, as far as the training set goes.
fn factors(
    asked: &BranchingArgs,
    base: u64,
    train_examples: Option<u64>,
) -> Result<Vec<u64>, CliError> {
    if let Some(factors) = &asked.factors {
        return Ok(factors.0.clone());
    }
    let doublings = std::iter::successors(Some(1), |factor| Some(2 * factor));
    let fits = |factor: &u64| train_examples.is_none_or(|n| factor.saturating_mul(base) <= n);
    let factors: Vec<u64> = doublings
        .take_while(|&factor| factor <= LARGEST)
        .filter(fits)
        .collect();
    if factors.len() < 2 {
        let why = format!(
            "has no default here: twice the run's batch size, {}, is more than the training set",
            base.saturating_mul(2)
        );
        return Err(CliError::flag("factors", why));
    }
    Ok(factors)
}

/// How the learning rate follows: by default as is usual for the optimizer.
fn rule(asked: &BranchingArgs, plan: &Plan, notes: &mut Vec<String>) -> Result<Rule, CliError> {
    if let Some(rule) = &asked.rule {
        return Ok(rule.clone());
    }
    let usual = match plan.optimizer.number("beta2") {
        Some(_) => "srsr",
        None => "lsr",
    };
    notes.push(format!(
        "learning rates by {usual}, as usual for {} (--rule)",
        plan.optimizer.name()
    ));
    usual.parse().map_err(|e| CliError::flag("rule", e))
}
