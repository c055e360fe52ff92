//! Augmentation of training images, and of their masks with them.
//!
//! Every example draws from its own stream, keyed by its position in the *run*
//! ([`batchscope_core::Batch::first_draw`]): the same example gets the same crop whatever the
//! micro-batch, rank or thread. Pixels from outside the image are 0, which after normalization is
//! the training set's mean (as in He et al. 2016, arXiv 1512.03385, section 4.2).

mod crop;
mod cutout;
mod example;
mod flip;
mod kind;
mod rotate;
mod spec;
mod translate;

use std::sync::Arc;

use batchscope_core::{
    Batch, DataShape, InputShape, Inputs, Labels, Purpose, Registry, StreamKey, UNLABELED,
};
use rayon::prelude::*;

pub use example::{Draws, Example, Size};
pub use kind::{Augmentation, AugmentationKind};
pub use spec::{AugmentError, AugmentSpec};

/// Every augmentation there is.
pub static AUGMENTATIONS: Registry<AugmentationKind> = Registry {
    what: "augmentation",
    all: &[
        &crop::CROP,
        &flip::FLIP,
        &rotate::ROTATE,
        &translate::TRANSLATE,
        &cutout::CUTOUT,
    ],
};

/// Augments the batches of one trial.
#[derive(Debug, Clone)]
pub struct Augmenter {
    augmentations: Arc<[Box<dyn Augmentation>]>,
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
        Ok(Some(Self {
            augmentations: spec.build(size)?.into(),
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
            Labels::Pixels(labels) => {
                let pixels = self.size.height * self.size.width;
                labels.chunks_exact_mut(pixels).collect()
            }
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
                    let mut stream = self.key.stream(first.wrapping_add(index as u64));
                    mask_scratch.resize(mask.len(), UNLABELED);
                    let mut example = Example {
                        image,
                        mask,
                        size: self.size,
                        scratch,
                        mask_scratch,
                    };
                    for augmentation in self.augmentations.iter() {
                        augmentation.apply(&mut example, &mut Draws(&mut stream));
                    }
                },
            );
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
