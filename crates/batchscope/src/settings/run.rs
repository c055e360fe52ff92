//! One training run: `batchscope train`.

use batchscope_core::{Choice, Target};
use batchscope_rules::CONTROLLERS;
use clap::Args;

use crate::values::{self, Controlled};

/// A training run's settings, beyond its workload.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Training")]
pub struct RunArgs {
    /// Examples per step [default: 64]
    #[arg(long, value_name = "B", value_parser = values::at_least_one)]
    pub batch_size: Option<u64>,
    /// Full learning rate [default: 0.02] [other optimizers: their usual one, see --optimizer]
    #[arg(long, value_name = "RATE", value_parser = values::positive)]
    pub learning_rate: Option<f64>,
    /// Train this many steps
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = values::at_least_one)]
    pub steps: Option<u64>,
    /// Train this many epochs [default: 5]
    #[arg(long, value_name = "E", value_parser = values::positive)]
    pub epochs: Option<f64>,
    /// Stop when this is reached: val-error=0.03
    #[arg(long, value_name = "TARGET", value_parser = values::fixed_target)]
    pub target: Option<Target>,
    /// What leads the learning rate and the batch size.
    #[arg(long, value_name = "CONTROLLER", help = help_of_controllers())]
    pub controller: Option<Controlled>,
    /// Evaluate every N steps instead of at geometrically spaced ones
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    pub evaluate_every: Option<u64>,
}

impl RunArgs {
    /// What leads the run, where that is not the schedule.
    pub fn controller(&self) -> Option<Choice> {
        let asked = self.controller.clone()?.0;
        (asked.name() != CONTROLLERS.all[0].descriptor.name).then_some(asked)
    }
}

fn help_of_controllers() -> String {
    let controllers: Vec<String> = CONTROLLERS
        .all
        .iter()
        .map(|kind| {
            let of = &kind.descriptor;
            format!("{} ({})", values::written(of), of.about)
        })
        .collect();
    format!(
        "What leads the learning rate and the batch size: {} [default: schedule]",
        controllers.join("; ")
    )
}
