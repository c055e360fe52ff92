//! What an hour on two cores allows, network by network, and what was asked for laid over it.

use std::collections::BTreeSet;

use batchscope_data::Dataset;
use batchscope_reproduce::keskar::{
    Adversarial, Conservative, Part, Plan, Plateau, Scope, Setting, Sharpening, Statistics,
};

use crate::{
    args::{ReproduceArgs, StatisticsChoice},
    error::CliError,
};

/// A ghost size above every batch: batch norm over the whole batch.
pub const WHOLE_BATCH: u64 = 1 << 24;

/// A model as people call it: with [`WHOLE_BATCH`] its ghost size says nothing.
pub fn shown(model: &str) -> String {
    model.replace(&format!("(ghost={WHOLE_BATCH})"), "")
}

/// The network where none is named.
const DEFAULT_NETWORK: &str = "f1";

/// What was cut so that a network's experiment ends within an hour on two cores.
pub struct Preset {
    /// The paper's name of the network.
    pub network: &'static str,
    /// Training examples.
    pub examples: u64,
    /// Cap of epochs.
    pub epochs: u32,
    /// Examples of a sharpness.
    pub sharpness_examples: u64,
    /// Starts of each search for a sharpness.
    pub sharpness_starts: u32,
    /// Starts of each remedy and of each batch size between.
    pub other_starts: u32,
}

const PRESETS: [Preset; 6] = [
    Preset {
        network: "f1",
        examples: 10_000,
        epochs: 100,
        sharpness_examples: 2000,
        sharpness_starts: 2,
        other_starts: 2,
    },
    Preset {
        network: "f2",
        examples: 5000,
        epochs: 100,
        sharpness_examples: 1000,
        sharpness_starts: 2,
        other_starts: 2,
    },
    Preset {
        network: "c1",
        examples: 2500,
        epochs: 40,
        sharpness_examples: 500,
        sharpness_starts: 1,
        other_starts: 1,
    },
    Preset {
        network: "c2",
        examples: 1000,
        epochs: 30,
        sharpness_examples: 200,
        sharpness_starts: 1,
        other_starts: 1,
    },
    Preset {
        network: "c3",
        examples: 2500,
        epochs: 40,
        sharpness_examples: 500,
        sharpness_starts: 1,
        other_starts: 1,
    },
    Preset {
        network: "c4",
        examples: 1000,
        epochs: 30,
        sharpness_examples: 200,
        sharpness_starts: 1,
        other_starts: 1,
    },
];

/// The network that was asked for.
pub fn network(args: &ReproduceArgs) -> Result<&'static str, CliError> {
    let name = args.network.as_deref().unwrap_or(DEFAULT_NETWORK);
    let known = PRESETS.iter().find(|p| p.network == name);
    known.map(|p| p.network).ok_or_else(|| {
        let names = PRESETS.map(|p| p.network).join(", ");
        let why = format!("'{name}' is none of the networks: choose {names}");
        CliError::flag("network", why)
    })
}

/// What was cut for a network of [`network`]'s.
pub fn of(network: &str) -> &'static Preset {
    let preset = PRESETS.iter().find(|p| p.network == network);
    preset.unwrap_or(&PRESETS[0])
}

/// Classes of the paper's data where those depend on who prepared them: the tied states of a speech
/// recognizer.
pub fn classes(network: &str) -> Option<usize> {
    (network == "f2").then_some(1973)
}

