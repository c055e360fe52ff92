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

/// Runs the command. Where the folder cannot be written, as on a read-only medium, what was found is shown before that is
/// told.
pub fn run(args: &ReportArgs, quiet: bool) -> Result<(), CliError> {
    let folder = StudyFolder::existing(&args.dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::study)?;
    let result = super::load(&store, &args.dir)?;
    let facts = folder.facts()?;
    let display = Display::new(quiet);
    let written_to = |written: &Result<(), CliError>| written.is_ok().then_some(args.dir.as_path());
    if let Some(comparison) = &result.plan.comparison {
        let info = trained_by(&store)?;
        let found = super::compare::found(&folder, &result, comparison, &info)?;
        let written = super::compare::write(&folder, &result, &found, &facts);
        super::compare::show(&found, written_to(&written), args.json, &display)?;
        return written;
    }
    if let Some(branching) = &result.plan.branching {
        let info = trained_by(&store)?;
        let found = super::branch::found(&folder, &result, branching, &info)?;
        let written = super::branch::write(&folder, &result, &found, &facts);
        super::branch::show(&found, written_to(&written), args.json, &display)?;
        return written;
    }
    let findings = super::study::findings(&folder, &result, &facts)?;
    let written = super::study::write(&folder, &result, &findings, &facts);
    if result.interrupted {
        display.line(&format!(
            "note: the study is unfinished; `{}` resumes it",
            super::study::resume_command("study", &args.dir)
        ));
    }
    super::study::show(&findings, written_to(&written), args.json, &display)?;
    written
}
