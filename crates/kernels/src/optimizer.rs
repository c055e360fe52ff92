//! Optimizer updates in place, one pass over memory for each.

use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Settings of stochastic gradient descent with momentum (dampening 0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate, η. One that is not finite makes weights that are not, for the caller to see.
    pub learning_rate: f64,
    /// Momentum, μ, in `0..1`.
    pub momentum: f64,
    /// Weight decay, λ, added to the gradient as `λ·w`.
    pub weight_decay: f64,
    /// Nesterov's look-ahead (Sutskever et al. 2013).
    pub nesterov: bool,
    /// Factor of the gradient, decay included, before it enters the velocity: 1, or a layer's own (LARS).
    pub scale: f64,
}

/// Settings of Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Learning rate, η. One that is not finite makes weights that are not, for the caller to see.
    pub learning_rate: f64,
    /// Decay of the first moment, in `0..1`.
    pub beta1: f64,
    /// Decay of the second moment, in `0..1`.
    pub beta2: f64,
    /// Added to the root of the second moment; not negative.
    pub epsilon: f64,
    /// Weight decay, λ.
    pub weight_decay: f64,
    /// False: `λ·w` is added to the gradient (Adam); true: the weights shrink by `1 − η·λ` (AdamW).
    pub decoupled: bool,
}

struct SgdShare<'a, T> {
    settings: Sgd,
    weights: &'a mut [T],
    velocity: &'a mut [T],
    gradient: &'a [T],
}

impl<T: Real> Kernel<T> for SgdShare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Sgd {
            learning_rate,
            momentum,
            weight_decay,
            nesterov,
            scale,
        } = self.settings;
        let [descent, momentum, decay, scale] =
            [-learning_rate, momentum, scale * weight_decay, scale]
                .map(|x| s.splat(T::from_f64(x)));
        let state = self
            .weights
            .chunks_mut(S::LANES)
            .zip(self.velocity.chunks_mut(S::LANES));
        for ((weights, velocity), gradient) in state.zip(self.gradient.chunks(S::LANES)) {
            let w = s.load(weights);
            let g = s.fma(decay, w, s.mul(scale, s.load(gradient)));
            let v = s.fma(momentum, s.load(velocity), g);
            let step = if nesterov { s.fma(momentum, v, g) } else { v };
            s.store(velocity, v);
            s.store(weights, s.fma(descent, step, w));
        }
    }
}

struct PlainShare<'a, T> {
    settings: Sgd,
    weights: &'a mut [T],
    gradient: &'a [T],
}

impl<T: Real> Kernel<T> for PlainShare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let descent = -self.settings.learning_rate * self.settings.scale;
        let [descent, decay] =
            [descent, self.settings.weight_decay].map(|x| s.splat(T::from_f64(x)));
        for (weights, gradient) in self
            .weights
            .chunks_mut(S::LANES)
            .zip(self.gradient.chunks(S::LANES))
        {
            let w = s.load(weights);
            s.store(
                weights,
                s.fma(descent, s.fma(decay, w, s.load(gradient)), w),
            );
        }
    }
}

struct AdamShare<'a, T> {
    settings: Adam,
    /// `η / (1 − β₁ᵗ)` and `1 / √(1 − β₂ᵗ)`.
    corrections: [f64; 2],
    weights: &'a mut [T],
    first: &'a mut [T],
    second: &'a mut [T],
    gradient: &'a [T],
}

impl<T: Real> Kernel<T> for AdamShare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Adam {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            weight_decay,
            decoupled,
        } = self.settings;
        let splat = |x: f64| s.splat(T::from_f64(x));
        let (keep1, add1, keep2, add2) = (
            splat(beta1),
            splat(1.0 - beta1),
            splat(beta2),
            splat(1.0 - beta2),
        );
        let (descent, root_scale) = (splat(-self.corrections[0]), splat(self.corrections[1]));
        let epsilon = splat(epsilon);
        let coupled_decay = splat(if decoupled { 0.0 } else { weight_decay });
        let shrink = splat(if decoupled {
            1.0 - learning_rate * weight_decay
        } else {
            1.0
        });
        let moments = self
            .first
            .chunks_mut(S::LANES)
            .zip(self.second.chunks_mut(S::LANES));
        let tensors = self
            .weights
            .chunks_mut(S::LANES)
            .zip(self.gradient.chunks(S::LANES));
        for ((weights, gradient), (first, second)) in tensors.zip(moments) {
            let w = s.load(weights);
            let g = s.fma(coupled_decay, w, s.load(gradient));
            let m = s.fma(keep1, s.load(first), s.mul(add1, g));
            let v = s.fma(keep2, s.load(second), s.mul(add2, s.mul(g, g)));
            let root = s.fma(s.sqrt(v), root_scale, epsilon);
            s.store(first, m);
            s.store(second, v);
            s.store(weights, s.fma(descent, s.div(m, root), s.mul(shrink, w)));
        }
    }
}

