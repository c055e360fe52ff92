//! What the noise scales in other norms than the Euclidean share: blocks of parts, two readings of the gradient's norm, and the
//! interval from the one to the other.

use batchscope_core::{Estimate, statistics::t_quantile};
use serde::{Deserialize, Serialize};

use super::NoiseError;

/// Blocks of the jackknife.
pub const NORM_BLOCKS: usize = 8;

/// A noise scale in a norm of its own, and what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormNoise {
    /// The square of the deviation's norm over that of the gradient's, in examples.
    pub noise_scale: Estimate,
    /// The norm of one example's deviation.
    pub deviation: f64,
    /// The gradient's norm, its bias removed; as it comes where the noise scale is a bound.
    pub gradient: f64,
    /// The norm of the mean gradient as it comes, bias included.
    pub plain_gradient: f64,
    /// Examples in all parts.
    pub examples: u64,
}

/// The two norms of some parts.
pub(super) struct Norms {
    /// Of one example's deviation.
    pub deviation: f64,
    /// Of the mean gradient as it comes.
    pub plain: f64,
    /// Of the gradient without its bias: the larger reading, and the smaller.
    pub gradients: [f64; 2],
}

impl Norms {
    /// The logarithms of the noise scale by both readings.
    fn log_scales(&self) -> [f64; 2] {
        self.gradients
            .map(|gradient| 2.0 * (self.deviation / gradient).ln())
    }
}

/// The parts of each of [`NORM_BLOCKS`] blocks.
///
/// # Errors
/// With other numbers of blocks or parts, or fewer than two parts a block.
pub(super) fn parts_of(
    blocks: impl ExactSizeIterator<Item = u64> + Clone,
) -> Result<u64, NoiseError> {
    let parts = blocks.clone().next().unwrap_or(0);
    if blocks.len() != NORM_BLOCKS || parts < 2 || blocks.clone().any(|other| other != parts) {
        let why = format!("{NORM_BLOCKS} blocks of equally many parts, two at least, are needed");
        return Err(NoiseError::Sizes(why));
    }
    Ok(parts)
}

/// The noise scale of the `whole`, of `parts` a block and `part` examples a part. Its interval reaches from the larger reading
/// of the gradient to the smaller, each end by a jackknife over the norms `without` one block; the estimate is the geometric
/// mean of the two. Where there is a reason why the readings are `too_biased`, it is at least what the plain norm says.
pub(super) fn noise_scale(
    whole: &Norms,
    without: impl Fn(usize) -> Norms,
    too_biased: Option<&str>,
    (parts, part): (u64, u64),
    level: f64,
) -> NormNoise {
    let n = parts * NORM_BLOCKS as u64;
    let found = |noise_scale, gradient| NormNoise {
        noise_scale,
        deviation: whole.deviation,
        gradient,
        plain_gradient: whole.plain,
        examples: n * part,
    };
    if whole.plain == 0.0 || whole.deviation == 0.0 {
        let why = match whole.plain == 0.0 {
            true => "every gradient is 0",
            false => "all gradients are the same: there is no noise",
        };
        return found(Estimate::undefined(level, n, why), whole.plain);
    }
    if let Some(why) = too_biased {
        let least = (whole.deviation / whole.plain).powi(2);
        return found(Estimate::at_least(least, level, n, why), whole.plain);
    }
    let without: Vec<[f64; 2]> = (0..NORM_BLOCKS)
        .map(|block| without(block).log_scales())
        .collect();
    let t = t_quantile(level, NORM_BLOCKS as f64 - 1.0);
    let half = |which: usize| {
        let k = NORM_BLOCKS as f64;
        let mean = without.iter().map(|scales| scales[which]).sum::<f64>() / k;
        let squares: f64 = without
            .iter()
            .map(|scales| (scales[which] - mean).powi(2))
            .sum();
        t * ((k - 1.0) / k * squares).sqrt()
    };
    let [low, high] = whole.log_scales();
    let noise_scale = Estimate::estimated(
        f64::midpoint(low, high).exp(),
        (low - half(0)).exp(),
        (high + half(1)).exp(),
        level,
        n,
    );
    let [larger, smaller] = whole.gradients;
    found(noise_scale, (larger * smaller).sqrt())
}
