//! SHA-256 of what a data set holds.

use sha2::{Digest, Sha256};

use crate::arrays::{Answers, ArrayPart, InputRows};

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes numbers by their little-endian bytes, a block at a time.
fn numbers<T: Copy, const N: usize>(hash: &mut Sha256, values: &[T], bytes: impl Fn(T) -> [u8; N]) {
    let mut block = Vec::with_capacity(N * 4096);
    for chunk in values.chunks(4096) {
        block.clear();
        block.extend(chunk.iter().flat_map(|&x| bytes(x)));
        hash.update(&block);
    }
}

/// The digest of token or row numbers.
pub(crate) fn integers(values: &[u32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    numbers(&mut hash, values, u32::to_le_bytes);
    hash.finalize().into()
}

/// The digest of a part's inputs and answers.
pub(crate) fn part(part: &ArrayPart) -> [u8; 32] {
    let mut hash = Sha256::new();
    match &part.inputs {
        InputRows::Bytes(bytes) => hash.update(bytes),
        InputRows::Floats(floats) => numbers(&mut hash, floats, f32::to_le_bytes),
        InputRows::Windows(windows) => {
            let (frames, places) = windows.content();
            numbers(&mut hash, frames, f32::to_le_bytes);
            for places in places {
                numbers(&mut hash, places, u32::to_le_bytes);
            }
        }
        InputRows::Shifted(shifted) => {
            numbers(&mut hash, &shifted.values, f32::to_le_bytes);
            numbers(&mut hash, &shifted.offsets, f64::to_le_bytes);
        }
    }
    match &part.answers {
        Answers::Classes(classes) => numbers(&mut hash, classes, u32::to_le_bytes),
        Answers::Values(values) => numbers(&mut hash, values, f32::to_le_bytes),
        Answers::Masks(masks) => hash.update(masks),
    }
    hash.finalize().into()
}

/// One digest of a description and several digests.
pub(crate) fn combine(description: &str, digests: &[[u8; 32]]) -> String {
    let mut hash = Sha256::new();
    hash.update((description.len() as u64).to_le_bytes());
    hash.update(description);
    for digest in digests {
        hash.update(digest);
    }
    hex(&hash.finalize())
}
