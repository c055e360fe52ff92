//! Published experiments as plans of runs and measurements.
//!
//! [`keskar`] is N. S. Keskar et al., "On Large-Batch Training for Deep Learning: Generalization Gap
//! and Sharp Minima" (arXiv 1609.04836): small against large batches, the sharpness of the minima
//! they reach, and three remedies.
//!
//! An experiment is a list of tasks. Each task writes one file to the experiment's folder, under a
//! temporary name that is then changed to its own. So a finished task is never repeated, whatever
//! stops the others. Tasks run in parallel. Their numbers depend on the plan and its seed alone.

mod error;
mod folder;
mod interval;
pub mod keskar;
mod runner;
mod stop_signal;

pub use error::ReproduceError;
pub use folder::Folder;
pub use runner::{ExperimentEvent, Side};

/// An experiment that can be reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experiment {
    /// Its name: the first author and the year, such as `keskar-2016`.
    pub name: &'static str,
    /// Authors, title and where it was published.
    pub source: &'static str,
    /// What is done, in a sentence.
    pub about: &'static str,
}

/// Every experiment there is.
pub const EXPERIMENTS: [Experiment; 1] = [Experiment {
    name: "keskar-2016",
    source: "Keskar et al., On Large-Batch Training for Deep Learning: Generalization Gap and Sharp \
             Minima (arXiv 1609.04836)",
    about: "small against large batches: accuracy, sharpness, slices between the minima, warm starts, \
            and three remedies",
}];
