//! How work is cut into pieces for the threads: by the shapes alone, never by the thread count,
//! so that sums over pieces are the same on any number of threads.

use std::{iter::Sum, ops::Range};

use rayon::prelude::*;

/// Most pieces a call is cut into: what bounds both the use of cores and the partial gradients.
pub(crate) const MOST: usize = 32;

/// Elements in a piece of a flat elementwise operation.
pub(crate) const FLAT: usize = 16 * 1024;

/// Elements in a piece of an optimizer's update. A tensor of fewer is updated by one core: waking another takes longer,
/// and a second pass finds what the first has read in the core's cache. Measured in docs/performance.md.
pub(crate) const UPDATE: usize = 64 * 1024;

/// Items in each piece (the last may hold fewer) when `items` are cut into at most [`MOST`]
/// pieces of at least `at_least` items.
pub(crate) fn piece(items: usize, at_least: usize) -> usize {
    items.div_ceil(MOST).max(at_least).max(1)
}

/// Runs `work` on every item, in parallel where there is more than one. At most [`MOST`] items.
pub(crate) fn for_each<J: Send>(items: impl Iterator<Item = J>, work: impl Fn(J) + Sync) {
    let mut items = items;
    // An array rather than a vector: calls allocate nothing.
    let mut jobs: [Option<J>; MOST] = std::array::from_fn(|_| items.next());
    debug_assert!(items.next().is_none());
    let count = jobs.iter().take_while(|job| job.is_some()).count();
    let run = |job: &mut Option<J>| {
        if let Some(job) = job.take() {
            work(job);
        }
    };
    if count <= 1 {
        jobs.iter_mut().for_each(run);
    } else {
        jobs[..count].par_iter_mut().with_max_len(1).for_each(run);
    }
}

/// What `work` makes of the ranges of `items` that are the pieces of `length` items each, added up in
/// the order of the pieces. At most [`MOST`] pieces: `length` is one that [`piece`] allows.
pub(crate) fn sum<S: Copy + Default + Send + Sum>(
    items: usize,
    length: usize,
    work: impl Fn(Range<usize>) -> S + Sync,
) -> S {
    let mut sums = [S::default(); MOST];
    let pieces = (0..items).step_by(length).zip(&mut sums);
    for_each(pieces, |(from, sum)| {
        *sum = work(from..items.min(from + length))
    });
    sums.into_iter().sum()
}

/// The pieces of an optional slice: `None` for ever without one.
pub(crate) fn optional<T>(slice: Option<&[T]>, piece: usize) -> impl Iterator<Item = Option<&[T]>> {
    let absent = slice.is_none();
    let pieces = slice.unwrap_or_default().chunks(piece).map(Some);
    pieces.chain(std::iter::repeat_with(|| None).take(if absent { MOST } else { 0 }))
}

/// The pieces of an optional mutable slice: `None` for ever without one.
pub(crate) fn optional_mut<T>(
    slice: Option<&mut [T]>,
    piece: usize,
) -> impl Iterator<Item = Option<&mut [T]>> {
    let absent = slice.is_none();
    let pieces = slice.unwrap_or_default().chunks_mut(piece).map(Some);
    pieces.chain(std::iter::repeat_with(|| None).take(if absent { MOST } else { 0 }))
}
