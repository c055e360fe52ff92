//! Student's intervals of means, differences and ratios over a few starts.

use batchscope_core::{Estimate, EstimateState, statistics::t_quantile};

/// Level of every interval.
pub(crate) const LEVEL: f64 = 0.95;

/// Part of the numbers that differences come from which is their rounding: values no further apart
/// are the same.
const ROUNDING: f64 = 1e-12;

/// Mean of independent values; a single one leaves the ends open, and so do values that are all the
/// same, as accuracies over few examples happen to be: they say nothing of the next.
pub(crate) fn mean(values: &[f64]) -> Estimate {
    mean_of(values, values.iter().fold(0.0, |most, v| v.abs().max(most)))
}

/// Mean of values that come from numbers as large as `scale`.
fn mean_of(values: &[f64], scale: f64) -> Estimate {
    let n = values.len() as u64;
    if n == 0 {
        return Estimate::undefined(LEVEL, 0, "not measured");
    }
    if values.iter().any(|v| !v.is_finite()) {
        return Estimate::undefined(LEVEL, n, "a value is not finite");
    }
    let count = n as f64;
    let mean = values.iter().sum::<f64>() / count;
    let why = if n == 1 {
        Some("one start says nothing of the others")
    } else if values
        .iter()
        .all(|v| (v - values[0]).abs() <= ROUNDING * scale)
    {
        Some("all starts gave the same, which says nothing of their spread")
    } else {
        None
    };
    if let Some(why) = why {
        return Estimate {
            low: None,
            high: None,
            ..Estimate::estimated(mean, mean, mean, LEVEL, n).because(why)
        };
    }
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let half = t_quantile(LEVEL, count - 1.0) * (squares / (count - 1.0) / count).sqrt();
    Estimate::estimated(mean, mean - half, mean + half, LEVEL, n)
}

/// Mean of the differences of pairs.
pub(crate) fn difference(pairs: &[(f64, f64)]) -> Estimate {
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| a - b).collect();
    let scale = |most: f64, (a, b): &(f64, f64)| most.max(a.abs()).max(b.abs());
    mean_of(&differences, pairs.iter().fold(0.0, scale))
}

/// Geometric mean of the ratios `a/b` of pairs, with the interval of its logarithm.
pub(crate) fn ratio(pairs: &[(f64, f64)]) -> Estimate {
    let n = pairs.len() as u64;
    if pairs.iter().any(|(a, b)| !(*a > 0.0 && *b > 0.0)) {
        return Estimate::undefined(LEVEL, n, "a ratio needs numbers above 0");
    }
    let logs: Vec<f64> = pairs.iter().map(|(a, b)| (a / b).ln()).collect();
    let log = mean(&logs);
    Estimate {
        value: log.value.map(f64::exp),
        low: log.low.map(f64::exp),
        high: log.high.map(f64::exp),
        ..log
    }
}

/// The same estimate as a bound from below: its value is one.
pub(crate) fn at_least(estimate: Estimate, why: &str) -> Estimate {
    match (estimate.state, estimate.low.or(estimate.value)) {
        (EstimateState::Estimated, Some(bound)) => {
            Estimate::at_least(bound, estimate.level, estimate.n, why)
        }
        _ => estimate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// t(0.975, 2) = 4.302653, t(0.975, 1) = 12.706205 (SciPy 1.17.1).
    #[test]
    fn intervals_are_students() {
        let e = mean(&[1.0, 2.0, 3.0]);
        let half = 4.302652729911275 / 3f64.sqrt();
        assert!((e.high.unwrap() - 2.0 - half).abs() < 1e-9);
        assert!((e.low.unwrap() - 2.0 + half).abs() < 1e-9);
        let e = difference(&[(3.0, 1.0), (5.0, 1.0)]);
        assert_eq!(e.value, Some(3.0));
        assert!((e.high.unwrap() - 3.0 - 12.706204736174694).abs() < 1e-6);
    }

    #[test]
    fn ratios_are_taken_on_the_logarithm_and_refuse_what_has_none() {
        let e = ratio(&[(8.0, 2.0), (4.0, 4.0)]);
        assert!((e.value.unwrap() - 2.0).abs() < 1e-12);
        assert!((e.low.unwrap() * e.high.unwrap() - 4.0).abs() < 1e-9);
        assert_eq!(ratio(&[(1.0, 0.0)]).state, EstimateState::Undefined);
        assert_eq!(ratio(&[(f64::NAN, 1.0)]).state, EstimateState::Undefined);
        assert_eq!(mean(&[]).state, EstimateState::Undefined);
        assert_eq!(mean(&[4.0]).low, None);
        // 97.6 − 96.7 and 97.9 − 97.0 are not equal in floating point
        let ties = difference(&[(97.6, 96.7), (97.9, 97.0)]);
        assert!((ties.value.unwrap() - 0.9).abs() < 1e-9);
        assert_eq!((ties.low, ties.high, ties.n), (None, None, 2));
        let bound = at_least(mean(&[1.0, 2.0, 3.0]), "it overflowed");
        assert_eq!((bound.state, bound.high), (EstimateState::AtLeast, None));
    }
}
