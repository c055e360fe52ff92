//! When two records are the same.

use batchscope_core::{Measurement, TrialRecord};

/// True if two records are exactly equal, number by number, a NaN being equal to a NaN.
pub fn same_record(a: &TrialRecord, b: &TrialRecord) -> bool {
    a.spec == b.spec
        && a.outcome == b.outcome
        && a.micro_batch == b.micro_batch
        && a.notes == b.notes
        && same(a.seconds, b.seconds)
        && a.measurements.len() == b.measurements.len()
        && a.measurements
            .iter()
            .zip(&b.measurements)
            .all(|(a, b)| same_measurement(a, b))
}

fn same_measurement(a: &Measurement, b: &Measurement) -> bool {
    (a.step, a.examples, a.finer) == (b.step, b.examples, b.finer)
        && same(a.seconds, b.seconds)
        && same(a.learning_rate, b.learning_rate)
        && a.noise == b.noise
        && a.metrics.len() == b.metrics.len()
        && a.metrics
            .iter()
            .zip(&b.metrics)
            .all(|((m, x), (n, y))| m == n && same(*x, *y))
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// The record without its wall-clock times: what two runs of one trial must have in common.
pub fn without_times(record: &TrialRecord) -> TrialRecord {
    let mut record = record.clone();
    record.seconds = 0.0;
    for measurement in &mut record.measurements {
        measurement.seconds = 0.0;
    }
    record
}
