//! Quasi-random learning rates.
//!
//! I. M. Sobol', "On the distribution of points in a cube and the approximate evaluation of
//! integrals", 1967; scrambled as A. B. Owen, "Randomly permuted (t,m,s)-nets", 1995, by Burley's
//! hash (2020). The first 2^k points put exactly one into each of 2^k equal strata, and the
//! scramble makes every point uniform: an equal budget searches every batch size equally well.

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
        let scramble = StreamKey {
            study_seed,
            trial: search,
            purpose: Purpose::Search,
        }
        .stream(0)
        .next_u32();
        (0..n)
            .map(|i| {
                let u = f64::from(sobol_burley::sample(i, 0, scramble));
                self.low * (self.high / self.low).powf(u)
            })
            .collect()
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

impl std::fmt::Display for RateRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}", self.low, self.high)
    }
}

impl std::str::FromStr for RateRange {
    type Err = SettingError;

    /// Reads `0.01..1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            SettingError::new(
                "learning-rates",
                format!(
                    "'{text}' is not a range of learning rates: write LOW..HIGH, for example 0.01..1"
                ),
            )
        };
        let (low, high) = text.split_once("..").ok_or_else(wrong)?;
        let range = Self {
            low: low.trim().parse().map_err(|_| wrong())?,
            high: high.trim().parse().map_err(|_| wrong())?,
        };
        if range.low > 0.0 && range.high > range.low && range.high.is_finite() {
            Ok(range)
        } else {
            Err(wrong())
        }
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
