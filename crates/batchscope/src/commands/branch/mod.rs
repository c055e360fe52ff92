//! `batchscope branch`: the critical batch size along a run, by going on from its checkpoints.

mod found;
mod origin;
mod page;
mod plan;
mod schedule;

use std::path::Path;

use batchscope_report::{
    TextColumn,
    format::{estimate_short_as, number},
    text_table,
};
use batchscope_study::{BranchPlanner, Finished, Planner, StudyResult};

use super::{folded, print, print_json, refuse_other, study, width};
use crate::{
    args::BranchArgs,
    error::CliError,
    files::write_whole,
    folder::{RunFacts, StudyFolder},
    progress::Display,
    schedule_table,
    settings::{StudySettings, to_table},
    trainers::Trainers,
};

pub use found::{Found, found};

/// Level of the intervals.
const LEVEL: f64 = 0.95;

/// The table of the batch sizes that are proposed, in the folder of the branches.
const SCHEDULE: &str = "schedule.csv";

/// Runs the command.
pub fn run(args: &BranchArgs, trainers: &Trainers, quiet: bool) -> Result<(), CliError> {
    let folder = StudyFolder(args.dir.clone());
    let settings = folder.settings_under(args.settings(), args.config.as_deref())?;
    refuse_other("branch", &settings)?;
    if settings.branching.checkpoints.is_empty() {
        let why = "are missing: name those of a run, in the order of training; `batchscope train --checkpoint DIR --keep STEPS` keeps them";
        return Err(CliError::flag("checkpoints", why));
    }
    refuse_ignored(&settings)?;
    let origin::Opened {
        settings,
        trainer,
        plan,
        notes,
    } = origin::open(settings, trainers, &folder)?;
    study::check(&plan, &*trainer)?;
    check(&plan, &*trainer)?;
    let display = Display::new(quiet);
    for note in notes {
        display.line(&format!("note: {note}"));
    }
    let ran = study::run_trials(settings, plan, &*trainer, trainers, &args.dir, quiet)?;
    let Some(branching) = ran.result.plan.branching.clone() else {
        return Err(CliError::failed("the stored plan has no branches"));
    };
    ran.log.line("stage: report");
    let info = trainer.info();
    let found = found(&ran.folder, &ran.result, &branching, &info)?;
    write(&ran.folder, &ran.result, &found, &ran.facts)?;
    ran.finished(&found.verdict())?;
    show(&found, Some(&args.dir), args.json, &ran.display)
}

/// Refuses settings that a file may hold and that are the run's, or nobody's, here.
fn refuse_ignored(settings: &StudySettings) -> Result<(), CliError> {
    let w = &settings.workload;
    let tables = [
        to_table(&w.optimizer),
        to_table(&w.optimizer.settings),
        to_table(&w.step),
        to_table(&w.measure),
        to_table(&settings.trials),
        to_table(&settings.plan),
    ];
    let own = ["seeds", "jobs", "eval-examples"];
    let mut keys = tables.into_iter().flatten().map(|(key, _)| key);
    if let Some(key) = keys.find(|key| !own.contains(&key.as_str())) {
        let why = "is for studies: a branch goes on with what its run had";
        return Err(CliError::flag(key, why));
    }
    if settings.trainer.time_steps.is_some() {
        let why = "is for studies: branches are not timed";
        return Err(CliError::flag("time-steps", why));
    }
    Ok(())
}

/// Refuses branches that cannot be run, before the first is.
fn check(
    plan: &batchscope_study::Plan,
    trainer: &dyn batchscope_core::Trainer,
) -> Result<(), CliError> {
    let planned = BranchPlanner.assess(plan, &trainer.info(), &Finished::default());
    let trials = planned.map_err(CliError::study)?.trials;
    let seeds = plan.seeds.max(1) as usize;
    for spec in &trials[..trials.len() / seeds] {
        trainer.check(spec).map_err(CliError::trainer)?;
    }
    Ok(())
}

/// Analyzes finished branches, and writes `branch.json`, `trials.csv`, the proposed schedule and the report.
pub fn write(
    folder: &StudyFolder,
    result: &StudyResult,
    found: &Found,
    facts: &RunFacts,
) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(found).map_err(CliError::failed)? + "\n";
    write_whole(&folder.0.join("branch.json"), json.as_bytes())?;
    let trials = batchscope_report::trials_csv(&result.records).map_err(CliError::failed)?;
    write_whole(&folder.0.join("trials.csv"), trials.as_bytes())?;
    let schedule = folder.0.join(SCHEDULE);
    match found.schedule.is_empty() {
        false => schedule_table::write(&schedule, &found.schedule)?,
        // One of earlier branches is none of these.
        true if schedule.exists() => std::fs::remove_file(&schedule)
            .map_err(|error| CliError::file("cannot remove", &schedule, error))?,
        true => {}
    }
    let document = page::document(found, result);
    batchscope_report::write_document(&folder.0, &document, &facts.how)
        .map_err(CliError::failed)?;
    Ok(())
}

/// Prints what was found: as JSON, or in words with the place of the report, where one was written.
pub fn show(
    found: &Found,
    dir: Option<&Path>,
    json: bool,
    display: &Display,
) -> Result<(), CliError> {
    if json {
        return print_json(found);
    }
    let width = width();
    let column = |title, rank, cells| TextColumn {
        title,
        right: true,
        rank,
        cells,
    };
    let cells = |cell: &dyn Fn(&found::At) -> String| -> Vec<String> {
        found.checkpoints.iter().map(cell).collect()
    };
    let columns = [
        column("step", 0, cells(&|at| at.step_text())),
        column("batch size", 2, cells(&|at| at.batch_size.to_string())),
        column(
            "critical batch size",
            0,
            cells(&|at| estimate_short_as(&at.branched.critical_batch_size, number)),
        ),
        column(
            "noise scale",
            1,
            cells(&|at| {
                let noise = at.noise_scale.as_ref();
                noise.map_or_else(|| "–".to_owned(), |noise| estimate_short_as(noise, number))
            }),
        ),
    ];
    let mut text = folded(&found.verdict(), width, 2) + "\n";
    text += &(text_table(&columns, width) + "\n");
    text += &folded(&found.remarks().join("\n"), width, 2);
    print(&text)?;
    if let Some(dir) = dir {
        if !found.schedule.is_empty() {
            display.line(&format!("schedule: {}", dir.join(SCHEDULE).display()));
        }
        display.line(&format!("report: {}", dir.join("report.html").display()));
    }
    Ok(())
}
