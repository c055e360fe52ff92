use serde::{Deserialize, Serialize};

/// Loss and error of a network at one point.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PointLoss {
    /// Mean loss per example (token, labeled pixel), without label smoothing. It may be infinite or
    /// not a number, far from any solution.
    #[serde(with = "any_number")]
    pub loss: f64,
    /// Fraction classified wrongly; `None` for regression.
    pub error: Option<f64>,
}

/// A loss that is not a number is the same as another.
impl PartialEq for PointLoss {
    fn eq(&self, other: &Self) -> bool {
        let same = self.loss == other.loss || (self.loss.is_nan() && other.loss.is_nan());
        same && self.error == other.error
    }
}

/// JSON has no infinities: they are written as `null`, and read back as not a number.
mod any_number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        x.is_finite().then_some(*x).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(d)?.unwrap_or(f64::NAN))
    }
}
