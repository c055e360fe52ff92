//! Laws across curves: how the critical batch size goes with the size of a model, the amount of data, a loss.
//!
//! `B = c·x^p`, by least squares of `ln B` on `ln x`, with Student's intervals on the curves less two. One law
//! a definition: numbers by different definitions never share a line. The interval of a value that is asked for is
//! that of one more curve there; beyond the curves it is marked. The scatter is never taken for less than what the
//! curves' own intervals leave.

use std::collections::BTreeMap;

use batchscope_core::{Estimate, statistics::t_quantile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::findings::Findings;

/// A line with an interval needs one more than its two parameters.
const FEWEST: usize = 3;
/// Values of the line from the least to the largest size, and as many beyond.
const VALUES: usize = 24;
/// How far beyond the largest size the line is continued.
const BEYOND: f64 = 10.0;

/// A law across curves, `B = coefficient·(x/unit)^exponent`, of one definition of the critical batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Law {
    /// The definition: `hyperbola`, or `overhead_from` ([`crate::OverheadFrom`]).
    pub definition: String,
    /// What `x` is.
    pub against: String,
    /// What `x` is counted in.
    pub unit: f64,
    /// Its name: `M` for millions.
    pub unit_name: String,
    /// The value at one unit.
    pub coefficient: Estimate,
    /// The power.
    pub exponent: Estimate,
    /// Standard deviation of `ln B` about the line.
    pub sigma: f64,
    /// The curves behind it.
    pub points: Vec<LawPoint>,
    /// The line with its interval, for drawing.
    pub line: Vec<LawValue>,
    /// Its value where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<LawValue>,
}

/// A curve of a [`Law`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LawPoint {
    /// Its name.
    pub curve: String,
    /// Its size.
    pub x: f64,
    /// Its critical batch size.
    pub batch_size: Estimate,
}

/// A [`Law`] at a size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LawValue {
    /// The size.
    pub x: f64,
    /// The critical batch size there, with the interval of the line, or where it was asked for of one more curve.
    pub batch_size: Estimate,
    /// True outside the sizes of the curves: an extrapolation.
    pub beyond: bool,
}

/// The law of each definition by which enough curves have a number, over the sizes of the curves, by name.
/// `at` are more sizes at which a value is wanted.
pub fn laws(
    findings: &Findings,
    sizes: &BTreeMap<String, f64>,
    against: &str,
    at: &[f64],
) -> Vec<Law> {
    let mut definitions: Vec<(&str, Vec<LawPoint>)> = Vec::new();
    let mut collect = |definition: &'static str, of: &dyn Fn(&str) -> Option<Estimate>| {
        let points = findings.curves.iter().filter_map(|curve| {
            let x = *sizes.get(&curve.rule)?;
            let batch_size = of(&curve.rule).filter(|e| e.is_estimated() && x > 0.0)?;
            Some(LawPoint {
                curve: curve.rule.clone(),
                x,
                batch_size,
            })
        });
        definitions.push((definition, points.collect()));
    };
    let critical = |curve: &str| findings.critical_batch_size.get(curve);
    collect("hyperbola", &|curve| {
        Some(critical(curve)?.hyperbola.clone())
    });
    collect("overhead_from", &|curve| {
        Some(critical(curve)?.overhead_from.as_ref()?.batch_size.clone())
    });
    let level = findings
        .curves
        .iter()
        .flat_map(|c| &c.points)
        .map(|p| p.steps.level)
        .next();
    definitions
        .into_iter()
        .filter_map(|(definition, points)| {
            law(definition, points, (against, at), level.unwrap_or(0.95))
        })
        .collect()
}

