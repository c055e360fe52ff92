//! What makes two trials the same trial, and the seed that follows from it.

use batchscope_core::{Start, TrialPurpose, TrialSpec};

/// Bits of a trial seed that hold the batch size.
pub(crate) const BATCH_BITS: u32 = 38;
/// Bits of a trial seed that hold the index.
pub(crate) const INDEX_BITS: u32 = 12;

/// The part of a study that a seed belongs to. Seeds of different kinds never clash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedKind(u64);

impl SeedKind {
    const SINGLE: Self = Self(0);
    const PILOT: Self = Self(1);
    const TUNE: Self = Self(2);
    const FRESH: Self = Self(3);

    /// Kind `number` (0 to 3) of the four reserved for planners of your own; `None` from 4 on.
    /// [`TunedPlanner`](crate::TunedPlanner) uses other kinds.
    pub const fn own(number: u32) -> Option<Self> {
        if number < 4 {
            Some(Self(4 + number as u64))
        } else {
            None
        }
    }
}

/// The seed of a trial: its kind, batch size and index packed side by side, so that different
/// trials cannot share one, and neither the order of running nor the other trials of the plan can
/// change it. Below 2⁵³, so that every reader of JSON keeps it whole.
///
/// # Panics
/// When the index is not below 4096, or the batch size not below 2³⁸; a checked plan's are.
pub fn seed(kind: SeedKind, index: u32, batch_size: u64) -> u64 {
    assert!(
        batch_size >> BATCH_BITS == 0 && index >> INDEX_BITS == 0,
        "no seed for trial {index} at batch size {batch_size}"
    );
    (kind.0 << (INDEX_BITS + BATCH_BITS)) | (u64::from(index) << BATCH_BITS) | batch_size
}

/// The seed of a trial of [`TunedPlanner`](crate::TunedPlanner).
///
/// Rules that give different rates at a batch size share the seeds of its repetitions.
pub(crate) fn trial_seed(purpose: TrialPurpose, batch_size: u64) -> u64 {
    let (kind, index) = match purpose {
        TrialPurpose::Single => (SeedKind::SINGLE, 0),
        TrialPurpose::Pilot { index } => (SeedKind::PILOT, index),
        TrialPurpose::Tune { index, .. } => (SeedKind::TUNE, index),
        TrialPurpose::Fresh { index } => (SeedKind::FRESH, index),
    };
    seed(kind, index, batch_size)
}

/// What a trial asks for, apart from its number and the curves that look at it: two specs with the
/// same identity are one trial. Canonical JSON.
pub fn identity(spec: &TrialSpec) -> String {
    // The same checkpoint is the same wherever it lies.
    let start = spec.start.clone().map(|start| Start {
        checkpoint: match start.checksum {
            Some(_) => String::new(),
            None => start.checkpoint,
        },
        ..start
    });
    let bare = TrialSpec {
        start,
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
                for number in 0..4 {
                    let seed = seed(SeedKind::own(number).unwrap(), index, batch_size);
                    assert!(seed < 1 << 53);
                    seeds.insert(seed);
                    n += 1;
                }
            }
        }
        assert_eq!(seeds.len(), n);
        assert_eq!(SeedKind::own(4), None);
    }

    /// Stored studies are found by them.
    #[test]
    fn seeds_stay_what_they_were() {
        let tune = TrialPurpose::Tune { index: 3, round: 1 };
        assert_eq!(trial_seed(tune, 64), (2 << 50) | (3 << 38) | 64);
        let fresh = TrialPurpose::Fresh { index: 0 };
        assert_eq!(trial_seed(fresh, 2048), (3 << 50) | 2048);
    }
}
