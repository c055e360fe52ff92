//! Logs: several rows a run, a metric along it.

use std::collections::BTreeMap;

use batchscope_core::{Measurement, Outcome, Target, TrialRecord};

use crate::{
    MeasurementsError, Table,
    records::{key, record, spec, whole},
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
    let mut by_run: BTreeMap<_, Vec<&Measured>> = BTreeMap::new();
    for row in rows {
        by_run.entry(key(row)).or_default().push(row);
    }
    let mut records = Vec::new();
    let mut index: BTreeMap<(&str, u64), u32> = BTreeMap::new();
    let mut unmeasured = 0;
    for ((curve, batch_size, ..), mut run) in by_run {
        run.retain(|row| row.steps.is_some_and(|steps| steps > 0.0) && row.value.is_some());
        run.sort_by(|a, b| a.steps.unwrap_or(0.0).total_cmp(&b.steps.unwrap_or(0.0)));
        let Some(last) = run.last().copied() else {
            unmeasured += 1;
            continue;
        };
        let next = index.entry((curve, batch_size)).or_default();
        let mut spec = spec(last, records.len() as u64, *next);
        *next += 1;
        spec.target = Some(target.clone());
        spec.cap = whole(last.steps.unwrap_or(0.0));
        let mut run_record = record(spec, Outcome::Interrupted, last.seconds);
        run_record.measurements = measurements(table, &run, target)?;
        run_record.outcome = outcome(&run_record, last.end, target);
        records.push(run_record);
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
