//! `batchwise export DIR`: trials for other tools.

use std::{fs::File, path::Path};

use batchwise_report::Format;
use batchwise_study::SqliteStore;

use crate::{
    args::{ExportArgs, ExportFormat},
    error::CliError,
    folder::StudyFolder,
};

/// Runs the command.
pub fn run(args: &ExportArgs) -> Result<(), CliError> {
    let folder = StudyFolder::existing(&args.dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::failed)?;
    let result = super::load(&store, &args.dir)?;
    let findings = super::study::findings(&folder, &result, &folder.facts())?;
    let format = match args.format {
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Json => Format::Json,
        ExportFormat::Parquet => Format::Parquet,
    };
    if args.output == Path::new("-") {
        let mut bytes = Vec::new();
        batchwise_report::export(&result.records, &findings, format, &mut bytes).map_err(CliError::failed)?;
        return super::print_bytes(&bytes);
    }
    let temporary = args.output.with_extension("partial");
    let file = File::create(&temporary).map_err(|e| CliError::file("cannot write", &temporary, e))?;
    batchwise_report::export(&result.records, &findings, format, file).map_err(CliError::failed)?;
    std::fs::rename(&temporary, &args.output).map_err(|e| CliError::file("cannot write", &args.output, e))
}
