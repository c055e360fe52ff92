//! `batchscope report DIR`: the report of a stored study, written again.

use batchscope_core::TrainerInfo;
use batchscope_study::{SqliteStore, Store};

use crate::{args::ReportArgs, error::CliError, folder::StudyFolder, progress::Display};

/// What a stored study was trained by, and on what.
pub fn trained_by(store: &SqliteStore) -> Result<TrainerInfo, CliError> {
    let header = store.header().map_err(CliError::study)?;
    let header = header.ok_or_else(|| CliError::failed("the study has not begun"))?;
    Ok(header.trainer)
}

/// Runs the command.
pub fn run(args: &ReportArgs, quiet: bool) -> Result<(), CliError> {
    let folder = StudyFolder::existing(&args.dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::study)?;
    let result = super::load(&store, &args.dir)?;
    if let Some(comparison) = &result.plan.comparison {
        let info = trained_by(&store)?;
        let facts = folder.facts()?;
        let found = super::compare::report(&folder, &result, comparison, &info, &facts)?;
        return super::compare::show(&found, &args.dir, args.json, &Display::new(quiet));
    }
    if let Some(branching) = &result.plan.branching {
        let info = trained_by(&store)?;
        let facts = folder.facts()?;
        let found = super::branch::report(&folder, &result, branching, &info, &facts)?;
        return super::branch::show(&found, &args.dir, args.json, &Display::new(quiet));
    }
    let findings = super::study::report(&folder, &result, &folder.facts()?)?;
    let display = Display::new(quiet);
    if result.interrupted {
        display.line(&format!(
            "note: the study is unfinished; `batchscope study --dir {}` resumes it",
            args.dir.display()
        ));
    }
    super::study::show(&findings, &args.dir, args.json, &display)
}
