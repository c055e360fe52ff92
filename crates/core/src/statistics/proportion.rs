use super::normal_quantile;
use crate::Estimate;

/// A share of `n` independent trials that succeeded, with the score interval of E. B. Wilson, "Probable inference, the law of
/// succession, and statistical inference", 1927. Undefined without a trial.
///
/// ```
/// use batchscope_core::statistics::proportion;
/// let share = proportion(8, 10, 0.95);
/// assert_eq!(share.value, Some(0.8));
/// assert!((share.low.unwrap() - 0.4902).abs() < 1e-4 && (share.high.unwrap() - 0.9433).abs() < 1e-4);
/// ```
pub fn proportion(successes: u64, n: u64, level: f64) -> Estimate {
    if n == 0 {
        return Estimate::undefined(level, 0, "there was no trial");
    }
    let (count, share) = (n as f64, successes.min(n) as f64 / n as f64);
    let z = normal_quantile(0.5 + level / 2.0);
    let width = 1.0 + z * z / count;
    let middle = (share + z * z / (2.0 * count)) / width;
    let half = z / width * (share * (1.0 - share) / count + z * z / (4.0 * count * count)).sqrt();
    // Rounding must not put an end past the share itself.
    let (low, high) = (
        (middle - half).clamp(0.0, share),
        (middle + half).clamp(share, 1.0),
    );
    Estimate::estimated(share, low, high, level, n)
}
