//! Rows into trials.

use std::collections::{BTreeMap, BTreeSet};

use batchscope_core::{
    Choice, EvaluationPlan, Located, Outcome, Schedule, SettingError, StepTiming, Target,
    TrialPurpose, TrialRecord, TrialSpec,
};

use crate::{
    Censoring, Columns, Measurements, MeasurementsError, ReadOptions, Role, Table, logs,
    rows::{Measured, Reading, Unit},
    states::End,
};

/// The runs of a table or log.
pub(crate) fn of_table(
    table: &Table,
    options: &ReadOptions,
) -> Result<Measurements, MeasurementsError> {
    let mut columns = Columns::of(table, options)?;
    let unreadable = columns.drop_unreadable(table, options);
    let count = columns.count().map_or(Role::Steps, |(role, _)| role);
    let unit = Unit::new(count, options)?;
    let reading = Reading {
        table,
        columns: &columns,
        unit,
    };
    let rows: Result<Vec<Measured>, _> = table.rows.iter().map(|row| reading.row(row)).collect();
    let rows = rows?;
    if rows.is_empty() {
        return Err(MeasurementsError::Format {
            path: table.name.clone().into(),
            why: "has headings and no row".to_owned(),
        });
    }
    let mut notes = table.notes.clone();
    for heading in unreadable {
        notes.push(format!(
            "'{heading}' does not hold numbers, and is left out"
        ));
    }
    notes.extend(columns.notes(table));
    notes.extend(unit.note(options));
    notes.extend(ends(table, &columns, &rows, options));
    let metric_of = options
        .target
        .as_ref()
        .filter(|_| columns.at(Role::Metric).is_some());
    let is_log = options
        .log
        .unwrap_or_else(|| looks_like_a_log(&rows, metric_of));
    let records = if is_log {
        let target = options
            .target
            .as_ref()
            .ok_or_else(|| several_rows(table, &rows))?;
        columns.need(table, Role::Metric)?;
        refuse_for_logs(options)?;
        logs::records(table, &rows, target, &mut notes)?
    } else {
        if let Some(target) = metric_of {
            notes.push(format!(
                "one row a run, so its length is taken as that to {target}: --log takes it as a log"
            ));
        }
        notes.extend(rows_without_runs(&rows));
        runs(table, &rows, (unit, options), &mut notes)?
    };
    let mut records = best_rates(records, &mut notes);
    number(&mut records);
    if records.is_empty() {
        return Err(MeasurementsError::Format {
            path: table.name.clone().into(),
            why: "no row is left that says how long a run took".to_owned(),
        });
    }
    Ok(Measurements {
        timings: timings(&rows),
        sizes: sizes(table, &rows)?,
        rows: rows.len() as u64,
        columns: columns.used(table),
        records,
        notes,
    })
}

/// The run that a row belongs to: one name at two learning rates is two runs.
fn key(row: &Measured) -> (&str, u64, Option<&str>, u64) {
    (
        &row.curve,
        row.batch_size,
        row.run.as_deref(),
        row.learning_rate.to_bits(),
    )
}

/// Several rows of one run are a log: of a named run, or of any where the target's metric has a column.
fn looks_like_a_log(rows: &[Measured], metric_of: Option<&Target>) -> bool {
    let mut seen = BTreeSet::new();
    let several = rows
        .iter()
        .any(|row| (row.run.is_some() || metric_of.is_some()) && !seen.insert(key(row)));
    several || metric_of.is_some_and(|target| looks_scheduled(rows, target))
}

