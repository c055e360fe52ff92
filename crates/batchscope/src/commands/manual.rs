//! `batchscope completions` and `batchscope man`, from the same definitions as the arguments.

use std::path::Path;

use clap::CommandFactory;

use super::print;
use crate::{args::Cli, error::CliError};

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "batchscope", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page, or writes one page per command into a folder.
pub fn man(out: Option<&Path>) -> Result<(), CliError> {
    match out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(CliError::failed)?;
            print(&String::from_utf8_lossy(&page))
        }
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|e| CliError::file("cannot create", folder, e))?;
            clap_mangen::generate_to(Cli::command(), folder)
                .map_err(|e| CliError::file("cannot write into", folder, e))
        }
    }
}
