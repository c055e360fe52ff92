//! One file per command.

pub mod advise;
pub mod branch;
pub mod compare;
pub mod data;
mod dry_run;
pub mod exchange;
pub mod export;
pub mod fit;
pub mod landscape;
pub mod manual;
#[cfg(unix)]
pub mod memory;
pub mod navigate;
pub mod noise;
pub mod report;
pub mod reproduce;
pub mod scale;
pub mod schema;
pub mod study;
pub mod train;
pub mod trials;

use std::{io::Write, path::Path};

use batchscope_study::{SqliteStore, StudyResult};

use crate::{error::CliError, progress::Display, settings::StudySettings, trainers::Trainers};

/// What a stored study has given so far.
fn load(store: &SqliteStore, folder: &Path) -> Result<StudyResult, CliError> {
    batchscope_study::load(store)
        .map_err(CliError::study)?
        .ok_or_else(|| {
            CliError::Failed(format!(
                "the study in {} has not begun: run `{}`",
                folder.display(),
                study::resume_command("study", folder)
            ))
        })
}

/// Refuses a folder, or a settings file, of another command.
fn refuse_other(command: &str, settings: &StudySettings) -> Result<(), CliError> {
    let (methods, checkpoints) = (
        settings.comparison.methods.is_some(),
        !settings.branching.checkpoints.is_empty(),
    );
    let why = match (methods, checkpoints) {
        (true, false) if command != "compare" => {
            "holds a comparison of methods: `batchscope compare` continues it"
        }
        (false, true) if command != "branch" => {
            "holds branches of a run: `batchscope branch` continues it"
        }
        (true, true) => "holds another command's results: choose a folder of its own",
        _ => return Ok(()),
    };
    Err(CliError::flag("dir", why))
}

/// The settings with those that their trainer prefers where nothing is said, which is told.
fn with_preferred(
    trainers: &Trainers,
    settings: StudySettings,
    quiet: bool,
) -> Result<StudySettings, CliError> {
    let (settings, note) = trainers.preferred(settings)?;
    if let Some(note) = note {
        Display::new(quiet).line(&format!("note: {note}"));
    }
    Ok(settings)
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

/// Columns for what goes to standard output: `COLUMNS` where it is set, else the terminal's, else 80.
pub fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(std::io::stdout());
    let terminal = terminal.map(|(width, _)| usize::from(width.0));
    columns()
        .or(terminal)
        .unwrap_or(80)
        .clamp(NARROWEST, WIDEST)
}

/// No terminal is narrower; what does not fit is cut by it.
const NARROWEST: usize = 30;
/// Longer lines are hard to read.
const WIDEST: usize = 120;

/// The columns that the user wishes for, by the variable that shells and tests set.
pub fn columns() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok()?;
    columns.trim().parse().ok().filter(|&n| n > 0)
}

/// A text of several lines, each folded to a width; continued lines are indented.
fn folded(text: &str, width: usize, indent: usize) -> String {
    let lines = batchscope_report::fold(text, width, indent).into_iter();
    lines.map(|line| line + "\n").collect()
}

/// Whether standard output wants color: a terminal that is not dumb, and `NO_COLOR` unset or empty.
pub fn color() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal()
        && !dumb()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Whether the terminal says that it understands nothing but text.
pub fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
