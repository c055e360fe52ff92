//! What a rule is: the setting at one batch size from the setting at another.

use std::{fmt, str::FromStr};

use batchscope_core::{Choice, ChoiceError, Described, Descriptor, Schedule, split_sum};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    RULES, RulesError,
    error::check,
    rules::{blr, lsr, srsr},
};

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

/// What a rule may move. Parts of one rule move different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    /// The full learning rate.
    LearningRate,
    /// The length of the warm-up.
    WarmUp,
    /// Adam's decays β₁ and β₂, and ε with them.
    Betas,
    /// The weight decay.
    WeightDecay,
}

impl fmt::Display for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Moves::LearningRate => "the learning rate",
            Moves::WarmUp => "the warm-up",
            Moves::Betas => "Adam's betas",
            Moves::WeightDecay => "the weight decay",
        })
    }
}

/// A rule that can be chosen.
pub struct RuleKind {
    /// Name, source and parameters.
    pub descriptor: Descriptor,
    /// What it moves.
    pub moves: &'static [Moves],
    /// True where the learning rate grows in proportion to the batch size: that is where Golmant's
    /// linearity of the loss is tested.
    pub is_linear: bool,
    /// Where it is known to hold and to fail, one sentence with its sources, without a full stop.
    pub limits: &'static str,
    /// Moves the setting, which earlier parts of the rule may have moved from the checked base's, to a
    /// batch size (at least 1).
    pub apply: fn(&Choice, &Base, &mut Setting, u64) -> Result<(), RulesError>,
}

impl Described for RuleKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// A chosen rule, of one part or several: `lsr`, `sqrt+half_life`. Written, and kept in JSON, as its
/// text, which is also the name of its curve.
///
/// ```
/// use batchscope_core::{Choice, Schedule};
/// use batchscope_rules::{Base, Rule, Setting};
///
/// let base = Base {
///     setting: Setting {
///         learning_rate: 0.1,
///         schedule: Schedule::warm_up(10),
///         optimizer: Choice::new("adamw", [("beta2", 0.99.into())]),
///     },
///     batch_size: 64,
///     train_examples: None,
///     noise_scale: None,
/// };
/// let rule: Rule = "lsr".parse()?;
/// assert_eq!(rule.apply(&base, 256)?.learning_rate, 0.4);
/// let rule: Rule = "sqrt+half_life".parse()?;
/// let setting = rule.apply(&base, 256)?;
/// assert_eq!(setting.learning_rate, 0.2);
/// assert!((setting.optimizer.number("beta2").unwrap() - 0.99f64.powi(4)).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Rule {
    /// In the order in which they are applied, that of the registry.
    parts: Vec<Part>,
}

#[derive(Clone)]
struct Part {
    kind: &'static RuleKind,
    choice: Choice,
}

impl Rule {
    /// Every rule of one part that needs no setting, at its defaults, in the registry's order.
    pub fn all() -> Vec<Rule> {
        let all = RULES.all.iter().filter_map(|kind| {
            let choice = kind.descriptor.defaults().ok()?;
            Some(Rule::new(kind, choice))
        });
        all.collect()
    }

    /// The three that Golmant et al. 2018 compare: the base rate, linear and square-root scaling.
    pub fn golmant() -> Vec<Rule> {
        let kinds = [&blr::BLR, &lsr::LSR, &srsr::SRSR];
        let at_defaults = |kind: &'static RuleKind| {
            let choice = kind.descriptor.defaults();
            Rule::new(kind, choice.expect("none of them has a setting"))
        };
        kinds.map(at_defaults).into()
    }

    /// A rule of somebody's own, which need not stand in [`RULES`], at a checked choice.
    pub fn new(kind: &'static RuleKind, choice: Choice) -> Self {
        Self {
            parts: vec![Part { kind, choice }],
        }
    }

    /// What its parts are.
    pub fn kinds(&self) -> impl Iterator<Item = &'static RuleKind> {
        self.parts.iter().map(|part| part.kind)
    }

    /// True where the learning rate grows in proportion to the batch size.
    pub fn is_linear(&self) -> bool {
        self.kinds().any(|kind| kind.is_linear)
    }

    /// True where one of its parts moves this.
    pub fn moves(&self, what: Moves) -> bool {
        self.kinds().any(|kind| kind.moves.contains(&what))
    }

    /// The setting at `batch_size`. At the base batch size it is the base's own.
    ///
    /// # Errors
    /// When the base rate is not a positive number, a batch size is 0, or the rule cannot be
    /// followed with this optimizer or that far.
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
        let mut setting = base.setting.clone();
        for part in &self.parts {
            (part.kind.apply)(&part.choice, base, &mut setting, batch_size)?;
        }
        // To the bit, whatever a formula makes of a factor of 1.
        Ok(if batch_size == base.batch_size {
            base.setting.clone()
        } else {
            setting
        })
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({self})")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Part { kind, choice }) in self.parts.iter().enumerate() {
            let plus = if i == 0 { "" } else { "+" };
            write!(f, "{plus}{}", kind.descriptor.shortest(choice))?;
        }
        Ok(())
    }
}

impl FromStr for Rule {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let mut chosen = Vec::new();
        for part in split_sum(text)? {
            let (kind, choice) = RULES.read(part)?;
            let clash = chosen.iter().find_map(|other: &Part| {
                let same = other
                    .kind
                    .moves
                    .iter()
                    .find(|moved| kind.moves.contains(moved));
                same.map(|moved| (other.kind.descriptor.name, moved))
            });
            if let Some((other, moved)) = clash {
                return Err(ChoiceError::Clash {
                    name: other.to_owned(),
                    other: kind.descriptor.name.to_owned(),
                    what: moved.to_string(),
                });
            }
            chosen.push(Part { kind, choice });
        }
        let place = |part: &Part| {
            RULES
                .all
                .iter()
                .position(|kind| std::ptr::eq(*kind, part.kind))
        };
        chosen.sort_by_key(place);
        Ok(Self { parts: chosen })
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