fn law(
    definition: &str,
    points: Vec<LawPoint>,
    (against, at): (&str, &[f64]),
    level: f64,
) -> Option<Law> {
    let values: Vec<(f64, f64)> = points
        .iter()
        .filter_map(|p| Some((p.x.ln(), p.batch_size.value?.ln())))
        .collect();
    let Regression {
        n,
        x,
        y,
        spread,
        slope: exponent,
        squares,
    } = Regression::new(&values)?;
    // The scatter about the line; not below what the curves' own intervals leave, by chance on few curves.
    let own = points.iter().filter_map(|p| {
        let width = (p.batch_size.high? / p.batch_size.low?).ln();
        Some((0.5 * width / t_quantile(level, f64::INFINITY)).powi(2))
    });
    let own = own.sum::<f64>() / n;
    let sigma = (squares / (n - 2.0)).max(own).sqrt();
    let t = t_quantile(level, n - 2.0);
    let smallest = points.iter().map(|p| p.x).fold(f64::INFINITY, f64::min);
    let largest = points.iter().map(|p| p.x).fold(0.0, f64::max);
    let (unit, unit_name) = unit(smallest);
    let count = values.len() as u64;
    // The line at a size, and the half width of its interval: of the line itself, or with `scatter` 1 of another
    // curve there.
    let line = |at: f64, scatter: f64| {
        let distance = at.ln() - x;
        let half = t * sigma * (scatter + 1.0 / n + distance.powi(2) / spread).sqrt();
        (y + exponent * distance, half)
    };
    let value = |at: f64, scatter: f64| {
        let (middle, half) = line(at, scatter);
        LawValue {
            x: at,
            batch_size: Estimate::estimated(
                middle.exp(),
                (middle - half).exp(),
                (middle + half).exp(),
                level,
                count,
            ),
            beyond: at < smallest * (1.0 - 1e-9) || at > largest * (1.0 + 1e-9),
        }
    };
    let even = |from: f64, to: f64| {
        (0..=VALUES).map(move |i| from * (to / from).powf(i as f64 / VALUES as f64))
    };
    let inside = even(smallest, largest);
    let beyond = even(largest, largest * BEYOND).skip(1);
    let (coefficient, half) = line(unit, 0.0);
    let slope_half = t * sigma / spread.sqrt();
    Some(Law {
        definition: definition.to_owned(),
        against: against.to_owned(),
        unit,
        unit_name: unit_name.to_owned(),
        coefficient: Estimate::estimated(
            coefficient.exp(),
            (coefficient - half).exp(),
            (coefficient + half).exp(),
            level,
            count,
        ),
        exponent: Estimate::estimated(
            exponent,
            exponent - slope_half,
            exponent + slope_half,
            level,
            count,
        ),
        sigma,
        line: inside.chain(beyond).map(|at| value(at, 0.0)).collect(),
        asked: at
            .iter()
            .copied()
            .filter(|at| *at > 0.0)
            .map(|at| value(at, 1.0))
            .collect(),
        points,
    })
}

/// Least squares of `y` on `x`.
struct Regression {
    n: f64,
    /// Means.
    x: f64,
    y: f64,
    /// Sum of squares of `x` about its mean.
    spread: f64,
    slope: f64,
    /// Sum of squares about the line.
    squares: f64,
}

impl Regression {
    /// `None` where the points are too few, or lie at one place.
    fn new(values: &[(f64, f64)]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| values.iter().map(of).sum::<f64>() / n;
        let (x, y) = (mean(|v| v.0), mean(|v| v.1));
        let spread: f64 = values.iter().map(|v| (v.0 - x).powi(2)).sum();
        if values.len() < FEWEST || spread < 1e-12 {
            return None;
        }
        let slope = values.iter().map(|v| (v.0 - x) * (v.1 - y)).sum::<f64>() / spread;
        let squares = values
            .iter()
            .map(|v| (v.1 - y - slope * (v.0 - x)).powi(2))
            .sum();
        Some(Self {
            n,
            x,
            y,
            spread,
            slope,
            squares,
        })
    }
}

/// The power of the batch size with which the best learning rate grows, by least squares of `ln η` on `ln B`, with
/// Student's interval. `None` below three batch sizes.
///
/// ```
/// use batchscope_scaling::rate_power;
/// let rates: Vec<(u64, f64)> = [8u64, 32, 128, 512].iter().map(|&b| (b, 0.01 * (b as f64).sqrt())).collect();
/// assert!((rate_power(&rates, 0.95).unwrap().value.unwrap() - 0.5).abs() < 1e-9);
/// ```
pub fn rate_power(rates: &[(u64, f64)], level: f64) -> Option<Estimate> {
    let usable = rates
        .iter()
        .filter(|(batch_size, rate)| *batch_size > 0 && *rate > 0.0);
    let values: Vec<(f64, f64)> = usable
        .map(|&(batch_size, rate)| ((batch_size as f64).ln(), rate.ln()))
        .collect();
    let line = Regression::new(&values)?;
    let sigma = (line.squares / (line.n - 2.0)).sqrt();
    let half = t_quantile(level, line.n - 2.0) * sigma / line.spread.sqrt();
    Some(Estimate::estimated(
        line.slope,
        line.slope - half,
        line.slope + half,
        level,
        values.len() as u64,
    ))
}

