//! Streams that begin anew within a sequence: the state before such a step counts as zero.

use super::sequence::LstmShape;
use crate::error::{KernelError, check_length};
use crate::simd::Real;

/// Where the streams of a sequence begin anew, `[steps · streams]`; nowhere without flags, or where
/// all of them are false.
#[derive(Clone, Copy)]
pub(super) struct Resets<'a> {
    fresh: Option<&'a [bool]>,
    streams: usize,
}

impl<'a> Resets<'a> {
    /// The flags of a sequence of this shape.
    pub(super) fn new(fresh: Option<&'a [bool]>, shape: LstmShape) -> Result<Self, KernelError> {
        let streams = shape.streams();
        if let Some(fresh) = fresh {
            check_length("fresh", fresh, shape.steps() * streams)?;
        }
        Ok(Self {
            fresh: fresh.filter(|fresh| fresh.contains(&true)),
            streams,
        })
    }

    /// True where some stream begins anew.
    pub(super) fn any(self) -> bool {
        self.fresh.is_some()
    }

    /// The flags of `len` streams from stream `from` on before a step, if any of them is set.
    pub(super) fn at(self, step: usize, from: usize, len: usize) -> Option<&'a [bool]> {
        let fresh = &self.fresh?[step * self.streams + from..][..len];
        fresh.contains(&true).then_some(fresh)
    }

    /// The flags of all steps from `step` on, in their order.
    pub(super) fn from(self, step: usize) -> &'a [bool] {
        &self.fresh.unwrap_or_default()[step * self.streams..]
    }
}

/// Zeroes the states, rows of `width` numbers, of the streams that begin anew.
pub(super) fn clear<T: Real>(states: &mut [T], width: usize, fresh: &[bool]) {
    for (state, _) in (states.chunks_exact_mut(width).zip(fresh)).filter(|(_, fresh)| **fresh) {
        state.fill(T::ZERO);
    }
}

/// A copy of the states in `room`, with those of the streams that begin anew zeroed.
pub(super) fn cleared<'a, T: Real>(
    states: &[T],
    width: usize,
    fresh: &[bool],
    room: &'a mut [T],
) -> &'a [T] {
    room.copy_from_slice(states);
    clear(room, width, fresh);
    room
}
