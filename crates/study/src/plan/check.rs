use batchscope_core::{
    Direction, Metric, Quantity, SettingError, Split, Target, TrainerInfo,
    setting::{above, check_clip, check_micro_batch, require},
};
use batchscope_rules::{Base, LearningRate, Moves, Rule, Setting};

use super::{Plan, TargetChoice, Tune};
use crate::{
    RateRange,
    identity::{BATCH_BITS, INDEX_BITS},
};

impl Plan {
    /// Checks the plan on its own.
    ///
    /// # Errors
    /// The first setting that makes no sense, by its key.
    pub fn check(&self) -> Result<(), SettingError> {
        self.check_batch_sizes()?;
        self.check_tuning()?;
        self.check_seeds()?;
        self.check_question()?;
        self.check_steps()?;
        self.evaluation.check()?;
        self.check_budgets()?;
        self.check_optimizer()
    }

    /// The batch sizes: those studied, the base and the pilot's other.
    fn check_batch_sizes(&self) -> Result<(), SettingError> {
        let sizes = &self.batch_sizes;
        require(
            !sizes.is_empty(),
            "batch-sizes",
            "is empty: give at least one, for example 8..2048",
        )?;
        require(
            sizes.len() <= 64,
            "batch-sizes",
            "has more than 64 sizes: use a larger ratio, such as 8..2048:x4",
        )?;
        require(
            sizes.windows(2).all(|w| w[0] < w[1]),
            "batch-sizes",
            "must increase without repetition",
        )?;
        require(
            sizes[0] > 0,
            "batch-sizes",
            "a batch size of 0 trains nothing: start at 1 or above",
        )?;
        require(self.base_batch > 0, "base-batch", "must be at least 1")?;
        let largest = sizes[sizes.len() - 1]
            .max(self.base_batch)
            .max(self.pilot_batch.unwrap_or(1));
        require(
            largest < 1 << BATCH_BITS,
            "batch-sizes",
            "holds a batch size no training set is large enough for",
        )?;
        require(
            self.pilot_batch != Some(0),
            "pilot-batch",
            "must be at least 1",
        )
    }

    /// What tuning searches, and how often.
    fn check_tuning(&self) -> Result<(), SettingError> {
        require(
            (1..=256).contains(&self.tune_trials),
            "tune-trials",
            "must be from 1 to 256",
        )?;
        let RateRange { low, high } = self.learning_rates;
        require(
            above(low, 0.0) && above(high, low),
            "learning-rates",
            "must be LOW..HIGH with 0 < LOW < HIGH",
        )?;
        require(
            self.tune_width.is_none_or(|w| above(w, 1.0)),
            "tune-width",
            "must be a ratio above 1",
        )?;
        if let Some(momenta) = self.tune_momentum {
            require(
                momenta.is_sound(),
                "tune-momentum",
                "must be LOW..HIGH within 0 and 1, for example 0.5..0.99",
            )?;
            require(
                self.optimizer.number("momentum").is_some(),
                "tune-momentum",
                "needs an optimizer with a momentum: sgd, sgdp or lars",
            )?;
        }
        require(
            above(self.widen_factor, 1.0),
            "widen-factor",
            "must be a factor above 1",
        )?;
        let trials = u64::from(self.tune_trials) * (1 + u64::from(self.max_widenings));
        require(
            trials <= 1 << INDEX_BITS,
            "max-widenings",
            "gives more than 4096 tuning trials at a batch size: choose fewer widenings, or fewer trials a round",
        )
    }

    /// How often is measured, and with which seed.
    fn check_seeds(&self) -> Result<(), SettingError> {
        require(
            (1..=1024).contains(&self.seeds),
            "seeds",
            "must be from 1 to 1024: estimates rest on fresh seeds",
        )?;
        require(
            self.study_seed <= i64::MAX as u64,
            "seed",
            "must be below 2^63, so that TOML can hold it",
        )
    }

    /// The target, and the rules that are compared on the way to it.
    fn check_question(&self) -> Result<(), SettingError> {
        require(
            self.target.metric().split != Split::Test,
            "target",
            "must not be on the test examples, which are looked at once, at the end: use val- or train-",
        )?;
        if let TargetChoice::Fixed(target) = &self.target {
            require(target.value.is_finite(), "target", "must be a finite value")?;
        }
        if let Some(branching) = &self.branching {
            return branching.check(self);
        }
        if let Some(comparison) = &self.comparison {
            return comparison.check(self);
        }
        if self.tune == Tune::Base {
            require(
                !self.rules.is_empty(),
                "rules",
                "is empty: name at least one rule, or tune every batch size",
            )?;
            let repeated = self
                .rules
                .iter()
                .enumerate()
                .any(|(i, rule)| self.rules[..i].contains(rule));
            require(!repeated, "rules", "names a rule twice")?;
            self.check_reach()?;
        }
        Ok(())
    }

    /// Every rule must reach every batch size from the base, with this optimizer. What rate will be found there does not
    /// matter for that.
    fn check_reach(&self) -> Result<(), SettingError> {
        let base = Base {
            setting: Setting {
                learning_rate: self.learning_rates.high,
                schedule: self.schedule.clone(),
                optimizer: self.optimizer.clone(),
            },
            batch_size: self.base_batch,
            train_examples: None,
            noise_scale: None,
        };
        self.check_half_life(self.rules.iter())?;
        for rule in &self.rules {
            for &batch_size in &self.batch_sizes {
                rule.apply(&base, batch_size)
                    .map_err(|error| SettingError::new("rules", format!("{rule}: {error}")))?;
            }
        }
        Ok(())
    }

