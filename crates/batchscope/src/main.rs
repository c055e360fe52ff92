//! `batchscope`: finds the batch size to train with, and shows the evidence.
//!
//! This crate turns arguments into checked settings and puts the crates below together. It holds
//! no arithmetic of its own.

mod args;
mod commands;
#[cfg(test)]
mod defaults;
mod error;
mod files;
mod folder;
mod jobs;
mod machine;
mod observers;
mod progress;
mod resolve;
mod settings;
mod signals;
mod values;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Cli, Command},
    error::CliError,
};

/// Training allocates and frees large tensors every step; glibc returns them to the kernel each
/// time, which costs up to half the throughput (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(&error.text());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let quiet = cli.quiet;
    match cli.command {
        Command::Study(args) => commands::study::run(*args, quiet),
        Command::Train(args) => commands::train::run(*args, quiet),
        Command::Noise(args) => commands::noise::run(&args, quiet),
        Command::Landscape(args) => commands::landscape::run(&args, quiet),
        Command::Advise(args) => commands::advise::run(&args, quiet),
        Command::Report(args) => commands::report::run(&args, quiet),
        Command::Trials(args) => commands::trials::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Reproduce(args) => commands::reproduce::run(&args, quiet),
        Command::Data(args) => commands::data::run(args.command, quiet),
        Command::Completions { shell } => commands::manual::completions(shell),
        Command::Man { out } => commands::manual::man(out.as_deref()),
    }
}
