//! Batch-size and learning-rate rules: how settings chosen at one batch size carry over to another.
//!
//! Pure arithmetic, three parts that compose:
//!
//! * [`Rule`]: the full learning rate at a batch size, from the base batch size's;
//! * [`LearningRate`]: the rate of every step, from the full rate and a
//!   [`batchscope_core::Schedule`] of warm-up and decay;
//! * [`token_half_life_beta2`]: Adam's β2 at a batch size.
//!
//! [`apply`] does all three at once.
//!
//! ```
//! use batchscope_core::{OptimizerSpec, Schedule};
//! use batchscope_rules::{apply, Base, LearningRate, Rule};
//!
//! let base = Base {
//!     batch_size: 64,
//!     learning_rate: 0.1,
//!     schedule: Schedule::warm_up(10),
//!     optimizer: OptimizerSpec::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 },
//!     keep_token_half_life: false,
//! };
//! let setting = apply(Rule::Lsr, &base, 256)?;
//! assert_eq!(setting.learning_rate, 0.4);
//! let rate = LearningRate::new(&setting.schedule, setting.learning_rate, 256, 50_000)?;
//! assert!((rate.at(0) - 0.04).abs() < 1e-15);
//! assert_eq!(rate.at(10), 0.4);
//! # Ok::<(), batchscope_rules::RulesError>(())
//! ```

mod apply;
mod error;
mod half_life;
mod learning_rate;
mod rule;

pub use apply::{Base, Setting, apply};
pub use error::RulesError;
pub use half_life::{beta2_half_life, token_half_life_beta2};
pub use learning_rate::{LearningRate, steps_in};
pub use rule::Rule;
