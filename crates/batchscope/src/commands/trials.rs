//! `batchscope trials DIR`: every trial of a study.

use batchscope_study::{SqliteStore, finished_records};

use super::{print, print_json, width};
use crate::{args::TrialsArgs, error::CliError, folder::StudyFolder};

/// Runs the command.
pub fn run(args: &TrialsArgs) -> Result<(), CliError> {
    let folder = StudyFolder::existing(&args.dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::study)?;
    let records = finished_records(&store).map_err(CliError::study)?;
    if args.json {
        print_json(&records)
    } else {
        print(&batchscope_report::trials_table(&records, width()))
    }
}