/// The largest unit below a size.
fn unit(x: f64) -> (f64, &'static str) {
    match x {
        x if x >= 1e9 => (1e9, "B"),
        x if x >= 1e6 => (1e6, "M"),
        x if x >= 1e3 => (1e3, "K"),
        _ => (1.0, ""),
    }
}

/// A size as people write it: `85M`, `1.2B`, `300k`, `1e9`.
///
/// ```
/// use batchscope_scaling::read_size;
/// assert_eq!([read_size("85M"), read_size("1.2B"), read_size("lamb")], [Some(85e6), Some(1.2e9), None]);
/// ```
pub fn read_size(text: &str) -> Option<f64> {
    let text = text.trim();
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1e3),
        (at, 'm' | 'M') => (&text[..at], 1e6),
        (at, 'b' | 'B' | 'g' | 'G') => (&text[..at], 1e9),
        (at, 't' | 'T') => (&text[..at], 1e12),
        _ => (text, 1.0),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let value: f64 = digits.parse().ok().filter(|_| plain)?;
    (value.is_finite() && value > 0.0).then_some(value * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, batch_size: f64) -> LawPoint {
        LawPoint {
            curve: x.to_string(),
            x,
            batch_size: Estimate::exact(batch_size),
        }
    }

    /// By hand: on `(ln x, ln B)` = (0, 0), (1, 1), (2, 1) the slope is ½, the level at 0 is 1/6, the
    /// residuals are −1/6, 1/3, −1/6, so σ² = 1/6 on one degree of freedom.
    #[test]
    fn it_is_least_squares_in_the_logarithms() {
        let e = std::f64::consts::E;
        let points = vec![point(1.0, 1.0), point(e, e), point(e * e, e)];
        let law = law("hyperbola", points, ("size", &[]), 0.95).unwrap();
        assert!((law.exponent.value.unwrap() - 0.5).abs() < 1e-12);
        assert!((law.coefficient.value.unwrap().ln() - 1.0 / 6.0).abs() < 1e-12);
        assert!((law.sigma.powi(2) - 1.0 / 6.0).abs() < 1e-12);
        let half = t_quantile(0.95, 1.0) * law.sigma / 2f64.sqrt();
        assert!((law.exponent.high.unwrap() - 0.5 - half).abs() < 1e-9);
    }

    #[test]
    fn beyond_the_curves_is_said_and_wider() {
        let points: Vec<LawPoint> = [1e6, 2e6, 4e6, 8e6]
            .iter()
            .zip([100.0, 150.0, 190.0, 300.0])
            .map(|(&x, b)| point(x, b))
            .collect();
        let law = law("hyperbola", points, ("size", &[4e6, 80e6]), 0.95).unwrap();
        assert_eq!((law.unit, law.unit_name.as_str()), (1e6, "M"));
        let [inside, beyond] = &law.asked[..] else {
            panic!("two were asked for")
        };
        assert!(!inside.beyond && beyond.beyond);
        let width = |v: &LawValue| v.batch_size.high.unwrap() / v.batch_size.low.unwrap();
        assert!(width(beyond) > 2.0 * width(inside));
    }

    #[test]
    fn two_curves_or_one_size_make_no_law() {
        let two = vec![point(1.0, 1.0), point(2.0, 2.0)];
        assert!(law("hyperbola", two, ("size", &[]), 0.95).is_none());
        let same = vec![point(1.0, 1.0), point(1.0, 2.0), point(1.0, 3.0)];
        assert!(law("hyperbola", same, ("size", &[]), 0.95).is_none());
    }

    #[test]
    fn names_that_are_no_sizes_are_none() {
        for name in ["", "M", "lr", "-5M", "inf", "nan", "1x", "table"] {
            assert_eq!(read_size(name), None, "{name}");
        }
        assert_eq!(read_size("1200M"), Some(1.2e9));
        assert_eq!(read_size("3e8"), Some(3e8));
    }
}
