mod branching;
mod check;
mod choices;
mod comparison;
#[cfg(test)]
mod tests;
mod trial;

use batchscope_core::{
    Choice, DecayPolicy, Diagnostic, EvaluationPlan, Length, Schedule, Value, WarmUpShape,
};
use batchscope_rules::{Rule, token_half_life_beta2};
use serde::{Deserialize, Serialize};

use crate::{MomentumRange, RateRange};

pub use branching::{BranchStart, Branching};
pub use choices::{TargetChoice, Tune};
pub use comparison::{Comparison, Method};

/// Everything a study is asked to do, beyond the model and the data.
///
/// Budgets are totals: running the same plan again does nothing more, a plan with more seeds or
/// batch sizes adds only those. Keys are those of a settings file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Plan {
    /// Batch sizes to study, increasing.
    pub batch_sizes: Vec<u64>,
    /// Batch size of the pilot, and from which the rules scale.
    pub base_batch: u64,
    /// Where learning rates come from.
    pub tune: Tune,
    /// With [`Tune::Base`]: one curve for each.
    pub rules: Vec<Rule>,
    /// Tuning trials for each tuned batch size and round.
    pub tune_trials: u32,
    /// Learning rates the pilot searches; its best are the centers of the tuning ranges.
    pub learning_rates: RateRange,
    /// Ratio `high/low` of every tuning range: as wide at one batch size as at another. Without,
    /// `learning_rates` itself is searched everywhere.
    // Not the plan's default where the key is missing: that is how `None` is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tune_width: Option<f64>,
    /// Momenta to search beside the rates, with as many trials. A tuning trial's rate is then
    /// `η·(1 − m)/(1 − m₀)`, so that `η` searches the same range of steps at every momentum `m` (`m₀` is
    /// the optimizer's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tune_momentum: Option<MomentumRange>,
    /// Each widening adds a neighboring range this factor wide.
    pub widen_factor: f64,
    /// At most this many widenings of a batch size's range.
    pub max_widenings: u32,
    /// Fresh seeds for each point of a curve.
    pub seeds: u32,
    /// Seed of every random stream.
    #[serde(rename = "seed")]
    pub study_seed: u64,
    /// The goal.
    pub target: TargetChoice,
    /// Optimizer and its constants at the base batch size.
    #[serde(alias = "optimiser")]
    pub optimizer: Choice,
    /// Step methods other than the plain step, of those that the trainer has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Choice>,
    /// What the runs whose numbers are reported measure besides, of what the trainer can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// Keep the half-life of Adam's second moment, in examples, at every batch size.
    pub token_half_life: bool,
    /// Warm-up and decay.
    pub schedule: Schedule,
    /// Largest norm of the mean gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Which parameters the optimizer's weight decay applies to.
    #[serde(
        rename = "weight-decay-on",
        skip_serializing_if = "DecayPolicy::is_default"
    )]
    pub decay: DecayPolicy,
    /// Examples per forward pass at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u64>,
    /// When and on how much to evaluate.
    pub evaluation: EvaluationPlan,
    /// `c`: a trial's cap is `c·(S₀ + E₀/B)`, the pilot's model of its steps.
    pub cap_factor: f64,
    /// No trial makes more steps than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Pilot trials at each of its batch sizes.
    pub pilot_trials: u32,
    /// Epochs a pilot trial may train at most.
    pub pilot_epochs: f64,
    /// Batch size of the pilot besides the base; chosen from the range when not given, then kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot_batch: Option<u64>,
    /// Repetitions of the `lsr` curve that also measure Golmant's linearization error.
    pub linearity_seeds: u32,
    /// Watch the gradient noise of the fresh trials; yes when not given. A study begun before there
    /// was a watch has none in its stored plan, and goes on without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<bool>,
    /// Compare methods, rather than batch sizes of one: see [`crate::ComparisonPlanner`]. Target, optimizer, rules and
    /// rates of the plan are then the comparison's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Branch a run at other batch sizes, rather than train from the beginning: see [`crate::BranchPlanner`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branching: Option<Branching>,
    /// Trials at a time.
    pub jobs: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            batch_sizes: vec![8, 16, 32, 64, 128, 256, 512, 1024, 2048],
            base_batch: 64,
            tune: Tune::Every,
            rules: Rule::golmant(),
            tune_trials: 8,
            learning_rates: RateRange {
                low: 0.005,
                high: 2.0,
            },
            tune_width: Some(16.0),
            tune_momentum: None,
            widen_factor: 4.0,
            max_widenings: 2,
            seeds: 3,
            study_seed: 0,
            target: TargetChoice::Auto {
                metric: "val-error".parse().expect("a metric"),
            },
            optimizer: Choice::new(
                "sgd",
                [
                    ("momentum", Value::from(0.9)),
                    ("nesterov", Value::from(false)),
                    ("weight_decay", Value::from(0.0)),
                ],
            ),
            methods: Vec::new(),
            diagnostics: Vec::new(),
            token_half_life: false,
            schedule: Schedule::warm_up(Tune::Every.warm_up_steps()),
            clip: None,
            decay: DecayPolicy::default(),
            micro_batch: None,
            evaluation: EvaluationPlan::default(),
            cap_factor: 4.0,
            max_steps: None,
            pilot_trials: 6,
            pilot_epochs: 10.0,
            pilot_batch: None,
            linearity_seeds: 1,
            noise: None,
            comparison: None,
            branching: None,
            jobs: 1,
        }
    }
}

