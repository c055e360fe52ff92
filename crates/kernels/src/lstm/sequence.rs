//! A recurrent layer over a sequence, and back-propagation through time.
//!
//! The streams of a batch do not depend on each other, so they, not the time steps, are shared out
//! among the threads: each piece of streams goes through all steps by itself, with the recurrent
//! weights packed once for all.

use super::cell::{Backward, Forward};
use super::resets::{Resets, clear, cleared};
use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::product::{Matrix, MatrixBlock, Packed, Product, Start};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Streams in a piece at least: fewer would read the recurrent weights for too little work.
const STREAMS: usize = 8;

/// The shape of a recurrent layer on a batch of sequences. Tensors over time hold the first step of
/// every stream, then the second of every stream, and so on: `[steps · streams, ·]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LstmShape {
    steps: usize,
    streams: usize,
    width: usize,
}

impl LstmShape {
    /// `streams` sequences of `steps` time steps through a layer of `width` cells.
    ///
    /// # Errors
    /// When a size is zero or a buffer could not exist.
    pub fn new(steps: usize, streams: usize, width: usize) -> Result<Self, KernelError> {
        if steps == 0 || streams == 0 || width == 0 {
            return Err(KernelError::Shape(format!(
                "an LSTM of width {width} over {streams} sequences of {steps} steps: choose at least 1 of each"
            )));
        }
        volume(&[steps, streams, width, 4])?;
        volume(&[width, width, 4])?;
        Ok(Self {
            steps,
            streams,
            width,
        })
    }

    /// Time steps.
    pub(crate) fn steps(self) -> usize {
        self.steps
    }

    /// Sequences.
    pub(crate) fn streams(self) -> usize {
        self.streams
    }

    /// Cells.
    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// Numbers in a state.
    fn state(self) -> usize {
        self.streams * self.width
    }

    /// Streams in each piece of work.
    fn piece(self) -> usize {
        // Evenly, so that no thread waits long for another.
        let most = chunks::piece(self.streams, STREAMS);
        self.streams.div_ceil(self.streams.div_ceil(most))
    }
}

/// Everything a recurrent layer computes, step by step: `gates + h₋·R` are the pre-activations of
/// the gates i, f, g, o, from which `i, f, o = σ(·)`, `g = tanh(·)`, `c = f·c₋ + i·g`,
/// `h = o·tanh(c)`.
///
/// `gates`, `[steps · streams, 4 · width]`, holds `x·W + b` on entry and the gates' activations on
/// return, which [`lstm_backward`] needs. `recurrent` is `R`, `[width, 4 · width]`; the first states
/// are `[streams, width]`. `cells` and `hidden`, `[steps · streams, width]`, are overwritten. Where
/// `fresh`, `[steps · streams]`, is set, a stream begins anew: both its states before that step count
/// as zero.
///
/// # Errors
/// When a slice does not have its shape's length.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn lstm_forward<T: Real>(
    workspace: &Workspace,
    shape: LstmShape,
    gates: &mut [T],
    recurrent: &[T],
    first_hidden: &[T],
    first_cell: &[T],
    fresh: Option<&[bool]>,
    cells: &mut [T],
    hidden: &mut [T],
) -> Result<(), KernelError> {
    let LstmShape { steps, width, .. } = shape;
    let state = shape.state();
    check_length("gates", gates, 4 * steps * state)?;
    check_length("recurrent", recurrent, 4 * width * width)?;
    check_length("first_hidden", first_hidden, state)?;
    check_length("first_cell", first_cell, state)?;
    check_length("cells", cells, steps * state)?;
    check_length("hidden", hidden, steps * state)?;
    let resets = Resets::new(fresh, shape)?;
    let recurrent = Packed::new(workspace, Matrix::new(recurrent, width, 4 * width));
    let piece = shape.piece() * width;
    let mut scratch = resets.any().then(|| workspace.take::<T>(2 * state));
    let shares = MatrixBlock::new(gates, steps, 4 * state)
        .columns(4 * piece)
        .zip(first_hidden.chunks(piece).zip(first_cell.chunks(piece)))
        .zip(MatrixBlock::new(cells, steps, state).columns(piece))
        .zip(MatrixBlock::new(hidden, steps, state).columns(piece))
        .zip(chunks::optional_mut(scratch.as_deref_mut(), 2 * piece))
        .enumerate()
        .map(
            |(i, ((((gates, first), cells), hidden), scratch))| ForwardShare {
                width,
                from: i * shape.piece(),
                resets,
                recurrent: &recurrent,
                gates,
                first,
                cells,
                hidden,
                scratch,
            },
        );
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

struct ForwardShare<'a, T: Real> {
    width: usize,
    /// First stream of the piece.
    from: usize,
    resets: Resets<'a>,
    recurrent: &'a Packed<'a, T>,
    gates: MatrixBlock<'a, T>,
    /// Hidden and cell state before the first step.
    first: (&'a [T], &'a [T]),
    cells: MatrixBlock<'a, T>,
    hidden: MatrixBlock<'a, T>,
    /// Room for two states of the piece, where streams begin anew.
    scratch: Option<&'a mut [T]>,
}

