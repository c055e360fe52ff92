//! What a rule is: the setting at one batch size from the setting at another.

use std::{fmt, str::FromStr};

use batchscope_core::{Choice, ChoiceError, Described, Descriptor, Schedule};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{RULES, RulesError, error::check};

/// What a run trains with at a batch size: everything a rule may move.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Full learning rate, `η`.
    pub learning_rate: f64,
    /// Warm-up and decay.
    pub schedule: Schedule,
    /// Optimizer with its settings: momentum, β₁, β₂, ε, weight decay.
    pub optimizer: Choice,
}

/// The setting at the base batch size, and what a rule may know besides.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    /// The setting found there.
    pub setting: Setting,
    /// Base batch size `B₀`, in examples.
    pub batch_size: u64,
    /// Training examples `N`, where there is a training set.
    pub train_examples: Option<u64>,
    /// Gradient noise scale at the base batch size, in examples, where it was measured.
    pub noise_scale: Option<f64>,
}

/// A rule that can be chosen.
pub struct RuleKind {
    /// Name, source and parameters.
    pub descriptor: Descriptor,
    /// True where the learning rate grows in proportion to the batch size: that is where Golmant's
    /// linearity of the loss is tested.
    pub is_linear: bool,
    /// Where it is known to hold and to fail, one sentence with its sources, without a full stop.
    pub limits: &'static str,
    /// The setting at a batch size (at least 1) from a checked base.
    pub apply: fn(&Choice, &Base, u64) -> Result<Setting, RulesError>,
}

impl Described for RuleKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// A chosen rule. Written, and kept in JSON, as its text: `lsr`.
///
/// ```
/// use batchscope_core::{Choice, Schedule};
/// use batchscope_rules::{Base, Rule, Setting};
///
/// let base = Base {
///     setting: Setting {
///         learning_rate: 0.1,
///         schedule: Schedule::warm_up(10),
///         optimizer: Choice::new("sgd", [("momentum", 0.9.into())]),
///     },
///     batch_size: 64,
///     train_examples: None,
///     noise_scale: None,
/// };
/// let rule: Rule = "lsr".parse()?;
/// assert_eq!(rule.apply(&base, 256)?.learning_rate, 0.4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Rule {
    kind: &'static RuleKind,
    choice: Choice,
}

impl Rule {
    /// Every rule that needs no setting, at its defaults, in the registry's order.
    pub fn all() -> Vec<Rule> {
        let all = RULES.all.iter().filter_map(|kind| {
            let choice = kind.descriptor.defaults().ok()?;
            Some(Rule { kind, choice })
        });
        all.collect()
    }

    /// A rule of somebody's own, which need not stand in [`RULES`], at a checked choice.
    pub fn new(kind: &'static RuleKind, choice: Choice) -> Self {
        Self { kind, choice }
    }

    /// Its name, which is its curve's: `lsr`.
    pub fn name(&self) -> &'static str {
        self.kind.descriptor.name
    }

    /// What it is.
    pub fn kind(&self) -> &'static RuleKind {
        self.kind
    }

    /// The setting at `batch_size`. At the base batch size it is the base's own.
    ///
    /// # Errors
    /// When the base rate is not a positive number, a batch size is 0, or the rule cannot be
    /// followed that far.
    pub fn apply(&self, base: &Base, batch_size: u64) -> Result<Setting, RulesError> {
        check(
            "base learning rate",
            base.setting.learning_rate,
            "finite and above 0",
            |rate| rate > 0.0,
        )?;
        for (key, size) in [("base_batch", base.batch_size), ("batch_size", batch_size)] {
            check(key, size as f64, "at least 1", |size| size >= 1.0)?;
        }
        (self.kind.apply)(&self.choice, base, batch_size)
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.choice == other.choice
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({self})")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.descriptor.shortest(&self.choice))
    }
}

impl FromStr for Rule {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let (kind, choice) = RULES.read(text)?;
        Ok(Self { kind, choice })
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(D::Error::custom)
    }
}
