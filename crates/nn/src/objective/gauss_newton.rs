//! Products with the generalized Gauss–Newton matrix `G = (1/W)·Σ Jᵀ·∇²ℓ·J` (N. N. Schraudolph, "Fast
//! Curvature Matrix-Vector Products for Second-Order Gradient Descent", Neural Computation 14
//! (2002)), `J` being the Jacobian of the outputs and `ℓ` the loss as a function of them.
//!
//! `J·v` is a central difference of outputs, which errs by about `ε^{2/3}`; `Jᵀ·u` is a backward pass.
//! `∇²ℓ` is `diag(p) − p·pᵀ` for the cross-entropy of a softmax `p`, whatever the labels, and 2 for a
//! squared error. `G` is positive semi-definite, and the Hessian where all residuals are zero.

use batchscope_core::NetworkError;
use batchscope_core::UNLABELED;

use super::{Chunk, NetworkObjective, along};
use crate::{
    loss::Targets,
    storage::{Storage, to_numbers},
};

impl NetworkObjective {
    /// `G·v` at `x` into `product`.
    pub(super) fn gauss_newton(
        &mut self,
        x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Result<(), NetworkError> {
        product.fill(0.0);
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let length = norm(v);
        if length == 0.0 {
            return Ok(());
        }
        let precision = self.settings.precision;
        let step = precision.epsilon().cbrt() * norm(x).max(1.0) / length;
        let [ahead, behind] = [step, -step].map(|step| along(x, step, v));
        let ghost = self.groups();
        let factor = 1.0 / self.weight;
        for start in (0..self.examples.len).step_by(self.chunk) {
            let mut chunk = Chunk {
                start,
                len: self.chunk,
                ghost,
                tracked: false,
            };
            let mut outputs = |x: &[f64], chunk: &Chunk| {
                self.network.parameters.set_flat(x, precision);
                self.forward(chunk, |outputs, _| to_numbers(outputs))
            };
            let (ahead, _) = outputs(&ahead, &chunk)?;
            let (behind, _) = outputs(&behind, &chunk)?;
            let slopes: Vec<f64> = ahead
                .iter()
                .zip(&behind)
                .map(|(a, b)| (a - b) / (2.0 * step))
                .collect();
            chunk.tracked = true;
            self.network.parameters.set_flat(x, precision);
            let (loss, leaves) = self.forward(&chunk, |outputs, targets| {
                let size = outputs.dims();
                let device = outputs.device().without_autodiff();
                let scores = to_numbers(outputs.clone().inner())?;
                let curved = curved(&scores, slopes, size[1], targets);
                let curved = Storage::from_numbers(&curved, &size, precision, &device);
                Ok((outputs * curved.tensor()).sum())
            })?;
            if let Some(leaves) = leaves {
                let parameters = &self.network.parameters;
                parameters.add_flat(&leaves, loss.backward(), factor, product)?;
            }
        }
        Ok(())
    }
}

/// `∇²ℓ` times a vector of the outputs, row by row.
fn curved(scores: &[f64], mut slopes: Vec<f64>, outputs: usize, targets: &Targets) -> Vec<f64> {
    for (row, (scores, slopes)) in scores
        .chunks_exact(outputs)
        .zip(slopes.chunks_exact_mut(outputs))
        .enumerate()
    {
        match targets {
            Targets::Values(_) => slopes.iter_mut().for_each(|s| *s *= 2.0),
            Targets::Pixels(labels) if labels[row] == UNLABELED => slopes.fill(0.0),
            _ => {
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
                let total: f64 = weights.iter().sum();
                let mean = slopes.iter().zip(&weights).map(|(s, w)| s * w).sum::<f64>() / total;
                for (slope, weight) in slopes.iter_mut().zip(&weights) {
                    *slope = weight / total * (*slope - mean);
                }
            }
        }
    }
    slopes
}
