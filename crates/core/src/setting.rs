//! What no trial can be asked for, whoever asks: a study's plan, a single run, a program of somebody's
//! own. Commands that check by these functions refuse the same things.

use std::borrow::Cow;

use crate::{EvaluationPlan, Target, TrialSpec};

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct SettingError {
    /// The setting, as `study.toml` spells it: `batch-size`.
    pub key: Cow<'static, str>,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl SettingError {
    /// An error about a key.
    pub fn new(key: impl Into<Cow<'static, str>>, why: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            why: why.into(),
        }
    }
}

/// Refuses the setting of a key unless something holds of it.
///
/// # Errors
/// `why`, where it does not hold.
pub fn require(holds: bool, key: &'static str, why: &str) -> Result<(), SettingError> {
    if holds {
        Ok(())
    } else {
        Err(SettingError::new(key, why))
    }
}

/// True of numbers above `low`; of infinities and NaN it is not.
pub fn above(x: f64, low: f64) -> bool {
    x.is_finite() && x > low
}

/// Refuses to clip gradients to a norm that is none.
///
/// # Errors
/// Key `clip`.
pub fn check_clip(clip: Option<f64>) -> Result<(), SettingError> {
    let holds = clip.is_none_or(|norm| above(norm, 0.0));
    require(holds, "clip", "must be a norm above 0")
}

/// Refuses a micro-batch of no examples.
///
/// # Errors
/// Key `micro-batch`.
pub fn check_micro_batch(micro_batch: Option<u64>) -> Result<(), SettingError> {
    require(micro_batch != Some(0), "micro-batch", "must be at least 1")
}

impl EvaluationPlan {
    /// Refuses evaluations that measure nothing or never come.
    ///
    /// # Errors
    /// Keys `eval-first`, `eval-ratio`, `eval-examples`, `eval-refine`.
    pub fn check(&self) -> Result<(), SettingError> {
        require(self.first > 0, "eval-first", "must be at least 1")?;
        require(
            above(self.ratio, 1.0),
            "eval-ratio",
            "must be above 1, for example 1.2",
        )?;
        require(self.examples > 0, "eval-examples", "must be at least 1")?;
        require(
            (1..=1000).contains(&self.refine),
            "eval-refine",
            "must be from 1 to 1000",
        )
    }
}

impl TrialSpec {
    /// Refuses what no trainer could run, or what would run and mean nothing. What depends on the
    /// trainer, its model or its data is [`crate::Trainer::check`]'s.
    ///
    /// # Errors
    /// The first setting that makes no sense, by its key.
    pub fn check(&self) -> Result<(), SettingError> {
        require(self.batch_size > 0, "batch-size", "must be at least 1")?;
        require(
            above(self.learning_rate, 0.0),
            "learning-rate",
            "must be a number above 0",
        )?;
        require(self.cap > 0, "steps", "must be at least 1")?;
        check_micro_batch(self.micro_batch)?;
        check_clip(self.clip)?;
        let finite = |target: &Target| target.value.is_finite();
        require(
            self.target.as_ref().is_none_or(finite),
            "target",
            "must be a finite value",
        )?;
        self.evaluation.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TrialSpec {
        serde_json::from_str(
            r#"{"id": 0, "purpose": {"kind": "single"}, "curves": [], "batch_size": 32,
                "micro_batch": null, "learning_rate": 0.1, "clip": null, "study_seed": 0, "seed": 0,
                "cap": 100, "schedule": {"warm_up": {"length": {"steps": 0}, "shape": "linear"},
                "decay": {"kind": "constant"}, "base_learning_rate": null},
                "optimizer": {"kind": "sgd", "momentum": 0.0, "nesterov": false, "weight_decay": 0.0},
                "target": null, "evaluation": {"first": 5, "ratio": 1.2, "examples": 1, "refine": 1},
                "diagnostics": []}"#,
        )
        .unwrap()
    }

    /// `train --clip -1` once climbed, `--clip 0` learned nothing, and `--eval-examples 0` evaluated
    /// one example, while `study` refused all three.
    #[test]
    fn nonsense_is_refused_by_its_key() {
        type Spoil = fn(&mut TrialSpec);
        let cases: [(&str, Spoil); 14] = [
            ("batch-size", |s| s.batch_size = 0),
            ("learning-rate", |s| s.learning_rate = 0.0),
            ("learning-rate", |s| s.learning_rate = f64::NAN),
            ("steps", |s| s.cap = 0),
            ("micro-batch", |s| s.micro_batch = Some(0)),
            ("clip", |s| s.clip = Some(-1.0)),
            ("clip", |s| s.clip = Some(0.0)),
            ("clip", |s| s.clip = Some(f64::NAN)),
            ("clip", |s| s.clip = Some(f64::INFINITY)),
            ("eval-first", |s| s.evaluation.first = 0),
            ("eval-ratio", |s| s.evaluation.ratio = 1.0),
            ("eval-examples", |s| s.evaluation.examples = 0),
            ("eval-refine", |s| s.evaluation.refine = 0),
            ("eval-refine", |s| s.evaluation.refine = 1001),
        ];
        assert_eq!(spec().check(), Ok(()));
        for (key, spoil) in cases {
            let mut spec = spec();
            spoil(&mut spec);
            assert_eq!(spec.check().unwrap_err().key, key);
        }
    }
}
