//! Reading recorded metrics: smoothed, interpolated in log steps.

use batchscope_core::{Direction, Metric, Smoother, Target, TrialRecord};

/// A trial's metric at its regular evaluations: `(step, value)`, steps increasing from 1.
///
/// The finer evaluations are left out: they exist only around the study target's crossing, and would
/// smooth that stretch differently from the rest.
pub(crate) fn evaluated(record: &TrialRecord, metric: &Metric) -> Vec<(f64, f64)> {
    let mut last = 0;
    let mut values = Vec::new();
    for measurement in record.measurements.iter().filter(|m| !m.finer) {
        if let Some(&value) = measurement.metrics.get(metric)
            && measurement.step > last
        {
            last = measurement.step;
            values.push((last as f64, value));
        }
    }
    values
}

/// [`evaluated`], smoothed.
pub(crate) fn smoothed(record: &TrialRecord, metric: &Metric) -> Vec<(f64, f64)> {
    let mut smoother = Smoother::default();
    let evaluated = evaluated(record, metric).into_iter();
    let smoothed = evaluated.map(|(step, value)| (step, smoother.observe(step as u64, value)));
    smoothed.collect()
}

/// First crossing of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FirstMet {
    /// Already met at the first evaluation, at this step: located no finer than (0, step].
    AtFirst(f64),
    /// Met here, interpolated between two evaluations.
    At(f64),
    /// Not met by the last evaluation.
    Never,
}

/// Where a smoothed trajectory first meets the target, log-linear inside the bracket.
pub(crate) fn first_met(trajectory: &[(f64, f64)], target: &Target) -> FirstMet {
    match trajectory
        .iter()
        .position(|&(_, value)| target.is_met(value))
    {
        None => FirstMet::Never,
        Some(0) => FirstMet::AtFirst(trajectory[0].0),
        Some(i) => {
            let ((s0, v0), (s1, v1)) = (trajectory[i - 1], trajectory[i]);
            let fraction = ((v0 - target.value) / (v0 - v1)).clamp(0.0, 1.0);
            // a bracket that starts at infinity or NaN says only where it ends
            if fraction.is_nan() {
                FirstMet::At(s1)
            } else {
                FirstMet::At(s0 * (s1 / s0).powf(fraction))
            }
        }
    }
}

/// The value at a step, log-linear between evaluations; `None` outside them.
pub(crate) fn value_at(trajectory: &[(f64, f64)], step: f64) -> Option<f64> {
    let after = trajectory.partition_point(|&(s, _)| s < step);
    let &(s1, v1) = trajectory.get(after)?;
    if after == 0 {
        return (s1 == step).then_some(v1);
    }
    let (s0, v0) = trajectory[after - 1];
    let fraction = (step / s0).ln() / (s1 / s0).ln();
    Some(v0 + fraction * (v1 - v0))
}

/// The best value of a trajectory; `None` if there is none that is a number.
pub(crate) fn best(trajectory: &[(f64, f64)], direction: Direction) -> Option<f64> {
    trajectory
        .iter()
        .map(|&(_, v)| v)
        .filter(|v| !v.is_nan())
        .reduce(|a, b| if direction.better(b, a) { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAJECTORY: [(f64, f64); 3] = [(10.0, 1.0), (100.0, 0.5), (1000.0, 0.25)];

    fn target(value: f64) -> Target {
        Target {
            value,
            ..(format!("val-loss={value}").parse().unwrap())
        }
    }

    #[test]
    fn crossings_interpolate_in_log_steps() {
        let FirstMet::At(step) = first_met(&TRAJECTORY, &target(0.75)) else {
            panic!("it is met")
        };
        assert!((step - 10.0 * 10f64.sqrt()).abs() < 1e-9);
        assert_eq!(
            first_met(&TRAJECTORY, &target(2.0)),
            FirstMet::AtFirst(10.0)
        );
        assert_eq!(first_met(&TRAJECTORY, &target(0.1)), FirstMet::Never);
        assert_eq!(
            first_met(&[(1.0, f64::INFINITY), (2.0, 0.1)], &target(0.5)),
            FirstMet::At(2.0)
        );
    }

    #[test]
    fn values_interpolate_in_log_steps_and_stop_at_the_ends() {
        assert!((value_at(&TRAJECTORY, 10.0 * 10f64.sqrt()).unwrap() - 0.75).abs() < 1e-12);
        assert_eq!(value_at(&TRAJECTORY, 10.0), Some(1.0));
        assert_eq!(value_at(&TRAJECTORY, 1000.0), Some(0.25));
        assert_eq!(
            (value_at(&TRAJECTORY, 9.0), value_at(&TRAJECTORY, 1001.0)),
            (None, None)
        );
    }
}
