//! What makes two trials the same trial, and the seed that follows from it.

use batchscope_core::{TrialPurpose, TrialSpec};

/// Bits of a trial seed that hold the batch size.
pub(crate) const BATCH_BITS: u32 = 38;
/// Bits of a trial seed that hold the index.
pub(crate) const INDEX_BITS: u32 = 12;

/// The seed of a trial: its purpose, batch size and index packed side by side, so that different
/// trials cannot share one, and neither the order of running nor the other trials of the plan can
/// change it. Below 2⁵³, so that every reader of JSON keeps it whole.
///
/// Rules that give different rates at a batch size share the seeds of its repetitions.
pub(crate) fn trial_seed(purpose: TrialPurpose, batch_size: u64) -> u64 {
    let (kind, index) = match purpose {
        TrialPurpose::Single => (0, 0),
        TrialPurpose::Pilot { index } => (1, index),
        TrialPurpose::Tune { index, .. } => (2, index),
        TrialPurpose::Fresh { index } => (3, index),
    };
    debug_assert!(batch_size >> BATCH_BITS == 0 && index >> INDEX_BITS == 0);
    (kind << (INDEX_BITS + BATCH_BITS)) | (u64::from(index) << BATCH_BITS) | batch_size
}

/// What a trial asks for, apart from its number and the curves that look at it: two specs with the
/// same identity are one trial. Canonical JSON.
pub fn identity(spec: &TrialSpec) -> String {
    let bare = TrialSpec {
        id: 0,
        curves: Vec::new(),
        ..spec.clone()
    };
    serde_json::to_string(&bare).expect("a spec is plain data")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seeds_differ_wherever_purpose_size_or_index_do() {
        let mut seeds = BTreeSet::new();
        let mut n = 0;
        for batch_size in [1, 2, 8, 1 << 20, (1 << BATCH_BITS) - 1] {
            for index in [0, 1, 7, (1 << INDEX_BITS) - 1] {
                for purpose in [
                    TrialPurpose::Pilot { index },
                    TrialPurpose::Tune { index, round: 0 },
                    TrialPurpose::Fresh { index },
                ] {
                    let seed = trial_seed(purpose, batch_size);
                    assert!(seed < 1 << 53);
                    seeds.insert(seed);
                    n += 1;
                }
            }
        }
        assert_eq!(seeds.len(), n);
    }
}
