//! A study whose axis is the method.

use batchscope_core::{Choice, Decay, Length, Schedule, SettingError, setting::require};
use batchscope_rules::{Base, Rule, Setting, finds_rate, steps_in};
use batchscope_scaling::Endpoint;
use serde::{Deserialize, Serialize};

use crate::{Plan, RateRange};

/// What is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The methods; the first is the baseline.
    pub methods: Vec<Method>,
    /// Passes over the training examples: of every run, or, on the way to a target, at most.
    pub epochs: f64,
    /// Examples in place of epochs: for trainers without a training set to pass over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_examples: Option<u64>,
    /// By what they are compared: stored with the study before anything runs.
    pub endpoint: Endpoint,
    /// The length of the warm-up is tuned beside the rate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tune_warm_up: bool,
}

/// An optimizer, and how its setting is found at each batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// As it was written: `lars+legw`. The name of its curve.
    pub name: String,
    /// The optimizer with its settings.
    pub optimizer: Choice,
    /// Carries the rate tuned at the base batch size; without, the rate is tuned at every batch size.
    pub rule: Option<Rule>,
    /// How its steps are made beside that: step methods and augmentations, as [`batchscope_core::TrialSpec::methods`] has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Choice>,
    /// What leads its runs, where they do not follow the schedule at one batch size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Choice>,
    /// The rates that a search begins with: in proportion to the optimizer's own.
    pub rates: RateRange,
}

impl Method {
    /// True where its controller finds the rate: nothing is tuned then.
    pub fn finds_rate(&self) -> bool {
        self.controller.as_ref().is_some_and(finds_rate)
    }

    /// The batch sizes at which its rate is tuned.
    pub fn tuned_sizes(&self, plan: &Plan) -> Vec<u64> {
        match self.rule {
            _ if self.finds_rate() => Vec::new(),
            Some(_) => vec![plan.base_batch],
            None => plan.batch_sizes.clone(),
        }
    }

    /// Its setting at a batch size, from the rate and the schedule tuned at the base batch size (or, without a rule,
    /// there).
    ///
    /// # Errors
    /// Key `methods`, when the rule cannot be followed.
    pub(crate) fn setting(
        &self,
        plan: &Plan,
        (rate, schedule): (f64, Schedule),
        train_examples: Option<u64>,
        batch_size: u64,
    ) -> Result<Setting, SettingError> {
        let setting = Setting {
            learning_rate: rate,
            schedule,
            optimizer: self.optimizer.clone(),
        };
        let Some(rule) = &self.rule else {
            return Ok(setting);
        };
        let base = Base {
            setting,
            batch_size: plan.base_batch,
            train_examples,
            noise_scale: None,
        };
        rule.apply(&base, batch_size)
            .map_err(|error| SettingError::new("methods", format!("{}: {error}", self.name)))
    }
}

impl Comparison {
    /// The names of the methods.
    pub fn names(&self) -> Vec<String> {
        self.methods
            .iter()
            .map(|method| method.name.clone())
            .collect()
    }

    /// True where the length of the decay is tuned too: on the way to a target, how soon the rate comes
    /// down decides the steps.
    pub fn tunes_horizon(&self, plan: &Plan) -> bool {
        matches!(self.endpoint, Endpoint::Steps(_)) && plan.schedule.decay != Decay::Constant
    }

    /// Refuses a comparison that makes no sense, or that a rule cannot follow to every batch size.
    ///
    /// # Errors
    /// By key.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), SettingError> {
        require(
            self.methods.len() >= 2,
            "methods",
            "names fewer than two: the first is the baseline of the others",
        )?;
        let mut names = self.names();
        names.sort();
        let repeated = names.windows(2).any(|pair| pair[0] == pair[1]);
        require(!repeated, "methods", "names a method twice")?;
        require(
            self.epochs.is_finite() && self.epochs > 0.0,
            "epochs",
            "must be a number above 0",
        )?;
        require(
            self.run_examples != Some(0),
            "run-examples",
            "must be at least 1",
        )?;
        require(
            !(self.tune_warm_up && self.run_examples.is_some()),
            "tune_warm_up",
            "is for runs whose length is given in epochs",
        )?;
        require(
            !(self.tune_warm_up && matches!(self.endpoint, Endpoint::Steps(_))),
            "tune_warm_up",
            "is for runs of equal length: leave out the target",
        )?;
        let stepwise = matches!(plan.schedule.decay, Decay::Step { .. });
        require(
            !(stepwise && self.tunes_horizon(plan)),
            "schedule",
            "with steps has no length to tune on the way to a target: choose linear, cosine, polynomial or constant",
        )?;
        for method in &self.methods {
            for &batch_size in &plan.batch_sizes {
                let rate = method.rates.high;
                method.setting(plan, (rate, plan.schedule_from(rate)), None, batch_size)?;
            }
        }
        plan.check_half_life(
            self.methods
                .iter()
                .filter_map(|method| method.rule.as_ref()),
        )?;
        Ok(())
    }

    /// The schedule of a run of `cap` steps of `batch_size` whose warm-up has this length, and whose decay takes the rest.
    ///
    /// # Errors
    /// Key `warm-up`, for a length in epochs where there is no training set to pass over.
    pub(crate) fn with_warm_up(
        mut schedule: Schedule,
        length: Length,
        (cap, batch_size): (u64, u64),
        train_examples: Option<u64>,
    ) -> Result<Schedule, SettingError> {
        let steps = steps_in(length, batch_size, train_examples)
            .map_err(|error| SettingError::new("warm-up", error.to_string()))?;
        schedule.warm_up.length = length;
        let left = cap.saturating_sub(steps).max(1);
        schedule.decay = Self::with_horizon(schedule.decay, left, 1.0);
        Ok(schedule)
    }

    /// The decay's length of a run of at most `cap` steps, a share of it.
    pub(crate) fn with_horizon(mut decay: Decay, cap: u64, share: f64) -> Decay {
        let steps = Length::Steps(((cap as f64 * share).round() as u64).max(1));
        if let Some(over) = decay.length_mut() {
            *over = steps;
        }
        decay
    }
}
