//! Weights in the order in which the kernels read them, and which input meets which weight.

use super::ConvShape;
use super::depthwise;
use super::layout::{Phase, padded_channels};
use super::order::{BackwardOrder, CanonicalOrder, ForwardOrder};
use super::row::Run;
use super::winograd::{self, TransformedKernel};
use crate::error::{KernelError, check_length};
use crate::simd::Real;
use crate::workspace::{Aligned, Workspace};

/// Weights packed for one convolution and one instruction set.
///
/// Packing costs little beside a batch's convolution; keep the packed weights where the same
/// weights meet many small inputs (evaluation, accumulation over micro-batches).
#[derive(Debug, Clone)]
pub struct PackedWeights<T: Real> {
    pub(crate) shape: ConvShape,
    pub(crate) lanes: usize,
    /// Whether the weights are transformed for fewer multiplications ([`winograd`]).
    pub(crate) winograd: bool,
    pub(crate) forward: Aligned<T>,
    /// Runs of the forward pass within a kernel row, and its weight rows.
    pub(crate) runs: Vec<Run>,
    pub(crate) backward: Aligned<T>,
    pub(crate) phases: Vec<Phase>,
    /// Zero columns to the left of the output's gradient, and its padded width.
    pub(crate) left: usize,
    pub(crate) padded: usize,
}

/// Weights of a convolution, canonical or packed.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a, T: Real> {
    /// `[out_channels, in_channels / groups, kernel height, kernel width]`; packed by the call.
    Canonical(&'a [T]),
    /// Packed before.
    Packed(&'a PackedWeights<T>),
}

impl<'a, T: Real> From<&'a [T]> for Weights<'a, T> {
    fn from(weights: &'a [T]) -> Self {
        Self::Canonical(weights)
    }
}

impl<'a, T: Real> From<&'a Vec<T>> for Weights<'a, T> {
    fn from(weights: &'a Vec<T>) -> Self {
        Self::Canonical(weights)
    }
}

impl<'a, T: Real> From<&'a PackedWeights<T>> for Weights<'a, T> {
    fn from(weights: &'a PackedWeights<T>) -> Self {
        Self::Packed(weights)
    }
}

/// What a call needs packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directions {
    Forward,
    Backward,
    Neither,
}

/// Packed weights of a call: the caller's or its own.
pub(crate) enum Ready<'a, T: Real> {
    Owned(Box<PackedWeights<T>>, &'a Workspace),
    Borrowed(&'a PackedWeights<T>),
}

impl<T: Real> std::ops::Deref for Ready<'_, T> {
    type Target = PackedWeights<T>;
    fn deref(&self) -> &PackedWeights<T> {
        match self {
            Self::Owned(packed, _) => packed,
            Self::Borrowed(packed) => packed,
        }
    }
}

impl<T: Real> Drop for Ready<'_, T> {
    fn drop(&mut self) {
        if let Self::Owned(packed, workspace) = self {
            workspace.give(std::mem::take(&mut packed.forward));
            workspace.give(std::mem::take(&mut packed.backward));
        }
    }
}

impl<'a, T: Real> Weights<'a, T> {
    pub(crate) fn ready(
        self,
        workspace: &'a Workspace,
        shape: &ConvShape,
        directions: Directions,
    ) -> Result<Ready<'a, T>, KernelError> {
        match self {
            Self::Canonical(weights) => {
                check_length("weights", weights, shape.weight_len())?;
                let packed = PackedWeights::pack(workspace, shape, weights, directions);
                Ok(Ready::Owned(Box::new(packed), workspace))
            }
            Self::Packed(packed) => {
                if packed.lanes != T::lanes(workspace.isa()) {
                    return Err(KernelError::Packed("another instruction set"));
                }
                if (ConvShape {
                    n: shape.n,
                    ..packed.shape
                }) != *shape
                {
                    return Err(KernelError::Packed("another convolution"));
                }
                Ok(Ready::Borrowed(packed))
            }
        }
    }
}

impl<T: Real> PackedWeights<T> {
    /// Packs `weights` (`[out_channels, in_channels / groups, kernel height, kernel width]`) for
    /// the forward pass and both gradients of `shape`, for any number of images.
    ///
    /// # Errors
    /// When the number of weights is not the shape's.
    pub fn new(
        workspace: &Workspace,
        shape: &ConvShape,
        weights: &[T],
    ) -> Result<Self, KernelError> {
        check_length("weights", weights, shape.weight_len())?;
        let forward = Self::pack(workspace, shape, weights, Directions::Forward);
        let backward = Self::pack(workspace, shape, weights, Directions::Backward);
        Ok(Self {
            forward: forward.forward,
            ..backward
        })
    }

    /// For passes that read no weight, such as the weights' own gradient.
    pub(super) fn without_weights(workspace: &Workspace, shape: &ConvShape) -> Self {
        Self {
            winograd: false,
            ..Self::pack(workspace, shape, &[], Directions::Neither)
        }
    }

    fn pack(
        workspace: &Workspace,
        shape: &ConvShape,
        weights: &[T],
        directions: Directions,
    ) -> Self {
        let lanes = T::lanes(workspace.isa());
        let winograd = winograd::fits::<T>(shape, lanes);
        let [inputs, outputs] = [shape.in_channels, shape.out_channels];
        let forward = match directions {
            Directions::Forward => {
                let packed = pack_forward(workspace, shape, lanes, weights);
                if winograd {
                    transform(workspace, packed, [inputs, outputs], false)
                } else {
                    packed
                }
            }
            _ => workspace.own(0),
        };
        let (backward, phases, left, padded) = match directions {
            Directions::Backward => {
                let (packed, phases, left, padded) =
                    pack_backward(workspace, shape, lanes, weights);
                let packed = if winograd {
                    transform(workspace, packed, [outputs, inputs], true)
                } else {
                    packed
                };
                (packed, phases, left, padded)
            }
            _ => (workspace.own(0), Vec::new(), 0, 0),
        };
        Self {
            shape: *shape,
            lanes,
            winograd,
            forward,
            runs: forward_runs(shape),
            backward,
            phases,
            left,
            padded,
        }
    }
}

