//! `batchscope export DIR`: trials for other tools.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use batchscope_core::TrialRecord;
use batchscope_report::{Format, ReportError};
use batchscope_study::SqliteStore;
use serde::Serialize;

use super::study::quote_path;
use crate::{
    args::{ExportArgs, ExportFormat},
    error::CliError,
    folder::StudyFolder,
    progress::say,
};

/// Runs the command.
pub fn run(args: &ExportArgs) -> Result<(), CliError> {
    let folder = StudyFolder::existing(&args.dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::study)?;
    let result = super::load(&store, &args.dir)?;
    let format = match args.to {
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Json => Format::Json,
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Tensorboard => return event_files(args, &result.records),
    };
    let facts = folder.facts()?;
    if let Some(branching) = &result.plan.branching {
        let info = super::report::trained_by(&store)?;
        let found = super::branch::found(&folder, &result, branching, &info)?;
        return write(args, format, &result.records, &found);
    }
    match &result.plan.comparison {
        None => {
            let findings = super::study::findings(&folder, &result, &facts)?;
            write(args, format, &result.records, &findings)
        }
        Some(comparison) => {
            let info = super::report::trained_by(&store)?;
            let found = super::compare::found(&folder, &result, comparison, &info)?;
            write(args, format, &result.records, &found)
        }
    }
}

/// Writes the trials, and what was found, where they were asked for.
fn write<F: Serialize>(
    args: &ExportArgs,
    format: Format,
    records: &[TrialRecord],
    findings: &F,
) -> Result<(), CliError> {
    let content = Content {
        records,
        findings,
        format,
        evaluations: args.evaluations,
    };
    if args.output == Path::new("-") {
        let mut bytes = Vec::new();
        content.write(&mut bytes).map_err(CliError::failed)?;
        return super::print_bytes(&bytes);
    }
    // A pipe or a device is written to: renaming onto it would put a file in its place.
    let special = args.output.exists() && !args.output.is_file();
    let mut temporary = args.output.clone().into_os_string();
    temporary.push(if special { "" } else { ".partial" });
    let temporary = PathBuf::from(temporary);
    let cannot = |e| CliError::file("cannot write", &args.output, e);
    let file = File::create(&temporary).map_err(cannot)?;
    let written = content.write(file).map_err(CliError::failed);
    if special {
        return written;
    }
    written
        .and_then(|()| std::fs::rename(&temporary, &args.output).map_err(cannot))
        .inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
}

/// What one file holds.
struct Content<'a, F> {
    records: &'a [TrialRecord],
    findings: &'a F,
    format: Format,
    evaluations: bool,
}

impl<F: Serialize> Content<'_, F> {
    fn write(&self, to: impl Write + Send) -> Result<(), ReportError> {
        match self.evaluations {
            true => batchscope_report::export_measurements(self.records, self.format, to),
            false => batchscope_report::export(self.records, self.findings, self.format, to),
        }
    }
}

/// Writes a folder of TensorBoard's event files.
fn event_files(args: &ExportArgs, records: &[TrialRecord]) -> Result<(), CliError> {
    let wrong = |key: &str, why: &str| Err(CliError::flag(key, why));
    if args.evaluations {
        return wrong(
            "evaluations",
            "is for tables: event files hold every evaluation",
        );
    }
    if args.output == Path::new("-") {
        return wrong(
            "output",
            "name the folder that the event files are written into",
        );
    }
    let runs =
        batchscope_report::export_tensorboard(records, &args.output).map_err(CliError::failed)?;
    say(&format!(
        "{runs} runs in {}: tensorboard --logdir {}",
        args.output.display(),
        quote_path(&args.output)
    ));
    match records.len() - runs {
        0 => {}
        without => say(&format!(
            "note: {without} trials without an evaluation are left out"
        )),
    }
    Ok(())
}
