//! Logs: several rows a run, a metric along it.

use std::collections::{BTreeMap, BTreeSet};

use batchscope_core::{Measurement, Outcome, Target, TrialRecord};

use crate::{
    MeasurementsError, Table,
    records::{record, spec, whole},
    rows::Measured,
    states::End,
};

/// A record a run: the crossing of the target by its rows, as a study finds it.
///
/// # Errors
/// When rows of a run have the same length and different values.
pub(crate) fn records(
    table: &Table,
    rows: &[Measured],
    target: &Target,
    notes: &mut Vec<String>,
) -> Result<Vec<TrialRecord>, MeasurementsError> {
    let mut unmeasured = 0;
    let mut records = Vec::new();
    let (runs, scheduled) = runs(rows);
    for mut run in runs {
        run.retain(|row| row.steps.is_some_and(|steps| steps > 0.0) && row.value.is_some());
        run.sort_by(|a, b| a.steps.unwrap_or(0.0).total_cmp(&b.steps.unwrap_or(0.0)));
        let Some(last) = run.last().copied() else {
            unmeasured += 1;
            continue;
        };
        let mut spec = spec(last);
        let rates = run.iter().map(|row| row.learning_rate);
        spec.learning_rate = rates.fold(f64::NAN, f64::max);
        spec.target = Some(target.clone());
        spec.cap = whole(last.steps.unwrap_or(0.0));
        let mut run_record = record(spec, Outcome::Interrupted, last.seconds);
        run_record.measurements = measurements(table, &run, target)?;
        run_record.outcome = outcome(&run_record, last.end, target);
        records.push(run_record);
    }
    if scheduled > 0 {
        join_peaks(&mut records);
        notes.push(format!(
            "the learning rate changes along {scheduled} runs: the largest is taken for the run's"
        ));
    }
    if unmeasured > 0 {
        notes.push(format!(
            "{unmeasured} runs without a value of {} are left out",
            target.metric
        ));
    }
    notes.push(format!(
        "a log of {} runs: the steps to {target} are where a line through the values of each crosses it",
        records.len()
    ));
    let few = records.iter().filter(|r| r.measurements.len() < 4).count();
    if few > 0 {
        notes.push(format!(
            "{few} runs have fewer than four values, too few to take noise out of a crossing"
        ));
    }
    Ok(records)
}

/// The rows of each run that have a value, and how many runs have a learning rate that changes. The rows of one name
/// are one run, unless the name was used at several learning rates: then each rate has most of the lengths.
fn runs(rows: &[Measured]) -> (Vec<Vec<&Measured>>, u64) {
    let mut named: BTreeMap<(&str, u64, Option<&str>), Vec<&Measured>> = BTreeMap::new();
    for row in rows {
        let name = (row.curve.as_str(), row.batch_size, row.run.as_deref());
        named.entry(name).or_default().push(row);
    }
    let (mut runs, mut scheduled) = (Vec::new(), 0);
    for mut of_name in named.into_values() {
        if of_name.iter().any(|row| row.value.is_some()) {
            of_name.retain(|row| row.value.is_some());
        }
        let mut rates: BTreeMap<u64, Vec<&Measured>> = BTreeMap::new();
        for row in &of_name {
            let rate = row.learning_rate.to_bits();
            rates.entry(rate).or_default().push(row);
        }
        let lengths = |rows: &[&Measured]| {
            let lengths = rows.iter().filter_map(|row| row.steps.map(f64::to_bits));
            lengths.collect::<BTreeSet<u64>>().len()
        };
        let of_rates: usize = rates.values().map(|rows| lengths(rows)).sum();
        let is_sweep = rates.len() > 1 && 2 * of_rates >= rates.len() * lengths(&of_name);
        match is_sweep {
            true => runs.extend(rates.into_values()),
            false => {
                scheduled += u64::from(rates.len() > 1);
                runs.push(of_name);
            }
        }
    }
    (runs, scheduled)
}

/// Peaks of schedules that are logged at steps of their own differ a little: those within a tenth are one.
fn join_peaks(records: &mut [TrialRecord]) {
    let mut peaks: Vec<f64> = records.iter().map(|r| r.spec.learning_rate).collect();
    peaks.sort_by(|a, b| b.total_cmp(a));
    let mut kept: Vec<f64> = Vec::new();
    for peak in peaks.into_iter().filter(|peak| *peak > 0.0) {
        if kept.last().is_none_or(|last| peak < 0.9 * last) {
            kept.push(peak);
        }
    }
    for record in records {
        let rate = &mut record.spec.learning_rate;
        let of = kept
            .iter()
            .copied()
            .find(|peak| *rate <= *peak && *rate >= 0.9 * peak);
        *rate = of.unwrap_or(*rate);
    }
}

/// The values of a run by their steps. What comes after the first that is not finite is left out.
fn measurements(
    table: &Table,
    run: &[&Measured],
    target: &Target,
) -> Result<Vec<Measurement>, MeasurementsError> {
    let mut measurements: Vec<Measurement> = Vec::new();
    for row in run {
        let steps = row.steps.unwrap_or(0.0);
        let (step, value) = (whole(steps), row.value.unwrap_or(f64::NAN));
        if let Some(last) = measurements.last().filter(|last| last.step == step) {
            let before = last.metrics.values().next().copied();
            if before == Some(value) {
                continue;
            }
            return Err(MeasurementsError::Row {
                table: table.name.clone(),
                place: row.place.clone(),
                why: format!(
                    "batch size {} has two values of {} after {step} steps: name the column that tells its runs apart, as in --column run=HEADING",
                    row.batch_size, target.metric
                ),
            });
        }
        let blew_up = !value.is_finite();
        measurements.push(Measurement {
            step,
            examples: (steps * row.batch_size as f64).round() as u64,
            seconds: row.seconds.unwrap_or(0.0),
            learning_rate: row.learning_rate,
            metrics: BTreeMap::from([(target.metric.clone(), value)]),
            finer: false,
            noise: None,
        });
        if blew_up {
            break;
        }
    }
    Ok(measurements)
}

/// How a run ended: by its values, unless its state says that it broke.
fn outcome(record: &TrialRecord, stated: Option<End>, target: &Target) -> Outcome {
    let last = record.measurements.last();
    let step = last.map_or(0, |m| m.step);
    let finite = last.is_none_or(|m| m.metrics.values().all(|v| v.is_finite()));
    if let Some(crossed) = record.crossing(target) {
        return crossed.outcome();
    }
    match stated {
        _ if !finite => Outcome::Diverged { step },
        Some(End::Diverged) => Outcome::Diverged { step },
        Some(End::Infeasible) => Outcome::Infeasible {
            why: "the table says so".to_owned(),
        },
        // A run that broke off short of the target had not reached it by then.
        _ => Outcome::NotReached { cap: step },
    }
}