impl<T: Real> Kernel<T> for ForwardShare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            width,
            from,
            resets,
            recurrent,
            mut gates,
            first,
            mut cells,
            mut hidden,
            mut scratch,
        } = self;
        let [steps, state] = hidden.size();
        let streams = state / width;
        for step in 0..steps {
            let (past_hidden, hidden) = hidden.row_and_before(step);
            let (past_cell, cell) = cells.row_and_before(step);
            let gates = gates.row(step);
            let (mut past_hidden, mut past_cell) =
                (past_hidden.unwrap_or(first.0), past_cell.unwrap_or(first.1));
            if let (Some(fresh), Some(room)) = (resets.at(step, from, streams), &mut scratch) {
                let (of_hidden, of_cell) = room.split_at_mut(state);
                past_hidden = cleared(past_hidden, width, fresh, of_hidden);
                past_cell = cleared(past_cell, width, fresh, of_cell);
            }
            recurrent.product(
                s,
                Matrix::new(past_hidden, streams, width),
                Start::Output,
                MatrixBlock::new(gates, streams, 4 * width),
            );
            Forward {
                width,
                previous_cell: past_cell,
                gates,
                cell,
                hidden,
            }
            .run(s);
        }
    }
}

/// Where [`lstm_backward`] writes; all is overwritten.
#[derive(Debug)]
pub struct LstmGradients<'a, T> {
    /// Of the gates' pre-activations, `[steps · streams, 4 · width]`.
    pub dgates: &'a mut [T],
    /// Of the recurrent weights, `[width, 4 · width]`.
    pub drecurrent: &'a mut [T],
}

