//! `batchscope navigate`: point-goal navigation, trained, drawn and timed.

mod bench;
mod render;
mod train;

use batchscope_core::SettingError;
use batchscope_navigation::{NAVIGATION, NavigationSettings};

use crate::{
    args::{NavigateArgs, NavigateWhat},
    error::CliError,
};

/// Runs the command.
pub fn run(args: NavigateArgs, quiet: bool) -> Result<(), CliError> {
    match args.what {
        NavigateWhat::Train(args) => train::run(&args, quiet),
        NavigateWhat::Render(args) => render::run(&args, quiet),
        NavigateWhat::Bench(args) => bench::run(&args, quiet),
    }
}

/// The workload that is asked for, and how it is written.
fn workload(asked: Option<&str>) -> Result<(NavigationSettings, String), CliError> {
    let call = asked.unwrap_or(NAVIGATION.name);
    let call = call.parse().map_err(|e| CliError::flag("workload", e))?;
    let choice = NAVIGATION
        .read(&call)
        .map_err(|e| CliError::flag("workload", e))?;
    let wrong = |SettingError { key, why }| CliError::flag("workload", format!("{key} {why}"));
    let settings = NavigationSettings::of(&choice).map_err(wrong)?;
    Ok((settings, NAVIGATION.shortest(&choice)))
}
