//! Batch-size and learning-rate rules: how settings chosen at one batch size carry over to another.
//!
//! Pure arithmetic, parts that compose:
//!
//! * [`Rule`]: the setting at a batch size from the setting at the base batch size, of one part or several, a file
//!   each in `rules/`, listed in [`RULES`];
//! * [`LearningRate`]: the rate of every step, from the full rate and a
//!   [`batchscope_core::Schedule`] of warm-up and decay, whose shapes are [`SCHEDULES`];
//! * [`Controller`]: the learning rate and batch size of every step, from the steps before it, a
//!   file each in `controllers/`, listed in [`CONTROLLERS`];
//! * [`token_half_life_beta2`]: Adam's β2 at a batch size.

mod controller;
mod controllers;
mod error;
mod gaussian_process;
mod half_life;
mod learning_rate;
mod phases;
mod rule;
mod rules;
mod schedules;

pub use controller::{
    BatchSizes, BuildController, Controller, ControllerError, ControllerKind, Course, StepSeen,
    StepSetting, controller, finds_rate, length_of_run, steps_to_draw,
};
pub use controllers::{CONTROLLERS, check_rows, read_rows, write_rows};
pub use error::RulesError;
pub use half_life::token_half_life_beta2;
pub use learning_rate::{LearningRate, steps_in};
pub use rule::{Base, Moves, Rule, RuleKind, Setting};
pub use rules::RULES;
pub use schedules::{SCHEDULES, ScheduleKind, read_decay, write_decay};
