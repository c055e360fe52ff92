//! Trials for other tools: CSV and Parquet as tables, JSON whole.

use std::collections::BTreeSet;
use std::io::Write;

use batchscope_core::{
    Choice, Metric, NoiseMoments, NoiseRecord, Outcome, TrialPurpose, TrialRecord,
};
use batchscope_scaling::Findings;
use serde::Serialize;

use crate::{Column, ReportError, Table, Values};

/// A format of [`export`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object.
    Json,
    /// Apache Parquet.
    Parquet,
}

/// Writes the study for another tool: the table of [`trials_records`] as CSV or Parquet, or as
/// JSON `{"findings": …, "trials": […]}` with what was found, and every setting and measurement.
///
/// # Errors
/// When the destination fails.
pub fn export<F: Serialize>(
    records: &[TrialRecord],
    findings: &F,
    format: Format,
    mut writer: impl Write + Send,
) -> Result<(), ReportError> {
    #[derive(Serialize)]
    struct Whole<'a, F> {
        findings: &'a F,
        trials: &'a [TrialRecord],
    }
    match format {
        Format::Csv => trials_records(records).write_csv(writer),
        Format::Parquet => trials_records(records).write_parquet(writer),
        Format::Json => {
            serde_json::to_writer_pretty(
                &mut writer,
                &Whole {
                    findings,
                    trials: records,
                },
            )
            .map_err(json)?;
            writer.write_all(b"\n").map_err(ReportError::Export)
        }
    }
}

/// Writes every evaluation of every trial, the table of [`measurements_table`]; JSON is that of
/// the trials' measurements by trial.
///
/// # Errors
/// When the destination fails.
pub fn export_measurements(
    records: &[TrialRecord],
    format: Format,
    mut writer: impl Write + Send,
) -> Result<(), ReportError> {
    match format {
        Format::Csv => measurements_table(records).write_csv(writer),
        Format::Parquet => measurements_table(records).write_parquet(writer),
        Format::Json => {
            let by_trial: std::collections::BTreeMap<u64, _> = records
                .iter()
                .map(|r| (r.spec.id, &r.measurements))
                .collect();
            serde_json::to_writer_pretty(&mut writer, &by_trial).map_err(json)?;
            writer.write_all(b"\n").map_err(ReportError::Export)
        }
    }
}

fn json(e: serde_json::Error) -> ReportError {
    if e.is_io() {
        ReportError::Export(e.into())
    } else {
        ReportError::Encode {
            format: "JSON",
            why: e.to_string(),
        }
    }
}

/// `findings.json`: the findings, indented, with a final newline.
///
/// # Errors
/// When a number cannot be written, a fault of the analysis.
pub fn to_json(findings: &Findings) -> Result<String, ReportError> {
    serde_json::to_string_pretty(findings)
        .map(|text| text + "\n")
        .map_err(json)
}

/// `trials.csv`: the table of [`trials_records`].
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn trials_csv(records: &[TrialRecord]) -> Result<String, ReportError> {
    let mut bytes = Vec::new();
    trials_records(records).write_csv(&mut bytes)?;
    String::from_utf8(bytes).map_err(|e| ReportError::Encode {
        format: "CSV",
        why: e.to_string(),
    })
}

/// What a trial was for, with its number there: `fresh`, 2.
pub(crate) fn purpose(purpose: &TrialPurpose) -> (&'static str, Option<u32>) {
    match *purpose {
        TrialPurpose::Pilot { index } => ("pilot", Some(index)),
        TrialPurpose::Tune { index, .. } => ("tune", Some(index)),
        TrialPurpose::Fresh { index } => ("fresh", Some(index)),
        TrialPurpose::Single => ("single", None),
    }
}

/// The step at which a trial reached its target or else ended; that of the last evaluation where it
/// did not run to an end.
pub(crate) fn last_step(record: &TrialRecord) -> Option<u64> {
    let measured = || record.measurements.last().map(|m| m.step);
    let ended = record.steps().or_else(|| record.outcome.last_step());
    ended.or_else(measured)
}

/// An optimizer with its settings, in words: `sgd momentum=0.9 nesterov weight-decay=0`.
pub(crate) fn optimizer(choice: &Choice) -> String {
    let mut words = vec![choice.name().to_owned()];
    words.extend(choice.values().filter_map(|(key, value)| {
        let key = key.replace('_', "-");
        match value {
            batchscope_core::Value::Switch(on) => on.then_some(key),
            value => Some(format!("{key}={value}")),
        }
    }));
    words.join(" ")
}

