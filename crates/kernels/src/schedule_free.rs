//! Updates of schedule-free optimizers: a sequence of plain steps, and parameters between it and its average.

use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::optimizer::{finite, flat, fraction};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Settings of one schedule-free step (Defazio et al. 2024).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleFree {
    /// Learning rate, γ. One that is not finite makes weights that are not, for the caller to see.
    pub learning_rate: f64,
    /// Share β of the average in the parameters, in `0..1`.
    pub momentum: f64,
    /// Weight `c` of this step's sequence in the average, in `0..=1`.
    pub weight: f64,
    /// Weight decay, λ, taken at the parameters.
    pub weight_decay: f64,
}

/// Adam's second moment in place of plain gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SecondMoment {
    /// Its decay, β₂, in `0..1`.
    pub beta2: f64,
    /// Added to its root; not negative.
    pub epsilon: f64,
    /// The update, counted from 1.
    pub step: u64,
}

struct Share<'a, T> {
    settings: ScheduleFree,
    weights: &'a mut [T],
    sequence: &'a mut [T],
    gradient: &'a [T],
    /// β₂, `1 / √(1 − β₂ᵗ)`, ε, and the moment.
    second: Option<([f64; 3], &'a mut [T])>,
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let splat = |x: f64| s.splat(T::from_f64(x));
        let ScheduleFree {
            learning_rate,
            momentum,
            weight,
            weight_decay,
        } = self.settings;
        let ahead = learning_rate * (momentum * (1.0 - weight) - 1.0);
        let factors = [weight_decay, weight, ahead, -learning_rate].map(splat);
        let tensors = self
            .weights
            .chunks_mut(S::LANES)
            .zip(self.sequence.chunks_mut(S::LANES))
            .zip(self.gradient.chunks(S::LANES));
        match self.second {
            None => {
                for ((weights, sequence), gradient) in tensors {
                    step(s, factors, weights, sequence, s.load(gradient));
                }
            }
            Some(([beta2, root, epsilon], moment)) => {
                let [keep, add, root, epsilon] = [beta2, 1.0 - beta2, root, epsilon].map(splat);
                for (((weights, sequence), gradient), moment) in
                    tensors.zip(moment.chunks_mut(S::LANES))
                {
                    let g = s.load(gradient);
                    let v = s.fma(keep, s.load(moment), s.mul(add, s.mul(g, g)));
                    s.store(moment, v);
                    let below = s.fma(s.sqrt(v), root, epsilon);
                    step(s, factors, weights, sequence, s.div(g, below));
                }
            }
        }
    }
}

/// One vector's step in a direction. A function, for a closure called twice would not be inlined, and be compiled without
/// the vectors' instructions.
#[inline(always)]
fn step<S: Simd>(
    s: S,
    [decay, toward, ahead, descent]: [S::V; 4],
    weights: &mut [S::Scalar],
    sequence: &mut [S::Scalar],
    direction: S::V,
) {
    let (y, z) = (s.load(weights), s.load(sequence));
    let g = s.fma(decay, y, direction);
    s.store(weights, s.fma(ahead, g, s.fma(toward, s.sub(z, y), y)));
    s.store(sequence, s.fma(descent, g, z));
}

/// A schedule-free step: with `y` the weights, `z` the sequence, `d` the gradient or, with a second moment,
/// `g/(√v̂ + ε)`, and `u = d + λ·y`:
///
/// ```text
/// y ← y + c·(z − y) + γ·(β·(1 − c) − 1)·u
/// z ← z − γ·u
/// ```
///
/// # Errors
/// When lengths differ or a setting is out of range.
pub fn schedule_free_step<T: Real>(
    workspace: &Workspace,
    settings: ScheduleFree,
    weights: &mut [T],
    sequence: &mut [T],
    gradient: &[T],
    second: Option<(SecondMoment, &mut [T])>,
) -> Result<(), KernelError> {
    finite("weight_decay", settings.weight_decay)?;
    finite("weight", settings.weight)?;
    fraction("momentum", settings.momentum)?;
    check_length("sequence", sequence, weights.len())?;
    check_length("gradient", gradient, weights.len())?;
    let (constants, moment) = match second {
        None => ([0.0; 3], None),
        Some((second, moment)) => {
            fraction("beta2", second.beta2)?;
            finite("epsilon", second.epsilon)?;
            check_length("second_moment", moment, weights.len())?;
            let left = 1.0 - second.beta2.powf(second.step as f64);
            (
                [second.beta2, 1.0 / left.sqrt(), second.epsilon],
                Some(moment),
            )
        }
    };
    let length = flat(weights.len());
    let shares = weights
        .chunks_mut(length)
        .zip(sequence.chunks_mut(length))
        .zip(gradient.chunks(length))
        .zip(chunks::optional_mut(moment, length));
    let shares = shares.map(|(((weights, sequence), gradient), moment)| Share {
        settings,
        weights,
        sequence,
        gradient,
        second: moment.map(|moment| (constants, moment)),
    });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}