/// One name at several learning rates is a sweep in a table, and a schedule in a log: there the lengths of a name
/// increase from row to row, and its first value is short of the target.
fn looks_scheduled(rows: &[Measured], target: &Target) -> bool {
    let mut named: BTreeMap<(&str, u64, Option<&str>), Vec<&Measured>> = BTreeMap::new();
    for row in rows {
        let name = (row.curve.as_str(), row.batch_size, row.run.as_deref());
        named.entry(name).or_default().push(row);
    }
    named.into_values().any(|rows| {
        let increase = rows.windows(2).all(|pair| pair[0].steps < pair[1].steps);
        let first = rows.iter().find_map(|row| row.value);
        rows.len() > 1 && increase && first.is_some_and(|value| !target.is_met(value))
    })
}

/// Lengths of a log are not rounded, and its values say what was reached.
fn refuse_for_logs(options: &ReadOptions) -> Result<(), SettingError> {
    let wrong = |key: &'static str, why: &str| Err(SettingError::new(key, why));
    if options.rounded_to.is_some() {
        return wrong(
            "rounded-to",
            "is for tables of lengths: in a log the crossing is read off the values",
        );
    }
    if options.censoring == Censoring::None {
        return wrong(
            "censoring",
            "none is for tables of lengths: in a log the values say which runs reached the target",
        );
    }
    Ok(())
}

/// What several rows of a batch size are taken for, where no column names runs.
fn rows_without_runs(rows: &[Measured]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let several = rows
        .iter()
        .any(|row| row.run.is_none() && !seen.insert(key(row)));
    several.then(|| {
        "no column names runs, so every row is a run of its own; a log of a metric needs --target".to_owned()
    })
}

