//! `batchscope export DIR`: trials for other tools.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use batchscope_report::Format;
use batchscope_study::SqliteStore;

use crate::{
    args::{ExportArgs, ExportFormat},
    error::CliError,
    folder::StudyFolder,
};

/// Runs the command.
pub fn run(args: &ExportArgs) -> Result<(), CliError> {
    let folder = StudyFolder::existing(&args.dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::study)?;
    let result = super::load(&store, &args.dir)?;
    let findings = super::study::findings(&folder, &result, &folder.facts()?)?;
    let format = match args.format {
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Json => Format::Json,
        ExportFormat::Parquet => Format::Parquet,
    };
    if args.output == Path::new("-") {
        let mut bytes = Vec::new();
        batchscope_report::export(&result.records, &findings, format, &mut bytes)
            .map_err(CliError::failed)?;
        return super::print_bytes(&bytes);
    }
    // A pipe or a device is written to: renaming onto it would put a file in its place.
    let special = args.output.exists() && !args.output.is_file();
    let mut temporary = args.output.clone().into_os_string();
    temporary.push(if special { "" } else { ".partial" });
    let temporary = PathBuf::from(temporary);
    let cannot = |e| CliError::file("cannot write", &args.output, e);
    let file = File::create(&temporary).map_err(cannot)?;
    let written = batchscope_report::export(&result.records, &findings, format, file)
        .map_err(CliError::failed);
    if special {
        return written;
    }
    written
        .and_then(|()| std::fs::rename(&temporary, &args.output).map_err(cannot))
        .inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
}
