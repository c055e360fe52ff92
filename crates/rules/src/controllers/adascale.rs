//! AdaScale: the learning rate at a larger batch size follows from how much less noise its gradients have.
//!
//! T. B. Johnson, P. Agrawal, H. Gu, C. Guestrin, "AdaScale SGD: A User-Friendly Algorithm for Distributed Training",
//! ICML 2020 (arXiv 2007.05105), algorithm 1 and appendix B: with `S = B/base`, the variance `σ²` of the gradient of `base`
//! examples and the squared norm `μ²` of the true one, a step is worth
//! `r = (σ² + μ²)/(σ²/S + μ²)` steps of `base` examples, from 1 to `S`. Its rate is `r·lr(⌊τ⌋)`, and `τ` grows by `r`:
//! the schedule of the base batch size is passed through as fast as progress is made. A schedule that falls ends the run
//! where `τ` comes to its end.
//!
//! Both are averaged with a factor of `max(1 − S/1000, 0)`, `σ²` at least 1e-6, `μ²` at least 0. Here they come from
//! the gradient noise of the steps that measure it, which are not all, and count from the step after: a step is made with
//! the gain of those before it, the first with a gain of 1.

use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault, StepBatch};

use crate::{
    Controller, ControllerKind, LearningRate, RulesError, StepSeen, StepSetting, controller::whole,
};

/// Scales the rate by the gain of the larger batch.
pub(crate) static ADASCALE: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "adascale",
        aliases: &[],
        about: "The rate of a smaller batch size, scaled by how much a step of this one is worth",
        source: "Johnson et al. 2020, arXiv 2007.05105",
        parameters: &[Parameter {
            name: "base",
            about: "The batch size that the learning rate and the schedule are for",
            kind: Kind::Whole(1, 1 << 24),
            default: ParameterDefault::Required,
        }],
    },
    finds_rate: false,
    build: |choice, course| {
        let base = choice.whole("base").unwrap_or(1);
        if base > course.batch_size {
            return Err(RulesError::OutOfRange {
                key: "base",
                value: base as f64,
                range: "at most the batch size",
            });
        }
        Ok(Box::new(AdaScale {
            rates: LearningRate::new(
                course.schedule,
                course.learning_rate,
                base,
                course.train_examples,
            )?,
            base: base as f64,
            batch_size: course.batch_size,
            moments: None,
            progress: 0.0,
            gain: 1.0,
            seen: 0,
            last_rate: 0.0,
        }))
    },
};

struct AdaScale {
    rates: LearningRate,
    base: f64,
    batch_size: u64,
    /// Averages of `σ²` and `μ²`.
    moments: Option<(f64, f64)>,
    /// `τ`: steps of the base batch size that the steps so far are worth.
    progress: f64,
    /// `r` of the next step.
    gain: f64,
    /// Steps seen.
    seen: u64,
    last_rate: f64,
}

impl AdaScale {
    fn scale(&self) -> f64 {
        self.batch_size as f64 / self.base
    }
}

impl Controller for AdaScale {
    fn at(&self, step: u64) -> StepSetting {
        let learning_rate = match step < self.seen {
            true => self.last_rate,
            false => self.gain * self.rates.at(self.progress as u64),
        };
        StepSetting {
            learning_rate,
            batch: StepBatch::constant(step, self.batch_size),
        }
    }

    fn observe(&mut self, seen: &StepSeen<'_>) {
        self.last_rate = seen.setting.learning_rate;
        self.seen = seen.setting.batch.step + 1;
        self.progress += self.gain;
        let Some(noise) = seen.noise else {
            return;
        };
        let scale = self.scale();
        let found = (noise.trace / self.base, noise.squared_norm);
        let kept = (1.0 - scale / 1000.0).max(0.0);
        let mix = |before: f64, now: f64| kept * before + (1.0 - kept) * now;
        let moments = match self.moments {
            None => found,
            Some((variance, norm)) => (mix(variance, found.0), mix(norm, found.1)),
        };
        self.moments = Some(moments);
        let (variance, norm) = (moments.0.max(1e-6), moments.1.max(0.0));
        // Between 1 and S but for rounding.
        self.gain = ((variance + norm) / (variance / scale + norm)).clamp(1.0, scale);
    }

    fn warm_up_steps(&self) -> u64 {
        self.rates.warm_up_steps()
    }

    fn watches_noise(&self) -> bool {
        true
    }

    fn has_ended(&self) -> bool {
        self.rates
            .end_of_fall()
            .is_some_and(|end| self.progress >= end as f64)
    }

    fn state(&self) -> Vec<f64> {
        let (variance, norm) = self
            .moments
            .unwrap_or((f64::NEG_INFINITY, f64::NEG_INFINITY));
        vec![
            variance,
            norm,
            self.progress,
            self.gain,
            self.seen as f64,
            self.last_rate,
        ]
    }

    fn load(&mut self, state: &[f64]) -> Result<(), RulesError> {
        let &[variance, norm, progress, gain, seen, last_rate] = state else {
            return Err(RulesError::ForeignState);
        };
        let moments = match (variance.is_finite(), norm.is_finite()) {
            (true, true) => Some((variance, norm)),
            (false, false) if variance == f64::NEG_INFINITY => None,
            _ => return Err(RulesError::ForeignState),
        };
        let is_rate = |rate: f64| rate.is_finite() && rate >= 0.0;
        let is_sound =
            is_rate(progress) && (1.0..=self.scale()).contains(&gain) && is_rate(last_rate);
        let Some(seen) = whole(seen).filter(|_| is_sound) else {
            return Err(RulesError::ForeignState);
        };
        self.moments = moments;
        (self.progress, self.gain, self.seen) = (progress, gain, seen);
        self.last_rate = last_rate;
        Ok(())
    }
}
