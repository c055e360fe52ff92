//! The batch sizes that critical batch sizes along a run allow, as a table that a trainer can follow.

use batchscope_core::{ScheduleRow, TrainerInfo};
use batchscope_rules::{Course, Moves, controller};
use batchscope_scaling::GrownBatch;
use batchscope_study::{BranchStart, Branching, StudyResult};

/// Longest run whose every step is looked at.
const MOST_STEPS: u64 = 20_000_000;

/// Rows of the proposed run: as many examples as the run itself, at the batch sizes of `grown`, with the run's own rate at
/// each example carried by the rule.
///
/// # Errors
/// Why there is no such table.
pub(super) fn proposed(
    grown: &[GrownBatch],
    branching: &Branching,
    result: &StudyResult,
    info: &TrainerInfo,
) -> Result<Vec<ScheduleRow>, String> {
    let from = branching
        .checkpoints
        .last()
        .ok_or("there is no checkpoint")?;
    let base_batch = branching.checkpoints[0].batch_size;
    if branching
        .checkpoints
        .iter()
        .any(|at| at.batch_size != base_batch)
    {
        return Err("the run's own batch size changes already".to_owned());
    }
    if grown.len() < 2 {
        return Err("no critical batch size is twice the run's own".to_owned());
    }
    let others = [Moves::Betas, Moves::WeightDecay];
    if let Some(moved) = others.into_iter().find(|&what| branching.rule.moves(what)) {
        return Err(format!(
            "the rule moves {moved}, and a table holds rates only"
        ));
    }
    if let Some(why) = &branching.fixed_batch {
        return Err(why.clone());
    }
    let carried = |rate: f64, factor: u64| -> Result<f64, String> {
        if rate == 0.0 || factor == 1 {
            return Ok(rate);
        }
        let at = BranchStart {
            learning_rate: rate,
            ..from.clone()
        };
        let setting = branching.setting(&result.plan, &at, factor, info.train_examples);
        Ok(setting.map_err(|error| error.why)?.learning_rate)
    };
    let Some(run) = &branching.run else {
        // A program, whose rate is one.
        return rows_at_growth(grown, base_batch, |factor| {
            carried(from.learning_rate, factor)
        });
    };
    if let Some(choice) = &run.controller {
        return Err(format!("the run was led by {} already", choice.name()));
    }
    let led = controller(None, &Course::of(run, info.train_examples));
    let led = led.map_err(|error| error.to_string())?;
    let all = run.cap.saturating_mul(run.batch_size);
    if all / base_batch > MOST_STEPS {
        return Err(format!(
            "a run of more than {MOST_STEPS} steps makes too long a table"
        ));
    }
    let mut rows: Vec<ScheduleRow> = Vec::new();
    let (mut step, mut examples) = (0, 0);
    while examples < all {
        let phase = grown
            .iter()
            .rev()
            .find(|grown| grown.from_examples <= examples);
        let factor = phase.map_or(1, |phase| phase.factor);
        let row = ScheduleRow {
            step,
            batch_size: factor * base_batch,
            learning_rate: carried(led.at(examples / base_batch).learning_rate, factor)?,
        };
        let is_new = rows.last().is_none_or(|last| {
            (last.batch_size, last.learning_rate) != (row.batch_size, row.learning_rate)
        });
        if is_new {
            rows.push(row);
        }
        examples += factor * base_batch;
        step += 1;
    }
    Ok(rows)
}

/// Rows where the batch grows, at one rate.
fn rows_at_growth(
    grown: &[GrownBatch],
    base_batch: u64,
    carried: impl Fn(u64) -> Result<f64, String>,
) -> Result<Vec<ScheduleRow>, String> {
    let mut rows: Vec<ScheduleRow> = Vec::new();
    let mut examples = 0;
    for phase in grown {
        let step = match rows.last() {
            None => 0,
            Some(last) => {
                let steps = (phase.from_examples - examples).div_ceil(last.batch_size);
                examples += steps * last.batch_size;
                last.step + steps
            }
        };
        rows.push(ScheduleRow {
            step,
            batch_size: phase.factor * base_batch,
            learning_rate: carried(phase.factor)?,
        });
    }
    Ok(rows)
}
