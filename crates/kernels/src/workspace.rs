use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use crate::simd::{Isa, Real};

/// Scratch memory that kernels reuse, and the instruction set they run on.
///
/// After the first step of a training run, calls find the memory for tensors here and allocate
/// none. One workspace serves any number of threads and calls at once, so a program needs one:
///
/// ```
/// use batchwise_kernels::Workspace;
/// static WORKSPACE: Workspace = Workspace::new();
/// ```
#[derive(Debug, Default)]
pub struct Workspace {
    isa: Option<Isa>,
    free: Mutex<Vec<Vec<Line>>>,
}

/// A cache line; buffers made of them are aligned for the widest vectors.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u64; 8]);

const BYTES: usize = size_of::<Line>();

impl Workspace {
    /// An empty workspace for the best instruction set of this processor.
    pub const fn new() -> Self {
        Self {
            isa: None,
            free: Mutex::new(Vec::new()),
        }
    }

    /// An empty workspace for a chosen instruction set.
    pub const fn with_isa(isa: Isa) -> Self {
        Self {
            isa: Some(isa),
            free: Mutex::new(Vec::new()),
        }
    }

    /// The instruction set its kernels run on.
    pub fn isa(&self) -> Isa {
        self.isa.unwrap_or_else(Isa::best)
    }

    /// Bytes of scratch memory waiting to be reused.
    pub fn idle_bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter().map(|lines| lines.len() * BYTES).sum()
    }

    /// Gives the idle scratch memory back to the allocator.
    pub fn clear(&self) {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// A buffer of `len` elements with whatever they held last. It returns here when dropped.
    pub(crate) fn take<T: Real>(&self, len: usize) -> Scratch<'_, T> {
        let lines = (len * size_of::<T>()).div_ceil(BYTES);
        if lines == 0 {
            return Scratch {
                lines: Vec::new(),
                len,
                home: &self.free,
                element: PhantomData,
            };
        }
        let mut buffer = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            // The smallest that suffices; else the largest, to be grown.
            let suffices = |b: &&Vec<Line>| b.len() >= lines;
            let best = free.iter().filter(suffices).map(Vec::len).min();
            let wanted = best.or_else(|| free.iter().map(Vec::len).max());
            let at = wanted.and_then(|wanted| free.iter().position(|b| b.len() == wanted));
            at.map_or_else(Vec::new, |at| free.swap_remove(at))
        };
        if buffer.len() < lines {
            buffer.clear();
            buffer.resize(lines, Line([0; 8]));
        }
        Scratch {
            lines: buffer,
            len,
            home: &self.free,
            element: PhantomData,
        }
    }

    /// A buffer of `len` zeros.
    pub(crate) fn take_zeroed<T: Real>(&self, len: usize) -> Scratch<'_, T> {
        let mut buffer = self.take(len);
        buffer.fill(T::ZERO);
        buffer
    }

    /// `len` zeros to own; [`Workspace::give`] brings the memory back.
    pub(crate) fn own_zeroed<T: Real>(&self, len: usize) -> Aligned<T> {
        let mut buffer = self.take_zeroed::<T>(len);
        Aligned {
            lines: std::mem::take(&mut buffer.lines),
            len,
            element: PhantomData,
        }
    }

    /// Takes memory in to be reused.
    pub(crate) fn give<T>(&self, buffer: Aligned<T>) {
        give(&self.free, buffer.lines);
    }
}

/// Puts memory among the free, but no empty buffers.
fn give(free: &Mutex<Vec<Vec<Line>>>, lines: Vec<Line>) {
    if !lines.is_empty() {
        free.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(lines);
    }
}

/// A buffer on loan from a [`Workspace`].
pub(crate) struct Scratch<'a, T: Real> {
    lines: Vec<Line>,
    len: usize,
    home: &'a Mutex<Vec<Vec<Line>>>,
    element: PhantomData<T>,
}

impl<T: Real> Deref for Scratch<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `take` made the lines hold at least `len` elements; they are initialised, aligned
        // to 64 bytes, and every bit pattern is an `f32` or `f64`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Real> DerefMut for Scratch<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl<T: Real> Drop for Scratch<'_, T> {
    fn drop(&mut self) {
        give(self.home, std::mem::take(&mut self.lines));
    }
}

/// Memory aligned to cache lines that a value owns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Real> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `own_zeroed` made the lines hold at least `len` elements, initialised and aligned;
        // every bit pattern is an `f32` or `f64`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Real> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_and_aligned() {
        let workspace = Workspace::new();
        for len in [100, 7, 100, 64] {
            let a = workspace.take::<f32>(len);
            let b = workspace.take_zeroed::<f64>(len);
            assert!(a.len() == len && b.iter().all(|&x| x == 0.0));
            assert!(a.as_ptr().addr().is_multiple_of(64) && b.as_ptr().addr().is_multiple_of(64));
        }
        // Empty buffers are no buffers: kept, they would pile up and slow every search.
        (0..10).for_each(|_| drop(workspace.take::<f32>(0)));
        assert_eq!(workspace.free.lock().unwrap().len(), 2);
        let owned = workspace.own_zeroed::<f32>(50);
        assert_eq!(workspace.free.lock().unwrap().len(), 1);
        workspace.give(owned);
        assert_eq!(workspace.free.lock().unwrap().len(), 2);
        let idle = workspace.idle_bytes();
        drop(workspace.take::<f32>(50));
        assert_eq!(workspace.idle_bytes(), idle);
        workspace.clear();
        assert_eq!(workspace.idle_bytes(), 0);
    }
}
