//! Quasi-random learning rates, alone or with momenta.
//!
//! I. M. Sobol', "On the distribution of points in a cube and the approximate evaluation of
//! integrals", 1967; scrambled as A. B. Owen, "Randomly permuted (t,m,s)-nets", 1995, by Burley's
//! hash (2020). The first 2^k points put exactly one into each of 2^k equal strata, and the
//! scramble makes every point uniform: an equal budget searches every batch size equally well.

use std::{fmt, str::FromStr};

use batchscope_core::{Purpose, SettingError, StreamKey};
use rand_core::Rng;

/// A range of learning rates, searched uniformly in its logarithm.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRange {
    /// Lower end, above 0.
    pub low: f64,
    /// Upper end, above `low`.
    pub high: f64,
}

impl RateRange {
    /// `n` rates of the range, in the order of the scrambled sequence. `search` names the
    /// scramble: the same (study seed, search) gives the same rates.
    pub fn rates(&self, n: u32, study_seed: u64, search: u64) -> Vec<f64> {
        let scramble = scramble(study_seed, search);
        (0..n).map(|i| self.at(unit(i, 0, scramble))).collect()
    }

    /// The same rates, each with a momentum of another range: points of one sequence in two
    /// dimensions, so that the budget is that of the rates alone.
    pub fn rates_with_momenta(
        &self,
        momenta: MomentumRange,
        n: u32,
        study_seed: u64,
        search: u64,
    ) -> Vec<(f64, f64)> {
        self.rates_with(n, study_seed, search, |part| momenta.at(part))
    }

    /// The same rates, each with what `other` makes of a part in [0, 1) of its own.
    pub(crate) fn rates_with<T>(
        &self,
        n: u32,
        study_seed: u64,
        search: u64,
        other: impl Fn(f64) -> T,
    ) -> Vec<(f64, T)> {
        let scramble = scramble(study_seed, search);
        (0..n)
            .map(|i| {
                let place = |dimension| unit(i, dimension, scramble);
                (self.at(place(0)), other(place(1)))
            })
            .collect()
    }

    /// The rate at a part of the range, in its logarithm.
    fn at(&self, part: f64) -> f64 {
        self.low * (self.high / self.low).powf(part)
    }

    /// The range of this ratio (`high/low`) around a rate.
    pub fn around(center: f64, ratio: f64) -> Self {
        Self {
            low: center / ratio.sqrt(),
            high: center * ratio.sqrt(),
        }
    }

    /// The neighboring range above, `factor` wide.
    pub fn above(&self, factor: f64) -> Self {
        Self {
            low: self.high,
            high: self.high * factor,
        }
    }

    /// The neighboring range below, `factor` wide.
    pub fn below(&self, factor: f64) -> Self {
        Self {
            low: self.low / factor,
            high: self.low,
        }
    }

    /// Its geometric center.
    pub fn center(&self) -> f64 {
        (self.low * self.high).sqrt()
    }
}

fn scramble(study_seed: u64, search: u64) -> u32 {
    let key = StreamKey {
        study_seed,
        trial: search,
        purpose: Purpose::Search,
    };
    key.stream(0).next_u32()
}

/// A coordinate of the sequence's point `i`, in [0, 1).
fn unit(i: u32, dimension: u32, scramble: u32) -> f64 {
    f64::from(sobol_burley::sample(i, dimension, scramble))
}

/// A range of momenta `m`, searched uniformly in the logarithm of `1 − m`, as Shallue et al. 2018
/// (arXiv 1811.03600, section 4) do: steps of one gradient add up to `1/(1 − m)` of the rate.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomentumRange {
    /// Lower end, at least 0.
    pub low: f64,
    /// Upper end, above `low` and below 1.
    pub high: f64,
}

impl MomentumRange {
    /// The momentum at a part of the range.
    fn at(&self, part: f64) -> f64 {
        1.0 - (1.0 - self.low) * ((1.0 - self.high) / (1.0 - self.low)).powf(part)
    }

    /// True for ends in order, within [0, 1).
    pub fn is_sound(&self) -> bool {
        self.low >= 0.0 && self.high > self.low && self.high < 1.0
    }
}

impl fmt::Display for MomentumRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.low, self.high)
    }
}

impl FromStr for MomentumRange {
    type Err = SettingError;

    /// Reads `0.5..0.99`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let range = ends(text).map(|(low, high)| Self { low, high });
        range.filter(Self::is_sound).ok_or_else(|| {
            SettingError::new(
                "tune-momentum",
                format!(
                    "'{text}' is not a range of momenta: write LOW..HIGH within 0 and 1, for example 0.5..0.99"
                ),
            )
        })
    }
}

/// The ends of `LOW..HIGH`.
fn ends(text: &str) -> Option<(f64, f64)> {
    let (low, high) = text.split_once("..")?;
    Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
}

impl fmt::Display for RateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.low, self.high)
    }
}

impl FromStr for RateRange {
    type Err = SettingError;

    /// Reads `0.01..1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let range = ends(text).map(|(low, high)| Self { low, high });
        let sound =
            |range: &Self| range.low > 0.0 && range.high > range.low && range.high.is_finite();
        range.filter(sound).ok_or_else(|| {
            SettingError::new(
                "learning-rates",
                format!(
                    "'{text}' is not a range of learning rates: write LOW..HIGH, for example 0.01..1"
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_rates_fall_into_eight_strata() {
        let range = RateRange {
            low: 0.01,
            high: 1.0,
        };
        for search in 0..50 {
            let mut rates = range.rates(8, 7, search);
            rates.sort_by(f64::total_cmp);
            for (i, rate) in rates.iter().enumerate() {
                let u = (rate / range.low).ln() / (range.high / range.low).ln();
                assert_eq!((u * 8.0).floor() as usize, i, "search {search}");
            }
        }
    }

    #[test]
    fn searches_and_seeds_differ_and_repeat() {
        let range = RateRange {
            low: 0.01,
            high: 1.0,
        };
        assert_eq!(range.rates(8, 1, 2), range.rates(8, 1, 2));
        assert_ne!(range.rates(8, 1, 2), range.rates(8, 1, 3));
        assert_ne!(range.rates(8, 1, 2), range.rates(8, 2, 2));
    }

    /// Each coordinate of eight points falls into each of eight strata, and the rates are those that are
    /// searched alone.
    #[test]
    fn momenta_are_spread_beside_the_same_rates() {
        let range = RateRange {
            low: 0.01,
            high: 1.0,
        };
        let momenta: MomentumRange = "0..0.99".parse().unwrap();
        for search in 0..50 {
            let pairs = range.rates_with_momenta(momenta, 8, 7, search);
            let rates: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
            assert_eq!(rates, range.rates(8, 7, search));
            let mut momenta: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
            momenta.sort_by(f64::total_cmp);
            for (i, m) in momenta.iter().enumerate() {
                let part = (1.0 - m).ln() / 0.01f64.ln();
                assert_eq!((part * 8.0).floor() as usize, i, "search {search}");
            }
        }
        for text in ["", "0.5", "0.9..0.5", "-0.1..0.9", "0..1", "nan..0.9"] {
            assert!(text.parse::<MomentumRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_are_read_as_typed() {
        assert_eq!(
            "0.01..1".parse::<RateRange>().unwrap(),
            RateRange {
                low: 0.01,
                high: 1.0
            }
        );
        for text in ["", "1", "0..1", "1..0.1", "nan..1", "0.1..inf", "-1..1"] {
            assert!(text.parse::<RateRange>().is_err(), "{text}");
        }
    }
}
