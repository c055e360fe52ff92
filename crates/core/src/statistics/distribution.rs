//! Quantiles of the normal and of Student's distribution.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::erf::{erfc, erfc_inv};

/// Degrees of freedom above which Student's distribution is taken as normal: its quantiles are then
/// larger by `(z² + 1)/(4·dof)` of their size (Abramowitz and Stegun 26.7.5), 1.2e-6 for 95 %, which
/// is less than the 6e-5 that the library's own quantile is off by there.
const NORMAL_FROM: f64 = 1e6;

/// `z` with `Φ(z) = p`, for `p` in (0, 1).
///
/// ```
/// use batchscope_core::statistics::normal_quantile;
/// assert!((normal_quantile(0.975) - 1.959963984540054).abs() < 1e-12);
/// ```
pub fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// `Φ(z)`, the probability of a standard normal number below `z`.
///
/// ```
/// use batchscope_core::statistics::normal_probability;
/// assert!((normal_probability(1.959963984540054) - 0.975).abs() < 1e-9);
/// ```
pub fn normal_probability(z: f64) -> f64 {
    erfc(-z / std::f64::consts::SQRT_2) / 2.0
}

/// `t` with `P(|T| ≤ t) = level` for Student's T with `dof` degrees of freedom, any above 0, and
/// `level` in (0, 1). Its square is the `level` quantile of F(1, dof). Infinite where `dof` is not
/// above 0: nothing is known then.
///
/// ```
/// use batchscope_core::statistics::t_quantile;
/// assert!((t_quantile(0.95, 2.0) - 4.302652729911275).abs() < 1e-9);
/// ```
pub fn t_quantile(level: f64, dof: f64) -> f64 {
    let p = 0.5 + 0.5 * level;
    if dof > NORMAL_FROM {
        return normal_quantile(p);
    }
    StudentsT::new(0.0, 1.0, dof).map_or(f64::INFINITY, |t| t.inverse_cdf(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs(), "{a} against {b}");
    }

    /// Golden values: scipy 1.17.1, printed by `crates/scaling/tests/golden/distributions.py`.
    #[test]
    fn quantiles_agree_with_scipy() {
        for (level, dof, golden) in [
            (0.95, 1.0, 12.706204736174694),
            (0.95, 7.0, 2.364624251592784),
            (0.95, 43.0, 2.016692199227824),
            (0.9, 2.5, 2.5582186141359355),
        ] {
            close(t_quantile(level, dof), golden, 1e-9);
        }
        close(normal_quantile(0.975), 1.959963984540054, 1e-12);
    }

    #[test]
    fn without_freedom_nothing_is_known() {
        assert_eq!(t_quantile(0.95, 0.0), f64::INFINITY);
        assert_eq!(t_quantile(0.95, -1.0), f64::INFINITY);
    }

    #[test]
    fn the_normal_takes_over_with_a_small_jump() {
        close(t_quantile(0.95, 1e6), t_quantile(0.95, 1e6 + 1.0), 1e-4);
    }
}
