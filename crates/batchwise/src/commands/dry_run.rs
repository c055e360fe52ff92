//! `batchwise study --dry-run`: the plan as a table, and what it would cost.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use batchwise_core::{EvaluationPlan, Trainer, TrialPurpose, TrialSpec};
use batchwise_data::Dataset;
use batchwise_study::{
    Bounded, CostEstimate, Plan, Prices, SqliteStore, estimate, finished_records,
};

use super::print;
use crate::{
    error::CliError, folder::StudyFolder, progress::duration, settings::StudySettings, wire,
};

/// Seconds of timing per batch size.
const TIMING_SECONDS: f64 = 0.2;

/// Prints the plan and its cost. Times a few steps, trains nothing, writes nothing.
pub fn run(
    settings: &StudySettings,
    plan: &Plan,
    data: &Dataset,
    dir: &Path,
) -> Result<(), CliError> {
    let trainer = wire::trainer(&settings.workload, data, None, None)?;
    let info = trainer.info();
    plan.check_against(&info).map_err(wire::from_plan)?;
    let resolved = plan.resolved(None);
    let mut seconds = BTreeMap::new();
    for &batch_size in plan
        .batch_sizes
        .iter()
        .chain([&plan.base_batch])
        .chain(&resolved.pilot_batch)
    {
        let timing = trainer
            .time(&probe(plan, batch_size), TIMING_SECONDS)
            .map_err(CliError::failed)?;
        seconds.insert(batch_size, timing.map_or(f64::NAN, |t| t.seconds));
    }
    let records = match StudyFolder::existing(dir) {
        Ok(folder) => {
            let store = SqliteStore::read(folder.database()).map_err(CliError::failed)?;
            finished_records(&store).map_err(CliError::failed)?
        }
        Err(_) => Vec::new(),
    };
    let prices = Prices {
        per_hour: settings.question.price_per_hour,
        watts: settings.question.watts,
    };
    let cost = estimate(
        plan,
        &info,
        |b| seconds.get(&b).copied().unwrap_or(f64::NAN),
        &records,
        prices,
    )
    .map_err(CliError::failed)?;
    print(&table(plan, &info.model, &info.data, &cost))
}

/// A trial that only serves to be timed.
fn probe(plan: &Plan, batch_size: u64) -> TrialSpec {
    TrialSpec {
        id: 0,
        purpose: TrialPurpose::Single,
        curves: Vec::new(),
        batch_size,
        micro_batch: plan.micro_batch,
        learning_rate: plan.learning_rates.low,
        schedule: batchwise_core::Schedule::constant(),
        optimiser: plan.optimiser.clone(),
        clip: plan.clip,
        study_seed: plan.study_seed,
        seed: 0,
        cap: u64::MAX,
        target: None,
        evaluation: EvaluationPlan { ..plan.evaluation },
        probes: Vec::new(),
    }
}

fn table(plan: &Plan, model: &str, data: &str, cost: &CostEstimate) -> String {
    let mut text = format!(
        "{model} on {data}\n{}\n\n",
        super::study::describe_plan(plan)
    );
    let _ = writeln!(
        text,
        "{:24} {:>10} {:>7} {:>6} {:>12} {:>12}",
        "stage", "batch size", "trials", "done", "steps each", "time"
    );
    for row in &cost.rows {
        let load = &row.load;
        let _ = writeln!(
            text,
            "{:24} {:>10} {:>7} {:>6} {:>12} {:>12}",
            load.stage.to_string(),
            load.batch_size,
            load.trials,
            load.done,
            format!("≤ {:.0}", load.most_steps),
            duration(row.seconds.expected),
        );
    }
    let span = |b: &Bounded, unit: &str| {
        format!(
            "about {:.3} {unit}, at most {:.3} {unit}",
            b.expected, b.most
        )
    };
    let _ = writeln!(
        text,
        "\nin all: about {} on one worker using every core, at most {}; evaluations not counted",
        duration(cost.seconds.expected),
        duration(cost.seconds.most)
    );
    let _ = writeln!(
        text,
        "examples: about {:.3e}, at most {:.3e}",
        cost.examples.expected, cost.examples.most
    );
    if let Some(money) = &cost.money {
        let _ = writeln!(text, "money: {}", span(money, "(your currency)"));
    }
    if let Some(energy) = &cost.energy {
        let _ = writeln!(text, "energy: {}", span(energy, "kWh"));
    }
    if !cost.modelled {
        text += "before the pilot has run, expectations are guesses from its bound in epochs; the bounds hold.\n";
    }
    text
}