impl Plan {
    /// The plan with every choice made that is left to batchscope: the pilot's second batch size, and
    /// whether gradient noise is watched. Choices a stored plan made already are kept.
    pub fn resolved(&self, stored: Option<&Plan>) -> Plan {
        let largest = *self.batch_sizes.last().unwrap_or(&self.base_batch);
        let chosen = match self.target {
            TargetChoice::Quartile { .. } => largest,
            // Far enough from the base to tell the two parts of the model apart, near enough to be cheap.
            _ => self
                .base_batch
                .saturating_mul(16)
                .min(largest)
                .max(self.base_batch),
        };
        let kept = stored.and_then(|plan| plan.pilot_batch);
        Plan {
            pilot_batch: self.pilot_batch.or(kept).or(Some(chosen)),
            noise: match stored {
                Some(stored) => self.noise.or(stored.noise),
                None => self.noise.or(Some(true)),
            },
            ..self.clone()
        }
    }

    /// The schedule of a trial, gradual warm-up starting from `base_rate` unless the plan says.
    pub(crate) fn schedule_from(&self, base_rate: f64) -> Schedule {
        let gradual = self.schedule.warm_up.shape == WarmUpShape::Gradual
            && self.schedule.warm_up.length != Length::Steps(0);
        let from = self
            .schedule
            .base_learning_rate
            .or(gradual.then_some(base_rate));
        Schedule {
            base_learning_rate: from,
            ..self.schedule.clone()
        }
    }

    /// The optimizer at a batch size.
    pub(crate) fn optimizer_at(&self, batch_size: u64) -> Choice {
        self.with_half_life(self.optimizer.clone(), batch_size)
    }

    /// An optimizer with the half-life that its β2 has at the base batch size, where the plan keeps
    /// it.
    pub(crate) fn with_half_life(&self, mut optimizer: Choice, batch_size: u64) -> Choice {
        if self.token_half_life
            && let Some(beta2) = optimizer.number("beta2")
        {
            // Checked by `check`: the only refusals are a β2 outside (0, 1) and empty batches.
            let moved = token_half_life_beta2(beta2, self.base_batch, batch_size);
            optimizer.set("beta2", moved.unwrap_or(beta2));
        }
        optimizer
    }

    /// Batch sizes whose learning rate is tuned.
    pub fn tuned_sizes(&self) -> Vec<u64> {
        match self.tune {
            Tune::Every => self.batch_sizes.clone(),
            Tune::Base => vec![self.base_batch],
        }
    }

    /// The curves of the study.
    pub fn curves(&self) -> Vec<String> {
        match self.tune {
            Tune::Every => vec!["tuned".to_owned()],
            Tune::Base => self.rules.iter().map(Rule::to_string).collect(),
        }
    }
}
