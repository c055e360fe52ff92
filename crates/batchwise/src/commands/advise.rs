//! `batchwise advise DIR`: measures steps on this machine and recommends a setting.

use std::collections::BTreeMap;
use std::fmt::Write;

use batchwise_core::{StepTiming, Trainer, TrialPurpose, TrialSpec};
use batchwise_scaling::{Advice, Assumptions, Findings, PointState};
use batchwise_study::SqliteStore;

use super::{print, print_json};
use crate::{
    args::AdviseArgs,
    error::CliError,
    folder::{RunFacts, StudyFolder},
    progress::{Display, duration},
    values, wire,
};

/// Devices considered when nothing is said.
pub const MAX_DEVICES: u64 = 64;
/// Seconds for a message of the all-reduce to set off: a fast local network.
const LATENCY: f64 = 1e-5;
/// Bytes a second: 100 Gbit/s.
const BANDWIDTH: f64 = 12.5e9;
/// Micro-batches tried at a batch size: the whole, a quarter, a sixteenth.
const FRACTIONS: [u64; 3] = [1, 4, 16];

/// What is assumed where nothing is said.
pub fn assumptions(price_per_hour: Option<f64>, watts: Option<f64>) -> Assumptions {
    Assumptions {
        latency: LATENCY,
        bandwidth: BANDWIDTH,
        price_per_hour,
        watts,
    }
}

/// The curve advice is taken from: `tuned`, or the rule that reached the target most often.
pub fn default_curve(findings: &Findings) -> Option<String> {
    let reached = |state: PointState| matches!(state, PointState::Reached);
    findings
        .curves
        .iter()
        .max_by_key(|c| {
            (
                c.rule == "tuned",
                c.points.iter().filter(|p| reached(p.state)).count(),
            )
        })
        .map(|c| c.rule.clone())
}

/// Runs the command.
pub fn run(args: &AdviseArgs, quiet: bool) -> Result<(), CliError> {
    let folder = StudyFolder::existing(&args.dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::failed)?;
    let result = super::load(&store, &args.dir)?;
    let mut facts = folder.facts()?;
    let bandwidth = check(args)?;
    check_curve(args, &super::study::findings(&folder, &result, &facts)?)?;
    let settings = folder.settings()?;
    let display = Display::new(quiet);
    let data = wire::dataset(&settings.workload)?;
    let trainer = wire::trainer(&settings.workload, &data, None, None)?;

    let specs: BTreeMap<u64, &TrialSpec> = result
        .records
        .iter()
        .filter(|r| matches!(r.spec.purpose, TrialPurpose::Fresh { .. }))
        .map(|r| (r.spec.batch_size, &r.spec))
        .collect();
    let mut timings: Vec<StepTiming> = Vec::new();
    for (i, (&batch_size, &spec)) in specs.iter().enumerate() {
        display.show(
            i as f64 / specs.len() as f64,
            &format!("timing steps at batch size {batch_size}"),
        );
        for micro_batch in FRACTIONS.iter().map(|f| batch_size / f).filter(|&m| m > 0) {
            let spec = TrialSpec {
                micro_batch: Some(micro_batch),
                ..spec.clone()
            };
            // A size that does not fit is not an option; the others are.
            if let Ok(Some(timing)) = trainer.time(&spec, args.budget / FRACTIONS.len() as f64) {
                timings.push(timing);
            }
        }
    }
    display.finish();
    facts.timings = timings;
    facts.price_per_hour = args.price_per_hour.or(facts.price_per_hour);
    facts.watts = args.watts.or(facts.watts);
    let advice = advise(args, &folder, &result, &facts, bandwidth)?;
    folder.write_facts(&facts)?;
    if args.json {
        print_json(&advice)
    } else {
        print(&table(&advice))
    }
}

/// Checks the flags before time is spent on measuring; the bandwidth in bytes a second.
fn check(args: &AdviseArgs) -> Result<f64, CliError> {
    wire::at_least_zero("price-per-hour", args.price_per_hour)?;
    wire::at_least_zero("watts", args.watts)?;
    wire::at_least_zero("latency", Some(args.latency))?;
    if !(args.budget > 0.0 && args.budget <= 3600.0) {
        let why = format!(
            "{} is not a time above 0 and at most 3600 seconds",
            args.budget
        );
        return Err(CliError::flag("budget", why));
    }
    if args.max_devices == 0 {
        return Err(CliError::flag("max-devices", "must be at least 1"));
    }
    values::bytes(&args.bandwidth).map_err(|why| CliError::flag("bandwidth", why))
}

fn check_curve(args: &AdviseArgs, findings: &Findings) -> Result<(), CliError> {
    match &args.curve {
        Some(curve) if !findings.curves.iter().any(|c| c.rule == *curve) => {
            let known: Vec<&str> = findings.curves.iter().map(|c| c.rule.as_str()).collect();
            let known = known.join(", ");
            let why = format!("'{curve}' is not a curve of this study: choose one of {known}");
            Err(CliError::flag("curve", why))
        }
        _ => Ok(()),
    }
}

fn advise(
    args: &AdviseArgs,
    folder: &StudyFolder,
    result: &batchwise_study::StudyResult,
    facts: &RunFacts,
    bandwidth: f64,
) -> Result<Advice, CliError> {
    let findings = super::study::findings(folder, result, facts)?;
    let curve = args
        .curve
        .clone()
        .or_else(|| default_curve(&findings))
        .unwrap_or_default();
    let assumptions = Assumptions {
        latency: args.latency,
        bandwidth,
        ..assumptions(facts.price_per_hour, facts.watts)
    };
    batchwise_scaling::advise(
        &findings,
        &curve,
        &facts.timings,
        &assumptions,
        findings.study.parameters,
        args.max_devices,
    )
    .map_err(CliError::failed)
}

fn table(advice: &Advice) -> String {
    let r = &advice.recommended;
    let accumulation = match r.accumulation {
        1 => String::new(),
        n => format!(", accumulated {n} times"),
    };
    let mut text = format!(
        "recommended on one device: batch size {}, micro-batch {}{accumulation}, learning rate {:.4}, {} warm-up steps\n\
         time to the target: {} s; examples: {}\n\
         It is the setting with the fewest examples among those whose times cannot be told apart from the fastest,\n\
         which the table below lists by its estimate alone.\n\n",
        r.batch_size, r.micro_batch, r.learning_rate, r.warm_up_steps, r.seconds, r.examples
    );
    let _ = writeln!(
        text,
        "{:>7} {:>10} {:>11} {:>12} {:>14} {:>10} {:>10}  best",
        "devices", "batch size", "micro-batch", "time", "device-hours", "money", "kWh"
    );
    let number = |e: &Option<batchwise_core::Estimate>| {
        e.as_ref()
            .and_then(|e| e.value)
            .map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"))
    };
    for option in &advice.options {
        let _ = writeln!(
            text,
            "{:>7} {:>10} {:>11} {:>12} {:>14} {:>10} {:>10}  {}",
            option.devices,
            option.batch_size,
            option.micro_batch,
            option
                .seconds
                .value
                .map_or_else(|| "-".to_owned(), duration),
            option
                .device_hours
                .value
                .map_or_else(|| "-".to_owned(), |v| format!("{v:.5}")),
            number(&option.money),
            number(&option.energy),
            if option.pareto { "*" } else { "" }
        );
    }
    text += "\n* no other option is both faster and cheaper\n";
    for line in &advice.provenance {
        let _ = writeln!(text, "- {line}");
    }
    text
}
