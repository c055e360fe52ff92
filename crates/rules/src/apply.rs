use batchscope_core::{OptimizerSpec, Schedule};

use crate::{Rule, RulesError, error::check, token_half_life_beta2};

/// Settings chosen at the base batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    /// Base batch size, `B₀`.
    pub batch_size: u64,
    /// Full learning rate found there, `η₀`.
    pub learning_rate: f64,
    /// Warm-up and decay.
    pub schedule: Schedule,
    /// Optimizer and its constants.
    pub optimizer: OptimizerSpec,
    /// Move Adam's β2 with the batch size so that its half-life in examples stays
    /// ([`token_half_life_beta2`]); otherwise β2 stays.
    pub keep_token_half_life: bool,
}

/// Settings for another batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Full learning rate, `η`.
    pub learning_rate: f64,
    /// Warm-up and decay, gradual warm-up starting from the base rate.
    pub schedule: Schedule,
    /// Optimizer and its constants.
    pub optimizer: OptimizerSpec,
}

/// What `base` becomes at `batch_size` under `rule`: the rate scaled, gradual warm-up told where
/// to start, β2 moved if asked. Lengths stay as they are written (steps stay steps).
///
/// # Errors
/// When the base rate is not positive, a batch size is zero, or β2 cannot be moved.
pub fn apply(rule: Rule, base: &Base, batch_size: u64) -> Result<Setting, RulesError> {
    check(
        "base learning rate",
        base.learning_rate,
        "finite and above 0",
        |r| r > 0.0,
    )?;
    check("base_batch", base.batch_size as f64, "at least 1", |b| {
        b >= 1.0
    })?;
    check("batch_size", batch_size as f64, "at least 1", |b| b >= 1.0)?;
    let mut optimizer = base.optimizer.clone();
    if base.keep_token_half_life
        && let OptimizerSpec::Adam { beta2, .. } | OptimizerSpec::Adamw { beta2, .. } =
            &mut optimizer
    {
        *beta2 = token_half_life_beta2(*beta2, base.batch_size, batch_size)?;
    }
    Ok(Setting {
        learning_rate: rule.learning_rate(base.learning_rate, base.batch_size, batch_size),
        schedule: Schedule {
            base_learning_rate: Some(base.learning_rate),
            ..base.schedule.clone()
        },
        optimizer,
    })
}

#[cfg(test)]
mod tests {
    use batchscope_core::{Length, WarmUp, WarmUpShape};

    use super::*;
    use crate::LearningRate;

    fn adam(keep: bool) -> Base {
        Base {
            batch_size: 32,
            learning_rate: 1e-3,
            schedule: Schedule {
                warm_up: WarmUp {
                    length: Length::Steps(10),
                    shape: WarmUpShape::Gradual,
                },
                ..Schedule::constant()
            },
            optimizer: OptimizerSpec::Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
            },
            keep_token_half_life: keep,
        }
    }

    #[test]
    fn gradual_warm_up_starts_from_the_base_rate() {
        let setting = apply(Rule::Lsr, &adam(false), 128).unwrap();
        let rate = LearningRate::new(&setting.schedule, setting.learning_rate, 128, 1000).unwrap();
        assert_eq!((rate.at(0), rate.at(10)), (1e-3, 4e-3));
        assert_eq!(setting.optimizer, adam(false).optimizer);
    }

    #[test]
    fn beta2_moves_only_when_asked_and_only_for_adam() {
        let OptimizerSpec::Adam { beta1, beta2, .. } =
            apply(Rule::Blr, &adam(true), 64).unwrap().optimizer
        else {
            panic!("another optimizer came back")
        };
        assert_eq!(beta1, 0.9);
        assert!((beta2 - 0.999f64.powi(2)).abs() < 1e-15);
        let sgd = OptimizerSpec::Sgd {
            momentum: 0.9,
            nesterov: true,
            weight_decay: 1e-4,
        };
        let base = Base {
            optimizer: sgd.clone(),
            ..adam(true)
        };
        assert_eq!(apply(Rule::Srsr, &base, 64).unwrap().optimizer, sgd);
    }

    #[test]
    fn a_base_that_cannot_train_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(
                apply(
                    Rule::Lsr,
                    &Base {
                        learning_rate: rate,
                        ..adam(false)
                    },
                    64
                )
                .is_err()
            );
        }
        assert!(apply(Rule::Lsr, &adam(false), 0).is_err());
        assert!(
            apply(
                Rule::Lsr,
                &Base {
                    batch_size: 0,
                    ..adam(false)
                },
                64
            )
            .is_err()
        );
    }
}
