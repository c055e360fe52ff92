//! `batchscope study --dry-run`: the plan as a table, and what it would cost.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use batchscope_core::{NeverStop, Trainer};
use batchscope_report::{
    TextColumn,
    format::{duration, number},
    text_table,
};
use batchscope_study::{
    Bounded, CostEstimate, CostRow, Plan, Prices, SqliteStore, estimate, finished_records,
    resume_plan,
};

use super::{folded, print, width};
use crate::{
    error::CliError, folder::StudyFolder, jobs::probe, progress::Display, settings::StudySettings,
};

/// Seconds of timing per batch size, where it takes no longer: after three steps that are not
/// counted at least five are, and the median and quartiles of them all are taken.
const TIMING_SECONDS: f64 = 0.5;

/// Prints the plan and its cost. Times a few steps, trains nothing, writes nothing.
pub fn run(
    settings: &StudySettings,
    plan: &Plan,
    trainer: &dyn Trainer,
    dir: &Path,
    quiet: bool,
) -> Result<(), CliError> {
    let info = trainer.info();
    // A study that has begun made its choices then, whatever the plan of today would choose.
    let (plan, records) = match StudyFolder::existing(dir) {
        Ok(folder) => {
            let store = SqliteStore::read(folder.database()).map_err(CliError::study)?;
            let plan = resume_plan(plan, &info, &store).map_err(CliError::study)?;
            (plan, finished_records(&store).map_err(CliError::study)?)
        }
        Err(_) => (plan.resolved(None), Vec::new()),
    };
    let display = Display::new(quiet);
    let mut steps = BTreeMap::new();
    let sizes: BTreeSet<u64> = plan
        .batch_sizes
        .iter()
        .chain([&plan.base_batch])
        .chain(&plan.pilot_batch)
        .copied()
        .collect();
    for (i, &batch_size) in sizes.iter().enumerate() {
        display.show(
            i as f64 / sizes.len() as f64,
            &format!("timing steps at batch size {batch_size}"),
        );
        let timing = trainer
            .time(&probe(&plan, batch_size), TIMING_SECONDS, &NeverStop)
            .map_err(CliError::failed)?;
        steps.extend(timing.map(|timing| (batch_size, timing)));
    }
    display.finish();
    let prices = Prices {
        per_hour: settings.plan.price_per_hour,
        watts: settings.plan.watts,
    };
    let cost = estimate(&plan, &info, |b| steps.get(&b).copied(), &records, prices)
        .map_err(CliError::study)?;
    print(&table(&plan, &info.model, &info.data, &cost, width()))
}

/// The plan and its cost in lines of at most `width` columns.
fn table(plan: &Plan, model: &str, data: &str, cost: &CostEstimate, width: usize) -> String {
    let about = super::study::describe_plan(plan);
    let mut text = folded(&format!("{model} on {data}\n{about}\n\n"), width, 2);
    let column = |title, right, rank, cell: &dyn Fn(&CostRow) -> String| TextColumn {
        title,
        right,
        rank,
        cells: cost.rows.iter().map(cell).collect(),
    };
    let columns = [
        column("stage", false, 0, &|row| row.load.stage.to_string()),
        column("batch size", true, 0, &|row| {
            row.load.batch_size.to_string()
        }),
        column("trials", true, 1, &|row| row.load.trials.to_string()),
        column("done", true, 2, &|row| row.load.done.to_string()),
        column("steps each", true, 3, &|row| {
            format!("≤ {}", number(row.load.most_steps.round()))
        }),
        column("time", true, 0, &|row| duration(row.seconds.expected)),
        column("by step times", true, 4, &|row| {
            between(row.seconds, duration)
        }),
    ];
    text += &text_table(&columns, width);
    let mut say = |line: String| text += &folded(&line, width, 2);
    say(format!(
        "\nin all: about {} ({} by the quartiles of the step times) on one worker using every core, at most {}; evaluations not counted",
        duration(cost.seconds.expected),
        between(cost.seconds, duration),
        duration(cost.seconds.most)
    ));
    say(format!(
        "examples: about {}, at most {}",
        number(cost.examples.expected),
        number(cost.examples.most)
    ));
    let span = |b: Bounded, unit: &str| {
        format!(
            "about {} {unit} ({}), at most {} {unit}",
            number(b.expected),
            between(b, number),
            number(b.most)
        )
    };
    if let Some(money) = cost.money {
        say(format!("money: {}", span(money, "(your currency)")));
    }
    if let Some(energy) = cost.energy {
        say(format!("energy: {}", span(energy, "kWh")));
    }
    if !cost.modeled {
        say(
            "before the pilot has run, expectations are guesses from its bound in epochs; the bounds hold."
                .to_owned(),
        );
    }
    text
}

/// The spread of an expectation.
fn between(b: Bounded, show: impl Fn(f64) -> String) -> String {
    format!("{} to {}", show(b.low), show(b.high))
}
