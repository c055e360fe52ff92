//! Functions of the normal and Fisher distributions that only the fits need.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};
use statrs::function::erf::erfc;

/// Below this the normal tail is taken from its asymptotic series (exact to 1e-9 there).
const TAIL: f64 = -30.0;

/// `1 − 1/z² + 3/z⁴ − 15/z⁶`: `Φ(z)·|z|/φ(z)` for very negative `z`.
fn tail_series(z: f64) -> f64 {
    let inverse = 1.0 / (z * z);
    1.0 - inverse * (1.0 - 3.0 * inverse * (1.0 - 5.0 * inverse))
}

/// `ln Φ(z)`, finite for every finite `z`.
pub(crate) fn ln_normal_cdf(z: f64) -> f64 {
    if z < TAIL {
        -0.5 * z * z - 0.5 * (2.0 * std::f64::consts::PI).ln() - (-z).ln() + tail_series(z).ln()
    } else {
        (0.5 * erfc(-z * std::f64::consts::FRAC_1_SQRT_2)).ln()
    }
}

/// `φ(z)/Φ(z)`, the inverse Mills ratio of the lower tail: about `−z` far below 0, about 0 above.
pub(crate) fn inverse_mills(z: f64) -> f64 {
    if z < TAIL {
        -z / tail_series(z)
    } else {
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        density / (0.5 * erfc(-z * std::f64::consts::FRAC_1_SQRT_2))
    }
}

/// `P(F > x)` for Fisher's F with these degrees of freedom.
pub(crate) fn f_survival(x: f64, dof1: f64, dof2: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x.is_infinite() {
        return 0.0;
    }
    FisherSnedecor::new(dof1, dof2).map_or(f64::NAN, |f| f.sf(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs(), "{a} against {b}");
    }

    /// Golden values: scipy 1.17.1, printed by `tests/golden/distributions.py`.
    #[test]
    fn agrees_with_scipy() {
        for (z, golden) in [
            (-50.0, -1254.8313611394199),
            (-30.1, -457.32956441638237),
            (-29.9, -451.3229124585287),
            (-5.0, -15.064998393988727),
            (0.0, -std::f64::consts::LN_2),
            (2.0, -0.023012909328963476),
        ] {
            close(ln_normal_cdf(z), golden, 1e-9);
        }
        for (x, dof1, dof2, golden) in [
            (3.0, 7.0, 18.0, 0.028453379711404908),
            (0.5, 3.0, 6.0, 0.6958947550600287),
            (40.0, 4.0, 10.0, 4.01863170230606e-06),
        ] {
            close(f_survival(x, dof1, dof2), golden, 1e-9);
        }
    }

    #[test]
    fn the_mills_ratio_is_the_slope_of_the_log() {
        for z in [-60.0f64, -30.5, -29.5, -8.0, -1.0, 0.0, 1.5, 6.0] {
            let step = 1e-5 * z.abs().max(1.0);
            let slope = (ln_normal_cdf(z + step) - ln_normal_cdf(z - step)) / (2.0 * step);
            assert!(
                (inverse_mills(z) - slope).abs() < 1e-5 * slope.abs().max(1e-4),
                "{z}"
            );
        }
    }
}
