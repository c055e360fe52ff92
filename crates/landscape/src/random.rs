//! Random vectors from ChaCha streams.

use batchscope_core::{Purpose, StreamKey, statistics::NormalDraws};
use rand_core::Rng;

/// What a stream inside this crate is for; two uses never share numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    Start = 1,
    Subspace = 2,
    Perturbation = 3,
    Lanczos = 4,
    Trace = 5,
    Density = 6,
    Direction = 7,
}

/// Bits of a stream's index given to blocks of a vector, and to the repetition above them.
const BLOCK_BITS: u32 = 32;
const REPETITION_BITS: u32 = 24;

/// The stream of `block` of `repetition` of a use, under `seed`.
pub(crate) fn draws(seed: u64, what: Use, repetition: u64, block: u64) -> NormalDraws<impl Rng> {
    debug_assert!(repetition < 1 << REPETITION_BITS && block < 1 << BLOCK_BITS);
    let key = StreamKey {
        study_seed: seed,
        trial: 0,
        purpose: Purpose::Landscape,
    };
    let index =
        ((what as u64) << (BLOCK_BITS + REPETITION_BITS)) | (repetition << BLOCK_BITS) | block;
    NormalDraws::new(key.stream(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_repetitions_blocks_and_seeds_do_not_share_numbers() {
        let first = draws(7, Use::Start, 0, 0).normal();
        for other in [
            draws(7, Use::Trace, 0, 0).normal(),
            draws(7, Use::Start, 1, 0).normal(),
            draws(7, Use::Start, 0, 1).normal(),
            draws(8, Use::Start, 0, 0).normal(),
        ] {
            assert_ne!(first, other);
        }
    }
}
