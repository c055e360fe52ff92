//! What the experiment found, as it is stored and reported.

use batchscope_core::Estimate;
use serde::{Deserialize, Serialize};

use super::compare::Claim;
use super::record::{RunRecord, SliceRecord};
use super::setting::Setting;
use super::task::{Method, Statistics};

/// How two columns of the table are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contrast {
    /// Large over small, start by start, on the logarithm.
    Ratio,
    /// Small minus large, start by start.
    Difference,
}

/// What a row of the table measures: decides which of the paper's statements it is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// Test accuracy.
    Accuracy,
    /// Training loss; also the kind of a row whose file does not name one.
    #[default]
    Loss,
    /// Sharpness by any definition.
    Sharpness,
}

/// A row of the table: small against large batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    /// What kind of number it is.
    #[serde(default)]
    pub kind: RowKind,
    /// What: `test accuracy (%)`, `φ, full space, ε = 1e-3 (%)`.
    pub quantity: String,
    /// Its mean over the starts in small batches.
    pub small: Estimate,
    /// In large batches.
    pub large: Estimate,
    /// How they are compared.
    pub contrast: Contrast,
    /// Their comparison, paired over the starts.
    pub compared: Estimate,
    /// The published means, small and large, where there are any.
    pub published: Option<[f64; 2]>,
}

/// How far minima lie from where training began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// `‖x_S − x₀‖`.
    pub small: Estimate,
    /// `‖x_L − x₀‖`.
    pub large: Estimate,
    /// Small over large, start by start.
    pub ratio: Estimate,
}

/// The slices of a start, straight and curved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlicePair {
    /// The start.
    pub start: u32,
    /// Where batch norm's statistics come from.
    #[serde(default)]
    pub statistics: Statistics,
    /// The straight one.
    pub straight: Option<SliceRecord>,
    /// The curved one.
    pub curved: Option<SliceRecord>,
}

/// A minimum, or a state on the way to one: what it is worth and how sharp it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Minimum {
    /// Examples per step of its run.
    pub batch_size: u64,
    /// Number of its start.
    pub start: u32,
    /// Epochs done.
    pub epoch: u32,
    /// Training loss.
    pub train_loss: f64,
    /// Test accuracy, a fraction.
    pub test_accuracy: f64,
    /// φ in the full space at the first ε; its interval is over the starts of the maximization.
    pub phi: Estimate,
}

/// What came of a warm start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarmStart {
    /// Epochs of small batches before.
    pub after: u32,
    /// Where the large batches ended.
    pub minimum: Minimum,
}

/// What a method of training in large batches came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    /// The method; plain for the two that the others are compared with.
    pub method: Method,
    /// Examples per step.
    pub batch_size: u64,
    /// Test accuracy in per cent.
    pub test_accuracy: Estimate,
    /// Its gain over plain large batches in per cent, start by start.
    pub gain: Estimate,
    /// φ in the full space at the first ε.
    pub phi: Estimate,
    /// φ over that of plain large batches, start by start.
    pub phi_ratio: Estimate,
}

/// Everything the experiment has found so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The setting that every number depends on.
    pub setting: Setting,
    /// Small against large.
    pub table: Vec<TableRow>,
    /// How far from the start.
    pub distance: Option<Distance>,
    /// Between the minima.
    pub slices: Vec<SlicePair>,
    /// Against the batch size, by batch size and start.
    pub batch_sizes: Vec<Minimum>,
    /// Along training.
    pub trajectory: Vec<Minimum>,
    /// From small to large batches.
    pub warm_starts: Vec<WarmStart>,
    /// Against sharp minima.
    pub remedies: Vec<Remedy>,
    /// The paper's statements beside ours.
    pub claims: Vec<Claim>,
    /// What a reader must know: runs that reached their cap, diverged or were left out.
    pub notes: Vec<String>,
    /// Every run.
    pub runs: Vec<RunRecord>,
}
