//! Windows of consecutive frames, each frame stored once.

use std::hash::{DefaultHasher, Hasher};

use crate::duplicates;

/// Examples that are windows of consecutive frames of equally many numbers, overlapping within a
/// sequence: frame `t` with `context` frames on either side, where the first and the last frame of the
/// sequence stand for those before and after it. (Kaldi's `splice-feats` does the same.)
///
/// The frames of a sequence lie together with the repeated ones at its ends, so that every window is
/// one piece of memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    values: Vec<f32>,
    width: usize,
    context: usize,
    /// Number of the first frame of each window, repeated ones counted.
    starts: Vec<u32>,
    /// Number of the first window of each sequence.
    sequences: Vec<u32>,
}

impl Windows {
    /// No windows yet, of frames of `width` numbers (at least 1) with `context` frames on either side.
    pub fn new(width: usize, context: usize) -> Self {
        Self {
            values: Vec::new(),
            width: width.max(1),
            context,
            starts: Vec::new(),
            sequences: Vec::new(),
        }
    }

    /// Bytes that so many sequences of so many frames in all take.
    pub(crate) fn bytes(width: usize, context: usize, sequences: usize, frames: usize) -> u128 {
        let repeated = 2 * sequences as u128 * context as u128;
        4 * ((frames as u128 + repeated) * width as u128 + frames as u128)
    }

    /// Adds the windows of a sequence of whole frames, one for each frame. False, and nothing added,
    /// when that would be more frames than can be numbered.
    #[must_use]
    pub fn push(&mut self, frames: &[f32]) -> bool {
        let count = frames.len() / self.width;
        let first = self.values.len() / self.width;
        if u32::try_from(first + count + 2 * self.context).is_err() {
            return false;
        }
        if count == 0 {
            return true;
        }
        self.sequences.push(self.starts.len() as u32);
        self.starts.extend((first..first + count).map(|f| f as u32));
        let frames = &frames[..count * self.width];
        for _ in 0..self.context {
            self.values.extend_from_slice(&frames[..self.width]);
        }
        self.values.extend_from_slice(frames);
        for _ in 0..self.context {
            self.values
                .extend_from_slice(&frames[frames.len() - self.width..]);
        }
        true
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// True without windows.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Numbers of a frame.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Numbers of a window.
    pub fn window(&self) -> usize {
        self.width * (2 * self.context + 1)
    }

    /// The numbers of a window.
    pub fn get(&self, index: usize) -> &[f32] {
        &self.values[self.starts[index] as usize * self.width..][..self.window()]
    }

    /// All frames with the repeated ones, and the frames that the windows of these numbers begin
    /// with.
    pub(crate) fn table(&self, rows: &[u32]) -> (&[f32], Vec<u32>) {
        let starts = rows.iter().map(|&row| self.starts[row as usize]);
        (&self.values, starts.collect())
    }

    /// What is to be told apart by a fingerprint: frames, and their places.
    pub(crate) fn content(&self) -> (&[f32], [&[u32]; 2]) {
        (&self.values, [&self.starts, &self.sequences])
    }

    /// What tells the windows apart: the content of the whole sequence of each, and its place there.
    /// (Frames of silence are alike everywhere; utterances are not.)
    pub(crate) fn digests(&self) -> Vec<u64> {
        let mut digests = Vec::with_capacity(self.len());
        for (number, &first) in self.sequences.iter().enumerate() {
            let end = self.sequences.get(number + 1);
            let windows = first as usize..end.map_or(self.len(), |&end| end as usize);
            let mut sequence = DefaultHasher::new();
            let (from, to) = (self.starts[windows.start], self.starts[windows.end - 1]);
            let frames =
                from as usize * self.width..(to as usize + 2 * self.context + 1) * self.width;
            duplicates::floats(&self.values[frames], &mut sequence);
            digests.extend(windows.map(|window| {
                let mut place = sequence.clone();
                place.write_u32(self.starts[window] - from);
                place.finish()
            }));
        }
        digests
    }

    /// Takes whole sequences out of an order of windows, in the order in which it meets them, until
    /// at least `count` windows are out: windows of one sequence share frames, so that one held out
    /// would be known to who trains on its neighbors. Gives what was taken, and leaves the rest.
    pub(crate) fn hold_out(&self, order: &mut Vec<u32>, count: usize) -> Vec<u32> {
        let sequence = |window: u32| self.sequences.partition_point(|&first| first <= window) - 1;
        let mut held = vec![false; self.sequences.len()];
        let mut out = 0;
        for &window in &*order {
            if out >= count {
                break;
            }
            let number = sequence(window);
            if !std::mem::replace(&mut held[number], true) {
                let end = self
                    .sequences
                    .get(number + 1)
                    .map_or(self.len(), |&end| end as usize);
                out += end - self.sequences[number] as usize;
            }
        }
        let (taken, rest) = order.iter().partition(|&&window| held[sequence(window)]);
        *order = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows() -> Windows {
        let mut windows = Windows::new(2, 1);
        assert!(windows.push(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert!(windows.push(&[]));
        assert!(windows.push(&[7.0, 8.0]));
        windows
    }

    #[test]
    fn frames_stand_in_for_their_neighbors_at_the_ends() {
        let windows = windows();
        assert_eq!((windows.len(), windows.window()), (4, 6));
        assert_eq!(windows.get(0), [1.0, 2.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(windows.get(1), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(windows.get(2), [3.0, 4.0, 5.0, 6.0, 5.0, 6.0]);
        assert_eq!(windows.get(3), [7.0, 8.0, 7.0, 8.0, 7.0, 8.0]);
        let taken = Windows::bytes(2, 1, 2, 4);
        assert_eq!(
            taken,
            4 * (windows.values.len() + windows.starts.len()) as u128
        );
    }

    #[test]
    fn sequences_are_held_out_whole() {
        let windows = windows();
        let mut order = vec![3, 1, 0, 2];
        assert_eq!(windows.hold_out(&mut order, 1), [3]);
        assert_eq!(order, [1, 0, 2]);
        let mut order = vec![1, 3, 0, 2];
        assert_eq!(windows.hold_out(&mut order, 1), [1, 0, 2]);
        assert_eq!(order, [3]);
    }
}
