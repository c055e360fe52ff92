//! `batchscope advise DIR`: measures steps on this machine and recommends a setting.

use std::collections::BTreeMap;

use batchscope_core::{Estimate, NeverStop, StepTiming, TrialPurpose, TrialSpec};
use batchscope_report::{
    TextColumn,
    format::{estimate, estimate_short_as, learning_rate, number, rough_duration, warm_up},
    text_table,
};
use batchscope_scaling::{Advice, Assumptions, DeviceOption, Findings, PointState};
use batchscope_study::SqliteStore;
use serde::Serialize;

use super::{
    exchange::steps::{Exchanges, Steps},
    folded, print, print_json, width,
};
use crate::{
    args::AdviseArgs,
    error::CliError,
    folder::{RunFacts, StudyFolder},
    progress::Display,
    trainers::Trainers,
};

/// Devices considered when nothing is said.
pub const MAX_DEVICES: u64 = 64;
/// Seconds for a message of the all-reduce to set off: a fast local network.
pub const LATENCY: f64 = 1e-5;
/// Bytes a second: 100 Gbit/s.
pub const BANDWIDTH: f64 = 12.5e9;
/// Seconds of measuring per batch size when nothing is said.
pub const BUDGET: f64 = 1.0;
/// Micro-batches tried at a batch size: the whole, a quarter, a sixteenth.
const FRACTIONS: [u64; 3] = [1, 4, 16];

/// Devices that can be spoken of, of at most so many: without a number of parameters nothing says what they would
/// exchange.
pub fn devices_of(parameters: u64, most: u64) -> u64 {
    match parameters {
        0 => 1,
        _ => most,
    }
}

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
pub fn run(args: &AdviseArgs, trainers: &Trainers, quiet: bool) -> Result<(), CliError> {
    let folder = StudyFolder::existing(&args.dir)?;
    let store = SqliteStore::read(folder.database()).map_err(CliError::study)?;
    let result = super::load(&store, &args.dir)?;
    let mut facts = folder.facts()?;
    check(args)?;
    let findings = super::study::findings(&folder, &result, &facts)?;
    check_curve(args, &findings)?;
    // Another machine's exchanges are refused before time is spent on measuring.
    let exchanges = args.exchange.as_deref();
    let exchanges = exchanges.map(|path| Exchanges::open(path, findings.study.parameters));
    let exchanges = exchanges.transpose()?;
    let settings = folder.settings()?;
    let display = Display::new(quiet);
    let trainer = trainers.open(&settings, None)?;
    let times_steps = trainer.info().capabilities.times_steps;
    if !times_steps && facts.timings.is_empty() {
        return Err(CliError::Failed(format!(
            "{} does not time its steps, and advice rests on their times",
            trainer.info().trainer
        )));
    }

    let specs: BTreeMap<u64, &TrialSpec> = result
        .records
        .iter()
        .filter(|r| matches!(r.spec.purpose, TrialPurpose::Fresh { .. }))
        .map(|r| (r.spec.batch_size, &r.spec))
        .collect();
    let mut timings: Vec<StepTiming> = Vec::new();
    for (i, (&batch_size, &spec)) in specs.iter().enumerate().filter(|_| times_steps) {
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
            let budget = args.budget / FRACTIONS.len() as f64;
            if let Ok(Some(timing)) = trainer.time(&spec, budget, &NeverStop) {
                timings.push(timing);
            }
        }
    }
    display.finish();
    if times_steps {
        facts.timings = timings;
    }
    facts.price_per_hour = args.price_per_hour.or(facts.price_per_hour);
    facts.watts = args.watts.or(facts.watts);
    let advice = advise(args, &folder, &result, &facts)?;
    // Measured is measured: a folder that cannot be written still gets its advice.
    if let Err(error) = folder.write_facts(&facts) {
        display.line(&format!("note: the step times are not kept: {error}"));
    }
    let batch_size = advice.recommended.batch_size;
    let steps = exchanges.map(|of| {
        let spec = specs.get(&batch_size).filter(|_| times_steps);
        let timings = match spec {
            Some(spec) => of.timed(trainer.as_ref(), spec, args.budget, &facts.timings),
            None => facts.timings.clone(),
        };
        of.steps(&timings, batch_size)
    });
    let steps = steps.transpose()?;
    if args.json {
        let (advice, exchange) = (&advice, steps.as_ref());
        return print_json(&Printed { advice, exchange });
    }
    let steps = steps.map_or_else(String::new, |steps| steps.text(width()));
    print(&(table(&advice, width()) + &steps))
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    advice: &'a Advice,
    /// Steps of several replicas on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<&'a Steps>,
}