/// The experiment that was asked for.
pub fn plan(
    args: &ReproduceArgs,
    network: &str,
    model: String,
    data: &Dataset,
) -> Result<Plan, CliError> {
    let preset = of(network);
    let examples = data.train.len();
    let (small, large) = Plan::batches(examples);
    let parts: BTreeSet<Part> = match &args.part {
        None => Part::ALL.into(),
        Some(list) => list
            .split(',')
            .map(|name| name.trim().parse::<Part>().map_err(super::failed))
            .collect::<Result<_, _>>()?,
    };
    let sharpness_examples = args
        .sharpness_examples
        .unwrap_or(preset.sharpness_examples.min(examples));
    let starts = args.starts.unwrap_or(5);
    let other_starts = match args.other_starts {
        Some(n) if n == 0 || n > starts => {
            let why = format!("choose 1 to {starts}, the random starts of the table (--starts)");
            return Err(CliError::flag("other-starts", why));
        }
        Some(n) => n,
        None => preset.other_starts.min(starts),
    };
    Ok(Plan {
        setting: Setting {
            network: network.to_owned(),
            model,
            data: data.description.clone(),
            examples,
            small,
            large,
            learning_rate: args.learning_rate.unwrap_or(1e-3),
            epochs: args.epochs.unwrap_or(preset.epochs),
            plateau: Plateau::default(),
            evaluation: args.eval_examples.unwrap_or(2000).max(1),
            sharpness: Sharpening {
                examples: sharpness_examples,
                starts: args.sharpness_starts.unwrap_or(preset.sharpness_starts),
                iterations: 10,
                patience: args.search_iterations.unwrap_or(Sharpening::PATIENCE),
                epsilons: vec![1e-3, 5e-4],
                dimension: 100,
                adaptive: 0.05,
            },
            augment: augmentation(network).to_owned(),
            conservative: Conservative::default(),
            adversarial: Adversarial::default(),
            seed: args.seed.unwrap_or(0),
        },
        scope: Scope {
            starts,
            parts,
            between: Plan::between(small, large),
            between_starts: other_starts,
            warm_epochs: vec![1, 2, 3, 4, 6, 8, 12, 16],
            snapshots: vec![1, 2, 4, 8, 16, 32],
            remedy_starts: other_starts,
            statistics: statistics(args.statistics),
        },
    })
}

/// With which batch-norm statistics slices are drawn.
fn statistics(choice: Option<StatisticsChoice>) -> BTreeSet<Statistics> {
    match choice.unwrap_or(StatisticsChoice::Interpolated) {
        StatisticsChoice::Estimated => [Statistics::Estimated].into(),
        StatisticsChoice::Interpolated => [Statistics::Interpolated].into(),
        StatisticsChoice::Both => [Statistics::Interpolated, Statistics::Estimated].into(),
    }
}

/// The paper's augmentation; digits are not mirrored, which would make other characters of them, and
/// speech is left as it is.
fn augmentation(network: &str) -> &'static str {
    match network {
        "f1" => "rotate:10,translate:0.2",
        "f2" => "",
        _ => "flip,rotate:10,translate:0.2",
    }
}

#[cfg(test)]
mod tests {
    use batchscope_data::{GlyphOptions, LoadOptions};
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::{Cli, Command};

    fn planned(flags: &[&str]) -> Plan {
        let line = ["batchscope", "reproduce", "keskar-2016"];
        let command = Cli::try_parse_from(line.iter().chain(flags))
            .unwrap()
            .command;
        let Command::Reproduce(args) = command else {
            unreachable!("the line says so")
        };
        let options = LoadOptions {
            glyphs: GlyphOptions {
                train: 600,
                test: 20,
                seed: 0,
            },
            ..LoadOptions::default()
        };
        let data = batchscope_data::open("glyphs", &options).unwrap();
        let network = network(&args).unwrap();
        plan(&args, network, "model".to_owned(), &data).unwrap()
    }

    #[test]
    fn stated_defaults_are_taken() {
        let cli = Cli::command();
        let command = cli.find_subcommand("reproduce").unwrap();
        let mut seen = 0;
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string);
            let stated = help.as_deref().and_then(|h| h.split_once("[default: "));
            let (Some((_, rest)), Some(flag)) = (stated, argument.get_long()) else {
                continue;
            };
            let default = rest.trim_end_matches(']');
            if flag != "data" {
                let given = planned(&[&format!("--{flag}"), default]);
                assert_eq!(given, planned(&[]), "--{flag} {default}");
                seen += 1;
            }
        }
        assert!(seen >= 5, "{seen}");
    }

    #[test]
    fn the_whole_batch_is_not_shown_as_a_number() {
        let model = |text: &str| {
            text.parse::<batchscope_nn::ModelSpec>()
                .unwrap()
                .to_string()
        };
        assert_eq!(shown(&model(&format!("f1(ghost={WHOLE_BATCH})"))), "f1");
        assert_eq!(shown(&model("c1(ghost=64)")), "c1(ghost=64)");
    }

    #[test]
    fn every_network_s_default_is_a_sound_experiment() {
        for preset in &PRESETS {
            let flags = ["--network", preset.network];
            let mut plan = planned(&flags);
            plan.check().unwrap();
            plan.setting.examples = preset.examples;
            (plan.setting.small, plan.setting.large) = Plan::batches(preset.examples);
            plan.check().unwrap();
            assert!(preset.sharpness_examples <= preset.examples);
        }
    }
}
