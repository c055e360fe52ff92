//! `batchscope data`: list, check and fetch data sets.

use std::path::PathBuf;

use batchscope_data::{FetchOptions, READERS};
use batchscope_report::format::bytes;

use super::{folded, print, print_json, width};
use crate::{
    args::DataCommand, error::CliError, progress::Display, resolve, settings::ExamplesArgs,
};

/// Runs the command.
pub fn run(command: DataCommand, quiet: bool) -> Result<(), CliError> {
    match command {
        DataCommand::List { json: true } => print_json(&batchscope_data::list()),
        DataCommand::List { json: false } => print(&list(width())),
        DataCommand::Check { source, read, json } => {
            let options = resolve::load_options(&read, &ExamplesArgs::default(), None);
            let report = batchscope_data::check(&source, &options).map_err(CliError::data)?;
            match json {
                true => print_json(&report)?,
                false => print(&report.to_string())?,
            }
            report
                .refused
                .map_or(Ok(()), |why| Err(CliError::flag("test", why)))
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
                display.show(fraction, &format!("{file}: {}", bytes(done)));
            };
            let options = FetchOptions {
                base_url,
                progress: Some(&mut progress),
                ..FetchOptions::default()
            };
            let files = batchscope_data::fetch(&name, &dir, options).map_err(CliError::data);
            display.finish();
            let lines: Vec<String> = files?
                .iter()
                .map(|file| format!("{}\n", file.display()))
                .collect();
            print(&lines.concat())
        }
    }
}

/// What can be fetched and read, in lines of at most `width` columns (20 at least).
fn list(width: usize) -> String {
    /// Columns of the names.
    const NAME: usize = 15;
    /// Below this many columns what a name means stands under it, not beside it.
    const BESIDE: usize = 60;
    let entry = |name: &str, what: &str| -> String {
        let (head, indent) = match width < BESIDE {
            true => (format!("  {name}\n"), 4),
            false => (format!("  {name:NAME$} "), NAME + 3),
        };
        let lines = batchscope_report::fold(what, width - indent, 0);
        let body = lines.join(&format!("\n{:indent$}", ""));
        match width < BESIDE {
            true => format!("{head}{:indent$}{body}\n", ""),
            false => format!("{head}{body}\n"),
        }
    };
    let mut text = folded("data sets `batchscope data fetch` knows", width, 2);
    for known in batchscope_data::list() {
        text += &entry(known.name, known.what);
    }
    text += "\n";
    text += &folded("formats `--data` reads", width, 2);
    for [name, _, what] in READERS.table() {
        text += &entry(&name, &what);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_fits_the_terminal() {
        for width in [40, 80] {
            insta::assert_snapshot!(format!("data_list_at_{width}"), super::list(width));
        }
    }
}
