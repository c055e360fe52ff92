//! Scales from values to pixels, and where their ticks go.

use crate::format::{axis_tick, batch_tick, number};

/// A tick: its value and what is written there (`""` draws the grid line only).
pub(crate) type Tick = (f64, String);

/// A map from `low..high` to `from..to` pixels, logarithmic or linear.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// A logarithmic scale with `pad` (a factor ≥ 1) beyond each end; the ends must be positive,
    /// and anything else falls back to 1..10.
    pub(crate) fn log(low: f64, high: f64, pad: f64) -> Self {
        let sound = low.is_finite() && high.is_finite() && low > 0.0 && high >= low;
        let (low, high) = if sound {
            (low / pad, high * pad)
        } else {
            (1.0, 10.0)
        };
        let (low, high) = if high <= low * 1.0001 {
            (low / 2.0, high * 2.0)
        } else {
            (low, high)
        };
        Self {
            low,
            high,
            from: 0.0,
            to: 1.0,
            log: true,
        }
    }

    /// A linear scale with `pad` times its length beyond each end.
    pub(crate) fn linear(low: f64, high: f64, pad: f64) -> Self {
        let (low, high) = if low.is_finite() && high.is_finite() && high >= low {
            (low, high)
        } else {
            (0.0, 1.0)
        };
        let length = if high - low > high.abs() * 1e-9 {
            high - low
        } else {
            high.abs().max(1.0) * 0.2
        };
        Self {
            low: low - pad * length,
            high: high + pad * length,
            from: 0.0,
            to: 1.0,
            log: false,
        }
    }

    /// The same scale over these pixels.
    pub(crate) fn over(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// The pixel of a value; not finite for a value the scale cannot show (0 on a log scale).
    pub(crate) fn at(&self, value: f64) -> f64 {
        let part = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + part * (self.to - self.from)
    }

    /// The pixel of a value, held inside the scale.
    pub(crate) fn clamped(&self, value: f64) -> f64 {
        self.at(value.clamp(self.low, self.high))
    }

    /// True if the value lies on the scale.
    pub(crate) fn shows(&self, value: f64) -> bool {
        value >= self.low * (1.0 - 1e-9) && value <= self.high * (1.0 + 1e-9)
    }

    /// Lowest value shown.
    pub(crate) fn low(&self) -> f64 {
        self.low
    }

    /// Highest value shown.
    pub(crate) fn high(&self) -> f64 {
        self.high
    }

    /// Length in pixels.
    pub(crate) fn pixels(&self) -> f64 {
        (self.to - self.from).abs()
    }

    /// Ticks for batch sizes: powers of two (with labels `gap` pixels apart at least), or round
    /// numbers on a linear scale.
    pub(crate) fn batch_ticks(&self, gap: f64) -> Vec<Tick> {
        if !self.log {
            return self
                .linear_ticks(gap)
                .into_iter()
                .map(|(v, _)| (v, axis_tick(v)))
                .collect();
        }
        let first = self.low.log2().ceil() as i32;
        let last = self.high.log2().floor() as i32;
        let octave = self.pixels() / (self.high / self.low).log2();
        let every = ((gap / octave).ceil() as i32).max(1);
        (first..=last)
            .filter(|k| k.rem_euclid(every) == 0 || every > last - first)
            .map(|k| (2f64.powi(k), batch_tick(2f64.powi(k))))
            .collect()
    }

    /// Ticks for any other quantity, labels `gap` pixels apart at least.
    pub(crate) fn ticks(&self, gap: f64) -> Vec<Tick> {
        if self.log {
            self.log_ticks(gap)
        } else {
            self.linear_ticks(gap)
        }
    }

    fn log_ticks(&self, gap: f64) -> Vec<Tick> {
        let decades = (self.high / self.low).log10();
        let decade = self.pixels() / decades;
        // the densest of these sets whose closest pair (a factor of 2, 2 and 5, …) keeps its distance
        let sets: [(&[f64], f64); 3] = [
            (&[1.0, 2.0, 5.0], 2f64.log10()),
            (&[1.0, 3.0], 0.477),
            (&[1.0], 1.0),
        ];
        let steps = sets
            .iter()
            .find(|(_, closest)| closest * decade >= gap)
            .map_or(&[1.0][..], |(set, _)| set);
        let every = ((gap / decade).ceil() as i32).max(1);
        let (first, last) = (
            self.low.log10().floor() as i32,
            self.high.log10().ceil() as i32,
        );
        let ticks: Vec<Tick> = (first..=last)
            .filter(|k| k.rem_euclid(every) == 0)
            .flat_map(|k| steps.iter().map(move |s| s * 10f64.powi(k)))
            .filter(|&v| self.shows(v))
            .map(|v| (v, axis_tick(v)))
            .collect();
        // within half a decade there may be no round power: count evenly instead
        if ticks.len() < 3 && decades < 1.0 {
            let mut last = f64::INFINITY;
            let even = self.linear_ticks(gap).into_iter();
            // even counts crowd towards the top of a logarithmic axis
            even.filter(|(v, _)| {
                let keep = (self.at(*v) - last).abs() >= gap;
                if keep {
                    last = self.at(*v);
                }
                keep
            })
            .collect()
        } else {
            ticks
        }
    }

    fn linear_ticks(&self, gap: f64) -> Vec<Tick> {
        let room = (self.pixels() / gap).floor().max(1.0);
        let raw = (self.high - self.low) / room;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .iter()
            .map(|m| m * power)
            .find(|s| *s >= raw * 0.999)
            .unwrap_or(power * 10.0);
        let first = (self.low / step).ceil() as i64;
        (0..=room as i64 + 1)
            .map(|i| (first + i) as f64 * step)
            .filter(|v| self.shows(*v) || (*v == 0.0 && self.low <= 0.0))
            .map(|v| {
                // i·step picks up rounding dust: say the number that was meant
                let clean = (v / step).round() * step;
                let text = if clean.abs() >= 10_000.0 {
                    axis_tick(clean)
                } else {
                    number(clean)
                };
                (v, text)
            })
            .collect()
    }
}

