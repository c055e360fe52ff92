//! One image: the passes that threads run on their share of a batch.

use super::ConvShape;
use super::depthwise;
use super::layout::padded_channels;
use super::pack::{PackedWeights, forward_len};
use super::row::{KernelRows, RowConv, convolve_row};
use super::weights::{Walk, accumulate_weights};
use super::winograd::{KernelGradient, Tiling};
use crate::simd::{Real, Simd};
use crate::workspace::{Scratch, Workspace};

/// A convolution with its packed weights.
#[derive(Clone, Copy)]
pub(crate) struct ImageConv<'a, T: Real> {
    pub shape: &'a ConvShape,
    pub packed: &'a PackedWeights<T>,
}

/// Copies rows of `len` elements into a wider buffer, each `left` elements from its row's start.
fn copy_rows<T: Copy>(source: &[T], len: usize, target: &mut [T], width: usize, left: usize) {
    for (source, target) in source.chunks_exact(len).zip(target.chunks_exact_mut(width)) {
        target[left..left + len].copy_from_slice(source);
    }
}

/// Scratch memory of a thread for the backward pass. Borders and channel tails are zero and stay
/// zero: images only ever overwrite the middle.
pub(crate) struct BackwardScratch<'a, T: Real> {
    input: Scratch<'a, T>,
    /// The output's gradient with zero columns on either side, for the input's gradient.
    columns: Scratch<'a, T>,
    /// The output's gradient with each group's channels filled to whole vectors.
    channels: Scratch<'a, T>,
    /// What the images have added to the weights' gradient and [`ImageConv::finish`] turns into it.
    products: Scratch<'a, T>,
}

impl<'a, T: Real> ImageConv<'a, T> {
    pub(super) fn padded_width(&self) -> usize {
        self.shape.width + 2 * self.shape.padding[1]
    }

    fn is_padded(&self) -> bool {
        self.shape.padding != [0, 0]
    }

    /// Elements of the weight gradient in packed order.
    pub fn gradient_len(&self) -> usize {
        forward_len(self.shape, self.packed.lanes)
    }

    /// Elements of a partial gradient: of the weights in packed order, then of the bias.
    pub fn partial_len(&self) -> usize {
        self.gradient_len() + self.shape.out_channels
    }

