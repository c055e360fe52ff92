//! Augmentation of training images, and of their masks with them.
//!
//! Every example draws from its own stream, keyed by its position in the *run*
//! ([`batchscope_core::Batch::first_draw`]): the same example gets the same crop whatever the
//! micro-batch, rank or thread. Pixels from outside the image are 0, which after normalization is
//! the training set's mean (as in He et al. 2016, arXiv 1512.03385, section 4.2).

mod geometry;
mod spec;

use batchscope_core::{
    Batch, DataShape, InputShape, Inputs, Labels, Purpose, StreamKey, UNLABELED,
};
use rand_core::Rng;
use rayon::prelude::*;

pub use geometry::{Size, crop, cutout, flip, rotate, shift};
use geometry::{rotate_labels, shift_filling};
pub use spec::{AugmentError, AugmentSpec, Augmentation};

/// Augments the batches of one trial.
#[derive(Debug, Clone)]
pub struct Augmenter {
    spec: AugmentSpec,
    size: Size,
    key: StreamKey,
}

impl Augmenter {
    /// An augmenter for examples of this shape, or `None` when there is nothing to do; `key` is
    /// any key of the trial's.
    ///
    /// # Errors
    /// When the examples are no images, or too small for what is asked.
    pub fn new(
        spec: &AugmentSpec,
        shape: &DataShape,
        key: StreamKey,
    ) -> Result<Option<Self>, AugmentError> {
        if spec.is_empty() {
            return Ok(None);
        }
        let InputShape::Image {
            height,
            width,
            channels,
        } = shape.input
        else {
            return Err(AugmentError::NoImages);
        };
        let size = Size {
            height,
            width,
            channels,
        };
        spec.check(size)?;
        Ok(Some(Self {
            spec: spec.clone(),
            size,
            key: key.with_purpose(Purpose::Augmentation),
        }))
    }

    /// Augments every image of the batch in place, in parallel.
    pub fn apply(&self, batch: &mut Batch) {
        let first = batch.first_draw;
        let Inputs::Values(values) = &mut batch.inputs else {
            return;
        };
        let length = self.size.len();
        if length == 0 {
            return;
        }
        // A mask of no pixels stands beside every image without one.
        let mut none = vec![[]; values.len() / length];
        let masks: Vec<&mut [u8]> = match &mut batch.labels {
            Labels::Pixels(labels) => labels.chunks_exact_mut(self.mask().len()).collect(),
            _ => none
                .iter_mut()
                .map(|mask: &mut [u8; 0]| &mut mask[..])
                .collect(),
        };
        values
            .par_chunks_exact_mut(length)
            .zip(masks)
            .enumerate()
            .for_each_init(
                || (vec![0.0; length], Vec::new()),
                |(scratch, mask_scratch), (index, (image, mask))| {
                    let mut draws = Draws(self.key.stream(first.wrapping_add(index as u64)));
                    mask_scratch.resize(mask.len(), UNLABELED);
                    for augmentation in &self.spec.0 {
                        let change = draw(*augmentation, self.size, &mut draws);
                        change.apply(image, scratch, self.size);
                        if !mask.is_empty() {
                            change.apply_to_mask(mask, mask_scratch, self.mask());
                        }
                    }
                },
            );
    }

    /// Size of a mask: one label a pixel.
    fn mask(&self) -> Size {
        Size {
            channels: 1,
            ..self.size
        }
    }
}

/// What an augmentation does to one example.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// Moved by whole pixels.
    Shift(isize, isize),
    Flip,
    /// Turned by degrees.
    Rotate(f64),
    /// Blanked about a pixel.
    Cutout {
        row: usize,
        column: usize,
        side: usize,
    },
    Nothing,
}

impl Change {
    fn apply(self, image: &mut [f32], scratch: &mut [f32], size: Size) {
        match self {
            Change::Shift(down, right) => shift(image, scratch, size, down, right),
            Change::Flip => flip(image, size),
            Change::Rotate(degrees) => rotate(image, scratch, size, degrees),
            Change::Cutout { row, column, side } => cutout(image, size, row, column, side),
            Change::Nothing => {}
        }
    }

    /// The same to a mask. Pixels from outside have no label; those cut out of the image keep
    /// theirs, to be told from what is around them.
    fn apply_to_mask(self, mask: &mut [u8], scratch: &mut [u8], size: Size) {
        match self {
            Change::Shift(down, right) => {
                shift_filling(mask, scratch, size, down, right, UNLABELED)
            }
            Change::Flip => flip(mask, size),
            Change::Rotate(degrees) => rotate_labels(mask, scratch, size, degrees, UNLABELED),
            Change::Cutout { .. } | Change::Nothing => {}
        }
    }
}

/// Draws what one augmentation does. Each always draws the same number of values, so that
/// augmentations do not disturb each other's draws.
fn draw<R: Rng>(augmentation: Augmentation, size: Size, draws: &mut Draws<R>) -> Change {
    match augmentation {
        Augmentation::Crop { padding } => {
            let (down, right) = (draws.within(padding), draws.within(padding));
            // The window moves; the image moves the other way.
            Change::Shift(-down, -right)
        }
        Augmentation::Flip if draws.below(2) == 1 => Change::Flip,
        Augmentation::Flip => Change::Nothing,
        Augmentation::Rotate { degrees } => Change::Rotate((draws.unit() * 2.0 - 1.0) * degrees),
        Augmentation::Translate { fraction } => {
            let reach = |length: usize| (fraction * length as f64).round() as u32;
            let down = draws.within(reach(size.height));
            Change::Shift(down, draws.within(reach(size.width)))
        }
        Augmentation::Cutout { side } => {
            let row = draws.below(size.height as u64) as usize;
            Change::Cutout {
                row,
                column: draws.below(size.width as u64) as usize,
                side: side as usize,
            }
        }
    }
}

