//! The defaults that `--help` states, which people read, are those that the program takes.

use std::collections::{BTreeMap, BTreeSet};

use clap::{CommandFactory, Parser};

use crate::{
    args::{AdviseArgs, Cli, Command, StudyArgs, TrainArgs},
    commands::{advise, train},
    resolve,
    settings::Workload,
    trainers,
};

/// A value other than the default for every flag that states one, so that comparing means something.
const OTHERS: [(&str, &str); 57] = [
    ("trainer", "another"),
    ("method", "conservative"),
    ("controller", "grow"),
    ("data", "elsewhere"),
    ("text-level", "char"),
    ("vocabulary", "500"),
    ("sequence", "70"),
    ("model", "softmax"),
    ("device", "cuda:1"),
    ("weight-decay-on", "all"),
    ("optimizer", "adam"),
    ("momentum", "0.5"),
    ("weight-decay", "0.1"),
    ("beta1", "0.8"),
    ("beta2", "0.99"),
    ("epsilon", "1e-5"),
    ("trust-coefficient", "0.01"),
    ("rate-inside", "on"),
    ("bias-correction", "off"),
    ("clamp", "10"),
    ("min-trust", "0.1"),
    ("delta", "0.2"),
    ("decay-ratio", "0.5"),
    ("nesterov", "on"),
    ("adjust-lr-fn", "original"),
    ("r", "1"),
    ("weight-lr-power", "1"),
    ("warm-up-shape", "gradual"),
    ("schedule", "cosine:3ep"),
    ("eval-examples", "100"),
    ("seed", "9"),
    ("noise", "off"),
    ("batch-sizes", "8..64"),
    ("target", "val-error=0.03"),
    ("tune", "base"),
    ("base-batch", "32"),
    ("rules", "lsr"),
    ("tune-trials", "9"),
    ("learning-rates", "0.1..1"),
    ("seeds", "5"),
    ("cap-factor", "2"),
    ("pilot-epochs", "3"),
    ("eval-ratio", "1.5"),
    ("tune-width", "full"),
    ("widen-factor", "3"),
    ("max-widenings", "1"),
    ("linearity-seeds", "2"),
    ("pilot-trials", "3"),
    ("eval-first", "7"),
    ("eval-refine", "4"),
    ("batch-size", "16"),
    ("learning-rate", "0.3"),
    ("epochs", "2"),
    ("slots", "3"),
    ("grace", "3"),
    ("retries", "5"),
    ("time-steps", "off"),
];

/// Everything that a workload means.
fn workload(w: &Workload) -> String {
    let model = w
        .model
        .model
        .clone()
        .map_or_else(resolve::default_model, Ok);
    let device = w.compute.device.unwrap_or_default();
    let data = w.data.data.as_deref().unwrap_or(resolve::DEFAULT_DATA);
    let mut options = resolve::load_options(&w.read, &w.examples, w.compute.seed);
    // That something was said is what differs here.
    options.given.clear();
    format!("{data} {:?} {device:?} {options:?}", model.unwrap())
}

/// Everything that a command line means.
fn meaning(line: &[&str]) -> String {
    let command = Cli::try_parse_from(["batchscope"].iter().chain(line))
        .unwrap()
        .command;
    match command {
        Command::Study(args) => {
            let StudyArgs { settings, .. } = *args;
            let plan = resolve::plan(&settings).unwrap().resolved(None);
            let trainer = settings.trainer.trainer.as_deref().unwrap_or("built-in");
            let patience = (
                trainers::slots(&settings),
                trainers::patience(&settings.trainer),
                trainers::times_steps(&settings.trainer),
            );
            format!(
                "{trainer} {} {plan:?} {patience:?}",
                workload(&settings.workload)
            )
        }
        Command::Compare(args) => {
            let plan = resolve::plan(&args.settings()).unwrap().resolved(None);
            format!("{plan:?}")
        }
        Command::Train(args) => {
            let TrainArgs {
                workload: w, run, ..
            } = *args;
            let spec = train::spec(&w, &run, 10_000).unwrap();
            format!("{} {spec:?}", workload(&w))
        }
        Command::Advise(AdviseArgs {
            max_devices,
            latency,
            bandwidth,
            budget,
            ..
        }) => format!("{max_devices} {latency} {:?} {budget}", bandwidth),
        other => panic!("{other:?} has no defaults to compare"),
    }
}

