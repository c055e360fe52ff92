//! The image operations, on one `height × width × channels` image each.

/// Size of an image, channels last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
}

impl Size {
    /// Values in an image.
    pub fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// True for an image without values.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Moves the image by whole pixels; what comes in from outside is 0.
pub fn shift(image: &mut [f32], scratch: &mut [f32], size: Size, down: isize, right: isize) {
    shift_filling(image, scratch, size, down, right, 0.0);
}

/// Moves an image or a mask by whole pixels; what comes in from outside is `outside`.
pub(super) fn shift_filling<T: Copy>(
    image: &mut [T],
    scratch: &mut [T],
    size: Size,
    down: isize,
    right: isize,
    outside: T,
) {
    if (down, right) == (0, 0) {
        return;
    }
    let Size {
        height,
        width,
        channels,
    } = size;
    scratch.copy_from_slice(image);
    image.fill(outside);
    let kept = width.saturating_sub(right.unsigned_abs()) * channels;
    let (to, from) = (
        right.max(0) as usize * channels,
        (-right).max(0) as usize * channels,
    );
    for row in 0..height {
        let Some(source) = row.checked_add_signed(-down).filter(|&r| r < height) else {
            continue;
        };
        if kept > 0 {
            let (target, source) = (
                row * width * channels + to,
                source * width * channels + from,
            );
            image[target..target + kept].copy_from_slice(&scratch[source..source + kept]);
        }
    }
}

/// Pads with zeros on all sides and cuts the image's size out again, `down` and `right` pixels
/// from the middle.
pub fn crop(image: &mut [f32], scratch: &mut [f32], size: Size, down: isize, right: isize) {
    shift(image, scratch, size, -down, -right);
}

/// Mirrors left and right.
pub fn flip<T>(image: &mut [T], size: Size) {
    let Size {
        width, channels, ..
    } = size;
    for row in image.chunks_exact_mut((width * channels).max(1)) {
        for left in 0..width / 2 {
            let right = width - 1 - left;
            for c in 0..channels {
                row.swap(left * channels + c, right * channels + c);
            }
        }
    }
}

/// Turns the image about its center, counter-clockwise, with bilinear interpolation; what comes
/// in from outside is 0.
pub fn rotate(image: &mut [f32], scratch: &mut [f32], size: Size, degrees: f64) {
    if degrees == 0.0 {
        return;
    }
    let Size {
        height,
        width,
        channels,
    } = size;
    scratch.copy_from_slice(image);
    let origin = turned_back(size, degrees);
    for row in 0..height {
        for column in 0..width {
            let (from_row, from_column) = origin(row, column);
            let (top, left) = (from_row.floor(), from_column.floor());
            let (lower, rightward) = ((from_row - top) as f32, (from_column - left) as f32);
            let corners = [
                (top, left, (1.0 - lower) * (1.0 - rightward)),
                (top, left + 1.0, (1.0 - lower) * rightward),
                (top + 1.0, left, lower * (1.0 - rightward)),
                (top + 1.0, left + 1.0, lower * rightward),
            ];
            let target = (row * width + column) * channels;
            for c in 0..channels {
                let mut value = 0.0;
                for (r, k, weight) in corners {
                    if r >= 0.0 && k >= 0.0 && (r as usize) < height && (k as usize) < width {
                        value += weight * scratch[(r as usize * width + k as usize) * channels + c];
                    }
                }
                image[target + c] = value;
            }
        }
    }
}

/// Where the pixels of a turned image come from: the position turned back about the center.
fn turned_back(size: Size, degrees: f64) -> impl Fn(usize, usize) -> (f64, f64) {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let middle = |length: usize| (length as f64 - 1.0) / 2.0;
    let (middle_row, middle_column) = (middle(size.height), middle(size.width));
    move |row, column| {
        // Rows count downwards.
        let (y, x) = (row as f64 - middle_row, column as f64 - middle_column);
        (
            cos * y + sin * x + middle_row,
            cos * x - sin * y + middle_column,
        )
    }
}

/// Turns a mask, a label a pixel, as [`rotate`] turns its image, taking the nearest pixel's label;
/// what comes in from outside is `outside`.
pub(super) fn rotate_labels(
    mask: &mut [u8],
    scratch: &mut [u8],
    size: Size,
    degrees: f64,
    outside: u8,
) {
    if degrees == 0.0 {
        return;
    }
    let Size { height, width, .. } = size;
    scratch.copy_from_slice(mask);
    let origin = turned_back(size, degrees);
    for row in 0..height {
        for column in 0..width {
            let (r, c) = origin(row, column);
            let (r, c) = (r.round(), c.round());
            let inside = r >= 0.0 && c >= 0.0 && (r as usize) < height && (c as usize) < width;
            mask[row * width + column] = if inside {
                scratch[r as usize * width + c as usize]
            } else {
                outside
            };
        }
    }
}

/// Sets the square of this side about a pixel to 0, cut at the image's border (DeVries and Taylor
/// 2017, arXiv 1708.04552, section 3.2).
pub fn cutout(image: &mut [f32], size: Size, row: usize, column: usize, side: usize) {
    let Size {
        height,
        width,
        channels,
    } = size;
    let span = |center: usize, length: usize| {
        let from = center.saturating_sub(side / 2);
        let to = (center + side - side / 2).min(length);
        (from, to)
    };
    let ((top, bottom), (left, right)) = (span(row, height), span(column, width));
    for r in top..bottom {
        image[(r * width + left) * channels..(r * width + right) * channels].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size {
        height: 3,
        width: 4,
        channels: 2,
    };

    fn image() -> Vec<f32> {
        (1..=SIZE.len()).map(|v| v as f32).collect()
    }

    fn pixel(image: &[f32], row: usize, column: usize) -> &[f32] {
        let at = (row * SIZE.width + column) * SIZE.channels;
        &image[at..at + SIZE.channels]
    }

    #[test]
    fn nothing_asked_nothing_changed() {
        let (mut moved, mut scratch) = (image(), image());
        shift(&mut moved, &mut scratch, SIZE, 0, 0);
        crop(&mut moved, &mut scratch, SIZE, 0, 0);
        rotate(&mut moved, &mut scratch, SIZE, 0.0);
        cutout(&mut moved, SIZE, 1, 1, 0);
        assert_eq!(moved, image());
    }

    #[test]
    fn a_shift_moves_pixels_and_brings_in_zeros() {
        let (mut moved, mut scratch) = (image(), image());
        shift(&mut moved, &mut scratch, SIZE, 1, -1);
        assert_eq!(pixel(&moved, 0, 0), [0.0, 0.0]);
        assert_eq!(pixel(&moved, 1, 0), pixel(&image(), 0, 1));
        assert_eq!(pixel(&moved, 2, 2), pixel(&image(), 1, 3));
        assert_eq!(pixel(&moved, 1, 3), [0.0, 0.0]);
        shift(&mut moved, &mut scratch, SIZE, 7, 9);
        assert!(moved.iter().all(|&v| v == 0.0));
    }

    #[test]
    fn a_quarter_turn_of_a_square_permutes_its_pixels() {
        let size = Size {
            height: 3,
            width: 3,
            channels: 1,
        };
        let mut turned: Vec<f32> = (1..=9).map(|v| v as f32).collect();
        let mut scratch = turned.clone();
        rotate(&mut turned, &mut scratch, size, 90.0);
        // Counter-clockwise: the right column becomes the top row.
        for (found, expected) in turned
            .iter()
            .zip([3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 1.0, 4.0, 7.0])
        {
            assert!((found - expected).abs() < 1e-5, "{turned:?}");
        }
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let size = Size {
            height: 1,
            width: 2,
            channels: 1,
        };
        let (mut turned, mut scratch) = (vec![2.0, 4.0], vec![0.0; 2]);
        // A half turn swaps the two pixels exactly.
        rotate(&mut turned, &mut scratch, size, 180.0);
        assert!((turned[0] - 4.0).abs() < 1e-5 && (turned[1] - 2.0).abs() < 1e-5);
        // A turn by 60 degrees reads at ±1/4 of the row and ±√3/4 of the (empty) column.
        let mut turned = vec![1.0, 1.0];
        rotate(&mut turned, &mut scratch, size, 60.0);
        let expected = 1.0 - 3f32.sqrt() / 4.0;
        assert!(
            turned.iter().all(|v| (v - expected).abs() < 1e-5),
            "{turned:?} against {expected}"
        );
    }

    #[test]
    fn cutout_blanks_its_square_and_nothing_else() {
        let mut cut = image();
        cutout(&mut cut, SIZE, 0, 3, 2);
        let blank = |r: usize, c: usize| r < 1 && c >= 2;
        for r in 0..3 {
            for c in 0..4 {
                let expected = if blank(r, c) {
                    vec![0.0; 2]
                } else {
                    pixel(&image(), r, c).to_vec()
                };
                assert_eq!(pixel(&cut, r, c), expected, "{r} {c}");
            }
        }
    }

    proptest! {
        #[test]
        fn flipping_twice_is_nothing(width in 1usize..9, height in 1usize..5, channels in 1usize..4) {
            let size = Size { height, width, channels };
            let image: Vec<f32> = (0..size.len()).map(|v| v as f32).collect();
            let mut flipped = image.clone();
            flip(&mut flipped, size);
            prop_assert!(width == 1 || flipped != image);
            flip(&mut flipped, size);
            prop_assert_eq!(flipped, image);
        }

        #[test]
        fn rotation_stays_within_the_values_and_undoes_itself_in_the_middle(degrees in -180.0f64..180.0) {
            let size = Size { height: 9, width: 9, channels: 1 };
            let image: Vec<f32> = (0..81).map(|p| (p % 9) as f32 + (p / 9) as f32).collect();
            let (mut turned, mut scratch) = (image.clone(), image.clone());
            rotate(&mut turned, &mut scratch, size, degrees);
            prop_assert!(turned.iter().all(|&v| (-1e-4..=16.0001).contains(&v)));
            // A plane is interpolated exactly, so in the middle there and back is the identity.
            rotate(&mut turned, &mut scratch, size, -degrees);
            prop_assert!((turned[40] - image[40]).abs() < 1e-3);
        }
    }
}
