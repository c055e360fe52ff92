//! One file per command.

pub mod advise;
pub mod data;
mod dry_run;
pub mod export;
pub mod manual;
pub mod report;
pub mod study;
pub mod train;
pub mod trials;

use std::{io::Write, path::Path};

use batchwise_study::{SqliteStore, StudyResult};

use crate::error::CliError;

/// What a stored study has given so far.
fn load(store: &SqliteStore, folder: &Path) -> Result<StudyResult, CliError> {
    batchwise_study::load(store)
        .map_err(CliError::failed)?
        .ok_or_else(|| {
            CliError::Failed(format!(
                "the study in {} has not begun: run `batchwise study --dir {}`",
                folder.display(),
                folder.display()
            ))
        })
}

/// Writes to standard output; a reader that went away (`| head`) ends the command quietly.
pub fn print(text: &str) -> Result<(), CliError> {
    print_bytes(text.as_bytes())
}

/// As [`print()`], for data that are not text.
pub fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::Failed(format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as indented JSON on standard output.
pub fn print_json<T: serde::Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(CliError::failed)?;
    print(&(text + "\n"))
}

/// Columns of the terminal that standard output goes to, or 80.
pub fn width() -> usize {
    terminal_size::terminal_size()
        .map_or(80, |(width, _)| usize::from(width.0))
        .clamp(30, 120)
}

/// Whether standard output wants colour: a terminal, and `NO_COLOR` unset or empty.
pub fn colour() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
