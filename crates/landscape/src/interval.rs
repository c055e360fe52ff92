//! Estimates from repeated measurements.

use batchscope_core::{Estimate, statistics::t_quantile};

/// Mean and its standard error (`None` for a single value).
pub(crate) fn mean_and_error(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (n > 1.0).then(|| (squares / (n - 1.0) / n).sqrt()))
}

/// Mean of independent values with Student's interval; a single one leaves the ends open.
pub(crate) fn mean_estimate(values: &[f64], level: f64) -> Estimate {
    let n = values.len() as u64;
    if values.is_empty() {
        return Estimate::undefined(level, 0, "nothing was measured");
    }
    let (mean, error) = mean_and_error(values);
    match error {
        Some(error) => {
            let half = t_quantile(level, values.len() as f64 - 1.0) * error;
            Estimate::estimated(mean, mean - half, mean + half, level, n)
        }
        None => Estimate {
            low: None,
            high: None,
            ..Estimate::estimated(mean, 0.0, 0.0, level, n)
                .because("a single measurement says nothing of its own error")
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: mean 2, deviation 1, t(0.975, 2) = 4.302653 (SciPy 1.17.1).
    #[test]
    fn three_values_have_student_s_interval() {
        let estimate = mean_estimate(&[1.0, 2.0, 3.0], 0.95);
        let half = 4.302652729911275 / 3f64.sqrt();
        assert!((estimate.high.unwrap() - 2.0 - half).abs() < 1e-9);
        assert!((estimate.low.unwrap() - 2.0 + half).abs() < 1e-9);
        assert_eq!(mean_estimate(&[1.0], 0.95).low, None);
        assert_eq!(mean_estimate(&[], 0.95).value, None);
    }
}