/// Packed weights of a 3 × 3 kernel, transformed; the packed memory goes back to the workspace.
fn transform<T: Real>(
    workspace: &Workspace,
    packed: Aligned<T>,
    [inputs, outputs]: [usize; 2],
    rows_reversed: bool,
) -> Aligned<T> {
    let mut out = workspace.own(winograd::PRODUCTS * winograd::plane(inputs * outputs));
    let kernel = TransformedKernel {
        packed: &packed,
        inputs,
        outputs,
        rows_reversed,
        out: &mut out,
    };
    T::dispatch(workspace.isa(), kernel);
    workspace.give(packed);
    out
}

/// Length of the forward weights, and of a weight gradient in the same order.
pub(crate) fn forward_len(shape: &ConvShape, lanes: usize) -> usize {
    if shape.is_depthwise() {
        return depthwise::packed_len(shape, lanes);
    }
    let [_, group_in, kh, kw] = shape.weight_shape();
    shape.groups * padded_channels(shape.group_out(), lanes) * group_in * kh * kw
}

/// Joins runs that follow each other both in the input and in the weights.
fn merged(runs: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.x + last.len == run.x && last.k + last.len == run.k => {
                last.len += run.len
            }
            _ => joined.push(run),
        }
    }
    joined
}

fn forward_runs(shape: &ConvShape) -> Vec<Run> {
    let len = shape.group_in();
    merged((0..shape.kernel[1]).map(|b| Run {
        x: b * shape.dilation[1] * shape.in_channels,
        k: b * len,
        len,
    }))
}

/// `[group][block][kernel row][kernel column][input channel][output channel of the block]`.
fn pack_forward<T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    lanes: usize,
    weights: &[T],
) -> Aligned<T> {
    if shape.is_depthwise() {
        return depthwise::pack(workspace, shape, lanes, weights);
    }
    let mut packed = workspace.own(forward_len(shape, lanes));
    let order = ForwardOrder {
        shape,
        weights,
        packed: &mut packed,
    };
    T::dispatch(workspace.isa(), order);
    packed
}

/// Turns a gradient in packed order into the canonical one.
pub(crate) fn unpack<T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    packed: &[T],
    weights: &mut [T],
) {
    if shape.is_depthwise() {
        return depthwise::unpack(shape, T::lanes(workspace.isa()), packed, weights);
    }
    let order = CanonicalOrder {
        shape,
        packed,
        weights,
    };
    T::dispatch(workspace.isa(), order);
}

/// For each stride phase `f` of the columns, the kernel columns `b` with
/// `(f + padding − b·dilation) ≡ 0 (mod stride)` meet output column `t + (f + padding − b·dilation)/stride`
/// at input column `f + stride·t`.
fn pack_backward<T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    lanes: usize,
    weights: &[T],
) -> (Aligned<T>, Vec<Phase>, usize, usize) {
    if shape.is_depthwise() {
        let packed = depthwise::pack(workspace, shape, lanes, weights);
        return (packed, Vec::new(), 0, 0);
    }
    let [_, group_in, kh, kw] = shape.weight_shape();
    let (group_out, out_width) = (shape.group_out(), shape.out_extent(1) as isize);
    let (stride, dilation) = (shape.stride[1] as isize, shape.dilation[1] as isize);
    let offset =
        |phase: usize, b: usize| phase as isize + shape.padding[1] as isize - b as isize * dilation;
    let phases = shape.stride[1].min(shape.width);
    let taps: Vec<Vec<usize>> = (0..phases)
        .map(|f| {
            (0..kw)
                .rev()
                .filter(|&b| offset(f, b) % stride == 0)
                .collect()
        })
        .collect();

    // The output's gradient is given zero columns wherever a phase reaches beyond it.
    let (mut left, mut right) = (0, out_width);
    for (f, taps) in taps.iter().enumerate() {
        let last = ((shape.width - 1 - f) / shape.stride[1]) as isize;
        for &b in taps {
            left = left.max(-(offset(f, b) / stride));
            right = right.max(last + offset(f, b) / stride + 1);
        }
    }

    let padded_in = padded_channels(group_in, lanes);
    let mut end = 0;
    let phases: Vec<Phase> = taps
        .into_iter()
        .enumerate()
        .map(|(f, taps)| {
            let start = end;
            end += shape.groups * kh * taps.len() * group_out * padded_in;
            let run = |(i, &b): (usize, &usize)| Run {
                x: (left + offset(f, b) / stride) as usize * shape.out_channels,
                k: i * group_out,
                len: group_out,
            };
            let runs = merged(taps.iter().enumerate().map(run));
            let row_depth = taps.len() * group_out;
            let weight_rows = (0..kh * kw).map(|tap| {
                let place = taps.iter().position(|&b| b == tap % kw)?;
                Some(tap / kw * row_depth + place * group_out)
            });
            Phase {
                row_depth,
                runs,
                weights: start..end,
                weight_rows: weight_rows.collect(),
            }
        })
        .collect();

    let mut packed = workspace.own(end);
    let order = BackwardOrder {
        shape,
        phases: &phases,
        weights,
        packed: &mut packed,
    };
    T::dispatch(workspace.isa(), order);
    (packed, phases, left as usize, (left + right) as usize)
}
