//! What branches found.

use batchscope_core::{
    Estimate, Metric, Outcome, ScheduleRow, Split, Start, TrainerInfo, TrialRecord,
};
use batchscope_report::format::{count, estimate_short_as, number, percent};
use batchscope_scaling::{Branch, Branched, branched, grown_batches, noise::NoiseTrajectory};
use batchscope_study::{BranchStart, Branching, StudyResult};
use serde::Serialize;

use super::{LEVEL, schedule};
use crate::{commands::study, error::CliError, folder::StudyFolder};

/// What was found, as `branch.json` holds it.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The model.
    pub model: String,
    /// The data.
    pub data: String,
    /// The rule that carried the learning rate.
    pub rule: String,
    /// The loss at the end of the branches.
    pub metric: Metric,
    /// How much of it a larger batch may cost.
    pub tolerance: f64,
    /// Seeds of each branch.
    pub seeds: u32,
    /// Checkpoint by checkpoint, in the order of training.
    pub checkpoints: Vec<At>,
    /// The batch sizes that are proposed, with their rates; empty where nothing can be proposed.
    pub schedule: Vec<ScheduleRow>,
    /// What a reader must know: branches that are missing, why nothing is proposed.
    pub notes: Vec<String>,
}

/// What was found at a checkpoint.
#[derive(Debug, Serialize)]
pub struct At {
    /// The checkpoint.
    pub start: Start,
    /// Examples that the run had seen by then.
    pub examples: Option<u64>,
    /// Examples per step of the run.
    pub batch_size: u64,
    /// The run's learning rate.
    pub learning_rate: f64,
    /// Examples of each branch.
    pub branch_examples: u64,
    /// The losses of the branches, and the critical batch size.
    #[serde(flatten)]
    pub branched: Branched,
    /// Gradient noise scale `B_simple` along the branches at the run's own batch size, in examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_scale: Option<Estimate>,
}

impl At {
    /// The step.
    pub fn step_text(&self) -> String {
        count(self.start.step)
    }
}

/// Analyzes finished branches.
///
/// # Errors
/// When branches are missing.
pub fn found(
    folder: &StudyFolder,
    result: &StudyResult,
    branching: &Branching,
    info: &TrainerInfo,
) -> Result<Found, CliError> {
    if result.interrupted {
        return Err(CliError::Failed(format!(
            "the branches in {} are unfinished: `{}` goes on with them",
            folder.0.display(),
            study::resume_command("branch", &folder.0)
        )));
    }
    let mut notes = Vec::new();
    let mut checkpoints = Vec::new();
    for from in &branching.checkpoints {
        checkpoints.extend(at(from, branching, result, info, &mut notes));
    }
    if checkpoints.is_empty() {
        return Err(CliError::Failed(format!(
            "no checkpoint has branches to compare: {}",
            notes.join(" ")
        )));
    }
    for record in &result.records {
        for note in &record.notes {
            let note = format!("At batch size {}: {note}.", record.spec.batch_size);
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    let critical: Vec<(u64, &Estimate)> = checkpoints
        .iter()
        .filter_map(|at| Some((at.examples?, &at.branched.critical_batch_size)))
        .collect();
    let base_batch = branching.checkpoints[0].batch_size;
    let grown = grown_batches(&critical, base_batch);
    let schedule = schedule::proposed(&grown, branching, result, info).unwrap_or_else(|why| {
        notes.push(format!("No schedule of batch sizes is proposed: {why}."));
        Vec::new()
    });
    Ok(Found {
        model: info.model.clone(),
        data: info.data.clone(),
        rule: branching.rule.to_string(),
        metric: branching.metric.clone(),
        tolerance: branching.tolerance,
        seeds: result.plan.seeds,
        checkpoints,
        schedule,
        notes,
    })
}

fn at(
    from: &BranchStart,
    branching: &Branching,
    result: &StudyResult,
    info: &TrainerInfo,
    notes: &mut Vec<String>,
) -> Option<At> {
    let mut branches = Vec::new();
    for &factor in &branching.factors {
        let losses: Result<Vec<f64>, String> = of(result, from, factor)
            .map(|record| loss(record, branching, info.own_settings))
            .collect();
        match losses {
            Ok(losses) => branches.push(Branch { factor, losses }),
            Err(why) => {
                notes.push(format!(
                    "From {}, batch sizes of {} and more are left out: {why}.",
                    from.start.checkpoint,
                    factor * from.batch_size
                ));
                break;
            }
        }
    }
    // One batch size alone says nothing of larger ones.
    branches.truncate(if branches.len() < 2 {
        0
    } else {
        branches.len()
    });
    let branched = branched(&branches, from.batch_size, branching.tolerance, LEVEL)?;
    let runs: Vec<&[_]> = of(result, from, 1)
        .map(|record| record.measurements.as_slice())
        .collect();
    let noise = NoiseTrajectory::new(from.batch_size, &runs, info.train_examples, LEVEL);
    Some(At {
        start: from.start.clone(),
        examples: from.examples,
        batch_size: from.batch_size,
        learning_rate: from.learning_rate,
        branch_examples: branching.examples_from(from),
        branched,
        noise_scale: noise.map(|noise| noise.population),
    })
}

/// The branches from a checkpoint at a factor, seed by seed.
pub(super) fn of<'a>(
    result: &'a StudyResult,
    from: &'a BranchStart,
    factor: u64,
) -> impl Iterator<Item = &'a TrialRecord> {
    let mut records: Vec<&TrialRecord> = result
        .records
        .iter()
        .filter(|record| {
            let start = record.spec.start.as_ref();
            start.is_some_and(|start| start.is(&from.start))
                && record.spec.batch_size == factor * from.batch_size
        })
        .collect();
    records.sort_by_key(|record| record.spec.seed);
    records.into_iter()
}