/// The gradients of [`lstm_forward`] from that of its hidden states, `dhidden`,
/// `[steps · streams, width]`, back through time to the first step and no further: the first states
/// are constants (truncated back-propagation), and nothing flows past a step before which a stream
/// began anew. The other arguments are those of the forward pass after it.
///
/// # Errors
/// When a slice does not have its shape's length.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn lstm_backward<T: Real>(
    workspace: &Workspace,
    shape: LstmShape,
    gates: &[T],
    recurrent: &[T],
    first_hidden: &[T],
    first_cell: &[T],
    fresh: Option<&[bool]>,
    cells: &[T],
    hidden: &[T],
    dhidden: &[T],
    gradients: LstmGradients<'_, T>,
) -> Result<(), KernelError> {
    let LstmShape {
        steps,
        streams,
        width,
    } = shape;
    let state = shape.state();
    let LstmGradients { dgates, drecurrent } = gradients;
    check_length("gates", gates, 4 * steps * state)?;
    check_length("recurrent", recurrent, 4 * width * width)?;
    check_length("first_hidden", first_hidden, state)?;
    check_length("first_cell", first_cell, state)?;
    for (name, slice) in [("cells", cells), ("hidden", hidden), ("dhidden", dhidden)] {
        check_length(name, slice, steps * state)?;
    }
    check_length("dgates", dgates, 4 * steps * state)?;
    check_length("drecurrent", drecurrent, 4 * width * width)?;
    let resets = Resets::new(fresh, shape)?;

    let turned = Matrix::new(recurrent, width, 4 * width).transposed();
    let turned = Packed::new(workspace, turned);
    let piece = shape.piece() * width;
    let states = if resets.any() { 4 } else { 3 };
    let mut scratch = workspace.take::<T>(states * state);
    let shares = MatrixBlock::new(dgates, steps, 4 * state)
        .columns(4 * piece)
        .zip(scratch.chunks_mut(states * piece))
        .enumerate()
        .map(|(i, (dgates, scratch))| BackwardShare {
            shape,
            from: i * piece,
            resets,
            turned: &turned,
            gates,
            first_cell,
            cells,
            dhidden,
            dgates,
            scratch,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));

    // All steps at once: the hidden states before each against the gradients of its gates.
    let (first, later) = dgates.split_at(4 * state);
    let rows = (steps - 1) * streams;
    let (mut first_hidden, mut hidden) = (first_hidden, &hidden[..rows * width]);
    let mut scratch = resets.any().then(|| workspace.take::<T>(steps * state));
    if let Some(room) = scratch.as_deref_mut() {
        let (of_first, of_later) = room.split_at_mut(state);
        first_hidden = cleared(first_hidden, width, resets.from(0), of_first);
        hidden = cleared(hidden, width, resets.from(1), of_later);
    }
    let before_first = Matrix::new(first_hidden, streams, width).transposed();
    let first = Matrix::new(first, streams, 4 * width);
    Product::new(before_first, first).compute(workspace, drecurrent);
    let before_later = Matrix::new(hidden, rows, width).transposed();
    Product {
        start: Start::Output,
        ..Product::new(before_later, Matrix::new(later, rows, 4 * width))
    }
    .compute(workspace, drecurrent);
    Ok(())
}

struct BackwardShare<'a, T: Real> {
    shape: LstmShape,
    /// First number of the piece within a state.
    from: usize,
    resets: Resets<'a>,
    /// The recurrent weights, rows for columns.
    turned: &'a Packed<'a, T>,
    gates: &'a [T],
    first_cell: &'a [T],
    cells: &'a [T],
    dhidden: &'a [T],
    dgates: MatrixBlock<'a, T>,
    /// Room for three states of the piece, for four where streams begin anew.
    scratch: &'a mut [T],
}

impl<T: Real> Kernel<T> for BackwardShare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            shape,
            from,
            resets,
            turned,
            gates,
            first_cell,
            cells,
            dhidden,
            mut dgates,
            scratch,
        } = self;
        let (width, whole) = (shape.width, shape.state());
        let len = scratch.len() / if resets.any() { 4 } else { 3 };
        let streams = len / width;
        let (dstate, rest) = scratch.split_at_mut(len);
        let (mut dcell, rest) = rest.split_at_mut(len);
        let (mut dprevious, room) = rest.split_at_mut(len);
        dstate.fill(T::ZERO);
        dcell.fill(T::ZERO);
        for step in (0..shape.steps).rev() {
            let at = step * whole + from;
            for (sum, dhidden) in dstate
                .chunks_mut(S::LANES)
                .zip(dhidden[at..at + len].chunks(S::LANES))
            {
                s.store(sum, s.add(s.load(sum), s.load(dhidden)));
            }
            let dgates = dgates.row(step);
            let fresh = resets.at(step, from / width, streams);
            let mut previous_cell = match step {
                0 => &first_cell[from..from + len],
                _ => &cells[at - whole..at - whole + len],
            };
            if let Some(fresh) = fresh {
                previous_cell = cleared(previous_cell, width, fresh, room);
            }
            Backward {
                width,
                gates: &gates[4 * at..4 * (at + len)],
                previous_cell,
                cell: &cells[at..at + len],
                dhidden: dstate,
                dcell,
                dgates,
                dprevious_cell: dprevious,
            }
            .run(s);
            std::mem::swap(&mut dcell, &mut dprevious);
            if step > 0 {
                turned.product(
                    s,
                    Matrix::new(dgates, streams, 4 * width),
                    Start::Zero,
                    MatrixBlock::new(dstate, streams, width),
                );
            }
            if let Some(fresh) = fresh {
                clear(dstate, width, fresh);
                clear(dcell, width, fresh);
            }
        }
    }
}