/// Uniform draws from a stream.
struct Draws<R>(R);

impl<R: Rng> Draws<R> {
    /// A whole number in `0..n`. The bias of the multiplication is below `n/2^64`.
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A whole number in `-reach..=reach`.
    fn within(&mut self, reach: u32) -> isize {
        self.below(2 * u64::from(reach) + 1) as isize - reach as isize
    }

    /// A number in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use batchscope_core::Task;
    use proptest::prelude::*;

    use super::*;

    const SHAPE: DataShape = DataShape {
        input: InputShape::Image {
            height: 6,
            width: 5,
            channels: 2,
        },
        task: Task::Classify { classes: 2 },
    };

    fn key() -> StreamKey {
        StreamKey {
            study_seed: 7,
            trial: 3,
            purpose: Purpose::Order,
        }
    }

    fn batch(examples: std::ops::Range<u64>) -> Batch {
        let pixels = 60;
        let image = |i: u64| (0..pixels).map(move |p| ((i * 31 + p * 7) % 97) as f32 / 10.0);
        Batch {
            len: (examples.end - examples.start) as usize,
            first_draw: examples.start,
            inputs: Inputs::Values(examples.flat_map(image).collect()),
            ..Batch::empty(SHAPE)
        }
    }

    fn augmented(spec: &str, examples: std::ops::Range<u64>) -> Vec<f32> {
        let mut batch = batch(examples);
        Augmenter::new(&spec.parse().unwrap(), &SHAPE, key())
            .unwrap()
            .unwrap()
            .apply(&mut batch);
        match batch.inputs {
            Inputs::Values(values) => values,
            Inputs::Tokens(_) => unreachable!(),
        }
    }

    #[test]
    fn images_change_and_differ_by_example_and_trial() {
        for spec in ["crop:2", "flip", "rotate:30", "translate:0.4", "cutout:3"] {
            let plain = batch(0..64);
            assert_ne!(
                Inputs::Values(augmented(spec, 0..64)),
                plain.inputs,
                "{spec}"
            );
            let mut other = batch(0..64);
            let key = StreamKey { trial: 4, ..key() };
            Augmenter::new(&spec.parse().unwrap(), &SHAPE, key)
                .unwrap()
                .unwrap()
                .apply(&mut other);
            assert_ne!(
                Inputs::Values(augmented(spec, 0..64)),
                other.inputs,
                "{spec}"
            );
        }
    }

    /// A mask that says of every pixel what its image says: they stay of one mind.
    #[test]
    fn masks_move_with_their_images() {
        let shape = DataShape {
            input: InputShape::Image {
                height: 6,
                width: 5,
                channels: 1,
            },
            task: Task::Segment { classes: 31 },
        };
        let plain = Batch {
            len: 40,
            inputs: Inputs::Values((0..40).flat_map(|_| (1..=30).map(|p| p as f32)).collect()),
            labels: Labels::Pixels((0..40).flat_map(|_| 1..=30u8).collect()),
            ..Batch::empty(shape)
        };
        for (spec, moves) in [
            ("crop:2,flip,translate:0.3", true),
            ("flip", true),
            ("cutout:3", false),
        ] {
            let mut batch = plain.clone();
            Augmenter::new(&spec.parse().unwrap(), &shape, key())
                .unwrap()
                .unwrap()
                .apply(&mut batch);
            let (Inputs::Values(image), Labels::Pixels(mask)) = (&batch.inputs, &batch.labels)
            else {
                unreachable!()
            };
            assert_ne!(batch.inputs, plain.inputs, "{spec}");
            assert_eq!(batch.labels != plain.labels, moves, "{spec}");
            for (&pixel, &label) in image.iter().zip(mask) {
                let outside = label == UNLABELED;
                if moves {
                    assert_eq!(outside, pixel == 0.0, "{spec}");
                }
                assert!(
                    outside || pixel == 0.0 || pixel == f32::from(label),
                    "{spec}"
                );
            }
        }
        // A half turn reverses image and mask alike, to rounding of the image.
        let size = Size {
            height: 6,
            width: 5,
            channels: 1,
        };
        let mut mask: Vec<u8> = (1..=30).collect();
        rotate_labels(&mut mask, &mut [0; 30], size, 180.0, UNLABELED);
        assert!(mask.iter().copied().eq((1..=30).rev()));
        rotate_labels(&mut mask, &mut [0; 30], size, 45.0, UNLABELED);
        assert_eq!(mask[0], UNLABELED, "corners come from outside");
    }

    #[test]
    fn vectors_are_refused_and_no_augmentation_is_none() {
        let shape = DataShape {
            input: InputShape::Vector { features: 4 },
            ..SHAPE
        };
        assert!(matches!(
            Augmenter::new(&"flip".parse().unwrap(), &shape, key()),
            Err(AugmentError::NoImages)
        ));
        assert!(
            Augmenter::new(&AugmentSpec::default(), &shape, key())
                .unwrap()
                .is_none()
        );
    }

    proptest! {
        #[test]
        fn the_cut_into_micro_batches_does_not_matter(cut in 0u64..=12, start in 0u64..1_000_000) {
            let spec = "crop:2,flip,rotate:20,translate:0.2,cutout:3";
            let whole = augmented(spec, start..start + 12);
            let mut parts = augmented(spec, start..start + cut);
            parts.extend(augmented(spec, start + cut..start + 12));
            prop_assert_eq!(whole, parts);
        }
    }
}
