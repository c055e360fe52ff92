use serde::{Deserialize, Serialize};

/// How a study was run: what a reviewer asks for and the trials do not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HowRun {
    /// The command line that ran, or would run again, the study.
    pub command: String,
    /// Version of batchscope, with its commit where known.
    pub version: String,
    /// Compiler it was built with.
    pub rustc: String,
    /// The machine.
    pub machine: Machine,
    /// When the study began, as text with its time zone; empty if unknown.
    pub started: String,
    /// When it ended.
    pub finished: String,
    /// Seconds between them during which it ran; 0 if unknown.
    pub seconds: f64,
    /// What was decided on the way and why, in order, a sentence each.
    pub decisions: Vec<String>,
    /// The resolved settings, `study.toml`.
    pub settings_toml: String,
    /// Other remarks.
    pub notes: Vec<String>,
}

/// A machine, as far as it matters to times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Name of the processor.
    pub cpu: String,
    /// Cores used.
    pub cores: u64,
    /// Bytes of memory; 0 if unknown.
    pub memory: u64,
}