/// `g ← scale·(g + λw); v ← μv + g; w ← w − η·v`, or `w ← w − η·(g + μv)` with Nesterov.
///
/// All slices have the same length; without momentum `velocity` may be empty and is not touched.
///
/// # Errors
/// When lengths differ or a setting is out of range.
pub fn sgd_step<T: Real>(
    workspace: &Workspace,
    settings: Sgd,
    weights: &mut [T],
    velocity: &mut [T],
    gradient: &[T],
) -> Result<(), KernelError> {
    check_sgd(settings)?;
    check_length("gradient", gradient, weights.len())?;
    let piece = flat(weights.len());
    if settings.momentum == 0.0 {
        let shares = weights.chunks_mut(piece).zip(gradient.chunks(piece));
        let shares = shares.map(|(weights, gradient)| PlainShare {
            settings,
            weights,
            gradient,
        });
        chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
        return Ok(());
    }
    check_length("velocity", velocity, weights.len())?;
    let shares = weights
        .chunks_mut(piece)
        .zip(velocity.chunks_mut(piece))
        .zip(gradient.chunks(piece))
        .map(|((weights, velocity), gradient)| SgdShare {
            settings,
            weights,
            velocity,
            gradient,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

/// `m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; w ← w − η·m̂/(√v̂ + ε)` with the bias-corrected
/// `m̂ = m/(1−β₁ᵗ)`, `v̂ = v/(1−β₂ᵗ)` at update `t` = `step` (from 1), and weight decay as
/// [`Adam::decoupled`] says. All slices have the same length.
///
/// # Errors
/// When lengths differ, a setting is out of range or `step` is 0.
pub fn adam_step<T: Real>(
    workspace: &Workspace,
    settings: Adam,
    step: u64,
    weights: &mut [T],
    first_moment: &mut [T],
    second_moment: &mut [T],
    gradient: &[T],
) -> Result<(), KernelError> {
    check_adam(settings, step)?;
    let Adam {
        learning_rate,
        beta1,
        beta2,
        ..
    } = settings;
    check_length("first_moment", first_moment, weights.len())?;
    check_length("second_moment", second_moment, weights.len())?;
    check_length("gradient", gradient, weights.len())?;
    let t = step as f64;
    let corrections = [
        learning_rate / (1.0 - beta1.powf(t)),
        1.0 / (1.0 - beta2.powf(t)).sqrt(),
    ];
    let piece = flat(weights.len());
    let shares = weights
        .chunks_mut(piece)
        .zip(
            first_moment
                .chunks_mut(piece)
                .zip(second_moment.chunks_mut(piece)),
        )
        .zip(gradient.chunks(piece))
        .map(|((weights, (first, second)), gradient)| AdamShare {
            settings,
            corrections,
            weights,
            first,
            second,
            gradient,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

/// Refuses settings of SGD that are out of range.
pub(crate) fn check_sgd(settings: Sgd) -> Result<(), KernelError> {
    finite("weight_decay", settings.weight_decay)?;
    fraction("momentum", settings.momentum)
}

/// Refuses settings of Adam that are out of range.
pub(crate) fn check_adam(settings: Adam, step: u64) -> Result<(), KernelError> {
    let epsilon = settings.epsilon;
    finite("weight_decay", settings.weight_decay)?;
    fraction("beta1", settings.beta1)?;
    fraction("beta2", settings.beta2)?;
    if !(epsilon >= 0.0 && epsilon.is_finite()) {
        return Err(KernelError::Setting {
            name: "epsilon",
            value: epsilon,
            range: "at least 0 and finite",
        });
    }
    if step == 0 {
        return Err(KernelError::Setting {
            name: "step",
            value: 0.0,
            range: "at least 1: updates are counted from 1",
        });
    }
    Ok(())
}

/// Elements in a piece: whole cache lines, so that no two threads write to one.
pub(crate) fn flat(len: usize) -> usize {
    chunks::piece(len, chunks::UPDATE).next_multiple_of(64)
}

pub(crate) fn finite(name: &'static str, value: f64) -> Result<(), KernelError> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(KernelError::Setting {
            name,
            value,
            range: "finite",
        })
    }
}

pub(crate) fn fraction(name: &'static str, value: f64) -> Result<(), KernelError> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(KernelError::Setting {
            name,
            value,
            range: "at least 0 and below 1",
        })
    }
}
