//! `batchscope landscape` as typed.

use std::path::PathBuf;

use batchscope_data::Validation;
use batchscope_nn::DeviceSpec;
use clap::{Args, ValueEnum};

use crate::{
    settings::{DataArgs, ReadArgs},
    values,
};

/// `batchscope landscape`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct LandscapeArgs {
    /// A checkpoint of `batchscope train --checkpoint DIR`: the folder, or the file in it
    pub checkpoint: PathBuf,
    /// What to measure.
    #[command(flatten)]
    pub what: LandscapeWhat,
    /// The loss.
    #[command(flatten)]
    pub loss: LandscapeLoss,
    /// Folder of the results; measurements found there are not repeated
    #[arg(
        long,
        value_name = "DIR",
        default_value = "batchscope-landscape",
        help_heading = "Running"
    )]
    pub dir: PathBuf,
    /// Print what each measurement would cost, and measure nothing
    #[arg(long, help_heading = "Running")]
    pub dry_run: bool,
    /// Print the results as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// What `batchscope landscape` measures.
#[derive(Debug, Args)]
pub struct LandscapeWhat {
    /// Sharpness: Keskar's in the full space and in 100 random dimensions, for ε of 1e-3 and 5e-4, and adaptive worst and average cases
    #[arg(long, help_heading = "Measurements")]
    pub sharpness: bool,
    /// Spectrum of the Hessian: largest eigenvalues, trace, density, every layer's largest eigenvalue
    #[arg(long, help_heading = "Measurements")]
    pub spectrum: bool,
    /// Eigenvalues with --spectrum
    #[arg(
        long,
        value_name = "K",
        default_value_t = 5,
        help_heading = "Measurements"
    )]
    pub top: usize,
    /// Loss and error on the way to this other checkpoint of the same model, and beyond (α from −1 to 2)
    #[arg(long, value_name = "CHECKPOINT", help_heading = "Measurements")]
    pub slice: Option<PathBuf>,
    /// With --slice: shape of the path to the other checkpoint
    #[arg(long, value_enum, value_name = "PATH", default_value_t = PathChoice::Both, help_heading = "Measurements")]
    pub path: PathChoice,
    /// Loss and error along one filter-normalized random direction, over the plane of two, or both
    #[arg(long, value_enum, value_name = "1d|2d|both", num_args = 0..=1, default_missing_value = "both", help_heading = "Measurements")]
    pub surface: Option<SurfaceChoice>,
    /// Points along each side of a surface, and along a line
    #[arg(
        long,
        value_name = "N",
        default_value_t = 21,
        help_heading = "Measurements"
    )]
    pub points: usize,
    /// Random starts of each maximization
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        help_heading = "Measurements"
    )]
    pub starts: u32,
    /// Iterations of each maximization; 10 in Keskar's paper, more to go on until they converge
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        help_heading = "Measurements"
    )]
    pub iterations: u64,
    /// Relative residual of eigenvalues
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1e-3,
        help_heading = "Measurements"
    )]
    pub tolerance: f64,
    /// Seed of starts, subspaces, probes and directions
    #[arg(
        long,
        value_name = "SEED",
        default_value_t = 0,
        help_heading = "Measurements"
    )]
    pub probe_seed: u64,
}

/// Which loss `batchscope landscape` looks at.
#[derive(Debug, Args)]
pub struct LandscapeLoss {
    /// The checkpoint's data.
    #[command(flatten)]
    pub data: DataArgs,
    /// How they are read, as in `train`.
    #[command(flatten)]
    pub read: ReadArgs,
    /// The checkpoint was trained on this many examples (`train --examples N`)
    #[arg(long, value_name = "N", help_heading = "Loss")]
    pub train_examples: Option<u64>,
    /// As in `train`: what was held out
    #[arg(long, value_name = "N|F", help_heading = "Loss")]
    pub validation: Option<Validation>,
    /// Allow data that the checkpoint was not trained on, which are refused otherwise
    #[arg(long, help_heading = "Loss")]
    pub other_data: bool,
    /// Take the mean loss over this many training examples (slices: test examples too)
    #[arg(
        long,
        alias = "examples",
        value_name = "N",
        default_value_t = 2000,
        help_heading = "Loss",
        value_parser = values::at_least_one
    )]
    pub loss_examples: u64,
    /// Batch norm by its running statistics, or by those of ghost batches
    #[arg(long, value_enum, value_name = "MODE", default_value_t = NormChoice::Evaluation, help_heading = "Loss")]
    pub norm: NormChoice,
    /// Slices: batch-norm statistics estimated at every point from the training examples of the loss, interpolated between the two checkpoints, or both
    #[arg(long, value_enum, value_name = "HOW", default_value_t = StatisticsChoice::Estimated, help_heading = "Loss")]
    pub statistics: StatisticsChoice,
    /// Numbers to compute with [default: f64 for the spectrum, f32 for all else]
    #[arg(long, value_enum, value_name = "f32|f64", help_heading = "Loss")]
    pub precision: Option<PrecisionChoice>,
    /// Compute on cpu, cuda, cuda:1, ... [default: cpu]
    #[arg(long, value_name = "DEVICE", help_heading = "Loss")]
    pub device: Option<DeviceSpec>,
}

/// `--path` of `batchscope landscape`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PathChoice {
    /// α·x + (1 − α)·y
    Straight,
    /// sin(απ/2)·x + cos(απ/2)·y
    Curved,
    /// One after the other
    Both,
}

/// `--surface` of `batchscope landscape`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SurfaceChoice {
    /// Along one direction
    #[value(name = "1d")]
    Line,
    /// Over the plane of two
    #[value(name = "2d")]
    Plane,
    /// One after the other
    Both,
}

/// `--norm` of `batchscope landscape`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NormChoice {
    /// By the running statistics
    Evaluation,
    /// By those of ghost batches
    Training,
}

/// `--statistics` of `batchscope landscape` and `batchscope reproduce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatisticsChoice {
    /// From the training examples, at every point
    Estimated,
    /// Between those of the two networks: means on a straight line, variances on one of logarithms
    Interpolated,
    /// One after the other
    Both,
}

/// `--precision` of `batchscope landscape`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionChoice {
    /// Single
    F32,
    /// Double
    F64,
}
