//! The command line as typed. Meaning is given in `settings` and `resolve`.

mod branch;
mod exchange;
mod fit;
mod landscape;
mod memory;
mod navigate;
mod reproduce;
mod scale;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use branch::BranchArgs;
pub use exchange::{ExchangeArgs, Stated};
pub use fit::FitArgs;
pub use landscape::{
    LandscapeArgs, LandscapeWhat, NormChoice, PathChoice, PrecisionChoice, StatisticsChoice,
    SurfaceChoice,
};
pub use memory::MemoryArgs;
pub use navigate::{NavigateArgs, NavigateBench, NavigateRender, NavigateTrain, NavigateWhat};
pub use reproduce::ReproduceArgs;
pub use scale::ScaleArgs;

use crate::{
    commands::advise,
    settings::{
        ComparisonArgs, ComputeArgs, DataArgs, ExamplesArgs, MeasureArgs, ModelArgs, ReadArgs,
        RunArgs, StepArgs, StudySettings, TrainerArgs, TrialArgs, Workload,
    },
    values::{self, Measurements},
};

/// Finds the batch size to train with, and shows the evidence.
#[derive(Debug, Parser)]
#[command(
    name = "batchscope",
    version,
    about = "Finds the batch size to train with, and shows the evidence",
    long_about = "Trains over a range of batch sizes under fair tuning, measures how many steps, examples and \
                  seconds each needs to reach a target, and finds the critical batch size: the point past \
                  which a larger batch no longer buys proportionally fewer steps.",
    after_help = "Run `batchscope study` without any flag for a complete study on built-in images, in about a minute.",
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Suppress progress output
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find the critical batch size of a model on data
    #[command(
        after_help = "Run a study's command again to resume it. A larger --seeds, or more --batch-sizes, extends a finished study."
    )]
    Study(Box<StudyArgs>),
    /// Compare optimizers and rules over batch sizes, at equal budgets and seeds
    #[command(
        after_help = "Without --target, runs are equally long and their metric at the end is compared; with one, the steps to it. The first method is the baseline of the others. The same command resumes an interrupted comparison."
    )]
    Compare(Box<CompareArgs>),
    /// Find the critical batch size along a run, by going on from its checkpoints with other batch sizes
    #[command(
        after_help = "From every checkpoint, branches at k times the run's batch size see as many examples each. The critical batch size there is the largest whose loss in the end stays within the tolerance. The same command resumes what was interrupted."
    )]
    Branch(Box<BranchArgs>),
    /// Find the critical batch size in a table of runs measured elsewhere
    #[command(
        after_help = "A table has a row a run: its batch size, and the steps, examples, epochs or tokens it took. A log has several rows a run: --target says which value of a metric they are to reach."
    )]
    Fit(Box<FitArgs>),
    /// Carry a learning rate to another batch size, by every rule and by what was measured
    Scale(Box<ScaleArgs>),
    /// Train one configuration
    Train(Box<TrainArgs>),
    /// Find the largest micro-batch that fits, by trying, and how fast each is
    #[command(
        after_help = "Sizes are tried in processes with a limit on their address space, which the kernel ends before any other. Of a program, named after --, memory that runs out shows by how it ends."
    )]
    Memory(Box<MemoryArgs>),
    /// Measure the gradient noise scale of a model
    #[command(
        after_help = "On text, hidden states are carried along the streams, as in training: steps are not independent draws, which the interval does not allow for."
    )]
    Noise(Box<NoiseArgs>),
    /// Measure the loss landscape at a checkpoint: sharpness, curvature, slices
    #[command(
        after_help = "Without a measurement's flag: Keskar's sharpness in the full space, and the largest eigenvalue."
    )]
    Landscape(Box<LandscapeArgs>),
    /// Recommend a batch size, micro-batch and number of devices from a study
    Advise(AdviseArgs),
    /// Measure what replicas on this machine pay for exchanging vectors; model when gossip pays on a network
    #[command(
        after_help = "Times are of this machine, by its name, and never of a network: `advise --exchange` takes them there alone. A network is what --model states."
    )]
    Exchange(Box<ExchangeArgs>),
    /// Train an agent to find its way, draw what it sees, or time the simulator
    #[command(
        after_help = "`batchscope study --workload navigation` asks how large a batch such training can use."
    )]
    Navigate(Box<NavigateArgs>),
    /// Regenerate a study's report
    Report(ReportArgs),
    /// List a study's trials
    Trials(TrialsArgs),
    /// Export a study's trials
    Export(ExportArgs),
    /// Reproduce a published experiment and compare
    #[command(
        after_help = "Without a name, lists the experiments. The same command resumes an interrupted run."
    )]
    Reproduce(Box<ReproduceArgs>),
    /// List, check or fetch data sets
    Data(DataCommandArgs),
    /// Print the JSON schema of what other programs read and write
    Schema {
        /// Of what
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Print a shell completion script
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man {
        /// Write one page per command into this folder instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// `batchscope study`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct StudyArgs {
    /// The study's settings.
    #[command(flatten)]
    pub settings: StudySettings,
    /// Folder of the study: results, and what resuming needs
    #[arg(
        long,
        value_name = "DIR",
        default_value = "batchscope-study",
        help_heading = "Running"
    )]
    pub dir: PathBuf,
    /// Read settings from this file; flags win over it
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub config: Option<PathBuf>,
    /// Print the plan and what it would cost, and run nothing
    #[arg(long, help_heading = "Running")]
    pub dry_run: bool,
    /// Print the findings as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// `batchscope compare`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct CompareArgs {
    /// What is compared.
    #[command(flatten)]
    pub comparison: ComparisonArgs,
    /// Batch sizes, target, how many trials.
    #[command(flatten)]
    pub trials: TrialArgs,
    /// What trains: built-in, navigation, with its settings, as in navigation(rooms=2), or a trainer that this program was built with [default: built-in]
    #[arg(
        long,
        alias = "workload",
        value_name = "NAME",
        help_heading = "Trainer"
    )]
    pub trainer: Option<String>,
    /// The data.
    #[command(flatten)]
    pub data: DataArgs,
    /// How they are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Which of them.
    #[command(flatten)]
    pub examples: ExamplesArgs,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// How a step is made.
    #[command(flatten)]
    pub step: StepArgs,
    /// Where it is computed.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Evaluate on at most this many examples of each split [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Measuring", value_parser = values::at_least_one)]
    pub eval_examples: Option<u64>,
    /// Measure these too, in the runs that are compared: linearity, sign_noise, attacked(epsilon=0.1)
    #[arg(long, value_name = "MEASUREMENTS", help_heading = "Measuring")]
    pub measure: Option<Measurements>,
    /// Folder of the comparison: results, and what resuming needs
    #[arg(
        long,
        value_name = "DIR",
        default_value = "batchscope-compare",
        help_heading = "Running"
    )]
    pub dir: PathBuf,
    /// Read settings from this file; flags win over it
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub config: Option<PathBuf>,
    /// Print what was found as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl CompareArgs {
    /// As a study's settings.
    pub fn settings(&self) -> StudySettings {
        StudySettings {
            trainer: TrainerArgs {
                trainer: self.trainer.clone(),
                ..TrainerArgs::default()
            },
            workload: Workload {
                data: self.data.clone(),
                read: self.read.clone(),
                examples: self.examples.clone(),
                model: self.model.clone(),
                step: self.step.clone(),
                compute: self.compute.clone(),
                measure: MeasureArgs {
                    eval_examples: self.eval_examples,
                    measure: self.measure.clone(),
                    ..MeasureArgs::default()
                },
                ..Workload::default()
            },
            trials: self.trials.clone(),
            comparison: self.comparison.clone(),
            ..StudySettings::default()
        }
    }
}