/// One row per trial: what was asked, how it ended, and the last value of each metric.
pub fn trials_records(records: &[TrialRecord]) -> Table {
    let whole = |name: &str, about, of: &dyn Fn(&TrialRecord) -> Option<u64>| Column {
        name: name.into(),
        about,
        values: Values::Whole(records.iter().map(of).collect()),
    };
    let real = |name: &str, about, of: &dyn Fn(&TrialRecord) -> Option<f64>| Column {
        name: name.into(),
        about,
        values: Values::Real(records.iter().map(of).collect()),
    };
    let text = |name: &str, about, of: &dyn Fn(&TrialRecord) -> Option<String>| Column {
        name: name.into(),
        about,
        values: Values::Text(records.iter().map(of).collect()),
    };
    let mut columns = vec![
        whole("trial", "number of the trial in its study", &|r| {
            Some(r.spec.id)
        }),
        text("purpose", "pilot, tune, fresh or single", &|r| {
            Some(purpose(&r.spec.purpose).0.into())
        }),
        whole(
            "index",
            "number of the trial among those of its batch size and purpose",
            &|r| purpose(&r.spec.purpose).1.map(u64::from),
        ),
        text("curves", "curves it serves, separated by spaces", &|r| {
            Some(r.spec.curves.join(" "))
        }),
        whole("batch_size", "examples per step over all devices", &|r| {
            Some(r.spec.batch_size)
        }),
        whole("micro_batch", "examples per forward pass", &|r| {
            Some(r.micro_batch)
        }),
        real(
            "learning_rate",
            "full learning rate, before the schedule",
            &|r| Some(r.spec.learning_rate),
        ),
        text("optimizer", "optimizer and its constants", &|r| {
            Some(optimizer(&r.spec.optimizer))
        }),
        whole(
            "study_seed",
            "first part of every random stream's key",
            &|r| Some(r.spec.study_seed),
        ),
        whole("seed", "second part of every random stream's key", &|r| {
            Some(r.spec.seed)
        }),
        whole(
            "cap",
            "steps after which the trial would end not reached",
            &|r| Some(r.spec.cap),
        ),
        text("target", "metric and goal", &|r| {
            r.spec.target.as_ref().map(ToString::to_string)
        }),
        text(
            "state",
            "reached, not_reached, completed, raced, diverged, infeasible, failed or interrupted",
            &|r| Some(r.outcome.name().into()),
        ),
        whole(
            "step",
            "optimizer step at which it reached its target, or ended",
            &last_step,
        ),
        real(
            "crossing",
            "estimated steps to the target, not rounded",
            &|r| r.outcome.crossing(),
        ),
        whole(
            "after",
            "step one standard error below the crossing, exclusive; 0 if met from the first \
             evaluation on",
            &|r| match r.outcome {
                Outcome::Reached { after, .. } => Some(after),
                _ => None,
            },
        ),
        whole("examples", "examples trained on by then", &|r| {
            last_step(r).map(|s| r.examples_at(s).round() as u64)
        }),
        real(
            "seconds",
            "seconds of training, evaluations left out",
            &|r| Some(r.seconds),
        ),
        text(
            "why",
            "what stood in the way, for infeasible and failed",
            &|r| match &r.outcome {
                Outcome::Infeasible { why } | Outcome::Failed { why } => Some(why.clone()),
                _ => None,
            },
        ),
        text("notes", "remarks, separated by semicolons", &|r| {
            Some(r.notes.join("; "))
        }),
    ];
    if records.iter().any(|r| r.spec.controller.is_some()) {
        let led = text(
            "controller",
            "what led the rate and the batch size, if not the schedule",
            &|r| r.spec.controller.as_ref().map(Choice::to_string),
        );
        columns.push(led);
    }
    for metric in metrics(records) {
        let about = "value at the last evaluation";
        columns.push(real(
            &format!("last_{}", column_name(&metric)),
            about,
            &|r| {
                r.measurements
                    .iter()
                    .rev()
                    .find_map(|m| m.metrics.get(&metric).copied())
            },
        ));
    }
    Table { columns }
}

/// One row per evaluation of each trial.
pub fn measurements_table(records: &[TrialRecord]) -> Table {
    let all: Vec<(&TrialRecord, &batchscope_core::Measurement)> = records
        .iter()
        .flat_map(|r| r.measurements.iter().map(move |m| (r, m)))
        .collect();
    let whole =
        |name: &str, about, of: &dyn Fn(&TrialRecord, &batchscope_core::Measurement) -> u64| {
            Column {
                name: name.into(),
                about,
                values: Values::Whole(all.iter().map(|(r, m)| Some(of(r, m))).collect()),
            }
        };
    let real =
        |name: &str, about, of: &dyn Fn(&batchscope_core::Measurement) -> Option<f64>| Column {
            name: name.into(),
            about,
            values: Values::Real(all.iter().map(|(_, m)| of(m)).collect()),
        };
    let mut columns = vec![
        whole("trial", "number of the trial in its study", &|r, _| {
            r.spec.id
        }),
        whole(
            "batch_size",
            "examples per step over all devices",
            &|r, _| r.spec.batch_size,
        ),
        whole("step", "optimizer steps done", &|_, m| m.step),
        whole("examples", "examples trained on", &|_, m| m.examples),
        whole(
            "finer",
            "1 for the finer evaluations near the target",
            &|_, m| u64::from(m.finer),
        ),
        real("seconds", "seconds of training so far", &|m| {
            Some(m.seconds)
        }),
        real("learning_rate", "learning rate of the last step", &|m| {
            Some(m.learning_rate)
        }),
    ];
    for metric in metrics(records) {
        columns.push(real(&column_name(&metric), "unsmoothed value", &|m| {
            m.metrics.get(&metric).copied()
        }));
    }
    if all.iter().any(|(_, m)| m.noise.is_some()) {
        let noise = |name, about, of: fn(&NoiseMoments) -> f64| {
            real(name, about, &|m| match &m.noise {
                Some(NoiseRecord::Measured(moments)) => Some(of(moments)),
                _ => None,
            })
        };
        columns.extend([
            noise(
                "noise_steps",
                "steps since the evaluation before whose gradient noise was measured",
                |m| m.steps as f64,
            ),
            noise(
                "noise_trace",
                "their mean estimate of the variance of one example's gradient, tr Σ",
                |m| m.trace,
            ),
            noise(
                "noise_squared_norm",
                "their mean estimate of the squared norm of the true gradient, |G|²; noise can \
                 make it negative",
                |m| m.squared_norm,
            ),
        ]);
    }
    Table { columns }
}

fn metrics(records: &[TrialRecord]) -> BTreeSet<Metric> {
    records
        .iter()
        .flat_map(|r| &r.measurements)
        .flat_map(|m| m.metrics.keys().cloned())
        .collect()
}

fn column_name(metric: &Metric) -> String {
    metric.to_string().replace('-', "_")
}