/// The runs at the best learning rate of each batch size, where there are several: others say how long a run takes
/// that nobody would make. The rate is the one with the shortest runs.
fn best_rates(records: Vec<TrialRecord>, notes: &mut Vec<String>) -> Vec<TrialRecord> {
    let place = |record: &TrialRecord| (record.spec.curves.clone(), record.spec.batch_size);
    // Lengths by rate, in logarithms, runs that did not reach the target being endless.
    let mut rates: BTreeMap<_, BTreeMap<u64, Vec<f64>>> = BTreeMap::new();
    for record in records.iter().filter(|r| !r.spec.learning_rate.is_nan()) {
        let length = record.outcome.crossing().map_or(f64::INFINITY, f64::ln);
        let of_batch = rates.entry(place(record)).or_default();
        of_batch
            .entry(record.spec.learning_rate.to_bits())
            .or_default()
            .push(length);
    }
    rates.retain(|_, by_rate| by_rate.len() > 1);
    if rates.is_empty() {
        return records;
    }
    // The median, then the share of runs that reached the target: one run that did not makes no rate endless.
    let score = |lengths: &Vec<f64>| {
        let mut sorted = lengths.clone();
        sorted.sort_by(f64::total_cmp);
        let missed = sorted.iter().filter(|x| x.is_infinite()).count();
        let middle = batchscope_core::statistics::quantile(&sorted, 0.5);
        let middle = if middle.is_nan() {
            f64::INFINITY
        } else {
            middle
        };
        (middle, missed as f64 / sorted.len() as f64)
    };
    let shorter = |a: &Vec<f64>, b: &Vec<f64>| {
        let (a, b) = (score(a), score(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    };
    let best: BTreeMap<_, u64> = rates
        .into_iter()
        .filter_map(|(batch, by_rate)| {
            let least = by_rate.iter().min_by(|a, b| shorter(a.1, b.1))?;
            Some((batch, *least.0))
        })
        .collect();
    let all = records.len();
    let is_kept = |record: &TrialRecord| {
        let best = best.get(&place(record));
        best.is_none_or(|best| record.spec.learning_rate.to_bits() == *best)
    };
    let kept: Vec<TrialRecord> = records.into_iter().filter(is_kept).collect();
    notes.push(format!(
        "several learning rates at a batch size: the runs at the one with the fewest steps are taken, and {} others left out; chosen from its own runs it looks a little better than it is. --column learning_rate=none takes all runs alike",
        all - kept.len()
    ));
    kept
}

/// Numbers the runs, those of a curve and batch size from 0.
fn number(records: &mut [TrialRecord]) {
    let mut index: BTreeMap<(Vec<String>, u64), u32> = BTreeMap::new();
    for (id, record) in (0..).zip(records) {
        let spec = &mut record.spec;
        let next = index
            .entry((spec.curves.clone(), spec.batch_size))
            .or_default();
        spec.id = id;
        spec.purpose = TrialPurpose::Fresh { index: *next };
        spec.seed = u64::from(*next);
        *next += 1;
    }
}

fn several_rows(table: &Table, rows: &[Measured]) -> MeasurementsError {
    let mut seen = BTreeSet::new();
    let second = rows.iter().find(|row| !seen.insert(key(row)));
    let (place, run) = second.map_or((String::new(), String::new()), |row| {
        let run = row.run.clone().unwrap_or_default();
        (
            row.place.clone(),
            format!("run '{run}' at batch size {}", row.batch_size),
        )
    });
    MeasurementsError::Row {
        table: table.name.clone(),
        place,
        why: format!(
            "a second row of {run}: if the table logs a metric along each run, say which target it is to cross, as in --target val-loss=3.2; if every row is a run of its own, give --column run=none"
        ),
    }
}

/// How the states were understood, where there are any.
fn ends(
    table: &Table,
    columns: &Columns,
    rows: &[Measured],
    options: &ReadOptions,
) -> Option<String> {
    let at = columns.at(Role::State)?;
    if options.censoring == Censoring::None {
        return Some(
            "every run counts as having reached the target, whatever its state".to_owned(),
        );
    }
    let mut words: BTreeMap<&str, (End, u64)> = BTreeMap::new();
    for (row, measured) in table.rows.iter().zip(rows) {
        if let Some(end) = measured.end {
            words.entry(&row.cells[at]).or_insert((end, 0)).1 += 1;
        }
    }
    let words = words
        .iter()
        .map(|(word, (end, n))| format!("'{word}' is {} ({n})", end.name()));
    Some(format!("states: {}", words.collect::<Vec<_>>().join(", ")))
}

/// A table's rows, a run each.
fn runs(
    table: &Table,
    rows: &[Measured],
    (unit, options): (Unit, &ReadOptions),
    notes: &mut Vec<String>,
) -> Result<Vec<TrialRecord>, MeasurementsError> {
    let mut records = Vec::new();
    let mut empty = Vec::new();
    for row in rows {
        let end = match options.censoring {
            Censoring::None => End::Reached,
            Censoring::State => row.end.unwrap_or(End::Reached),
        };
        let outcome = match (end, row.steps) {
            (End::Failed, _) => Outcome::Failed {
                why: "the table says so".to_owned(),
            },
            (End::Infeasible, _) => Outcome::Infeasible {
                why: "the table says so".to_owned(),
            },
            (End::Diverged, steps) => Outcome::Diverged {
                step: whole(steps.unwrap_or(0.0)),
            },
            (_, None) => {
                empty.push(row.place.as_str());
                continue;
            }
            (_, Some(steps)) if steps <= 0.0 => {
                return Err(MeasurementsError::Row {
                    table: table.name.clone(),
                    place: row.place.clone(),
                    why: "a run of no length: leave its row out, or its cell empty".to_owned(),
                });
            }
            (End::Censored, Some(steps)) => Outcome::NotReached { cap: whole(steps) },
            (End::Reached, Some(steps)) => {
                reached(row, steps, (unit, options)).map_err(|why| MeasurementsError::Row {
                    table: table.name.clone(),
                    place: row.place.clone(),
                    why,
                })?
            }
        };
        records.push(record(spec(row), outcome, row.seconds));
    }
    if !empty.is_empty() {
        let shown = empty[..empty.len().min(5)].join(", ");
        notes.push(format!(
            "{} rows without a length are left out ({shown})",
            empty.len()
        ));
    }
    Ok(records)
}

/// The end of a run that reached its target after so many steps, which may have been rounded up.
fn reached(
    row: &Measured,
    steps: f64,
    (unit, options): (Unit, &ReadOptions),
) -> Result<Outcome, String> {
    let width = options
        .rounded_to
        .map_or(0.0, |n| unit.steps(n, row.batch_size));
    if width > 0.0 {
        let parts = steps / width;
        if (parts - parts.round()).abs() > 1e-6 * parts.max(1.0) || parts < 0.5 {
            return Err(format!(
                "its length is no multiple of --rounded-to {}: counts were rounded to something else",
                options.rounded_to.unwrap_or_default()
            ));
        }
    }
    let middle = (steps - 0.5 * width).max(f64::MIN_POSITIVE);
    // Whole steps say no more than a step, even where runs agree to it.
    let is_whole = options.rounded_to.is_none() && unit.counts_steps() && steps.fract() == 0.0;
    Ok(Outcome::Reached {
        step: whole(middle),
        after: whole((steps - width).max(0.0)).min(whole(middle).saturating_sub(1)),
        located: Some(Located {
            crossing: middle,
            found: whole(steps),
            rounding: if is_whole { 1.0 } else { width },
        }),
    })
}

/// Steps as a whole number, rounded up.
pub(crate) fn whole(steps: f64) -> u64 {
    steps.ceil() as u64
}

/// A trial of which the table says no more than this; not yet numbered.
pub(crate) fn spec(row: &Measured) -> TrialSpec {
    TrialSpec {
        id: 0,
        purpose: TrialPurpose::Fresh { index: 0 },
        curves: vec![row.curve.clone()],
        batch_size: row.batch_size,
        micro_batch: None,
        learning_rate: row.learning_rate,
        schedule: Schedule::constant(),
        optimizer: Choice::new("not stated", Vec::<(String, batchscope_core::Value)>::new()),
        methods: Vec::new(),
        controller: None,
        clip: None,
        decay: Default::default(),
        study_seed: 0,
        seed: 0,
        cap: u64::MAX,
        max_examples: None,
        start: None,
        target: None,
        evaluation: EvaluationPlan::default(),
        diagnostics: Vec::new(),
    }
}

/// The record of a trial that ended so.
pub(crate) fn record(spec: TrialSpec, outcome: Outcome, seconds: Option<f64>) -> TrialRecord {
    TrialRecord {
        micro_batch: spec.batch_size,
        spec,
        outcome,
        measurements: Vec::new(),
        seconds: seconds.unwrap_or(0.0),
        decisions: Vec::new(),
        schedule: Vec::new(),
        notes: Vec::new(),
    }
}

/// The size of each curve.
///
/// # Errors
/// When a curve has two.
fn sizes(table: &Table, rows: &[Measured]) -> Result<BTreeMap<String, String>, MeasurementsError> {
    let mut sizes: BTreeMap<String, String> = BTreeMap::new();
    for row in rows {
        let Some(size) = &row.size else {
            continue;
        };
        let known = sizes
            .entry(row.curve.clone())
            .or_insert_with(|| size.clone());
        if known != size {
            return Err(MeasurementsError::Row {
                table: table.name.clone(),
                place: row.place.clone(),
                why: format!(
                    "the curve {} has the sizes {known} and {size}: name a column of curves that have one each, or give --column size=none",
                    row.curve
                ),
            });
        }
    }
    Ok(sizes)
}

/// Step times by batch size: median and quartiles of its rows.
fn timings(rows: &[Measured]) -> Vec<StepTiming> {
    let mut by_batch: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for row in rows {
        by_batch
            .entry(row.batch_size)
            .or_default()
            .extend(row.step_seconds);
    }
    let timing = |(batch_size, seconds)| StepTiming::of(batch_size, batch_size, seconds);
    by_batch.into_iter().filter_map(timing).collect()
}
