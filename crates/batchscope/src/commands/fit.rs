//! `batchscope fit TABLE`: the analysis of a study, on measurements made elsewhere.

use std::{collections::BTreeMap, path::Path, time::Instant};

use batchscope_measurements::{
    Measurements, MeasurementsError, ReadOptions, Role, Table, of_table, read_tables,
};
use batchscope_report::HowRun;
use batchscope_scaling::{AnalysisOptions, Findings, MeasuredElsewhere, StudySummary};

use super::{advise, study};
use crate::{args::FitArgs, error::CliError, files::work_alone, machine, progress::Display};

/// Runs the command.
pub fn run(args: &FitArgs, quiet: bool) -> Result<(), CliError> {
    let (started, clock) = (machine::now(), Instant::now());
    let options = args.read.options();
    if args.dir.join("study.db").exists() {
        let why = format!(
            "{} holds a study, whose report this would replace: name another folder",
            args.dir.display()
        );
        return Err(CliError::flag("dir", why));
    }
    let table = read_tables(&args.tables, &options).map_err(wrong)?;
    let measurements = of_table(&table, &options).map_err(wrong)?;
    let mut findings = findings(args, &measurements);
    let mut notes = measurements.notes.clone();
    if options.rounded_to.is_some() {
        notes.extend(without_rounding(args, &table, &options, &findings)?);
    }
    if !measurements.timings.is_empty() {
        notes.extend(advice(args, &measurements, &mut findings));
    }
    notes.extend(add_laws(args, &measurements, &mut findings)?);
    // A table cannot be made to measure more: no command settles a bound.
    batchscope_report::put_into_words(&mut findings, |_| String::new());

    let display = Display::new(quiet);
    for note in &notes {
        display.line(&format!("note: {note}"));
    }
    let how = HowRun {
        command: study::command(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rustc: env!("BATCHSCOPE_RUSTC").to_owned(),
        machine: machine::describe(),
        started,
        finished: machine::now(),
        seconds: clock.elapsed().as_secs_f64(),
        notes,
        ..HowRun::default()
    };
    let _alone = work_alone(&args.dir, "findings.json")?;
    batchscope_report::write(&args.dir, &findings, &measurements.records, &how)
        .map_err(CliError::failed)?;
    study::show(&findings, Some(&args.dir), args.json, &display)
}

/// What the runs say, not yet in words.
fn findings(args: &FitArgs, measurements: &Measurements) -> Findings {
    let options = AnalysisOptions {
        overhead_from: args.overhead_from,
        ..AnalysisOptions::default()
    };
    batchscope_scaling::analyze(
        summary(args, measurements),
        Vec::new(),
        &measurements.records,
        &options,
    )
}

/// What was studied, as far as a table says.
fn summary(args: &FitArgs, measurements: &Measurements) -> StudySummary {
    let records = &measurements.records;
    let mut batch_sizes: Vec<u64> = records.iter().map(|r| r.spec.batch_size).collect();
    batch_sizes.sort_unstable();
    batch_sizes.dedup();
    let mut runs: BTreeMap<(&[String], u64), u64> = BTreeMap::new();
    let mut trials = BTreeMap::new();
    for record in records {
        *runs
            .entry((&record.spec.curves, record.spec.batch_size))
            .or_insert(0) += 1;
        *trials.entry(record.outcome.name().to_owned()).or_insert(0) += 1;
    }
    let files = args.tables.iter().map(|path| file_name(path)).collect();
    let not_stated = || "not stated".to_owned();
    StudySummary {
        model: not_stated(),
        data: not_stated(),
        trainer: "measured elsewhere".to_owned(),
        device: not_stated(),
        train_examples: args.read.train_examples,
        parameters: 0,
        target: args.read.target.clone(),
        target_origin: "of the table".to_owned(),
        base_batch: batch_sizes.first().copied().unwrap_or(0),
        batch_sizes,
        seeds: runs.values().max().copied().unwrap_or(0),
        study_seed: 0,
        tune: "elsewhere".to_owned(),
        trials,
        conditions: None,
        own_settings: false,
        by_smoothing: false,
        measured_elsewhere: Some(MeasuredElsewhere {
            files,
            rows: measurements.rows,
            runs: records.len() as u64,
            columns: measurements
                .columns
                .iter()
                .map(|(role, heading)| (role.to_string(), heading.clone()))
                .collect(),
        }),
    }
}

fn file_name(path: &Path) -> String {
    match path.file_name() {
        _ if path == Path::new("-") => "standard input".to_owned(),
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.display().to_string(),
    }
}

/// What taking the rounding into account changes, a sentence a curve.
fn without_rounding(
    args: &FitArgs,
    table: &Table,
    options: &ReadOptions,
    rounded: &Findings,
) -> Result<Vec<String>, CliError> {
    let plain = ReadOptions {
        rounded_to: None,
        ..options.clone()
    };
    let plain = findings(args, &of_table(table, &plain).map_err(wrong)?);
    let sentences = rounded.critical_batch_size.iter().filter_map(|(curve, critical)| {
        let before = &plain.critical_batch_size.get(curve)?.hyperbola;
        Some(format!(
            "lengths are taken in the middle of the interval they were rounded up to: the critical batch size of {curve} is {} so, and {before} of the lengths as they are",
            critical.hyperbola
        ))
    });
    Ok(sentences.collect())
}

/// Laws across the curves, where they have sizes: in a column, or in their names. A note says which.
fn add_laws(
    args: &FitArgs,
    measurements: &Measurements,
    findings: &mut Findings,
) -> Result<Option<String>, CliError> {
    let named = |heading: &str| format!("the size of each curve is its '{heading}'");
    let column = measurements
        .columns
        .iter()
        .find(|(role, _)| *role == Role::Size);
    let texts: BTreeMap<String, String> = match column {
        Some(_) => measurements.sizes.clone(),
        None => findings
            .curves
            .iter()
            .map(|c| (c.rule.clone(), c.rule.clone()))
            .collect(),
    };
    let mut sizes = BTreeMap::new();
    for (curve, text) in &texts {
        match batchscope_scaling::read_size(text) {
            Some(size) => sizes.insert(curve.clone(), size),
            // Names need not be sizes; a column of sizes must.
            None if column.is_none() => return no_sizes(args),
            None => {
                let why = format!(
                    "'{text}' is no size: write a number above 0, or one with K, M, B or T, or give --column size=none"
                );
                return Err(CliError::flag("column", why));
            }
        };
    }
    let (against, note) = match column {
        Some((_, heading)) => (heading.clone(), named(heading)),
        None => (
            "size".to_owned(),
            "the names of the curves are taken for their sizes".to_owned(),
        ),
    };
    findings.laws = batchscope_scaling::laws(findings, &sizes, &against, &args.at);
    if findings.laws.is_empty() {
        return no_sizes(args);
    }
    Ok(Some(note))
}

/// Without a law, nothing can be said of another size.
fn no_sizes(args: &FitArgs) -> Result<Option<String>, CliError> {
    match args.at.is_empty() {
        true => Ok(None),
        false => {
            let why = "there is no law to go by: it needs three curves with a critical batch size, and their sizes in a column (--column size=HEADING) or as their names";
            Err(CliError::flag("at", why))
        }
    }
}

/// Advice from the step times of the table; a note where there can be none.
fn advice(args: &FitArgs, measurements: &Measurements, findings: &mut Findings) -> Option<String> {
    let curve = advise::default_curve(findings)?;
    let assumptions = advise::assumptions(args.price_per_hour, args.watts);
    // Of one device: the table does not say how many parameters its devices would exchange.
    match batchscope_scaling::advise(findings, &curve, &measurements.timings, &assumptions, 0, 1) {
        Ok(advice) => {
            findings.advice = Some(advice);
            None
        }
        Err(error) => Some(format!("no advice: {error}")),
    }
}

/// A table that cannot be read; a setting is its flag's fault, a path that is none a wrong use.
pub fn wrong(error: MeasurementsError) -> CliError {
    match error {
        MeasurementsError::Setting(error) => CliError::flag(error.key.into_owned(), error.why),
        MeasurementsError::NoColumn { .. } | MeasurementsError::File { .. } => {
            CliError::Usage(error.to_string())
        }
        error => CliError::failed(error),
    }
}
