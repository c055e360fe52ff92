use std::{fmt, str::FromStr};

use batchwise_core::{
    EvaluationPlan, Length, Metric, OptimiserSpec, Schedule, Split, Target, TrainerInfo,
    WarmUpShape,
};
use batchwise_rules::{LearningRate, Rule, token_half_life_beta2};
use serde::{Deserialize, Serialize};

use crate::{
    RateRange,
    identity::{BATCH_BITS, INDEX_BITS},
};

/// Where the learning rate of a batch size comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tune {
    /// Tuned afresh at every batch size, each with the same budget: one curve, `tuned`.
    Every,
    /// Tuned once at the base batch size and carried over by each rule: one curve per rule.
    Base,
}

impl fmt::Display for Tune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tune::Every => "every",
            Tune::Base => "base",
        })
    }
}

impl FromStr for Tune {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        match text {
            "every" => Ok(Tune::Every),
            "base" => Ok(Tune::Base),
            other => Err(PlanError::new(
                "tune",
                format!("'{other}' is neither 'every' nor 'base'"),
            )),
        }
    }
}

/// Where the target comes from. Written `val-error=0.03`, `auto:val-error`, `quartile:train-loss`.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetChoice {
    /// Fixed beforehand.
    Fixed(Target),
    /// From the pilot at the base batch size: what its best run reached with half its examples.
    Auto {
        /// The metric.
        metric: Metric,
    },
    /// Golmant et al. 2018: the lowest quartile of the values a run at the *largest* batch size
    /// goes through (highest where higher is better). It favours large batches.
    Quartile {
        /// The metric.
        metric: Metric,
    },
}

impl TargetChoice {
    /// The metric watched.
    pub fn metric(&self) -> &Metric {
        match self {
            TargetChoice::Fixed(target) => &target.metric,
            TargetChoice::Auto { metric } | TargetChoice::Quartile { metric } => metric,
        }
    }
}

impl fmt::Display for TargetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetChoice::Fixed(target) => target.fmt(f),
            TargetChoice::Auto { metric } => write!(f, "auto:{metric}"),
            TargetChoice::Quartile { metric } => write!(f, "quartile:{metric}"),
        }
    }
}

impl FromStr for TargetChoice {
    type Err = PlanError;

    /// Reads a target; bare `auto` means `auto:val-error`, bare `quartile` `quartile:train-loss`.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let metric = |name: &str| {
            name.parse::<Metric>()
                .map_err(|e| PlanError::new("target", e.to_string()))
        };
        match text.trim().split_once(':').unwrap_or((text.trim(), "")) {
            ("auto", "") => Ok(TargetChoice::Auto {
                metric: metric("val-error")?,
            }),
            ("auto", name) => Ok(TargetChoice::Auto {
                metric: metric(name)?,
            }),
            ("quartile", "") => Ok(TargetChoice::Quartile {
                metric: metric("train-loss")?,
            }),
            ("quartile", name) => Ok(TargetChoice::Quartile {
                metric: metric(name)?,
            }),
            _ => text
                .parse()
                .map(TargetChoice::Fixed)
                .map_err(|e: batchwise_core::TargetError| PlanError::new("target", e.to_string())),
        }
    }
}

impl Serialize for TargetChoice {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetChoice {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Everything a study is asked to do, beyond the model and the data.
///
/// Budgets are totals: running the same plan again does nothing more, a plan with more seeds or
/// batch sizes adds only those. Keys are the command's long flags.
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
    /// Learning rates the pilot searches; its best are the centres of the tuning ranges.
    pub learning_rates: RateRange,
    /// Ratio `high/low` of every tuning range: as wide at one batch size as at another. Without,
    /// `learning_rates` itself is searched everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune_width: Option<f64>,
    /// Each widening adds a neighbouring range this factor wide.
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
    /// Optimiser and its constants at the base batch size.
    pub optimiser: OptimiserSpec,
    /// Keep the half-life of Adam's second moment, in examples, at every batch size.
    pub token_half_life: bool,
    /// Warm-up and decay.
    pub schedule: Schedule,
    /// Largest norm of the mean gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
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
    /// Repetitions of the `lsr` curve that also measure Golmant's linearisation error.
    pub linearity_seeds: u32,
    /// Trials at a time.
    pub jobs: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            batch_sizes: vec![8, 16, 32, 64, 128, 256, 512, 1024, 2048],
            base_batch: 64,
            tune: Tune::Every,
            rules: Rule::ALL.to_vec(),
            tune_trials: 8,
            learning_rates: RateRange {
                low: 0.005,
                high: 2.0,
            },
            tune_width: Some(16.0),
            widen_factor: 4.0,
            max_widenings: 2,
            seeds: 3,
            study_seed: 0,
            target: TargetChoice::Auto {
                metric: "val-error".parse().expect("a metric"),
            },
            optimiser: OptimiserSpec::Sgd {
                momentum: 0.9,
                nesterov: false,
                weight_decay: 0.0,
            },
            token_half_life: false,
            schedule: Schedule::warm_up(10),
            clip: None,
            micro_batch: None,
            evaluation: EvaluationPlan::default(),
            cap_factor: 4.0,
            max_steps: None,
            pilot_trials: 6,
            pilot_epochs: 10.0,
            pilot_batch: None,
            linearity_seeds: 1,
            jobs: 1,
        }
    }
}

