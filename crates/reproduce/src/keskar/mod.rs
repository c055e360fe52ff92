//! N. S. Keskar, D. Mudigere, J. Nocedal, M. Smelyanskiy, P. T. P. Tang, "On Large-Batch Training
//! for Deep Learning: Generalization Gap and Sharp Minima" (arXiv 1609.04836).
//!
//! The same network is trained from the same random starts in small and in large batches with ADAM
//! until the training loss stops improving; the sharpness of the minima, their accuracy and their
//! distance from the start are compared, start by start. See [`Setting`] for what is fixed, and
//! [`Part`] for what is measured.
//!
//! Where the paper is silent, or what it did does not fit an evening:
//!
//! * sharpness is that of the loss on a stated subset of the training set, not on all of it;
//! * batch norm takes its statistics over the whole batch, small or large, as theirs did, unless the
//!   network says otherwise; sharpness and slices are those of the network in evaluation;
//! * learning rates are ADAM's default at every batch size, as theirs seem to have been: the paper
//!   names none.

mod assemble;
mod compare;
mod lab;
mod plan;
mod published;
mod record;
mod results;
mod setting;
mod sharpness;
mod slices;
mod stored;
mod table;
mod task;
mod training;
mod work;

pub use assemble::results;
pub use compare::{Claim, Verdict};
pub use lab::{ExperimentContext, MakeObjective, Reestimate};
pub use plan::{Part, Plan, Scope};
pub use published::{PUBLISHED, Published};
pub use record::{Ended, EpochLoss, RunRecord, SharpnessRecord, SlicePoint, SliceRecord, Snapshot};
pub use results::{
    Contrast, Distance, Minimum, Remedy, Results, RowKind, SlicePair, TableRow, WarmStart,
};
pub use setting::{Adversarial, Conservative, Plateau, Setting, Sharpening};
pub use task::{Method, Quantity, RunId, Shape, Space, StateId, Statistics};
pub use work::{Pace, forecast, run};
