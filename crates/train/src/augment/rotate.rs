//! Random rotation about the center.

use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault, Range, UNLABELED};

use super::{Augmentation, AugmentationKind, Draws, Example, Size};

/// What can be chosen.
pub(super) static ROTATE: AugmentationKind = AugmentationKind {
    descriptor: Descriptor {
        name: "rotate",
        aliases: &[],
        about: "Turn by an angle uniform within so many degrees either way",
        source: "",
        parameters: &[Parameter {
            name: "degrees",
            about: "Largest angle",
            kind: Kind::Number(Range::new(0.0, false, 180.0, true)),
            default: ParameterDefault::Required,
        }],
    },
    build: |choice| {
        Box::new(Rotate {
            degrees: choice.number("degrees").unwrap_or_default(),
        })
    },
};

#[derive(Debug)]
struct Rotate {
    degrees: f64,
}

impl Augmentation for Rotate {
    fn apply(&self, example: &mut Example<'_>, draws: &mut Draws<'_>) {
        let degrees = (draws.unit() * 2.0 - 1.0) * self.degrees;
        rotate(example.image, example.scratch, example.size, degrees);
        if !example.mask.is_empty() {
            let size = example.mask_size();
            rotate_labels(example.mask, example.mask_scratch, size, degrees);
        }
    }
}

/// Turns the image about its center, counter-clockwise, with bilinear interpolation; what comes
/// in from outside is 0.
fn rotate(image: &mut [f32], scratch: &mut [f32], size: Size, degrees: f64) {
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
/// what comes in from outside has none.
fn rotate_labels(mask: &mut [u8], scratch: &mut [u8], size: Size, degrees: f64) {
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
                UNLABELED
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    /// A half turn reverses image and mask alike, to rounding of the image.
    #[test]
    fn labels_are_those_of_the_nearest_pixels() {
        let size = Size {
            height: 6,
            width: 5,
            channels: 1,
        };
        let mut mask: Vec<u8> = (1..=30).collect();
        rotate_labels(&mut mask, &mut [0; 30], size, 180.0);
        assert!(mask.iter().copied().eq((1..=30).rev()));
        rotate_labels(&mut mask, &mut [0; 30], size, 45.0);
        assert_eq!(mask[0], UNLABELED, "corners come from outside");
    }

    proptest! {
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
