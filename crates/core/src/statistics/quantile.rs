//! Quantiles of values.

/// The `p` quantile of `sorted` values, `p` in [0, 1], linearly interpolated between the two nearest
/// (type 7 of Hyndman and Fan 1996, The American Statistician 50, 361). The median is `p = 0.5`.
///
/// Without values nothing is known: −∞ below the middle, ∞ from there on.
///
/// ```
/// use batchscope_core::statistics::quantile;
/// assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), 1.75);
/// ```
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return if p < 0.5 {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    };
    let place = p * last as f64;
    let (i, part) = (place.floor() as usize, place.fract());
    sorted[i] + part * (sorted[(i + 1).min(last)] - sorted[i])
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_interpolate() {
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            [0.0, 0.25, 0.5, 1.0].map(|q| quantile(&values, q)),
            [1.0, 1.75, 2.5, 4.0]
        );
        assert_eq!(quantile(&[7.0], 0.75), 7.0);
    }

    #[test]
    fn without_values_every_number_may_be() {
        assert_eq!(quantile(&[], 0.1), f64::NEG_INFINITY);
        assert_eq!(quantile(&[], 0.9), f64::INFINITY);
    }
}