/// `batchscope train`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct TrainArgs {
    /// Data, model, optimizer.
    #[command(flatten)]
    pub workload: Workload,
    /// Batch size, rate and length.
    #[command(flatten)]
    pub run: RunArgs,
    /// Folder for checkpoints; an unfinished run found there is resumed
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub checkpoint: Option<PathBuf>,
    /// Also keep the checkpoints of these steps, as step-N.safetensors, to branch from: 100,200,400
    #[arg(long, value_name = "STEPS", help_heading = "Running", requires = "checkpoint", value_delimiter = ',', value_parser = values::at_least_one)]
    pub keep: Vec<u64>,
    /// Also measure the noise scale in the ℓ1 norm, of Adam and other optimizers that go by signs, at each evaluation (train-noise_l1); keeps 64 bytes a parameter
    #[arg(long, help_heading = "Measuring")]
    pub l1: bool,
    /// Write the run's learning rates and batch sizes, as other trainers can follow them, to this CSV or JSON file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub write_schedule: Option<PathBuf>,
    /// Print the record of the run as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// `batchscope noise`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct NoiseArgs {
    /// The data.
    #[command(flatten)]
    pub data: DataArgs,
    /// How they are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Which of them.
    #[command(flatten)]
    pub examples: ExamplesArgs,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Measure the network saved there, a file or the folder of `train --checkpoint`, instead of fresh weights; the model is its own unless --model says otherwise
    #[arg(long, value_name = "PATH", help_heading = "Measuring")]
    pub checkpoint: Option<PathBuf>,
    /// Examples per step (default: 256, or an eighth of a smaller training set)
    #[arg(long, value_name = "B", help_heading = "Measuring")]
    pub batch_size: Option<u64>,
    /// Stop once the ends of the interval are less than this factor apart [default: 1.25]
    #[arg(long, value_name = "RATIO", help_heading = "Measuring")]
    pub width: Option<f64>,
    /// Stop after this many examples at the latest (default: one pass over the training set)
    #[arg(long, value_name = "N", help_heading = "Measuring")]
    pub max_examples: Option<u64>,
    /// Also measure how far the gradient of 1, 2, 4, ... examples is from that of all, and the time it takes
    #[arg(long, help_heading = "Measuring")]
    pub law: bool,
    /// Also measure the noise scale in the ℓ1 norm, B_ℓ1 = ‖σ‖₁²/‖∇L‖₁², of Adam and other optimizers that go by signs; keeps 64 bytes a parameter
    #[arg(long, help_heading = "Measuring")]
    pub l1: bool,
    /// Also measure the noise scale in the nuclear norm, B_S1 = ‖C^½‖*²/‖∇L‖*², of the matrices that Muon moves
    #[arg(long, help_heading = "Measuring")]
    pub nuclear: bool,
    /// Also measure the noise scale weighted by curvature, B_noise = tr(HΣ)/GᵀHG, by Hessian-vector products
    #[arg(long, help_heading = "Measuring")]
    pub curvature: bool,
    /// With --curvature: number of micro-batches, of --batch-size examples where the data suffice; each takes one Hessian-vector product and keeps a gradient of 4 bytes a parameter [default: 32]
    #[arg(
        long,
        value_name = "N",
        help_heading = "Measuring",
        requires = "curvature"
    )]
    pub products: Option<u64>,
    /// With --curvature: examples that the Hessian is averaged over; none of them is in a micro-batch (default: 1024, or a quarter of a smaller training set)
    #[arg(
        long,
        value_name = "N",
        help_heading = "Measuring",
        requires = "curvature"
    )]
    pub hessian_examples: Option<u64>,
    /// Print what was found as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// `batchscope advise`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct AdviseArgs {
    /// A study's folder
    pub dir: PathBuf,
    /// Take the steps from this curve (default: tuned, or the best rule)
    #[arg(long, value_name = "CURVE")]
    pub curve: Option<String>,
    /// Consider up to this many devices
    #[arg(long, value_name = "N", default_value_t = advise::MAX_DEVICES)]
    pub max_devices: u64,
    /// All-reduce latency per message, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = advise::LATENCY, value_parser = values::at_least_zero)]
    pub latency: f64,
    /// Bytes a second over a link: 12.5G for 100 Gbit/s
    #[arg(long, value_name = "BYTES", default_value = "12.5G", value_parser = values::rate)]
    pub bandwidth: f64,
    /// Price of one device, per hour, in your currency
    #[arg(long, value_name = "PRICE", value_parser = values::at_least_zero)]
    pub price_per_hour: Option<f64>,
    /// Power of one device in watts
    #[arg(long, value_name = "W", value_parser = values::at_least_zero)]
    pub watts: Option<f64>,
    /// Seconds of measuring per batch size
    #[arg(long, value_name = "SECONDS", default_value_t = advise::BUDGET)]
    pub budget: f64,
    /// Also steps of several replicas on this machine, with the exchanges that `batchscope exchange --out FILE` measured on it
    #[arg(long, value_name = "FILE")]
    pub exchange: Option<PathBuf>,
    /// Print the advice as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `batchscope report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A study's folder
    pub dir: PathBuf,
    /// Print the findings as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `batchscope trials`.
