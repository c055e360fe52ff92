use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format;

/// What kind of statement an [`Estimate`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EstimateState {
    /// A value with an interval.
    Estimated,
    /// The data only bound the quantity from below; `value` and `low` hold the bound.
    AtLeast,
    /// The data only bound the quantity from above; `value` and `high` hold the bound.
    AtMost,
    /// The data say nothing; `reason` says why.
    Undefined,
}

/// A reported number: never a bare float.
///
/// `value`, `low` and `high` share one unit, named by the field that holds the estimate. `low` or
/// `high` is `None` where that end is open. `level` is the coverage of the interval in (0, 1), and
/// `n` the number of observations it rests on (fresh seeds, for a batch size's point).
///
/// ```
/// use batchscope_core::Estimate;
/// let knee = Estimate::estimated(620.0, 480.0, 810.0, 0.95, 45);
/// assert_eq!(knee.to_string(), "620 (95 % interval 480–810)");
/// assert_eq!(Estimate::at_least(2048.0, 0.95, 27, "no bend in the range").to_string(), "at least 2048");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Point estimate, or the bound for `at_least` and `at_most`; `None` when undefined.
    pub value: Option<f64>,
    /// Lower end of the interval; `None` when open.
    pub low: Option<f64>,
    /// Upper end of the interval; `None` when open.
    pub high: Option<f64>,
    /// Coverage level of the interval, for example 0.95.
    pub level: f64,
    /// Number of observations behind the estimate.
    pub n: u64,
    /// What kind of statement this is.
    pub state: EstimateState,
    /// Why the state is not `estimated`, or what qualifies the value.
    pub reason: Option<String>,
}

impl Estimate {
    /// A value with a closed interval.
    pub fn estimated(value: f64, low: f64, high: f64, level: f64, n: u64) -> Self {
        Self {
            value: Some(value),
            low: Some(low),
            high: Some(high),
            level,
            n,
            state: EstimateState::Estimated,
            reason: None,
        }
    }

    /// A number known without sampling error (a count, a setting): the interval is the value.
    pub fn exact(value: f64) -> Self {
        Self::estimated(value, value, value, 1.0, 1)
    }

    /// A lower bound.
    pub fn at_least(bound: f64, level: f64, n: u64, reason: impl Into<String>) -> Self {
        Self {
            value: Some(bound),
            low: Some(bound),
            high: None,
            level,
            n,
            state: EstimateState::AtLeast,
            reason: Some(reason.into()),
        }
    }

    /// An upper bound.
    pub fn at_most(bound: f64, level: f64, n: u64, reason: impl Into<String>) -> Self {
        Self {
            value: Some(bound),
            low: None,
            high: Some(bound),
            level,
            n,
            state: EstimateState::AtMost,
            reason: Some(reason.into()),
        }
    }

    /// No number at all, and why.
    pub fn undefined(level: f64, n: u64, reason: impl Into<String>) -> Self {
        Self {
            value: None,
            low: None,
            high: None,
            level,
            n,
            state: EstimateState::Undefined,
            reason: Some(reason.into()),
        }
    }

    /// The same estimate with a remark in `reason`.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same statement about `factor` times the quantity (`factor` > 0).
    pub fn scaled(&self, factor: f64) -> Self {
        let times = |x: Option<f64>| x.map(|x| x * factor);
        Self {
            value: times(self.value),
            low: times(self.low),
            high: times(self.high),
            ..self.clone()
        }
    }

    /// True when the state is [`EstimateState::Estimated`].
    pub fn is_estimated(&self) -> bool {
        self.state == EstimateState::Estimated
    }
}

impl std::fmt::Display for Estimate {
    /// In full: `620 (95 % interval 480–810)`, as [`format::estimate`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format::plain(&format::estimate(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_open_at_both_ends_is_none() {
        let mut e = Estimate::exact(2.5);
        (e.low, e.high) = (None, None);
        assert_eq!(e.to_string(), "2.5");
        (e.high, e.level) = (Some(3.0), 0.95);
        assert_eq!(e.to_string(), "2.5 (95 % interval open–3)");
    }

    #[test]
    fn scaling_keeps_open_ends_open() {
        let e = Estimate::at_least(100.0, 0.95, 9, "no bend").scaled(0.2);
        assert_eq!((e.value, e.low, e.high), (Some(20.0), Some(20.0), None));
    }
}
