//! The trainer that runs somebody's program: `python train.py --bs {batch_size} --lr {learning_rate}`.
//!
//! A trial is one run of the program. Its words come from a [`Template`], in which placeholders stand for the
//! trial's settings; the same settings are in its environment (`BATCHSCOPE_BATCH_SIZE` …). What the program
//! reports comes back through `sources/`: lines of its standard output, a file of JSON lines, a CSV file.
//! Each report is a step with values ([`Reading`]); names are matched as those of a table are. A
//! [`batchscope_core::TrialDriver`] takes the reports and says when the trial has ended.
//!
//! Programs are not trusted. A line has a longest length, a report must go forward, a program that ignores
//! being told to stop is killed, and with it everything that it has started ([`Child`]). How it ends has a
//! meaning ([`Exit`]): done, diverged, out of memory, try again.
//!
//! Words may begin with a client of Slurm, which runs the program elsewhere: it is then reached through Slurm.
//!
//! What a program cannot promise is not relied on: its trials are neither deterministic nor resumed exactly.

mod child;
mod devices;
mod ends;
mod exit;
mod files;
mod lines;
mod orphans;
mod reading;
mod slurm;
mod sources;
mod template;
mod trainer;
mod trial;

pub use child::{Child, Stopped};
pub use devices::{Devices, Slot};
pub use exit::{Exit, kills_for_memory, out_of_memory};
pub use lines::{LONGEST_LINE, Lines};
pub use orphans::end_orphans;
pub use reading::{Names, Reading, metrics_of_output};
pub use sources::{Pattern, protocol_schema};
pub use template::{PLACEHOLDERS, Placeholder, Template, TemplateError};
pub use trainer::{CommandConfig, CommandTrainer};