    /// The two of a partial gradient, begun at zero.
    pub fn zeroed<'b>(&self, partial: Option<&'b mut [T]>) -> Option<(&'b mut [T], &'b mut [T])> {
        partial.map(|partial| {
            partial.fill(T::ZERO);
            partial.split_at_mut(self.gradient_len())
        })
    }

    /// A zeroed buffer for padded images, empty where there is no padding; or memory for tiles.
    pub fn input_scratch(&self, workspace: &'a Workspace) -> Scratch<'a, T> {
        if self.packed.winograd {
            return workspace.take(Tiling::forward(self.shape).scratch());
        }
        let rows = self.shape.height + 2 * self.shape.padding[0];
        let len = if self.is_padded() {
            rows * self.padded_width() * self.shape.in_channels
        } else {
            0
        };
        workspace.take_zeroed(len)
    }

    /// Whether the output's gradient must be copied with its channels filled to whole vectors.
    fn fills_channels(&self) -> bool {
        !self.shape.is_depthwise() && !self.shape.group_out().is_multiple_of(self.packed.lanes)
    }

    /// Scratch for [`ImageConv::backward`].
    pub fn backward_scratch(
        &self,
        workspace: &'a Workspace,
        with_input: bool,
        with_weights: bool,
    ) -> BackwardScratch<'a, T> {
        let input = if with_weights {
            self.input_scratch(workspace)
        } else {
            workspace.take(0)
        };
        if self.packed.winograd {
            let products = if with_weights {
                Tiling::forward(self.shape).products()
            } else {
                0
            };
            let columns = if with_input {
                Tiling::input_gradient(self.shape).scratch()
            } else {
                0
            };
            return BackwardScratch {
                input,
                columns: workspace.take(columns),
                channels: workspace.take(0),
                products: workspace.take_zeroed(products),
            };
        }
        let [out_height, out_width, out_channels] = self.shape.output();
        let columns = if with_input && !self.shape.is_depthwise() && self.packed.padded != out_width
        {
            out_height * self.packed.padded * out_channels
        } else {
            0
        };
        let channels = if with_weights && self.fills_channels() {
            let filled = padded_channels(self.shape.group_out(), self.packed.lanes);
            out_height * out_width * self.shape.groups * filled
        } else {
            0
        };
        BackwardScratch {
            input,
            columns: workspace.take_zeroed(columns),
            channels: workspace.take_zeroed(channels),
            products: workspace.take(0),
        }
    }

    /// The image with its border of zeros: itself where there is none.
    #[inline(always)]
    pub(super) fn pad<'b>(&self, x: &'b [T], scratch: &'b mut [T]) -> &'b [T] {
        if !self.is_padded() {
            return x;
        }
        let channels = self.shape.in_channels;
        let width = self.padded_width() * channels;
        let top = self.shape.padding[0] * width;
        copy_rows(
            x,
            self.shape.width * channels,
            &mut scratch[top..],
            width,
            self.shape.padding[1] * channels,
        );
        scratch
    }

    /// `y = x ∗ w + bias`, rectified or not; `scratch` is [`ImageConv::input_scratch`].
    #[inline(always)]
    pub fn forward<S: Simd<Scalar = T>>(
        &self,
        s: S,
        x: &[T],
        bias: Option<&[T]>,
        relu: bool,
        scratch: &mut [T],
        y: &mut [T],
    ) {
        let shape = self.shape;
        if shape.is_depthwise() {
            depthwise::forward(s, shape, &self.packed.forward, x, bias, relu, y);
            return;
        }
        if self.packed.winograd {
            let kernel = &self.packed.forward;
            Tiling::forward(shape).convolve(s, x, kernel, bias, relu, scratch, y);
            return;
        }
        let x = self.pad(x, scratch);
        let row_len = self.padded_width() * shape.in_channels;
        let [out_height, out_width, out_channels] = shape.output();
        let (group_in, group_out) = (shape.group_in(), shape.group_out());
        let row_depth = shape.kernel[1] * group_in;
        let depth = shape.kernel[0] * row_depth;
        let group_len = padded_channels(group_out, S::LANES) * depth;
        for group in 0..shape.groups {
            let conv = RowConv {
                runs: &self.packed.runs,
                weights: &self.packed.forward[group * group_len..(group + 1) * group_len],
                depth,
                channels: group_out,
                x_stride: shape.stride[1] * shape.in_channels,
                y_stride: out_channels,
                pixels: out_width,
                relu,
            };
            let x = &x[group * group_in..];
            let bias = bias.map(|bias| &bias[group * group_out..(group + 1) * group_out]);
            for row in 0..out_height {
                // Kernel rows that lie in the padding meet zeros only.
                let top = row * shape.stride[0];
                let inside = |a: &usize| {
                    (shape.padding[0]..shape.padding[0] + shape.height)
                        .contains(&(top + a * shape.dilation[0]))
                };
                let first = (0..shape.kernel[0]).find(inside).unwrap_or(0);
                let count = (first..shape.kernel[0]).take_while(inside).count();
                let rows = KernelRows {
                    count,
                    x: (top + first * shape.dilation[0]) * row_len,
                    x_step: (shape.dilation[0] * row_len) as isize,
                    k: first * row_depth,
                    k_step: row_depth,
                };
                convolve_row(
                    s,
                    &conv,
                    x,
                    rows,
                    bias,
                    &mut y[row * out_width * out_channels + group * group_out..],
                );
            }
        }
    }

    /// Writes the image's `dx` and adds its weight gradient to `dw` (in packed order), where
    /// [`ImageConv::finish`] may still have to bring it; either where it is wanted.
    #[inline(always)]
    pub fn backward<S: Simd<Scalar = T>>(
        &self,
        s: S,
        x: &[T],
        dy: &[T],
        dx: Option<&mut [T]>,
        dw: Option<&mut [T]>,
        scratch: &mut BackwardScratch<'_, T>,
    ) {
        if let Some(dx) = dx {
            self.input_gradient(s, dy, dx, &mut scratch.columns);
        }
        if let Some(dw) = dw {
            self.weight_gradient(s, x, dy, dw, scratch);
        }
    }

    #[inline(always)]
    fn input_gradient<S: Simd<Scalar = T>>(&self, s: S, dy: &[T], dx: &mut [T], scratch: &mut [T]) {
        let (shape, packed) = (self.shape, self.packed);
        if shape.is_depthwise() {
            depthwise::input_gradient(s, shape, &packed.backward, dy, dx);
            return;
        }
        if packed.winograd {
            let tiling = Tiling::input_gradient(shape);
            tiling.convolve(s, dy, &packed.backward, None, false, scratch, dx);
            return;
        }
        let [out_height, out_width, out_channels] = shape.output();
        let dy = if packed.padded == out_width {
            dy
        } else {
            let width = packed.padded * out_channels;
            copy_rows(
                dy,
                out_width * out_channels,
                scratch,
                width,
                packed.left * out_channels,
            );
            scratch
        };
        let row_len = packed.padded * out_channels;
        let (group_in, group_out) = (shape.group_in(), shape.group_out());
        let [stride, stride_x] = shape.stride;
        for (f, phase) in packed.phases.iter().enumerate() {
            let depth = shape.kernel[0] * phase.row_depth;
            let group_len = padded_channels(group_in, S::LANES) * depth;
            let weights = &packed.backward[phase.weights.clone()];
            for group in 0..shape.groups {
                let conv = RowConv {
                    runs: &phase.runs,
                    weights: &weights[group * group_len..(group + 1) * group_len],
                    depth,
                    channels: group_in,
                    x_stride: out_channels,
                    y_stride: stride_x * shape.in_channels,
                    pixels: (shape.width - 1 - f) / stride_x + 1,
                    relu: false,
                };
                for row in 0..shape.height {
                    let rows = self.rows_meeting(row, out_height, stride, row_len, phase.row_depth);
                    let start = (row * shape.width + f) * shape.in_channels + group * group_in;
                    // A group's channels lie `group · group_out` after the pixel's first.
                    convolve_row(
                        s,
                        &conv,
                        &dy[group * group_out..],
                        rows,
                        None,
                        &mut dx[start..],
                    );
                }
            }
        }
    }

    /// The kernel rows `a` through which input row `row` reaches an output row
    /// `(row + padding − a·dilation) / stride`: an arithmetic progression.
    #[inline(always)]
    fn rows_meeting(
        &self,
        row: usize,
        out_height: usize,
        stride: usize,
        row_len: usize,
        row_depth: usize,
    ) -> KernelRows {
        let shape = self.shape;
        let out_row = |a: usize| {
            let above = (row + shape.padding[0]).checked_sub(a * shape.dilation[0])?;
            (above % stride == 0 && above / stride < out_height).then_some(above / stride)
        };
        let mut meeting = (0..shape.kernel[0]).filter_map(|a| Some((a, out_row(a)?)));
        let Some((first, out)) = meeting.next() else {
            return KernelRows {
                count: 0,
                x: 0,
                x_step: 0,
                k: 0,
                k_step: 0,
            };
        };
        let (x, k) = (out * row_len, first * row_depth);
        match meeting.next() {
            None => KernelRows {
                count: 1,
                x,
                x_step: 0,
                k,
                k_step: 0,
            },
            Some((second, below)) => KernelRows {
                count: 2 + meeting.count(),
                x,
                x_step: (below as isize - out as isize) * row_len as isize,
                k,
                k_step: (second - first) * row_depth,
            },
        }
    }

    #[inline(always)]
    fn weight_gradient<S: Simd<Scalar = T>>(
        &self,
        s: S,
        x: &[T],
        dy: &[T],
        dw: &mut [T],
        scratch: &mut BackwardScratch<'_, T>,
    ) {
        let shape = self.shape;
        if self.packed.winograd {
            let (memory, sums) = (&mut scratch.input, &mut scratch.products);
            Tiling::forward(shape).add_products(s, x, dy, memory, sums);
            return;
        }
        let x = self.pad(x, &mut scratch.input);
        if shape.is_depthwise() {
            let row_len = self.padded_width() * shape.in_channels;
            depthwise::weight_gradient(s, shape, x, row_len, dy, dw);
            return;
        }
        let [out_height, out_width, out_channels] = shape.output();
        let (group_in, group_out) = (shape.group_in(), shape.group_out());
        let filled = padded_channels(group_out, S::LANES);
        let (dy, dy_stride) = if self.fills_channels() {
            copy_rows(dy, group_out, &mut scratch.channels, filled, 0);
            (&*scratch.channels, shape.groups * filled)
        } else {
            (dy, out_channels)
        };
        let row_len = self.padded_width() * shape.in_channels;
        let row_depth = shape.kernel[1] * group_in;
        let group_len = filled * shape.kernel[0] * row_depth;
        for group in 0..shape.groups {
            let walk = Walk {
                x: &x[group * group_in..],
                x_stride: shape.stride[1] * shape.in_channels,
                x_row: shape.stride[0] * row_len,
                kernel_row: shape.dilation[0] * row_len,
                kernel_rows: shape.kernel[0],
                row_depth,
                dy: &dy[group * filled..],
                dy_stride,
                out: [out_height, out_width],
            };
            let dw = &mut dw[group * group_len..(group + 1) * group_len];
            accumulate_weights(s, &walk, &self.packed.runs, filled, dw);
        }
    }

    /// Adds to `dw` what the images' passes have left elsewhere; to be called once, after the last.
    #[inline(always)]
    pub fn finish<S: Simd<Scalar = T>>(
        &self,
        s: S,
        scratch: BackwardScratch<'_, T>,
        dw: Option<&mut [T]>,
    ) {
        if self.packed.winograd
            && let Some(dw) = dw
        {
            s.call(KernelGradient {
                sums: &scratch.products,
                inputs: self.shape.in_channels,
                outputs: self.shape.out_channels,
                packed: dw,
            });
        }
    }
}