/// The loss at the end of a branch; infinite where it diverged. A program's training losses are those of single batches:
/// the mean of the reports over the last quarter is taken.
fn loss(record: &TrialRecord, branching: &Branching, of_program: bool) -> Result<f64, String> {
    let metric = &branching.metric;
    match &record.outcome {
        Outcome::Diverged { .. } => return Ok(f64::INFINITY),
        Outcome::Failed { why } | Outcome::Infeasible { why } => return Err(why.clone()),
        _ => {}
    }
    let values: Vec<(u64, f64)> = record
        .measurements
        .iter()
        .filter_map(|m| Some((m.step, *m.metrics.get(metric)?)))
        .collect();
    let Some(&(last, value)) = values.last() else {
        return Err(format!("{metric} was not reported"));
    };
    // Branches are compared over as many examples each.
    let cap = record.spec.cap;
    if (last as f64) < 0.95 * cap as f64 {
        return Err(format!(
            "the last {metric} at batch size {} is of step {last} of {cap}",
            record.spec.batch_size
        ));
    }
    if !(of_program && metric.split == Split::Train) {
        return Ok(value);
    }
    let quarter: Vec<f64> = values
        .iter()
        .filter(|(step, _)| *step as f64 > 0.75 * last as f64)
        .map(|(_, value)| *value)
        .collect();
    Ok(quarter.iter().sum::<f64>() / quarter.len() as f64)
}

impl Found {
    /// The answer.
    pub fn verdict(&self) -> String {
        let size = |at: &At| {
            format!(
                "{} at step {}",
                estimate_short_as(&at.branched.critical_batch_size, number),
                at.step_text()
            )
        };
        let sizes: Vec<String> = self.checkpoints.iter().map(size).collect();
        format!(
            "The critical batch size along the run, by branches at the run's own rate carried by {} ({} intervals): {}.",
            self.rule,
            percent(LEVEL),
            sizes.join("; ")
        )
    }

    /// How the numbers are to be read.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![format!(
            "Critical: where a branch ends with a {} more than {} above the least at smaller batch sizes, over as many examples ({} seeds, paired).",
            self.metric,
            number(self.tolerance),
            self.seeds
        )];
        let bound = |at: &&At| !at.branched.critical_batch_size.is_estimated();
        remarks.extend(self.checkpoints.iter().filter(bound).map(|at| {
            let reason = at.branched.critical_batch_size.reason.clone();
            format!("Step {}: {}.", at.step_text(), reason.unwrap_or_default())
        }));
        remarks.extend(self.notes.iter().cloned());
        remarks
    }
}
