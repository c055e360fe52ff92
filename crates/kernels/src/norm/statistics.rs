//! From the sums of single images to ghost batches, in double precision and in the images' order.

use super::{NormParameters, NormShape};
use crate::simd::Real;
use crate::workspace::{Scratch, Workspace};

/// Joins the images' moments (of [`super::image::moments`], image by image) into the mean and the
/// biased variance of each ghost batch, `[ghost batches, channels]`, by the update of Chan, Golub
/// & LeVeque (1979).
pub(crate) fn join_moments<T: Real>(
    shape: &NormShape,
    moments: &[f64],
    mean: &mut [T],
    variance: &mut [T],
) {
    let channels = shape.channels;
    for channel in 0..channels {
        for (ghost, images) in moments.chunks(2 * channels * shape.ghost).enumerate() {
            let (mut count, mut joined, mut squares) = (0.0, 0.0, 0.0);
            for image in images.chunks_exact(2 * channels) {
                let added = shape.pixels as f64;
                let difference = image[channel] - joined;
                count += added;
                joined += difference * added / count;
                squares += image[channels + channel]
                    + difference * difference * added * (count - added) / count;
            }
            mean[ghost * channels + channel] = T::from_f64(joined);
            variance[ghost * channels + channel] = T::from_f64((squares / count).max(0.0));
        }
    }
}

/// `γ / √(variance + ε)`, `[ghost batches, channels]`.
pub(crate) fn scales<'w, T: Real>(
    workspace: &'w Workspace,
    parameters: &NormParameters<'_, T>,
    variance: &[T],
) -> Scratch<'w, T> {
    let mut scales = workspace.take(variance.len());
    let channels = parameters.gamma.len();
    for (scales, variance) in scales
        .chunks_exact_mut(channels)
        .zip(variance.chunks_exact(channels))
    {
        for ((scale, &variance), &gamma) in scales.iter_mut().zip(variance).zip(parameters.gamma) {
            *scale = T::from_f64(gamma.to_f64() / (variance.to_f64() + parameters.epsilon).sqrt());
        }
    }
    scales
}

/// Coefficients of the input's gradient, `[ghost batches, channels]` each.
pub(crate) struct Coefficients<'w, T: Real> {
    pub scale: Scratch<'w, T>,
    pub slope: Scratch<'w, T>,
    pub offset: Scratch<'w, T>,
}

/// Joins the images' gradient sums and writes `dγ = Σ g·x̂` and `dβ = Σ g` over all ghost batches.
///
/// With `r = 1/√(variance + ε)`, `x̂ = (x − mean)·r` and `m` numbers in a ghost batch,
/// `dx = γr·(g − Σg/m − x̂·Σ(g·x̂)/m)` (Ioffe & Szegedy 2015, section 3).
pub(crate) fn join_gradients<'w, T: Real>(
    workspace: &'w Workspace,
    shape: &NormShape,
    parameters: &NormParameters<'_, T>,
    variance: &[T],
    sums: &[f64],
    dgamma: &mut [T],
    dbeta: &mut [T],
) -> Coefficients<'w, T> {
    let channels = shape.channels;
    let [mut scale, mut slope, mut offset] = [(); 3].map(|()| workspace.take(variance.len()));
    for channel in 0..channels {
        let (mut all_gamma, mut all_beta) = (0.0, 0.0);
        for (ghost, images) in sums.chunks(2 * channels * shape.ghost).enumerate() {
            let at = ghost * channels + channel;
            let (mut sum, mut product) = (0.0, 0.0);
            for image in images.chunks_exact(2 * channels) {
                sum += image[channel];
                product += image[channels + channel];
            }
            let m = (images.len() / (2 * channels) * shape.pixels) as f64;
            let r = 1.0 / (variance[at].to_f64() + parameters.epsilon).sqrt();
            let gamma = parameters.gamma[channel].to_f64();
            all_gamma += product * r;
            all_beta += sum;
            scale[at] = T::from_f64(gamma * r);
            slope[at] = T::from_f64(-gamma * r * r * r * product / m);
            offset[at] = T::from_f64(-gamma * r * sum / m);
        }
        dgamma[channel] = T::from_f64(all_gamma);
        dbeta[channel] = T::from_f64(all_beta);
    }
    Coefficients {
        scale,
        slope,
        offset,
    }
}