    /// The plan's half-life and a rule must not both move beta2.
    pub(super) fn check_half_life<'a>(
        &self,
        mut rules: impl Iterator<Item = &'a Rule>,
    ) -> Result<(), SettingError> {
        require(
            !(self.token_half_life && rules.any(|rule| rule.moves(Moves::Betas))),
            "token-half-life",
            "moves beta2, and so does one of the rules: keep one of them",
        )
    }

    /// What concerns a single step.
    fn check_steps(&self) -> Result<(), SettingError> {
        check_clip(self.clip)?;
        check_micro_batch(self.micro_batch)
    }

    /// How long trials may take, and how many run side by side.
    fn check_budgets(&self) -> Result<(), SettingError> {
        require(
            self.cap_factor.is_finite() && self.cap_factor >= 1.0,
            "cap-factor",
            "must be at least 1: below it, trials end before the pilot's own steps",
        )?;
        require(self.max_steps != Some(0), "max-steps", "must be at least 1")?;
        require(
            (1..=256).contains(&self.pilot_trials),
            "pilot-trials",
            "must be from 1 to 256",
        )?;
        require(
            above(self.pilot_epochs, 0.0) && self.pilot_epochs <= 1e6,
            "pilot-epochs",
            "must be above 0 (and at most a million)",
        )?;
        require(
            (1..=1024).contains(&self.jobs),
            "jobs",
            "must be from 1 to 1024",
        )
    }

    /// The settings of an optimizer are checked by the crate that has it, and again by the trainer;
    /// what the plan itself does with one is checked here.
    fn check_optimizer(&self) -> Result<(), SettingError> {
        match self.optimizer.number("beta2") {
            Some(beta2) if self.token_half_life && !(beta2 > 0.0 && beta2 < 1.0) => {
                Err(SettingError::new(
                    "token-half-life",
                    "needs a beta2 above 0 and below 1: there is no half-life to keep",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Checks the plan against what will be trained on.
    ///
    /// # Errors
    /// When a batch size is larger than the training set, the metric is not one the trainer
    /// reports or is to be met on the side that it says is worse, or the schedule makes no sense at some batch size.
    pub fn check_against(&self, info: &TrainerInfo) -> Result<(), SettingError> {
        self.check()?;
        let n = info.train_examples;
        self.check_sizes(n)?;
        let metric = self.target.metric();
        if !info.metrics.is_empty() && !info.metrics.contains(metric) {
            let known: Vec<String> = info.metrics.iter().map(Metric::to_string).collect();
            return Err(SettingError::new(
                "target",
                format!(
                    "{metric} is not measured here: choose one of {}",
                    known.join(", ")
                ),
            ));
        }
        check_stated(metric, info)?;
        if let TargetChoice::Fixed(target) = &self.target {
            check_side(target, info)?;
        }
        for &batch_size in self.batch_sizes.iter().chain([&self.base_batch]) {
            LearningRate::new(&self.schedule_from(1.0), 1.0, batch_size, n).map_err(|e| {
                SettingError::new("schedule", format!("at batch size {batch_size}: {e}"))
            })?;
        }
        Ok(())
    }

    /// The batch sizes against the training set, where there is one; without, a pilot's bound in
    /// epochs says nothing.
    fn check_sizes(&self, train_examples: Option<u64>) -> Result<(), SettingError> {
        let Some(n) = train_examples else {
            return require(
                self.max_steps.is_some(),
                "max-steps",
                "must be given: this trainer has no training set to pass over, so nothing else bounds the pilot",
            );
        };
        let others = [
            ("base-batch", Some(self.base_batch)),
            ("pilot-batch", self.pilot_batch),
        ];
        let studied = self.batch_sizes.iter().map(|&b| ("batch-sizes", b));
        let others = others.into_iter().filter_map(|(key, b)| Some((key, b?)));
        match studied.chain(others).find(|&(_, b)| b > n) {
            None => Ok(()),
            Some((key, batch_size)) => Err(SettingError::new(
                key,
                format!(
                    "{batch_size} is larger than the training set ({n} examples): choose sizes up to {n}, or more examples"
                ),
            )),
        }
    }
}

/// Refuses a metric of a trainer's own that the trainer does not say the better direction of.
fn check_stated(metric: &Metric, info: &TrainerInfo) -> Result<(), SettingError> {
    let own = matches!(metric.quantity, Quantity::Other(_));
    if !own || info.directions.contains_key(metric) {
        return Ok(());
    }
    Err(SettingError::new(
        "target",
        format!(
            "{metric} is a metric of the trainer's own, and the trainer does not say whether lower or higher is better: it must declare the direction"
        ),
    ))
}

/// Refuses a target on the side that the trainer says is the worse: it would be met before anything is
/// learned.
fn check_side(target: &Target, info: &TrainerInfo) -> Result<(), SettingError> {
    let metric = &target.metric;
    if !info.directions.contains_key(metric) || target.direction == info.direction(metric) {
        return Ok(());
    }
    let (better, sign) = match info.direction(metric) {
        Direction::Lower => ("lower", "<="),
        Direction::Higher => ("higher", ">="),
    };
    Err(SettingError::new(
        "target",
        format!(
            "{target} is on the wrong side: the trainer says that a {better} {metric} is better; \
             write {metric}{sign}{}",
            target.value
        ),
    ))
}