/// Least and largest of the finite values, `None` if there are none.
pub(crate) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|v| v.is_finite())
        .fold(None, |range, v| match range {
            None => Some((v, v)),
            Some((low, high)) => Some((v.min(low), v.max(high))),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn batch_sizes_tick_at_powers_of_two() {
        let scale = Scale::log(8.0, 8192.0, 1.1).over(0.0, 500.0);
        assert_eq!(
            labels(scale.batch_ticks(30.0)).join(" "),
            "8 16 32 64 128 256 512 1k 2k 4k 8k"
        );
        let narrow = Scale::log(8.0, 8192.0, 1.1).over(0.0, 200.0);
        assert_eq!(
            labels(narrow.batch_ticks(30.0)).join(" "),
            "16 64 256 1k 4k"
        );
    }

    #[test]
    fn log_ticks_are_round() {
        let scale = Scale::log(70.0, 9000.0, 1.0).over(300.0, 0.0);
        assert_eq!(labels(scale.ticks(25.0)).join(" "), "100 200 500 1k 2k 5k");
        let linear = Scale::linear(0.0, 0.31, 0.0).over(300.0, 0.0);
        assert_eq!(labels(linear.ticks(60.0)).join(" "), "0 0.1 0.2 0.3");
    }

    #[test]
    fn degenerate_ranges_still_give_a_scale() {
        for scale in [
            Scale::log(0.0, 0.0, 1.0),
            Scale::log(f64::NAN, 1.0, 1.0),
            Scale::log(5.0, 5.0, 1.0),
            Scale::linear(1.0, 1.0, 0.1),
        ] {
            let scale = scale.over(0.0, 100.0);
            assert!(!scale.ticks(20.0).is_empty());
            assert!(scale.at(5.0).is_finite());
        }
    }
}