/// The defaults that a command's help states, by long flag.
fn stated(command: &str) -> BTreeMap<String, String> {
    let cli = Cli::command();
    let command = cli.find_subcommand(command).unwrap();
    let stated = command.get_arguments().filter_map(|argument| {
        let help = argument.get_help()?.to_string();
        let (_, default) = help.split_once("[default: ")?;
        let default = default.split_once(']')?.0.to_owned();
        Some((argument.get_long()?.to_owned(), default))
    });
    stated.collect()
}

#[test]
fn stated_defaults_are_taken() {
    let others = BTreeMap::from(OTHERS);
    let mut seen = BTreeSet::new();
    for command in ["study", "train"] {
        for (flag, default) in stated(command) {
            // The constants of another optimizer are refused without it.
            let context: &[&str] = match flag.as_str() {
                "beta1" | "beta2" | "epsilon" => &[command, "--optimizer", "adam"],
                "trust-coefficient" | "rate-inside" => &[command, "--optimizer", "lars"],
                "delta" | "decay-ratio" => &[command, "--optimizer", "sgdp"],
                "adjust-lr-fn" => &[command, "--optimizer", "muon"],
                "r" | "weight-lr-power" => &[command, "--optimizer", "schedule_free_sgd"],
                "bias-correction" | "clamp" | "min-trust" => &[command, "--optimizer", "lamb"],
                "controller" => &[command, "--schedule", "step:0.5@1ep"],
                _ => &[command],
            };
            let with = |value: &str| {
                let flag = format!("--{flag}");
                meaning(&[context, &[&flag, value]].concat())
            };
            assert_eq!(
                with(&default),
                meaning(context),
                "{command} --{flag} {default}"
            );
            let other = others
                .get(flag.as_str())
                .unwrap_or_else(|| panic!("--{flag} states a default: give it another value here"));
            assert_ne!(with(other), meaning(context), "{command} --{flag} {other}");
            seen.insert(flag);
        }
    }
    // The flags of `advise` get theirs from the constants; those of `study` may not lose theirs.
    assert!(seen.len() >= 30, "{seen:?}");
}

#[test]
fn a_study_warms_up_as_its_help_says() {
    let cli = Cli::command();
    let study = cli.find_subcommand("study").unwrap();
    let warm_up = study
        .get_arguments()
        .find(|a| a.get_long() == Some("warm-up"));
    let help = warm_up.unwrap().get_help().unwrap().to_string();
    assert!(
        help.contains("none; 10 steps in a study with --tune base and in a comparison with a rule"),
        "{help}"
    );
    let scaled = meaning(&["study", "--tune", "base"]);
    assert_eq!(
        meaning(&["study", "--tune", "base", "--warm-up", "10"]),
        scaled
    );
    let compared =
        |methods, rest: &[&str]| meaning(&[&["compare", "--methods", methods], rest].concat());
    for (methods, length) in [
        ("sgd+tuned, adam+tuned", "0"),
        ("sgd+tuned, sgd+legw", "10"),
    ] {
        assert_eq!(
            compared(methods, &["--warm-up", length]),
            compared(methods, &[])
        );
    }
    for (command, length) in [("study", "0"), ("train", "0")] {
        assert_eq!(
            meaning(&[command, "--warm-up", length]),
            meaning(&[command])
        );
        // Another part of the schedule leaves it alone.
        let shaped = [command, "--schedule", "cosine:3ep"];
        assert_eq!(
            meaning(&[&shaped[..], &["--warm-up", length]].concat()),
            meaning(&shaped)
        );
    }
}

#[test]
fn advice_assumes_what_a_study_does() {
    let assumed = advise::assumptions(None, None);
    assert_eq!(
        meaning(&["advise", "folder"]),
        format!(
            "{} {} {:?} {}",
            advise::MAX_DEVICES,
            assumed.latency,
            assumed.bandwidth,
            advise::BUDGET
        )
    );
}
