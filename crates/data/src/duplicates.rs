//! Examples that are there more than once, counted by content: within the training part, and between
//! it and the parts that are to judge what was learned.

use std::hash::{DefaultHasher, Hash, Hasher};

use rayon::prelude::*;

use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;

/// Notes on copies; a test part of which more than half are training examples is refused. Takes eight
/// bytes of memory for each example; two different ones count as copies by a chance of n²/2⁶⁵.
pub(crate) fn count(arrays: &Arrays, notes: &mut Vec<String>) -> Result<(), DataError> {
    let mut train = digests(arrays, &arrays.train);
    let all = train.len();
    train.par_sort_unstable();
    train.dedup();
    let copies = all - train.len();
    if copies > 0 {
        let held_out = match arrays.validation {
            Some(_) => "",
            None => "; one may be held out for validation while the other is trained on",
        };
        notes.push(format!(
            "{copies} of {all} training examples are copies of others{held_out}"
        ));
    }
    for (name, part) in [("validation", &arrays.validation), ("test", &arrays.test)] {
        let Some(part) = part else { continue };
        let digests = digests(arrays, part);
        let known = digests
            .par_iter()
            .filter(|digest| train.binary_search(digest).is_ok())
            .count();
        if name == "test" && known > digests.len() / 2 {
            return Err(DataError::setting(
                "test",
                format!(
                    "{known} of {} test examples are training examples too, so that the test part \
                     tells nothing about new ones: give another test part, or take the copies out",
                    digests.len()
                ),
            ));
        }
        if known > 0 {
            notes.push(format!(
                "{known} of {} {name} examples are training examples too",
                digests.len()
            ));
        }
    }
    Ok(())
}

/// A digest of each example, answer included.
fn digests(arrays: &Arrays, part: &ArrayPart) -> Vec<u64> {
    let examples = arrays.count(part);
    let width = arrays.input.len();
    let outputs = match &part.answers {
        Answers::Classes(_) => 1,
        Answers::Values(values) => values.len() / examples.max(1),
        Answers::Masks(masks) => masks.len() / examples.max(1),
    };
    let sequences = match &part.inputs {
        InputRows::Windows(windows) => windows.digests(),
        _ => Vec::new(),
    };
    let digest = |example: usize| {
        let mut hash = DefaultHasher::new();
        match &part.inputs {
            InputRows::Bytes(bytes) => hash.write(&bytes[example * width..][..width]),
            InputRows::Floats(values) => floats(&values[example * width..][..width], &mut hash),
            InputRows::Shifted(shifted) => {
                floats(&shifted.values[example * width..][..width], &mut hash);
            }
            InputRows::Windows(_) => sequences[example].hash(&mut hash),
        }
        match &part.answers {
            Answers::Classes(classes) => hash.write_u32(classes[example]),
            Answers::Values(values) => floats(&values[example * outputs..][..outputs], &mut hash),
            Answers::Masks(masks) => hash.write(&masks[example * outputs..][..outputs]),
        }
        hash.finish()
    };
    (0..examples).into_par_iter().map(digest).collect()
}

/// Hashes numbers by their bits, a block at a time.
pub(crate) fn floats(values: &[f32], hash: &mut DefaultHasher) {
    let mut block = [0; 256];
    for chunk in values.chunks(block.len() / 4) {
        for (bytes, value) in block.chunks_exact_mut(4).zip(chunk) {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
        hash.write(&block[..4 * chunk.len()]);
    }
}
