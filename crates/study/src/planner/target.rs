//! Targets taken from the pilot.

use batchscope_core::{Direction, Metric, Outcome, Smoother, Target, TrialRecord};

use crate::{NoTarget, StudyError};

/// The smoothed trace of a metric over the regular evaluations of a record.
pub(super) fn smoothed(record: &TrialRecord, metric: &Metric) -> Vec<(u64, f64)> {
    let mut smoother = Smoother::default();
    record
        .measurements
        .iter()
        .filter(|m| !m.finer)
        .filter_map(|m| {
            m.metrics
                .get(metric)
                .map(|&value| (m.step, smoother.observe(m.step, value)))
        })
        .collect()
}

/// The evaluated step at which the smoothed metric first meets the target: steps to the target as
/// earlier versions counted them ([`super::Finished::is_by_smoothing`]).
pub(super) fn smoothed_meets(record: &TrialRecord, target: &Target) -> Option<u64> {
    let trace = smoothed(record, &target.metric).into_iter();
    let mut met = trace.filter(|&(_, value)| target.is_met(value));
    met.next().map(|(step, _)| step)
}

/// The better of two values, if any is a number.
pub(super) fn best(values: impl IntoIterator<Item = f64>, direction: Direction) -> Option<f64> {
    values
        .into_iter()
        .filter(|v| v.is_finite())
        .reduce(|a, b| if direction.better(b, a) { b } else { a })
}

/// `value` with so many significant digits, rounded to the easier side (and staying put where it
/// has no more digits than that).
fn rounded_easier(value: f64, digits: i32, direction: Direction) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let decimals = digits - 1 - value.abs().log10().floor() as i32;
    let scaled = value * 10f64.powi(decimals);
    // 0.03 must stay 0.03 although 0.03·1000 is not exactly 30.
    let tidy = if (scaled - scaled.round()).abs() < 1e-9 * scaled.abs() {
        scaled.round()
    } else {
        scaled
    };
    let moved = match direction {
        Direction::Lower => tidy.ceil(),
        Direction::Higher => tidy.floor(),
    };
    // Through text: the nearest number to the decimal, so that it prints as it reads.
    format!("{moved}e{}", -decimals).parse().unwrap_or(value)
}

/// Share of the best pilot run's improvement that the `auto` target leaves out.
const LEFT_OUT: f64 = 0.1;

/// The `auto` target: the smoothed metric at nine tenths of the way from where the pilot's best run
/// at the base batch size begins (its first evaluation) to the best it gets, rounded to two
/// significant digits towards the easier side.
///
/// Nine tenths, so that every batch size and seed can reach it: near the floor of a metric, steps
/// measure luck and overfitting rather than batch size. The best run is the one that gets best.
pub(super) fn auto(
    metric: &Metric,
    direction: Direction,
    batch_size: u64,
    records: &[TrialRecord],
) -> Result<Target, StudyError> {
    let ends = usable(records).filter_map(|record| {
        let trace = smoothed(record, metric);
        let first = trace
            .first()
            .map(|&(_, value)| value)
            .filter(|v| v.is_finite())?;
        Some((
            first,
            best(trace.iter().map(|&(_, value)| value), direction)?,
        ))
    });
    let run = ends.reduce(|a, b| if direction.better(b.1, a.1) { b } else { a });
    match run.map(|(first, best)| (first, best, best + LEFT_OUT * (first - best))) {
        Some((first, best, value)) if direction.better(best, first) && value != 0.0 => {
            let value = rounded_easier(value, 2, direction);
            Ok(Target {
                metric: metric.clone(),
                value,
                direction,
            })
        }
        _ => Err(no_target(metric, batch_size, records)),
    }
}

/// The `quartile` target of Golmant et al. 2018 (arXiv 1811.12941): the lowest quartile, over the
/// steps of a run at the largest batch size, of the smoothed metric (the highest where higher is
/// better); of the pilot's runs the best such value, to three digits towards the easier side.
///
/// Evaluations are spaced geometrically, so each counts with the steps since the one before it.
pub(super) fn quartile(
    metric: &Metric,
    direction: Direction,
    batch_size: u64,
    records: &[TrialRecord],
) -> Result<Target, StudyError> {
    let values =
        usable(records).filter_map(|record| lowest_quartile(&smoothed(record, metric), direction));
    let value = best(values, direction).ok_or_else(|| no_target(metric, batch_size, records))?;
    Ok(Target {
        metric: metric.clone(),
        value: rounded_easier(value, 3, direction),
        direction,
    })
}

fn lowest_quartile(trace: &[(u64, f64)], direction: Direction) -> Option<f64> {
    let mut last = 0;
    let mut weighted: Vec<(f64, u64)> = Vec::new();
    for &(step, value) in trace {
        if !value.is_finite() {
            return None;
        }
        weighted.push((value, step - last));
        last = step;
    }
    weighted.sort_by(|a, b| match direction {
        Direction::Lower => a.0.total_cmp(&b.0),
        Direction::Higher => b.0.total_cmp(&a.0),
    });
    let quarter = last as f64 / 4.0;
    let mut sum = 0.0;
    weighted.into_iter().find_map(|(value, weight)| {
        sum += weight as f64;
        (sum >= quarter).then_some(value)
    })
}

fn usable(records: &[TrialRecord]) -> impl Iterator<Item = &TrialRecord> {
    records
        .iter()
        .filter(|record| matches!(record.outcome, Outcome::Completed { .. }))
}

fn no_target(metric: &Metric, batch_size: u64, records: &[TrialRecord]) -> StudyError {
    let diverged = records
        .iter()
        .filter(|r| matches!(r.outcome, Outcome::Diverged { .. }))
        .count();
    let metric = metric.clone();
    let why = if diverged == records.len() {
        NoTarget::AllDiverged
    } else if usable(records).all(|record| smoothed(record, &metric).is_empty()) {
        NoTarget::NotMeasured { metric }
    } else {
        NoTarget::NeverImproved { metric }
    };
    StudyError::NoTarget { batch_size, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_easier_side_and_leaves_round_numbers() {
        use Direction::{Higher, Lower};
        for (value, digits, direction, rounded) in [
            (0.0312, 2, Lower, 0.032),
            (0.03, 2, Lower, 0.03),
            (0.0999, 2, Lower, 0.1),
            (0.9743, 2, Higher, 0.97),
            (123.4, 2, Lower, 130.0),
            (-1.234, 2, Lower, -1.2),
            (1.2341, 3, Lower, 1.24),
            (7e-9, 2, Lower, 7e-9),
        ] {
            assert_eq!(rounded_easier(value, digits, direction), rounded, "{value}");
        }
    }

    #[test]
    fn the_quartile_counts_steps_not_evaluations() {
        // Values 4, 3, 2, 1 hold for 1, 1, 2 and 4 steps of 8: a quarter of the steps is at 1.
        let falling = [(1, 4.0), (2, 3.0), (4, 2.0), (8, 1.0)];
        assert_eq!(lowest_quartile(&falling, Direction::Lower), Some(1.0));
        // Held for one step only, the lowest value is less than a quarter.
        let late = [(1, 4.0), (4, 3.0), (7, 2.0), (8, 1.0)];
        assert_eq!(lowest_quartile(&late, Direction::Lower), Some(2.0));
        assert_eq!(lowest_quartile(&late, Direction::Higher), Some(3.0));
        assert_eq!(lowest_quartile(&[(1, f64::NAN)], Direction::Lower), None);
    }
}
