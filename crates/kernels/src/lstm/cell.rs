//! The pointwise part of one step; the matrix products around it are the caller's.

use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// One step of some streams: see [`lstm_cell_forward`].
pub(super) struct Forward<'a, T> {
    pub width: usize,
    pub bias: Option<&'a [T]>,
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
                    if let Some(bias) = self.bias {
                        *gate = s.add(*gate, s.load(&bias[k * width + first..k * width + end]));
                    }
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

/// The gradient of one step of some streams: see [`lstm_cell_backward`].
pub(super) struct Backward<'a, T> {
    pub width: usize,
    pub gates: &'a [T],
    pub previous_cell: &'a [T],
    pub cell: &'a [T],
    pub dhidden: &'a [T],
    pub dcell: Option<&'a [T]>,
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
                let later = match self.dcell {
                    Some(dcell) => s.load(&dcell[i * width + first..i * width + end]),
                    None => s.zero(),
                };
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

/// One time step: `i, f, o = σ(·)`, `g = tanh(·)` of the gates' pre-activations,
/// `c = f·c₋ + i·g`, `h = o·tanh(c)`.
///
/// `gates` is `[n, 4·width]` in the order i, f, g, o: pre-activations on entry (`bias`,
/// `[4·width]`, is added where given), activations on return, which [`lstm_cell_backward`] needs.
/// `previous_cell`, `cell` and `hidden` are `[n, width]`.
///
/// # Errors
/// When `width` is zero or a slice does not have its shape's length.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn lstm_cell_forward<T: Real>(
    workspace: &Workspace,
    n: usize,
    width: usize,
    gates: &mut [T],
    bias: Option<&[T]>,
    previous_cell: &[T],
    cell: &mut [T],
    hidden: &mut [T],
) -> Result<(), KernelError> {
    let len = checked(n, width)?;
    check_length("gates", gates, 4 * len)?;
    if let Some(bias) = bias {
        check_length("bias", bias, 4 * width)?;
    }
    check_length("previous_cell", previous_cell, len)?;
    check_length("cell", cell, len)?;
    check_length("hidden", hidden, len)?;
    let piece = rows(n, width) * width;
    let shares = gates
        .chunks_mut(4 * piece)
        .zip(previous_cell.chunks(piece))
        .zip(cell.chunks_mut(piece).zip(hidden.chunks_mut(piece)))
        .map(|((gates, previous_cell), (cell, hidden))| Forward {
            width,
            bias,
            previous_cell,
            gates,
            cell,
            hidden,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

/// The gradients of [`lstm_cell_forward`]: `dgates`, `[n, 4·width]`, of the pre-activations and
/// `dprevious_cell`, `[n, width]`; both are overwritten.
///
/// `gates` are the activations, `previous_cell` and `cell` the states of the forward pass;
/// `dhidden` is the whole gradient of `hidden`, `dcell` the gradient that reaches `cell` from the
/// next time step, where there is one.
///
/// # Errors
/// When `width` is zero or a slice does not have its shape's length.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn lstm_cell_backward<T: Real>(
    workspace: &Workspace,
    n: usize,
    width: usize,
    gates: &[T],
    previous_cell: &[T],
    cell: &[T],
    dhidden: &[T],
    dcell: Option<&[T]>,
    dgates: &mut [T],
    dprevious_cell: &mut [T],
) -> Result<(), KernelError> {
    let len = checked(n, width)?;
    check_length("gates", gates, 4 * len)?;
    check_length("previous_cell", previous_cell, len)?;
    check_length("cell", cell, len)?;
    check_length("dhidden", dhidden, len)?;
    if let Some(dcell) = dcell {
        check_length("dcell", dcell, len)?;
    }
    check_length("dgates", dgates, 4 * len)?;
    check_length("dprevious_cell", dprevious_cell, len)?;
    let piece = rows(n, width) * width;
    let shares = gates
        .chunks(4 * piece)
        .zip(previous_cell.chunks(piece).zip(cell.chunks(piece)))
        .zip(dhidden.chunks(piece).zip(chunks::optional(dcell, piece)))
        .zip(
            dgates
                .chunks_mut(4 * piece)
                .zip(dprevious_cell.chunks_mut(piece)),
        )
        .map(
            |(((gates, (previous_cell, cell)), (dhidden, dcell)), (dgates, dprevious_cell))| {
                Backward {
                    width,
                    gates,
                    previous_cell,
                    cell,
                    dhidden,
                    dcell,
                    dgates,
                    dprevious_cell,
                }
            },
        );
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

fn checked(n: usize, width: usize) -> Result<usize, KernelError> {
    if width == 0 {
        return Err(KernelError::Shape(
            "an LSTM cell of width 0: choose at least 1".to_owned(),
        ));
    }
    volume(&[n, width, 4])?;
    Ok(n * width)
}

/// Rows in a piece: some two thousand numbers, each worth several exponentials.
fn rows(n: usize, width: usize) -> usize {
    chunks::piece(n, 2048usize.div_ceil(width))
}
