//! The largest micro-batch that fits, and the smallest one that is as fast as any, from tries.

use batchscope_core::StepTiming;

/// A larger micro-batch is looked for until one that fits and one that does not are this fraction apart.
const FINENESS: u64 = 32;

/// Micro-batches within this fraction of the highest throughput are as fast as it: less is a machine's mood.
const AS_FAST: f64 = 0.95;

/// A search for the largest micro-batch that fits: doubled until one does not fit, then halved between.
///
/// Whether larger ones fit is taken to follow from whether smaller ones do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MicroBatchSearch {
    multiple: u64,
    most: u64,
    /// The largest that fits; 0 where none is known.
    fits: u64,
    /// The smallest that does not.
    fails: Option<u64>,
}

impl MicroBatchSearch {
    /// A search up to `most`, at least 1. Above `multiple`, at least 1, only its multiples are tried, since larger batches are
    /// cut into them.
    pub fn new(multiple: u64, most: u64) -> Self {
        Self {
            multiple: multiple.max(1),
            most: most.max(1),
            fits: 0,
            fails: None,
        }
    }

    /// What to try next; `None` where the search is over.
    pub fn next(&self) -> Option<u64> {
        let Some(fails) = self.fails else {
            let doubled = self.fits.saturating_mul(2).clamp(1, self.most);
            return Some(self.rounded(doubled)).filter(|&next| next > self.fits);
        };
        let gap = fails - self.fits;
        if gap <= 1 || gap <= self.fits / FINENESS {
            return None;
        }
        let middle = self.rounded(self.fits + gap / 2);
        (middle > self.fits && middle < fails).then_some(middle)
    }

    /// Down to a multiple, where it is not smaller than one.
    fn rounded(&self, size: u64) -> u64 {
        match size > self.multiple {
            true => size / self.multiple * self.multiple,
            false => size,
        }
    }

    /// Whether one that was tried fits.
    pub fn tried(&mut self, micro_batch: u64, fits: bool) {
        match fits {
            true => self.fits = self.fits.max(micro_batch),
            false => self.fails = Some(self.fails.map_or(micro_batch, |f| f.min(micro_batch))),
        }
        // One that fitted and then does not: the later word counts, and of smaller ones nothing is known any more.
        if self.fails.is_some_and(|fails| self.fits >= fails) {
            self.fits = 0;
        }
    }

    /// The largest that is known to fit.
    pub fn largest(&self) -> Option<u64> {
        Some(self.fits).filter(|&fits| fits > 0)
    }

    /// The smallest that is known not to fit.
    pub fn smallest_failure(&self) -> Option<u64> {
        self.fails
    }
}

/// The smallest micro-batch whose throughput is within 5 % of the highest, of steps in one pass each; `None` of no times.
pub fn at_full_throughput(timings: &[StepTiming]) -> Option<StepTiming> {
    let throughput = |t: &StepTiming| t.batch_size as f64 / t.seconds;
    let best = timings.iter().map(throughput).fold(0.0, f64::max);
    let fast = timings.iter().filter(|t| throughput(t) >= AS_FAST * best);
    fast.min_by_key(|t| t.micro_batch).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Searches where `limit` fit; returns what was tried.
    fn searched(multiple: u64, most: u64, limit: u64) -> (MicroBatchSearch, Vec<u64>) {
        let mut search = MicroBatchSearch::new(multiple, most);
        let mut tried = Vec::new();
        while let Some(next) = search.next() {
            search.tried(next, next <= limit);
            tried.push(next);
            assert!(tried.len() < 200, "{tried:?}");
        }
        (search, tried)
    }

    #[test]
    fn it_doubles_and_then_halves() {
        let (search, tried) = searched(1, 10_000, 700);
        assert_eq!(
            tried[..12],
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 768]
        );
        let largest = search.largest().unwrap();
        assert!((679..=700).contains(&largest), "{largest}");
        assert_eq!(searched(1, 100, 700).0.largest(), Some(100));
        assert_eq!(searched(1, 100, 0).0.largest(), None);
        assert_eq!(searched(1, 100, 0).1, [1]);
        assert_eq!(searched(1, 100, 1).0.largest(), Some(1));
    }

    #[test]
    fn what_fails_later_no_longer_fits() {
        let mut search = MicroBatchSearch::new(32, 4096);
        search.tried(256, true);
        search.tried(512, false);
        search.tried(256, false);
        let known = (search.largest(), search.smallest_failure());
        assert_eq!(known, (None, Some(256)));
        assert_eq!(search.next(), Some(128));
        search.tried(128, true);
        assert_eq!(search.next(), Some(192));
        let mut search = MicroBatchSearch::new(1, 4096);
        search.tried(1, true);
        search.tried(1, false);
        assert_eq!(search.largest(), None);
    }

    proptest! {
        #[test]
        fn the_largest_is_found_as_finely_as_stated(
            multiple in 1u64..64,
            most in 1u64..100_000,
            limit in 0u64..200_000,
        ) {
            let (search, tried) = searched(multiple, most, limit);
            for size in &tried {
                prop_assert!(*size <= most && *size >= 1);
                prop_assert!(*size <= multiple || size % multiple == 0);
            }
            let largest = search.largest().unwrap_or(0);
            prop_assert!(largest <= limit.min(most));
            // All that could be: down to a multiple, and the fineness.
            let truth = limit.min(most);
            let possible = if truth > multiple { truth / multiple * multiple } else { truth };
            let off = possible - largest;
            prop_assert!(off <= multiple.max(largest / FINENESS), "{largest} of {possible}");
        }
    }

    #[test]
    fn as_fast_is_within_a_twentieth() {
        let time = |micro_batch: u64, rate: f64| {
            let seconds = vec![micro_batch as f64 / rate];
            StepTiming::of(micro_batch, micro_batch, seconds).unwrap()
        };
        let times = [
            time(8, 50.0),
            time(16, 94.0),
            time(32, 96.0),
            time(64, 100.0),
        ];
        assert_eq!(at_full_throughput(&times).unwrap().micro_batch, 32);
        assert_eq!(at_full_throughput(&[]), None);
    }
}
