//! `batchwise data`: list, check and fetch data sets.

use std::{fmt::Write, path::PathBuf};

use batchwise_data::{FetchOptions, Format};

use super::{print, print_json};
use crate::{args::DataCommand, error::CliError, progress::Display, settings::Workload, wire};

/// Runs the command.
pub fn run(command: DataCommand, quiet: bool) -> Result<(), CliError> {
    match command {
        DataCommand::List { json: true } => print_json(&batchwise_data::list()),
        DataCommand::List { json: false } => print(&list()),
        DataCommand::Check {
            source,
            format,
            regression,
            label_column,
            text_level,
            json,
        } => {
            let options = wire::load_options(&Workload {
                format,
                regression: Some(regression),
                label_column,
                text_level,
                ..Workload::default()
            })?;
            let report = batchwise_data::check(&source, &options).map_err(CliError::data)?;
            if json {
                print_json(&report)
            } else {
                print(&report.to_string())
            }
        }
        DataCommand::Fetch {
            name,
            dir,
            base_url,
        } => {
            let dir = dir.unwrap_or_else(|| PathBuf::from("data").join(&name));
            let display = Display::new(quiet);
            let mut progress = |file: &str, done: u64, total: Option<u64>| {
                let fraction = total.map_or(0.0, |total| done as f64 / total.max(1) as f64);
                display.show(fraction, &format!("{file}: {:.1} MB", done as f64 / 1e6));
            };
            let options = FetchOptions {
                base_url,
                progress: Some(&mut progress),
                ..FetchOptions::default()
            };
            let files = batchwise_data::fetch(&name, &dir, options).map_err(CliError::failed);
            display.finish();
            let lines: Vec<String> = files?
                .iter()
                .map(|file| format!("{}\n", file.display()))
                .collect();
            print(&lines.concat())
        }
    }
}

fn list() -> String {
    let mut text = String::from("data sets `batchwise data fetch` knows\n");
    for known in batchwise_data::list() {
        let _ = writeln!(text, "  {:15} {}", known.name, known.what);
    }
    text += "\nformats `--data` reads\n";
    for (_, name, what) in Format::ALL {
        let _ = writeln!(text, "  {name:15} {what}");
    }
    text
}
