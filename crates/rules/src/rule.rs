use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::RulesError;

/// How the learning rate follows the batch size. Each is `η(B) = η₀·(B/B₀)^p` with its own `p`.
///
/// Golmant et al. 2018, "On the Computational Inefficiency of Large Batch Sizes for Stochastic
/// Gradient Descent" (arXiv 1811.12941), section 3, compares the three.
///
/// ```
/// use batchscope_rules::Rule;
/// let rule: Rule = "srsr".parse()?;
/// assert_eq!(rule.learning_rate(0.1, 64, 256), 0.2);
/// assert_eq!(Rule::Lsr.learning_rate(0.1, 64, 256), 0.4);
/// # Ok::<(), batchscope_rules::RulesError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Base learning rate: the rate found at the base batch size, kept (`p = 0`).
    Blr,
    /// Linear scaling rule: the rate grows with the batch size (`p = 1`). With warm-up.
    Lsr,
    /// Square-root scaling rule: the rate grows with the root of the batch size (`p = 1/2`).
    Srsr,
}

impl Rule {
    /// Every rule, in the order they are drawn.
    pub const ALL: [Rule; 3] = [Rule::Blr, Rule::Lsr, Rule::Srsr];

    /// The short name: `blr`, `lsr`, `srsr`.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Blr => "blr",
            Rule::Lsr => "lsr",
            Rule::Srsr => "srsr",
        }
    }

    /// The name in words.
    pub fn title(self) -> &'static str {
        match self {
            Rule::Blr => "base learning rate",
            Rule::Lsr => "linear scaling rule",
            Rule::Srsr => "square-root scaling rule",
        }
    }

    /// The power `p` of `B/B₀` that multiplies the rate.
    pub fn exponent(self) -> f64 {
        match self {
            Rule::Blr => 0.0,
            Rule::Lsr => 1.0,
            Rule::Srsr => 0.5,
        }
    }

    /// The full learning rate at `batch_size`, from the rate at `base_batch` (both at least 1).
    /// At the base batch size every rule gives exactly the base rate.
    pub fn learning_rate(self, base_learning_rate: f64, base_batch: u64, batch_size: u64) -> f64 {
        let ratio = batch_size as f64 / base_batch as f64;
        base_learning_rate
            * match self {
                Rule::Blr => 1.0,
                Rule::Lsr => ratio,
                Rule::Srsr => ratio.sqrt(),
            }
    }

    /// The names of all rules, for messages.
    pub(crate) fn names() -> String {
        Rule::ALL.map(Rule::name).join(", ")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = RulesError;

    fn from_str(text: &str) -> Result<Self, RulesError> {
        let wanted = text.trim().to_ascii_lowercase();
        Rule::ALL
            .into_iter()
            .find(|rule| rule.name() == wanted)
            .ok_or_else(|| RulesError::Rule(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_read_back_in_text_and_json() {
        for rule in Rule::ALL {
            assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
            let json = serde_json::to_string(&rule).unwrap();
            assert_eq!(json, format!("\"{rule}\""));
            assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
        }
        assert_eq!(" LSR ".parse(), Ok(Rule::Lsr));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let message = "linear".parse::<Rule>().unwrap_err().to_string();
        assert_eq!(
            message,
            "'linear' is not a learning-rate rule: choose blr, lsr, srsr"
        );
    }

    /// Goyal et al. 2017 (arXiv 1706.02677): 0.1 at 256 becomes 3.2 at 8192.
    #[test]
    fn linear_scaling_gives_goyals_rate() {
        assert!((Rule::Lsr.learning_rate(0.1, 256, 8192) - 3.2).abs() < 1e-14);
    }

    proptest! {
        #[test]
        fn every_rule_is_a_power_law(rate in 1e-6..10.0f64, b0 in 1u64..100_000, b1 in 1u64..100_000, b2 in 1u64..100_000) {
            for rule in Rule::ALL {
                prop_assert_eq!(rule.learning_rate(rate, b0, b0), rate);
                let direct = rule.learning_rate(rate, b0, b2);
                let by_way = rule.learning_rate(rule.learning_rate(rate, b0, b1), b1, b2);
                prop_assert!((direct / by_way - 1.0).abs() < 1e-12);
                let power = rate * (b1 as f64 / b0 as f64).powf(rule.exponent());
                prop_assert!((rule.learning_rate(rate, b0, b1) / power - 1.0).abs() < 1e-12);
            }
        }

        #[test]
        fn the_square_root_lies_between(rate in 1e-6..10.0f64, b0 in 1u64..100_000, b in 1u64..100_000) {
            let [blr, lsr, srsr] = Rule::ALL.map(|rule| rule.learning_rate(rate, b0, b));
            prop_assert!(blr.min(lsr) <= srsr * (1.0 + 1e-12) && srsr <= blr.max(lsr) * (1.0 + 1e-12));
        }
    }
}
