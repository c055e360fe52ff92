//! Order: permutations of the examples within an epoch, and of a data set when it is split or shared out.

use rand_core::Rng;

use crate::StreamKey;

/// A uniform integer below `n` (at least 1), without bias: Lemire, "Fast random integer generation
/// in an interval" (2019).
pub fn below(rng: &mut impl Rng, n: u32) -> u32 {
    let mut product = u64::from(rng.next_u32()) * u64::from(n);
    if (product as u32) < n {
        let least = n.wrapping_neg() % n;
        while (product as u32) < least {
            product = u64::from(rng.next_u32()) * u64::from(n);
        }
    }
    (product >> 32) as u32
}

/// A uniform number of [0, 1): multiples of 2⁻⁵³.
pub fn uniform(rng: &mut (impl Rng + ?Sized)) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Puts at most `u32::MAX` items in a uniform order (Fisher and Yates).
pub fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for i in (1..items.len()).rev() {
        let j = below(rng, i as u32 + 1);
        items.swap(i, j as usize);
    }
}

/// A uniform permutation of `0..n`.
pub fn permutation(n: u32, rng: &mut impl Rng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    shuffle(&mut order, rng);
    order
}

/// The endless concatenation of one permutation per epoch, with the two last used kept: a window of
/// at most `n` draws touches no more.
pub struct EpochOrder {
    key: StreamKey,
    /// The stream of epoch 0.
    first: u64,
    n: u32,
    kept: [Option<(u64, Vec<u32>)>; 2],
}

impl EpochOrder {
    /// Of `n` examples, at least 1.
    pub fn new(key: StreamKey, n: u32) -> Self {
        Self::from_stream(key, 0, n)
    }

    /// The same by other streams of the key, that of epoch 0 and those after it.
    pub fn from_stream(key: StreamKey, first: u64, n: u32) -> Self {
        Self {
            key,
            first,
            n,
            kept: [None, None],
        }
    }

    /// The order of `epoch`.
    fn epoch(&mut self, epoch: u64) -> &[u32] {
        let slot = &mut self.kept[(epoch % 2) as usize];
        if slot.as_ref().is_none_or(|(kept, _)| *kept != epoch) {
            let stream = self.first.wrapping_add(epoch);
            *slot = Some((epoch, permutation(self.n, &mut self.key.stream(stream))));
        }
        &slot.as_ref().expect("just filled").1
    }

    /// Calls `visit` with the runs of examples that make up draws `first..first + count`.
    pub fn visit(&mut self, first: u64, count: u64, mut visit: impl FnMut(&[u32])) {
        let (mut draw, end, n) = (first, first + count, u64::from(self.n));
        while draw < end {
            let place = draw % n;
            let run = (end - draw).min(n - place);
            visit(&self.epoch(draw / n)[place as usize..(place + run) as usize]);
            draw += run;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    const KEY: StreamKey = StreamKey {
        study_seed: 7,
        trial: 1,
        purpose: Purpose::Order,
    };

    #[test]
    fn a_permutation_holds_everything_once_and_every_place_is_equally_likely() {
        let mut sorted = permutation(1000, &mut KEY.stream(0));
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..1000));
        // Where element 0 lands over 6,000 permutations of 6: chi-square with 5 degrees, 99.9 % = 20.5.
        let mut counts = [0f64; 6];
        for epoch in 0..6000 {
            counts[permutation(6, &mut KEY.stream(epoch))
                .iter()
                .position(|&x| x == 0)
                .unwrap()] += 1.0;
        }
        let chi: f64 = counts.iter().map(|c| (c - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 20.5, "{counts:?}");
    }

    #[test]
    fn draws_are_the_concatenation_of_the_epochs_wherever_one_starts() {
        let mut order = EpochOrder::new(KEY, 10);
        let mut all = Vec::new();
        order.visit(0, 45, |run| all.extend_from_slice(run));
        for (first, count) in [(7, 9), (38, 7), (0, 1), (19, 2)] {
            let mut part = Vec::new();
            order.visit(first, count, |run| part.extend_from_slice(run));
            assert_eq!(part, all[first as usize..(first + count) as usize]);
        }
        for epoch in all[..40].chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..10));
        }
        assert_ne!(all[..10], all[10..20]);
    }
}