#[derive(Debug, Args)]
pub struct TrialsArgs {
    /// A study's folder
    pub dir: PathBuf,
    /// Print the trials as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `batchscope export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A study's folder
    pub dir: PathBuf,
    /// Output format
    #[arg(long, alias = "format", value_enum, value_name = "FORMAT")]
    pub to: ExportFormat,
    /// One row an evaluation, instead of one a trial
    #[arg(long)]
    pub evaluations: bool,
    /// Write to this file; `-` is standard output. For tensorboard a folder, which must be new or empty
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

/// What `batchscope schema` prints the schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// `findings.json`, which studies and `fit` write, and `--json` prints
    Findings,
    /// A line that a training program reports, in $BATCHSCOPE_EVENTS or on its output
    Reports,
}

/// Formats of `batchscope export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One row a trial
    Csv,
    /// Findings and trials, with every evaluation
    Json,
    /// As CSV, in Apache Parquet
    Parquet,
    /// Event files: a run a trial, with its settings for the HParams dashboard
    Tensorboard,
}

/// `batchscope data`.
#[derive(Debug, Args)]
pub struct DataCommandArgs {
    /// What to do with data.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// The commands of `batchscope data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the data sets that can be fetched, and the formats that can be read
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Read a data set through, and say what is in it or what is wrong with it
    Check {
        /// `glyphs`, or a file or folder
        source: String,
        /// How it is read.
        #[command(flatten)]
        read: ReadArgs,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Download a data set from its publisher, verified, resuming what is half there
    Fetch {
        /// mnist, fashion-mnist, cifar10, cifar100 or svhn
        name: String,
        /// Folder to put it in (default: ./data/NAME)
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Take the files from this address instead of the publisher's
        #[arg(long, value_name = "URL")]
        base_url: Option<String>,
    },
}
