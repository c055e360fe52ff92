//! What a column can hold, and the headings it is known by.

use std::{fmt, str::FromStr};

use batchscope_core::plain_name as normal;

/// What a column of a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Examples per step.
    BatchSize,
    /// Optimizer steps: to the target, or up to the row of a log.
    Steps,
    /// Training examples, likewise.
    Examples,
    /// Passes over the training set, likewise.
    Epochs,
    /// Training tokens, likewise.
    Tokens,
    /// The curve that a run belongs to: a model, a rule, a method.
    Curve,
    /// The run: a seed, a name.
    Run,
    /// How the run ended.
    State,
    /// The learning rate.
    LearningRate,
    /// Seconds per step.
    StepSeconds,
    /// Seconds of training, to the target or up to the row.
    Seconds,
    /// The size of a run's curve: parameters, examples, a loss.
    Size,
    /// The metric of a log.
    Metric,
}

/// A role, with how it is found.
#[derive(Debug, Clone, Copy)]
pub struct RoleInfo {
    /// Which.
    pub role: Role,
    /// Its name in `--column NAME=HEADING`.
    pub name: &'static str,
    /// What it is, in words.
    pub about: &'static str,
    /// Headings that are taken for it, in this order, as [`batchscope_core::plain_name`] writes them.
    pub headings: &'static [&'static str],
}

/// Every role. The metric of a log is found by the name of the target's.
pub static ROLES: &[RoleInfo] = &[
    RoleInfo {
        role: Role::BatchSize,
        name: "batch_size",
        about: "batch sizes",
        headings: &[
            "batchsize",
            "globalbatchsize",
            "trainbatchsize",
            "totalbatchsize",
            "effectivebatchsize",
            "totaltrainbatchsize",
            "globalbatch",
            "batch",
            "bs",
            "bsz",
        ],
    },
    RoleInfo {
        role: Role::Steps,
        name: "steps",
        about: "steps",
        headings: &[
            "stepstotarget",
            "steps",
            "trainerglobalstep",
            "trainglobalstep",
            "globalstep",
            "step",
            "iterations",
            "iteration",
            "iters",
            "iter",
            "updates",
            "numsteps",
            "numupdates",
        ],
    },
    RoleInfo {
        role: Role::Examples,
        name: "examples",
        about: "examples",
        headings: &[
            "examplestotarget",
            "examples",
            "samples",
            "samplestotarget",
            "samplescount",
            "numexamples",
            "numsamples",
            "examplesseen",
            "samplesseen",
        ],
    },
    RoleInfo {
        role: Role::Epochs,
        name: "epochs",
        about: "epochs",
        headings: &[
            "epochstotarget",
            "epochs",
            "epoch",
            "epochnum",
            "epochcount",
            "numepochs",
        ],
    },
    RoleInfo {
        role: Role::Tokens,
        name: "tokens",
        about: "tokens",
        headings: &[
            "tokenstotarget",
            "tokens",
            "numtokens",
            "tokensseen",
            "numinputtokensseen",
        ],
    },
    RoleInfo {
        role: Role::Curve,
        name: "curve",
        about: "names of curves",
        headings: &[
            "curve",
            "rule",
            "method",
            "model",
            "modelname",
            "modelsize",
            "optimizer",
            "group",
        ],
    },
    RoleInfo {
        role: Role::Run,
        name: "run",
        about: "runs",
        headings: &[
            "run",
            "runid",
            "runname",
            "seed",
            "trial",
            "replicate",
            "repeat",
            "name",
        ],
    },
    RoleInfo {
        role: Role::State,
        name: "state",
        about: "ends of runs",
        headings: &["state", "status", "outcome", "ended"],
    },
    RoleInfo {
        role: Role::LearningRate,
        name: "learning_rate",
        about: "learning rates",
        headings: &["learningrate", "lr", "baselr", "maxlr", "peaklr", "eta"],
    },
    RoleInfo {
        role: Role::StepSeconds,
        name: "step_seconds",
        about: "seconds per step",
        headings: &[
            "stepseconds",
            "secondsperstep",
            "steptime",
            "timeperstep",
            "secperstep",
        ],
    },
    RoleInfo {
        role: Role::Seconds,
        name: "seconds",
        about: "seconds of training",
        headings: &[
            "seconds",
            "trainingseconds",
            "trainseconds",
            "secondstotarget",
            "runtime",
            "duration",
        ],
    },
    RoleInfo {
        role: Role::Size,
        name: "size",
        about: "sizes of curves",
        headings: &[
            "size",
            "parameters",
            "numparameters",
            "nparameters",
            "params",
            "nparams",
            "modelparameters",
        ],
    },
    RoleInfo {
        role: Role::Metric,
        name: "metric",
        about: "the target's metric",
        headings: &[],
    },
];

/// The roles that count how long a run trained, in the order in which they are preferred.
pub(crate) const COUNTS: [Role; 4] = [Role::Steps, Role::Examples, Role::Epochs, Role::Tokens];

impl Role {
    /// True for what is measured along a run, and no setting of it.
    pub(crate) fn is_measured(self) -> bool {
        COUNTS.contains(&self)
            || matches!(
                self,
                Role::Seconds | Role::StepSeconds | Role::State | Role::Metric
            )
    }

    /// Its entry in [`ROLES`].
    pub fn info(self) -> &'static RoleInfo {
        let found = ROLES.iter().find(|info| info.role == self);
        found.unwrap_or(&ROLES[0])
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ROLES.iter().find(|info| normal(info.name) == normal(text));
        found.map(|info| info.role).ok_or_else(|| {
            let names: Vec<&str> = ROLES.iter().map(|info| info.name).collect();
            format!(
                "'{text}' is nothing that a column can hold: choose one of {}",
                names.join(", ")
            )
        })
    }
}

/// What trackers put before the name of a setting: `params.batch_size` of MLflow, `config/lr` of W&B.
const SETTINGS: [&str; 8] = [
    "params.", "config.", "config/", "hparams/", "hparam/", "hparams.", "args.", "folder/",
];
/// What they put before a result.
const RESULTS: [&str; 3] = ["metrics.", "summary.", "summary/"];

/// A heading without what a tracker puts before it.
pub(crate) fn bare(heading: &str) -> &str {
    let heading = heading.trim();
    let found = SETTINGS
        .iter()
        .chain(&RESULTS)
        .find_map(|prefix| heading.strip_prefix(prefix));
    found.unwrap_or(heading)
}

/// True for what a tracker calls a setting: it says how long a run may train, not how long it did.
pub(crate) fn is_setting(heading: &str) -> bool {
    let heading = heading.trim();
    SETTINGS.iter().any(|prefix| heading.starts_with(prefix))
}

/// Headings that look like batch sizes and count one device's examples.
pub(crate) fn is_per_device(heading: &str) -> bool {
    let name = normal(heading);
    name.contains("batch")
        && (name.contains("perdevice") || name.contains("pergpu") || name.contains("micro"))
}
