//! The built-in data set: 28×28 gray pictures of ten characters of our own.
//!
//! Each picture is a character's strokes under a random affine map, a smooth elastic distortion and
//! a pen of random width and ink, sometimes with a bar across it, always with noise. Example `i`
//! depends on the seed and on `i` alone, so any number of threads makes the same pictures, and a
//! larger set begins with the smaller one. It is hard enough that a convolutional network beats a
//! perceptron and that few examples overfit.

mod geometry;
mod render;
mod shapes;

use batchscope_core::{InputShape, Purpose, StreamKey, Task};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;

/// How many glyphs are made, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlyphOptions {
    /// Examples in the training part (validation is held out from it).
    pub train: u32,
    /// Examples in the test part.
    pub test: u32,
    /// Seed of the pictures. It is not the study's seed, so that all studies see the same data.
    pub seed: u64,
}

impl Default for GlyphOptions {
    fn default() -> Self {
        Self {
            train: 20_000,
            test: 4_000,
            seed: 0,
        }
    }
}

/// Streams of the test part begin here: beyond any training part.
const TEST_STREAMS: u64 = 1 << 32;

/// Makes the glyphs; classes are balanced.
///
/// # Errors
/// When a part is empty or more than a million glyphs are asked for.
pub fn glyphs(options: &GlyphOptions) -> Result<Arrays, DataError> {
    const MOST: u32 = 1_000_000;
    for (setting, count) in [
        ("glyphs.train", options.train),
        ("glyphs.test", options.test),
    ] {
        if count == 0 || count > MOST {
            return Err(DataError::setting(
                setting,
                format!("{count} glyphs cannot be made: choose 1 to {MOST}"),
            ));
        }
    }
    let key = StreamKey {
        study_seed: options.seed,
        trial: 0,
        purpose: Purpose::Glyphs,
    };
    let classes = render::names();
    let part = |first: u64, count: u32| {
        let mut pixels = vec![0u8; count as usize * render::PIXELS];
        pixels
            .par_chunks_mut(render::PIXELS)
            .enumerate()
            .for_each(|(i, picture)| {
                render::render(
                    i % classes.len(),
                    &mut key.stream(first + i as u64),
                    picture,
                );
            });
        let labels = (0..count).map(|i| i % classes.len() as u32).collect();
        ArrayPart {
            inputs: InputRows::Bytes(pixels),
            answers: Answers::Classes(labels),
        }
    };
    Ok(Arrays {
        input: InputShape::Image {
            height: render::SIDE,
            width: render::SIDE,
            channels: 1,
        },
        task: Task::Classify {
            classes: classes.len(),
        },
        train: part(0, options.train),
        validation: None,
        test: Some(part(TEST_STREAMS, options.test)),
        classes: classes.clone(),
        notes: Vec::new(),
    })
}
