use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::simd::{Dispatch, Isa, Kernel, Simd};

/// Writes `(x − shift)·scale` of row `rows[i]` of `table`, `[examples, width]`, to row `i` of `out`,
/// `[rows, width]`; `shift` and `scale` are one row each. What a batch of stored bytes (or of floats)
/// goes through before every step.
///
/// The numbers do not depend on the instruction set: a difference and a product, rounded apart.
///
/// ```
/// use batchscope_kernels::{Isa, gather_normalized};
/// let pixels: [u8; 4] = [10, 20, 30, 40]; // two examples of two pixels
/// let mut batch = [0.0; 2];
/// gather_normalized(Isa::best(), &pixels, &[1], &[20.0, 20.0], &[0.1, 0.5], &mut batch)?;
/// assert_eq!(batch, [1.0, 10.0]);
/// # Ok::<(), batchscope_kernels::KernelError>(())
/// ```
///
/// # Errors
/// When a row is not in the table, the width is 0 or a slice does not have its shape's length.
pub fn gather_normalized<X: Copy + Into<f32> + Sync>(
    isa: Isa,
    table: &[X],
    rows: &[u32],
    shift: &[f32],
    scale: &[f32],
    out: &mut [f32],
) -> Result<(), KernelError> {
    let width = shift.len();
    if width == 0 {
        return Err(KernelError::Shape("rows of no numbers".to_owned()));
    }
    check_length("table", table, table.len() / width * width)?;
    gather(isa, table, width, rows, shift, scale, out)
}

/// The same of windows that may overlap: a row begins with a frame of `frame` numbers of the table,
/// `rows` says with which, and goes on over those after it.
///
/// ```
/// use batchscope_kernels::{Isa, gather_windows_normalized};
/// let frames = [1.0, 2.0, 3.0, 4.0]; // four frames of one number, windows of two
/// let mut batch = [0.0; 4];
/// gather_windows_normalized(Isa::best(), &frames, 1, &[2, 1], &[0.0; 2], &[1.0; 2], &mut batch)?;
/// assert_eq!(batch, [3.0, 4.0, 2.0, 3.0]);
/// # Ok::<(), batchscope_kernels::KernelError>(())
/// ```
///
/// # Errors
/// As [`gather_normalized`], and when a window is no whole number of frames.
pub fn gather_windows_normalized<X: Copy + Into<f32> + Sync>(
    isa: Isa,
    table: &[X],
    frame: usize,
    rows: &[u32],
    shift: &[f32],
    scale: &[f32],
    out: &mut [f32],
) -> Result<(), KernelError> {
    let width = shift.len();
    if frame == 0 || width == 0 || !width.is_multiple_of(frame) {
        return Err(KernelError::Shape(format!(
            "windows of {width} numbers in frames of {frame}"
        )));
    }
    check_length("table", table, table.len() / frame * frame)?;
    gather(isa, table, frame, rows, shift, scale, out)
}

/// Rows that begin at multiples of `stride`.
fn gather<X: Copy + Into<f32> + Sync>(
    isa: Isa,
    table: &[X],
    stride: usize,
    rows: &[u32],
    shift: &[f32],
    scale: &[f32],
    out: &mut [f32],
) -> Result<(), KernelError> {
    let width = shift.len();
    // Where the last row can begin, and one more.
    let bound = (table.len() + stride).saturating_sub(width) / stride;
    check_length("scale", scale, width)?;
    check_length("out", out, volume(&[rows.len(), width])?)?;
    if let Some(position) = rows.iter().position(|&row| row as usize >= bound) {
        return Err(KernelError::Index {
            argument: "rows",
            position,
            value: rows[position],
            bound,
        });
    }
    let piece = chunks::piece(rows.len(), chunks::FLAT.div_ceil(width));
    let shares = rows.chunks(piece).zip(out.chunks_mut(piece * width));
    chunks::for_each(shares, |(rows, out)| {
        f32::dispatch(
            isa,
            Gather {
                table,
                stride,
                rows,
                shift,
                scale,
                out,
            },
        );
    });
    Ok(())
}

struct Gather<'a, X> {
    table: &'a [X],
    stride: usize,
    rows: &'a [u32],
    shift: &'a [f32],
    scale: &'a [f32],
    out: &'a mut [f32],
}

impl<X: Copy + Into<f32>> Kernel<f32> for Gather<'_, X> {
    type Output = ();

    /// A plain loop: the compiler makes vectors of it for the instruction set it is inlined into.
    #[inline(always)]
    fn run<S: Simd<Scalar = f32>>(self, _: S) {
        let width = self.shift.len();
        for (&row, out) in self.rows.iter().zip(self.out.chunks_exact_mut(width)) {
            let row = &self.table[row as usize * self.stride..][..width];
            for (((out, &x), &shift), &scale) in
                out.iter_mut().zip(row).zip(self.shift).zip(self.scale)
            {
                let x: f32 = x.into();
                *out = (x - shift) * scale;
            }
        }
    }
}
