use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ParameterKind;

/// Which tensors weight decay applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecayPolicy {
    /// Matrices, kernels and embeddings; not biases and not normalizations, whose size does not
    /// measure the complexity of the function (Goyal et al. 2017, section 5.3; He et al. 2019).
    #[default]
    Weights,
    /// Every tensor, as PyTorch does unless told otherwise.
    All,
}

impl DecayPolicy {
    /// True if a tensor of this kind is decayed.
    pub fn decays(self, kind: ParameterKind) -> bool {
        match self {
            DecayPolicy::All => true,
            DecayPolicy::Weights => {
                matches!(
                    kind,
                    ParameterKind::Matrix | ParameterKind::Kernel | ParameterKind::Embedding
                )
            }
        }
    }

    /// True for the policy when nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for DecayPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::All => "all",
        })
    }
}

/// Why a policy could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a weight-decay policy: choose weights or all")]
pub struct DecayPolicyError(String);

impl FromStr for DecayPolicy {
    type Err = DecayPolicyError;

    fn from_str(text: &str) -> Result<Self, DecayPolicyError> {
        match text {
            "weights" => Ok(Self::Weights),
            "all" => Ok(Self::All),
            other => Err(DecayPolicyError(other.chars().take(80).collect())),
        }
    }
}
