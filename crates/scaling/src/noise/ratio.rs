//! The interval of a ratio of two estimates (E. C. Fieller, "Some problems in interval
//! estimation", J. R. Statist. Soc. B 16 (1954), 175–185).
//!
//! With estimates `s` of `S`, `g` of `G` and their covariance `V`, the confidence set of `R = S/G`
//! holds every `R` that a t-test of `S − R·G = 0` does not reject:
//!
//! ```text
//! (s − R·g)² ≤ t²·(V_ss − 2R·V_sg + R²·V_gg)
//! ```
//!
//! A quadratic in `R`. Where `g` differs from 0 at the level the set is an interval; otherwise it
//! runs to infinity, and no bounded interval could have the coverage (Gleser and Hwang 1987).

use batchscope_core::{Estimate, EstimateState, format::number};

/// Covariance of two estimated means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Covariance {
    pub(super) ss: f64,
    pub(super) sg: f64,
    pub(super) gg: f64,
}

/// The part of a confidence set on `R ≥ 0`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Set {
    Interval(f64, f64),
    From(f64),
    Everything,
    Nothing,
}

fn fieller(s: f64, g: f64, v: Covariance, t: f64) -> Set {
    let square = t * t;
    let a = g * g - square * v.gg;
    let b = s * g - square * v.sg;
    let c = s * s - square * v.ss;
    // the quotient itself is always inside, so the discriminant is negative by rounding at most
    // where a > 0
    let discriminant = b * b - a * c;
    let root = discriminant.max(0.0).sqrt();
    if a > 0.0 {
        let (low, high) = ((b - root) / a, (b + root) / a);
        if high < 0.0 {
            Set::Nothing
        } else {
            Set::Interval(low.max(0.0), high)
        }
    } else if discriminant < 0.0 || a == 0.0 {
        Set::Everything
    } else {
        // outside the roots; a < 0, so the upper one takes the minus sign
        let (left, right) = ((b + root) / a, (b - root) / a);
        if left >= 0.0 || right <= 0.0 {
            Set::Everything
        } else {
            Set::From(right)
        }
    }
}

/// `s/g` with Fieller's interval; `t` is the quantile of Student's distribution. Undefined where a
/// piece is not positive: the bound the set still gives then stands in `low`.
pub(super) fn estimate(s: f64, g: f64, v: Covariance, t: f64, level: f64, n: u64) -> Estimate {
    let set = fieller(s, g, v, t);
    let (low, high) = match set {
        Set::Interval(low, high) => (Some(low), Some(high)),
        Set::From(low) => (Some(low), None),
        Set::Everything | Set::Nothing => (None, None),
    };
    let plain = quotient(s, g, n);
    let reason = match (plain.state, set) {
        (EstimateState::Undefined, Set::From(low)) => {
            let reason = plain.reason.unwrap_or_default();
            Some(format!(
                "{reason}; all that is known is a lower bound, {}",
                number(low)
            ))
        }
        (EstimateState::Undefined, _) => plain.reason,
        (_, Set::Interval(..)) => None,
        _ => Some(
            "the squared gradient is not distinguishable from 0, so the upper end is open"
                .to_owned(),
        ),
    };
    Estimate {
        value: plain.value,
        low,
        high,
        level,
        n,
        state: plain.state,
        reason,
    }
}

/// Why few groups have no interval.
pub(super) const FEW_GROUPS: &str = "fewer than six groups give no interval";
/// Why a single step has no interval.
pub(super) const ONE_STEP: &str = "one step gives no interval: measure at least two";

/// `s/g` with both ends open and `why`, undefined where a piece is not positive.
pub(super) fn without_interval(s: f64, g: f64, n: u64, why: &str) -> Estimate {
    let plain = quotient(s, g, n);
    match plain.state {
        EstimateState::Undefined => plain,
        _ => plain.because(why),
    }
}

/// `s/g` with both ends open, undefined where a piece is not positive.
fn quotient(s: f64, g: f64, n: u64) -> Estimate {
    let level = 0.95;
    if g <= 0.0 {
        return Estimate::undefined(
            level,
            n,
            "the estimate of the squared gradient is not positive: noise drowns it at this batch size and number of steps",
        );
    }
    if s <= 0.0 {
        let why = "the estimate of the gradient's variance is not positive";
        return Estimate::undefined(level, n, why);
    }
    Estimate {
        low: None,
        high: None,
        ..Estimate::estimated(s / g, 0.0, 0.0, level, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEPENDENT: Covariance = Covariance {
        ss: 1.0,
        sg: 0.0,
        gg: 0.04,
    };

    /// The ends are where the t-test is at its limit.
    #[test]
    fn ends_are_just_not_rejected() {
        let v = Covariance {
            sg: 0.1,
            ..INDEPENDENT
        };
        let Set::Interval(low, high) = fieller(20.0, 2.0, v, 2.0) else {
            panic!("2 is ten standard errors from 0")
        };
        assert!(low < 10.0 && high > 10.0);
        for r in [low, high] {
            let variance = v.ss - 2.0 * r * v.sg + r * r * v.gg;
            assert!(((20.0 - r * 2.0).powi(2) / (4.0 * variance) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_weak_denominator_opens_the_upper_end_and_a_negative_one_is_undefined() {
        let weak = estimate(20.0, 0.2, INDEPENDENT, 2.0, 0.95, 9);
        assert!(weak.is_estimated() && weak.high.is_none() && weak.reason.is_some());
        // at the limit the far end: 20/(0.2 + 2·0.2) and a bit less for the noise of s
        assert!((25.0..33.4).contains(&weak.low.unwrap()), "{weak:?}");
        let negative = estimate(20.0, -0.1, INDEPENDENT, 2.0, 0.95, 9);
        assert_eq!(
            (negative.state, negative.value),
            (EstimateState::Undefined, None)
        );
        assert!(negative.low.unwrap() > weak.low.unwrap());
        let lost = estimate(0.5, 0.1, INDEPENDENT, 2.0, 0.95, 9);
        assert_eq!((lost.low, lost.high), (None, None));
        let absurd = estimate(20.0, -2.0, INDEPENDENT, 2.0, 0.95, 9);
        assert_eq!((absurd.low, absurd.high), (None, None));
    }

    #[test]
    fn without_variance_the_interval_is_the_value() {
        let none = Covariance {
            ss: 0.0,
            sg: 0.0,
            gg: 0.0,
        };
        let exact = estimate(6.0, 2.0, none, 3.0, 0.95, 5);
        assert_eq!(
            (exact.low, exact.value, exact.high),
            (Some(3.0), Some(3.0), Some(3.0))
        );
    }
}