/// Checks the flags before time is spent on measuring.
fn check(args: &AdviseArgs) -> Result<(), CliError> {
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
    Ok(())
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
    result: &batchscope_study::StudyResult,
    facts: &RunFacts,
) -> Result<Advice, CliError> {
    let findings = super::study::findings(folder, result, facts)?;
    let curve = args
        .curve
        .clone()
        .or_else(|| default_curve(&findings))
        .unwrap_or_default();
    let assumptions = Assumptions {
        latency: args.latency,
        bandwidth: args.bandwidth,
        ..assumptions(facts.price_per_hour, facts.watts)
    };
    batchscope_scaling::advise(
        &findings,
        &curve,
        &facts.timings,
        &assumptions,
        findings.study.parameters,
        devices_of(findings.study.parameters, args.max_devices),
    )
    .map_err(CliError::failed)
}

/// The advice in lines of at most `width` columns.
fn table(advice: &Advice, width: usize) -> String {
    let r = &advice.recommended;
    let accumulation = match r.accumulation {
        1 => String::new(),
        n => format!(", accumulated {n} times"),
    };
    let mut text = folded(
        &format!(
            "recommended on one device: batch size {}, micro-batch {}{accumulation}, learning rate {}, {}\n\
             time to the target: {}; examples: {}\n\
             It is the setting with the fewest examples among those whose times cannot be told apart from the fastest, \
             which the table below lists by its estimate alone.\n\n",
            r.batch_size,
            r.micro_batch,
            learning_rate(r.learning_rate.unwrap_or(f64::NAN), r.momentum),
            warm_up(r.warm_up_steps, ""),
            estimate_short_as(&r.seconds, rough_duration),
            estimate(&r.examples)
        ),
        width,
        2,
    );
    let column = |title, rank, cell: &dyn Fn(&DeviceOption) -> String| TextColumn {
        title,
        right: true,
        rank,
        cells: advice.options.iter().map(cell).collect(),
    };
    let known =
        |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), show);
    let price = |e: &Option<Estimate>| known(e.as_ref().and_then(|e| e.value), number);
    let columns = [
        column("devices", 0, &|o| o.devices.to_string()),
        column("batch size", 0, &|o| o.batch_size.to_string()),
        column("micro-batch", 4, &|o| o.micro_batch.to_string()),
        column("time", 0, &|o| known(o.seconds.value, rough_duration)),
        column("device-hours", 3, &|o| known(o.device_hours.value, number)),
        column("money", 1, &|o| price(&o.money)),
        column("kWh", 2, &|o| price(&o.energy)),
        TextColumn {
            right: false,
            ..column("best", 0, &|o| if o.pareto { "*" } else { "" }.to_owned())
        },
    ];
    text += &text_table(&columns, width);
    text += &folded("\n* no other option is both faster and cheaper", width, 2);
    for line in &advice.provenance {
        text += &folded(&format!("- {line}"), width, 2);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many devices as were asked for, unless nothing says what they would exchange.
    #[test]
    fn devices_are_bounded_by_the_question_alone() {
        assert_eq!(devices_of(1000, 2 * MAX_DEVICES), 2 * MAX_DEVICES);
        assert_eq!(devices_of(0, MAX_DEVICES), 1);
    }
}
