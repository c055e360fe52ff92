//! Mean and standard deviation, per channel of an image or per feature of a vector.

use batchscope_kernels::{Isa, gather_normalized, gather_windows_normalized};

use crate::arrays::InputRows;

/// `(x − mean)/std`, by a mean and deviation per channel or feature. Measured on training examples
/// only, after subsetting; a channel that never varies is only centered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Normalization {
    /// Mean per channel or feature, in the units of the source (bytes: 0..=1).
    pub(crate) mean: Vec<f64>,
    /// Standard deviation, likewise.
    pub(crate) std: Vec<f64>,
    /// Mean and 1/std in the stored unit, repeated over a row so that gathering is one pass that
    /// the compiler vectorizes, whatever the number of channels.
    shift: Vec<f32>,
    scale: Vec<f32>,
}

impl Normalization {
    /// Measures the rows numbered `rows`, each `width` numbers of `period` channels or features.
    pub(crate) fn measure(values: &InputRows, rows: &[u32], width: usize, period: usize) -> Self {
        let (mut mean, mut std) = (vec![0.0; period], vec![0.0; period]);
        let unit = match values {
            InputRows::Bytes(bytes) => {
                // Bytes have exact sums: at most 2^16 per value squared over far fewer than 2^47 values.
                let (mut sum, mut squares) = (vec![0u64; period], vec![0u64; period]);
                for &row in rows {
                    let row = &bytes[row as usize * width..][..width];
                    for channel in 0..period {
                        for &x in row[channel..].iter().step_by(period) {
                            sum[channel] += u64::from(x);
                            squares[channel] += u64::from(x) * u64::from(x);
                        }
                    }
                }
                let n = (rows.len() * (width / period)).max(1) as f64;
                for channel in 0..period {
                    mean[channel] = sum[channel] as f64 / n;
                    std[channel] = (squares[channel] as f64 / n - mean[channel] * mean[channel])
                        .max(0.0)
                        .sqrt();
                }
                255.0
            }
            InputRows::Floats(floats) => {
                welford(floats_of(floats, rows, width), &mut mean, &mut std);
                1.0
            }
            InputRows::Windows(windows) => {
                let rows = rows.iter().map(|&row| windows.get(row as usize));
                welford(rows, &mut mean, &mut std);
                1.0
            }
            InputRows::Shifted(shifted) => {
                welford(floats_of(&shifted.values, rows, width), &mut mean, &mut std);
                let mut measured = Self::new(mean, std, 1.0, width);
                // What is stored is already centered by the offsets: only what is told moves.
                for (mean, offset) in measured.mean.iter_mut().zip(&shifted.offsets) {
                    *mean += offset;
                }
                return measured;
            }
        };
        Self::new(mean, std, unit, width)
    }

    /// Measures rows of `width` real values, each place for itself.
    pub(crate) fn measure_floats(values: &[f32], rows: &[u32], width: usize) -> Self {
        let (mut mean, mut std) = (vec![0.0; width], vec![0.0; width]);
        welford(floats_of(values, rows, width), &mut mean, &mut std);
        Self::new(mean, std, 1.0, width)
    }

    /// From moments in the stored unit, `unit` of which make 1.
    fn new(mut mean: Vec<f64>, mut std: Vec<f64>, unit: f64, width: usize) -> Self {
        let period = mean.len();
        // Deviations at the level of rounding are no variation to be stretched to 1.
        let scale_of = |m: f64, s: f64| {
            if s > 1e-7 * m.abs().max(f64::MIN_POSITIVE) {
                1.0 / s
            } else {
                1.0 / unit
            }
        };
        let shift = (0..width).map(|i| mean[i % period] as f32).collect();
        let scale = (0..width)
            .map(|i| scale_of(mean[i % period], std[i % period]) as f32)
            .collect();
        for value in mean.iter_mut().chain(&mut std) {
            *value /= unit;
        }
        Self {
            mean,
            std,
            shift,
            scale,
        }
    }

