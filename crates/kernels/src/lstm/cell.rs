//! The pointwise part of one step; the matrix products around it are the caller's.

use crate::simd::{Kernel, Real, Simd};

/// One step of some streams: `i, f, o = σ(·)`, `g = tanh(·)` of the gates' pre-activations,
/// `c = f·c₋ + i·g`, `h = o·tanh(c)`.
///
/// `gates` is `[n, 4·width]` in the order i, f, g, o: pre-activations on entry, activations
/// afterwards, which [`Backward`] needs. The others are `[n, width]`.
pub(super) struct Forward<'a, T> {
    pub width: usize,
    pub previous_cell: &'a [T],
    pub gates: &'a mut [T],
    pub cell: &'a mut [T],
    pub hidden: &'a mut [T],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let width = self.width;
        let rows = self
            .gates
            .chunks_exact_mut(4 * width)
            .zip(self.previous_cell.chunks_exact(width));
        let outs = self
            .cell
            .chunks_exact_mut(width)
            .zip(self.hidden.chunks_exact_mut(width));
        for ((gates, previous), (cell, hidden)) in rows.zip(outs) {
            for first in (0..width).step_by(S::LANES) {
                let end = (first + S::LANES).min(width);
                let mut gate = [s.zero(); 4];
                for (k, gate) in gate.iter_mut().enumerate() {
                    *gate = s.load(&gates[k * width + first..k * width + end]);
                    *gate = if k == 2 {
                        s.tanh(*gate)
                    } else {
                        s.sigmoid(*gate)
                    };
                    s.store(&mut gates[k * width + first..k * width + end], *gate);
                }
                let [input, forget, candidate, output] = gate;
                let new = s.fma(
                    forget,
                    s.load(&previous[first..end]),
                    s.mul(input, candidate),
                );
                s.store(&mut cell[first..end], new);
                s.store(&mut hidden[first..end], s.mul(output, s.tanh(new)));
            }
        }
    }
}

/// The gradients of [`Forward`]: `dgates`, of the pre-activations, and `dprevious_cell`, which are
/// overwritten. `gates` are the activations; `dhidden` is the whole gradient of `hidden`, `dcell`
/// that which reaches `cell` from the next step.
pub(super) struct Backward<'a, T> {
    pub width: usize,
    pub gates: &'a [T],
    pub previous_cell: &'a [T],
    pub cell: &'a [T],
    pub dhidden: &'a [T],
    pub dcell: &'a [T],
    pub dgates: &'a mut [T],
    pub dprevious_cell: &'a mut [T],
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let width = self.width;
        let one = s.splat(T::ONE);
        let states = self
            .previous_cell
            .chunks_exact(width)
            .zip(self.cell.chunks_exact(width));
        let rows = self
            .gates
            .chunks_exact(4 * width)
            .zip(states)
            .zip(self.dhidden.chunks_exact(width));
        let outs = self
            .dgates
            .chunks_exact_mut(4 * width)
            .zip(self.dprevious_cell.chunks_exact_mut(width));
        for (i, (((gates, (previous, cell)), dhidden), (dgates, dprevious))) in
            rows.zip(outs).enumerate()
        {
            for first in (0..width).step_by(S::LANES) {
                let end = (first + S::LANES).min(width);
                let mut gate = [s.zero(); 4];
                for (k, gate) in gate.iter_mut().enumerate() {
                    *gate = s.load(&gates[k * width + first..k * width + end]);
                }
                let [input, forget, candidate, output] = gate;
                let squashed = s.tanh(s.load(&cell[first..end]));
                let dhidden = s.load(&dhidden[first..end]);
                let slope = s.mul(output, s.sub(one, s.mul(squashed, squashed)));
                let later = s.load(&self.dcell[i * width + first..i * width + end]);
                let dcell = s.fma(dhidden, slope, later);
                let through_sigmoid =
                    |gradient, gate| s.mul(gradient, s.mul(gate, s.sub(one, gate)));
                let gradients = [
                    through_sigmoid(s.mul(dcell, candidate), input),
                    through_sigmoid(s.mul(dcell, s.load(&previous[first..end])), forget),
                    s.mul(s.mul(dcell, input), s.sub(one, s.mul(candidate, candidate))),
                    through_sigmoid(s.mul(dhidden, squashed), output),
                ];
                for (k, gradient) in gradients.into_iter().enumerate() {
                    s.store(&mut dgates[k * width + first..k * width + end], gradient);
                }
                s.store(&mut dprevious[first..end], s.mul(dcell, forget));
            }
        }
    }
}
