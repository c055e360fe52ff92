//! Golmant et al. 2018's three regimes by the local slope `d ln S/d ln B`.
//!
//! On the hyperbola the slope is `−1/(1 + B/B_c)`: −0.8 at `B_c/4`, −0.2 at `4·B_c`.

use batchscope_core::{Estimate, EstimateState};

use crate::findings::{Regime, RegimePoint, Regimes};
use crate::intervals::Pooled;
use crate::sample::Sample;

/// Slopes steeper than this are the linear regime.
const LINEAR: f64 = -0.8;
/// Slopes flatter than this are stagnation.
const STAGNATION: f64 = -0.2;
/// `B/B_c` at the two slopes: `1/0.8 − 1` and `1/0.2 − 1`.
const LINEAR_RATIO: f64 = 0.25;
const STAGNATION_RATIO: f64 = 4.0;

/// Where each regime lies, from the critical batch size of the fit and the measured means.
pub(crate) fn regimes(samples: &[Sample], pooled: &Pooled, critical: &Estimate) -> Regimes {
    let measured: Vec<(u64, f64)> = samples
        .iter()
        .zip(&pooled.means)
        .filter_map(|(s, mean)| Some((s.batch_size, (*mean)?)))
        .collect();
    let range = measured
        .first()
        .zip(measured.last())
        .map(|(a, b)| (a.0 as f64, b.0 as f64));
    let points = samples
        .iter()
        .map(|sample| {
            let slope = slope(&measured, sample.batch_size);
            let reached = sample.n_reached() > 0;
            let regime = if reached {
                regime(sample.batch_size as f64, critical, slope)
            } else {
                Regime::Unknown
            };
            RegimePoint {
                batch_size: sample.batch_size,
                regime,
                slope,
            }
        })
        .collect();
    Regimes {
        linear_below: within(critical.scaled(LINEAR_RATIO), range),
        stagnation_above: within(critical.scaled(STAGNATION_RATIO), range),
        points,
    }
}

/// A boundary is a number only inside the studied range; outside, a bound at its end.
fn within(boundary: Estimate, range: Option<(f64, f64)>) -> Estimate {
    let (Some((smallest, largest)), Some(value)) = (range, boundary.value) else {
        return boundary;
    };
    let Estimate { level, n, .. } = boundary;
    match boundary.state {
        EstimateState::Estimated if value > largest => {
            let bound = boundary.low.map_or(largest, |low| low.min(largest));
            Estimate::at_least(
                bound,
                level,
                n,
                "past the largest batch size that reached the target",
            )
        }
        EstimateState::Estimated if value < smallest => {
            let bound = boundary.high.map_or(smallest, |high| high.max(smallest));
            Estimate::at_most(
                bound,
                level,
                n,
                "below the smallest batch size that reached the target",
            )
        }
        EstimateState::AtLeast if value > largest => {
            Estimate::at_least(largest, level, n, boundary.reason.unwrap_or_default())
        }
        EstimateState::AtMost if value < smallest => {
            Estimate::at_most(smallest, level, n, boundary.reason.unwrap_or_default())
        }
        _ => boundary,
    }
}

/// Measured slope at a batch size: central over its neighbors, one-sided at the ends.
fn slope(measured: &[(u64, f64)], batch_size: u64) -> Option<f64> {
    let index = measured.iter().position(|&(b, _)| b == batch_size)?;
    let before = measured[index.saturating_sub(1)];
    let after = measured[(index + 1).min(measured.len() - 1)];
    let run = (after.0 as f64).ln() - (before.0 as f64).ln();
    (run > 0.0).then(|| (after.1 - before.1) / run)
}

fn regime(batch_size: f64, critical: &Estimate, slope: Option<f64>) -> Regime {
    let by_slope = match slope {
        Some(s) if s < LINEAR => Regime::Linear,
        Some(s) if s > STAGNATION => Regime::Stagnation,
        Some(_) => Regime::Diminishing,
        None => Regime::Unknown,
    };
    match (critical.state, critical.value) {
        (EstimateState::Estimated | EstimateState::AtLeast, Some(c))
            if batch_size < LINEAR_RATIO * c =>
        {
            Regime::Linear
        }
        (EstimateState::Estimated | EstimateState::AtMost, Some(c))
            if batch_size > STAGNATION_RATIO * c =>
        {
            Regime::Stagnation
        }
        (EstimateState::Estimated, Some(_)) => Regime::Diminishing,
        _ => by_slope,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(critical: f64) -> Vec<Sample> {
        (3..12)
            .map(|i| {
                let mut sample = Sample::new(1 << i);
                sample.reached(u64::MAX, 100.0 * (1.0 + critical / f64::from(1u32 << i)));
                sample
            })
            .collect()
    }

    #[test]
    fn boundaries_and_points_follow_the_slope_of_the_hyperbola() {
        let samples = study(100.0);
        let critical = Estimate::estimated(100.0, 90.0, 110.0, 0.95, 27);
        let found = regimes(&samples, &Pooled::new(&samples), &critical);
        assert_eq!(
            (found.linear_below.value, found.stagnation_above.value),
            (Some(25.0), Some(400.0))
        );
        let words: Vec<Regime> = found.points.iter().map(|p| p.regime).collect();
        use Regime::{Diminishing as D, Linear as L, Stagnation as S};
        assert_eq!(words, [L, L, D, D, D, D, S, S, S]);
        for point in &found.points[1..8] {
            let exact = -1.0 / (1.0 + point.batch_size as f64 / 100.0);
            assert!((point.slope.unwrap() - exact).abs() < 0.03, "{point:?}");
        }
    }

    #[test]
    fn boundaries_past_the_data_are_bounds() {
        let samples = study(1000.0);
        let pooled = Pooled::new(&samples);
        let found = regimes(
            &samples,
            &pooled,
            &Estimate::estimated(1000.0, 800.0, 1300.0, 0.95, 27),
        );
        assert_eq!(
            (found.stagnation_above.state, found.stagnation_above.value),
            (EstimateState::AtLeast, Some(2048.0))
        );
        let found = regimes(
            &samples,
            &pooled,
            &Estimate::estimated(20.0, 15.0, 48.0, 0.95, 27),
        );
        assert_eq!(
            (found.linear_below.state, found.linear_below.value),
            (EstimateState::AtMost, Some(12.0))
        );
        let unknown = regimes(&samples, &pooled, &Estimate::undefined(0.95, 0, "no"));
        assert_eq!(unknown.points[0].regime, Regime::Linear, "by its own slope");
    }
}