    /// Normalizes the stored rows numbered `rows` into `out`, on all threads.
    pub(crate) fn gather(&self, values: &InputRows, rows: &[u32], out: &mut [f32]) {
        if out.is_empty() {
            return;
        }
        let (isa, shift, scale) = (Isa::best(), &self.shift, &self.scale);
        match values {
            InputRows::Bytes(bytes) => gather_normalized(isa, bytes, rows, shift, scale, out),
            InputRows::Floats(floats) => gather_normalized(isa, floats, rows, shift, scale, out),
            InputRows::Shifted(shifted) => {
                gather_normalized(isa, &shifted.values, rows, shift, scale, out)
            }
            InputRows::Windows(windows) => {
                let (frames, starts) = windows.table(rows);
                let width = windows.width();
                gather_windows_normalized(isa, frames, width, &starts, shift, scale, out)
            }
        }
        .expect("rows of the part that was measured");
    }

    /// Normalizes a row of floats.
    pub(crate) fn floats(&self, row: &[f32], out: &mut [f32]) {
        for (((out, &x), &shift), &scale) in
            out.iter_mut().zip(row).zip(&self.shift).zip(&self.scale)
        {
            *out = (x - shift) * scale;
        }
    }
}

/// The rows of these numbers, `width` values each.
fn floats_of<'a>(
    values: &'a [f32],
    rows: &'a [u32],
    width: usize,
) -> impl Iterator<Item = &'a [f32]> {
    rows.iter()
        .map(move |&row| &values[row as usize * width..][..width])
}

/// Means and deviations in one pass by Welford's update: no cancellation far from zero. A row holds
/// a whole number of times the channels or features.
fn welford<'a>(rows: impl Iterator<Item = &'a [f32]>, mean: &mut [f64], std: &mut [f64]) {
    let mut seen = 0u64;
    for row in rows {
        for pixel in row.chunks_exact(mean.len()) {
            seen += 1;
            for ((&x, mean), square) in pixel.iter().zip(&mut *mean).zip(&mut *std) {
                let gap = f64::from(x) - *mean;
                *mean += gap / seen as f64;
                *square += gap * (f64::from(x) - *mean);
            }
        }
    }
    for square in std {
        *square = (*square / seen.max(1) as f64).max(0.0).sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::Shifted;

    #[test]
    fn channels_and_features_are_centered_and_scaled() {
        let n = Normalization::measure(&InputRows::Bytes(vec![0, 10, 255, 30]), &[0, 1], 2, 2);
        assert_eq!(n.mean, [0.5, 20.0 / 255.0]);
        assert_eq!(n.std, [0.5, 10.0 / 255.0]);
        let mut out = [0.0; 2];
        n.gather(&InputRows::Bytes(vec![0, 0, 255, 10]), &[1], &mut out);
        assert_eq!(out, [1.0, -1.0]);

        let far = Normalization::measure(
            &InputRows::Floats(vec![1e6, 5.0, 1e6 + 2.0, 5.0, 9.0, 9.0]),
            &[0, 1],
            2,
            2,
        );
        assert_eq!((far.mean[0], far.std[0]), (1e6 + 1.0, 1.0));
        far.floats(&[1e6 + 2.0, 6.0], &mut out);
        assert_eq!(
            out,
            [1.0, 1.0],
            "a constant feature is centered, not blown up"
        );
    }

    #[test]
    fn shifted_features_tell_their_own_mean() {
        let shifted = Shifted {
            values: vec![-1.0, 3.0],
            offsets: vec![1.7e9],
        };
        let rows = InputRows::Shifted(Box::new(shifted));
        let n = Normalization::measure(&rows, &[0, 1], 1, 1);
        assert_eq!((n.mean[0], n.std[0]), (1.7e9 + 1.0, 2.0));
        let mut out = [0.0; 2];
        n.gather(&rows, &[0, 1], &mut out);
        assert_eq!(out, [-1.0, 1.0]);
    }

    #[test]
    fn the_pixels_of_a_channel_share_one_mean() {
        let n = Normalization::measure(&InputRows::Bytes(vec![0, 0, 255, 255]), &[0], 4, 1);
        assert_eq!((n.mean[0], n.std[0]), (0.5, 0.5));
    }
}
