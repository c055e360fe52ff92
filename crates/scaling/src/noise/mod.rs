//! Gradient noise: how much of a batch's gradient is signal.
//!
//! * \[MKA\] S. McCandlish, J. Kaplan, D. Amodei et al., "An Empirical Model of Large-Batch
//!   Training" (arXiv 1812.06162), section 2.2 and appendix A.
//!
//! `g_B` is the mean gradient over a batch of `B` examples, `G` its expectation, `Σ` the covariance
//! of one example's gradient. The *noise scale* is the batch size at which noise and signal are of
//! equal size (\[MKA\] equations 2.8 and 2.9):
//!
//! ```text
//! B_simple = tr Σ / |G|²          B_noise = tr(HΣ) / (GᵀHG)
//! ```
//!
//! Both are ratios of two *pieces*, each estimated without bias from squared norms alone
//! ([`Pieces`]); they are averaged, or smoothed along training, *apart*, and divided last. A ratio
//! of unbiased numbers is not unbiased, and `|G|²` may not differ from 0, so the interval is
//! Fieller's ([`Replicates`]): bounded where `|G|²` is significant, open above where it is not.
//!
//! **Two gradients, kept apart.** A training set of `N` examples is itself a sample. With batches
//! drawn from it without replacement, `E|g_B|² = |G_N|² + tr Σ·(1/B − 1/N)`: the pieces as they
//! come estimate the *population's* `|G|²` and `tr Σ`; the *training set's* gradient, the one full
//! batches descend, has `|G_N|² = |G|² + tr Σ/N` ([`Pieces::of_training_set`]).
//!
//! **What must hold of the gradients.** Weight decay is left out of them (it is no noise). With
//! batch norm in training mode an example has no gradient of its own: then the "examples" here are
//! ghost batches, or there is no answer.

mod course;
mod curvature;
mod groups;
mod layers;
mod norms;
mod nuclear;
mod pieces;
mod ratio;
mod replicates;
mod sign;
mod smooth;

pub use course::{COURSE_STEPS, LayerNoiseScale, NoiseAt, NoiseTrajectory, noise_of};
pub use curvature::CurvedNoise;
pub use groups::Groups;
pub use layers::{LayerEstimates, LayerReplicates};
pub use norms::{NORM_BLOCKS, NormNoise};
pub use nuclear::{MatrixSums, nuclear_noise};
pub use pieces::{NoiseError, Pieces, mean_square_error};
pub use replicates::{NoiseEstimates, NoiseScale, Replicates, Sampling};
pub use sign::{CoordinateSums, sign_noise};
pub use smooth::Smoothed;
