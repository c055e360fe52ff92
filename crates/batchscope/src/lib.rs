//! The command line of batchscope, for programs that add a trainer of their own to it.
//!
//! This crate turns arguments into checked settings and puts the crates below together. It holds
//! no arithmetic of its own.
//!
//! A program of your own is `batchscope` with one more trainer, which `study --trainer NAME` then
//! trains with; `report`, `advise` and the rest follow. The `own_trainer` example of this crate is one.

mod args;
mod commands;
#[cfg(test)]
mod defaults;
mod error;
mod files;
mod folder;
mod jobs;
mod lengths;
mod machine;
mod observers;
mod processes;
mod progress;
mod resolve;
mod schedule_table;
mod settings;
mod signals;
mod timing;
mod trainers;
mod values;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, error::ErrorKind};

use crate::{
    args::{Cli, Command},
    processes::Place,
    trainers::Trainers,
};
pub use crate::{
    error::CliError as Error,
    trainers::{Opening, TrainerKind},
};

/// Runs the command line of this process, with trainers of one's own beside the built-in one.
pub fn main_with(own: &[&'static TrainerKind]) -> ExitCode {
    run_with(own, std::env::args_os())
}

/// Runs a command line, the program's name first, with trainers of one's own beside the built-in one.
/// Words that are no command line, and questions such as `--help`, end the process.
pub fn run_with(
    own: &[&'static TrainerKind],
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 && !processes::is_silent() => {
            let error = not_text(&words);
            progress::say(&error.text());
            return ExitCode::from(error.exit_code());
        }
        Err(error) if processes::is_silent() => return ExitCode::from(error.exit_code() as u8),
        Err(error) => error.exit(),
    };
    let done = match processes::join(&cli.command) {
        Ok(Place::Done(code)) => return code,
        Ok(Place::Runs) => run(cli, &Trainers::with(own)),
        Err(error) => Err(error),
    };
    processes::leave();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !processes::is_silent() {
                progress::say(&error.text());
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// The error of words that are no text where text is wanted: clap's names none of them.
fn not_text(words: &[OsString]) -> Error {
    let shown: Vec<String> = (words.iter())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    // Paths may be any bytes: the word at fault is refused though all others are text.
    let refused = |at: &usize| {
        let mut tried: Vec<OsString> = shown.iter().map(Into::into).collect();
        tried[*at].clone_from(&words[*at]);
        Cli::try_parse_from(tried).is_err_and(|error| error.kind() == ErrorKind::InvalidUtf8)
    };
    let at = (1..words.len()).filter(|&at| words[at].to_str().is_none());
    let at = at.clone().find(refused).or(at.min()).unwrap_or_default();
    let named = |word: &String| Some(word.strip_prefix("--")?.split('=').next()?.to_owned());
    let why = format!(
        "'{}' is not UTF-8: write it so; a file can be renamed, or linked to",
        shown[at]
    );
    let flag = named(&shown[at]).or_else(|| named(&shown[at.checked_sub(1)?]));
    match flag.filter(|_| !shown[..at].iter().any(|word| word == "--")) {
        Some(flag) => Error::flag(flag, why),
        None => Error::Usage(why),
    }
}

fn run(cli: Cli, trainers: &Trainers) -> Result<(), Error> {
    let quiet = cli.quiet;
    match cli.command {
        Command::Study(args) => commands::study::run(*args, trainers, quiet),
        Command::Compare(args) => commands::compare::run(&args, trainers, quiet),
        Command::Branch(args) => commands::branch::run(&args, trainers, quiet),
        Command::Fit(args) => commands::fit::run(&args, quiet),
        Command::Scale(args) => commands::scale::run(&args),
        Command::Train(args) => commands::train::run(*args, quiet),
        #[cfg(unix)]
        Command::Memory(args) => commands::memory::run(&args, trainers, quiet),
        #[cfg(not(unix))]
        Command::Memory(_) => Err(Error::failed("`memory` needs Linux")),
        Command::Noise(args) => commands::noise::run(&args, quiet),
        Command::Landscape(args) => commands::landscape::run(&args, quiet),
        Command::Advise(args) => commands::advise::run(&args, trainers, quiet),
        Command::Navigate(args) => commands::navigate::run(*args, quiet),
        Command::Exchange(args) => commands::exchange::run(&args, quiet),
        Command::Report(args) => commands::report::run(&args, quiet),
        Command::Trials(args) => commands::trials::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Reproduce(args) => commands::reproduce::run(&args, quiet),
        Command::Data(args) => commands::data::run(args.command, quiet),
        Command::Schema { of } => commands::schema::run(of),
        Command::Completions { shell } => commands::manual::completions(shell),
        Command::Man { out } => commands::manual::man(out.as_deref()),
    }
}