/// A setting that makes no sense: which, why, and what would.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct PlanError {
    /// The key, which is also the long flag.
    pub key: &'static str,
    /// What is wrong and what would be right.
    pub why: String,
}

impl PlanError {
    /// An error about a key.
    pub fn new(key: &'static str, why: impl Into<String>) -> Self {
        Self {
            key,
            why: why.into(),
        }
    }
}

impl Plan {
    /// Checks the plan on its own.
    ///
    /// # Errors
    /// The first setting that makes no sense, by its key.
    pub fn check(&self) -> Result<(), PlanError> {
        let require = |holds: bool, key, why: &str| {
            if holds {
                Ok(())
            } else {
                Err(PlanError::new(key, why))
            }
        };
        let above = |x: f64, low: f64| x.is_finite() && x > low;
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
        )?;
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
        require(
            above(self.widen_factor, 1.0),
            "widen-factor",
            "must be a factor above 1",
        )?;
        let trials = u64::from(self.tune_trials) * (1 + u64::from(self.max_widenings));
        require(
            trials <= 1 << INDEX_BITS,
            "max-widenings",
            "gives more than 4096 tuning trials at a batch size: fewer, or fewer --tune-trials",
        )?;
        require(
            (1..=1024).contains(&self.seeds),
            "seeds",
            "must be from 1 to 1024: estimates rest on fresh seeds",
        )?;
        require(
            self.study_seed <= i64::MAX as u64,
            "seed",
            "must be below 2^63, so that TOML can hold it",
        )?;
        require(
            self.target.metric().split != Split::Test,
            "target",
            "must not be on the test examples, which are looked at once, at the end: use val- or train-",
        )?;
        if let TargetChoice::Fixed(target) = &self.target {
            require(target.value.is_finite(), "target", "must be a finite value")?;
        }
        if self.tune == Tune::Base {
            require(
                !self.rules.is_empty(),
                "rules",
                "is empty: with --tune base name at least one of blr, lsr, srsr",
            )?;
            let repeated = self
                .rules
                .iter()
                .enumerate()
                .any(|(i, rule)| self.rules[..i].contains(rule));
            require(!repeated, "rules", "names a rule twice")?;
        }
        require(
            self.clip.is_none_or(|c| above(c, 0.0)),
            "clip",
            "must be a norm above 0",
        )?;
        require(
            self.micro_batch != Some(0),
            "micro-batch",
            "must be at least 1",
        )?;
        let EvaluationPlan {
            first,
            ratio,
            examples,
            refine,
        } = self.evaluation;
        require(first > 0, "evaluation.first", "must be at least 1")?;
        require(
            above(ratio, 1.0),
            "eval-ratio",
            "must be above 1, for example 1.2",
        )?;
        require(examples > 0, "eval-examples", "must be at least 1")?;
        require(
            (1..=1000).contains(&refine),
            "evaluation.refine",
            "must be from 1 to 1000",
        )?;
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
        )?;
        self.check_optimiser()
    }

    fn check_optimiser(&self) -> Result<(), PlanError> {
        let unit = |x: f64, key| {
            if (0.0..1.0).contains(&x) {
                Ok(())
            } else {
                Err(PlanError::new(
                    key,
                    format!("is {x}, but must be in [0, 1)"),
                ))
            }
        };
        let decay = |x: f64| {
            if x.is_finite() && x >= 0.0 {
                Ok(())
            } else {
                Err(PlanError::new(
                    "weight-decay",
                    format!("is {x}, but must be 0 or above"),
                ))
            }
        };
        match self.optimiser {
            OptimiserSpec::Sgd {
                momentum,
                weight_decay,
                ..
            } => unit(momentum, "momentum").and(decay(weight_decay)),
            OptimiserSpec::Adam {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            }
            | OptimiserSpec::Adamw {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                unit(beta1, "beta1")?;
                unit(beta2, "beta2")?;
                if !(epsilon.is_finite() && epsilon > 0.0) {
                    return Err(PlanError::new(
                        "epsilon",
                        format!("is {epsilon}, but must be above 0"),
                    ));
                }
                if self.token_half_life && beta2 == 0.0 {
                    return Err(PlanError::new(
                        "token-half-life",
                        "needs a beta2 above 0: there is no half-life to keep",
                    ));
                }
                decay(weight_decay)
            }
        }
    }

    /// Checks the plan against what will be trained on.
    ///
    /// # Errors
    /// When a batch size is larger than the training set, the metric is not one the trainer
    /// reports, or the schedule makes no sense at some batch size.
    pub fn check_against(&self, info: &TrainerInfo) -> Result<(), PlanError> {
        self.check()?;
        let n = info.train_examples;
        let too_large = |key, batch_size: u64| {
            PlanError::new(
                key,
                format!(
                    "{batch_size} is larger than the training set ({n} examples): choose sizes up to {n}, or more examples"
                ),
            )
        };
        if let Some(&batch_size) = self.batch_sizes.iter().find(|&&b| b > n) {
            return Err(too_large("batch-sizes", batch_size));
        }
        if self.base_batch > n {
            return Err(too_large("base-batch", self.base_batch));
        }
        if let Some(batch_size) = self.pilot_batch.filter(|&b| b > n) {
            return Err(too_large("pilot-batch", batch_size));
        }
        let metric = self.target.metric();
        if !info.metrics.is_empty() && !info.metrics.contains(metric) {
            let known: Vec<String> = info.metrics.iter().map(Metric::to_string).collect();
            return Err(PlanError::new(
                "target",
                format!(
                    "{metric} is not measured here: choose one of {}",
                    known.join(", ")
                ),
            ));
        }
        for &batch_size in self.batch_sizes.iter().chain([&self.base_batch]) {
            LearningRate::new(&self.schedule_from(1.0), 1.0, batch_size, n).map_err(|e| {
                PlanError::new("schedule", format!("at batch size {batch_size}: {e}"))
            })?;
        }
        Ok(())
    }

    /// The plan with every choice made that is left to batchwise: the pilot's second batch size.
    /// Choices a stored plan made already are kept.
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

    /// The optimiser at a batch size.
    pub(crate) fn optimiser_at(&self, batch_size: u64) -> OptimiserSpec {
        let mut optimiser = self.optimiser.clone();
        if self.token_half_life
            && let OptimiserSpec::Adam { beta2, .. } | OptimiserSpec::Adamw { beta2, .. } =
                &mut optimiser
        {
            // Checked by `check`: the only refusals are a β2 outside (0, 1) and empty batches.
            *beta2 = token_half_life_beta2(*beta2, self.base_batch, batch_size).unwrap_or(*beta2);
        }
        optimiser
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
            Tune::Base => self
                .rules
                .iter()
                .map(|rule| rule.name().to_owned())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_plan_is_sound_and_survives_toml_and_json() {
        let plan = Plan::default().resolved(None);
        plan.check().unwrap();
        assert_eq!(plan.pilot_batch, Some(1024));
        let text = toml::to_string(&plan).unwrap();
        assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = toml::from_str::<Plan>("sedes = 3").unwrap_err().to_string();
        assert!(
            error.contains("sedes") && error.contains("seeds"),
            "{error}"
        );
    }

    #[test]
    fn targets_read_back_as_written() {
        for text in [
            "val-error=0.03",
            "auto:val-loss",
            "quartile:train-loss",
            "val-reward>=12",
        ] {
            assert_eq!(text.parse::<TargetChoice>().unwrap().to_string(), text);
        }
        assert_eq!(
            "auto".parse::<TargetChoice>().unwrap().to_string(),
            "auto:val-error"
        );
        for text in ["", "auto:", "autox", "auto:loss", "quartile:x-y"] {
            let parsed = text.parse::<TargetChoice>();
            assert!(parsed.is_err() || text == "auto:", "{text}: {parsed:?}");
        }
    }

    #[test]
    fn each_broken_setting_is_named() {
        type Break = fn(&mut Plan);
        let cases: [(&str, Break); 20] = [
            ("batch-sizes", |p| p.batch_sizes.clear()),
            ("batch-sizes", |p| p.batch_sizes = vec![8, 8]),
            ("batch-sizes", |p| p.batch_sizes = vec![0, 8]),
            ("base-batch", |p| p.base_batch = 0),
            ("tune-trials", |p| p.tune_trials = 0),
            ("learning-rates", |p| p.learning_rates.low = 0.0),
            ("learning-rates", |p| p.learning_rates.high = f64::NAN),
            ("tune-width", |p| p.tune_width = Some(1.0)),
            ("widen-factor", |p| p.widen_factor = f64::INFINITY),
            ("max-widenings", |p| p.max_widenings = u32::MAX),
            ("seeds", |p| p.seeds = 0),
            ("seed", |p| p.study_seed = u64::MAX),
            ("target", |p| p.target = "test-error=0.1".parse().unwrap()),
            ("clip", |p| p.clip = Some(-1.0)),
            ("eval-ratio", |p| p.evaluation.ratio = 1.0),
            ("cap-factor", |p| p.cap_factor = 0.5),
            ("pilot-epochs", |p| p.pilot_epochs = 0.0),
            ("jobs", |p| p.jobs = 0),
            ("momentum", |p| {
                p.optimiser = OptimiserSpec::Sgd {
                    momentum: 1.0,
                    nesterov: false,
                    weight_decay: 0.0,
                }
            }),
            ("rules", |p| {
                p.tune = Tune::Base;
                p.rules.clear();
            }),
        ];
        for (key, spoil) in cases {
            let mut plan = Plan::default();
            spoil(&mut plan);
            assert_eq!(plan.check().unwrap_err().key, key);
        }
    }
}
