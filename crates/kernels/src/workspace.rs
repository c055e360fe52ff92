use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::element::Element;
use crate::simd::Isa;

/// Memory that is reused, and the instruction set kernels run on.
///
/// After the first step of a training run, calls find their scratch memory here and allocate none;
/// so do tensors whose memory is [taken](Workspace::take) here. One workspace serves any number of
/// threads and calls at once, so a program needs one:
///
/// ```
/// use batchscope_kernels::Workspace;
/// static WORKSPACE: Workspace = Workspace::new();
/// let buffer = WORKSPACE.take::<f32>(1000);
/// let address = buffer.as_ptr();
/// drop(buffer);
/// assert_eq!(WORKSPACE.take::<f32>(900).as_ptr(), address);
/// ```
#[derive(Debug, Default)]
pub struct Workspace {
    isa: Option<Isa>,
    free: Mutex<Free>,
}

/// A cache line; buffers made of them are aligned for the widest vectors.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u64; 8]);

const BYTES: usize = size_of::<Line>();

/// Lines that a buffer may have beyond twice what it is taken for.
const SLACK: usize = 4;

/// A buffer that no one has wanted for so many takes is given back to the allocator as soon as a
/// new one is made: the training that used it has most likely ended.
const STALE: u64 = 2000;

/// The buffers waiting to be reused.
#[derive(Debug, Default)]
struct Free {
    /// By length, each with the time it came back.
    buffers: BTreeMap<usize, Vec<(Vec<Line>, u64)>>,
    /// Buffers taken so far.
    clock: u64,
}

impl Free {
    const fn new() -> Self {
        Self {
            buffers: BTreeMap::new(),
            clock: 0,
        }
    }

    /// The smallest buffer of at least this length, if it is not much too large.
    fn take(&mut self, lines: usize) -> Option<Vec<Line>> {
        self.clock += 1;
        self.buffers
            .range_mut(lines..=2 * lines + SLACK)
            .find_map(|(_, buffers)| buffers.pop())
            .map(|(buffer, _)| buffer)
    }

    /// Puts memory among the free, but no empty buffers.
    fn give(&mut self, lines: Vec<Line>) {
        if !lines.is_empty() {
            let buffers = self.buffers.entry(lines.len()).or_default();
            buffers.push((lines, self.clock));
        }
    }

    /// Takes out what has not been wanted for long.
    fn stale(&mut self) -> Vec<Vec<(Vec<Line>, u64)>> {
        let clock = self.clock;
        let mut stale = Vec::new();
        self.buffers.retain(|_, buffers| {
            let (old, fresh) = std::mem::take(buffers)
                .into_iter()
                .partition(|(_, since)| clock - since > STALE);
            *buffers = fresh;
            stale.push(old);
            !buffers.is_empty()
        });
        stale
    }
}

impl Workspace {
    /// An empty workspace for the best instruction set of this processor.
    pub const fn new() -> Self {
        Self {
            isa: None,
            free: Mutex::new(Free::new()),
        }
    }

    /// An empty workspace for a chosen instruction set.
    pub const fn with_isa(isa: Isa) -> Self {
        Self {
            isa: Some(isa),
            free: Mutex::new(Free::new()),
        }
    }

    /// The instruction set its kernels run on.
    pub fn isa(&self) -> Isa {
        self.isa.unwrap_or_else(Isa::best)
    }

    /// Bytes of memory waiting to be reused.
    pub fn idle_bytes(&self) -> usize {
        let free = self.free();
        let lines = free.buffers.iter().map(|(len, b)| len * b.len());
        lines.sum::<usize>() * BYTES
    }

    /// Gives the idle memory back to the allocator.
    pub fn clear(&self) {
        let buffers = std::mem::take(&mut self.free().buffers);
        drop(buffers);
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `len` elements with whatever they held last. It returns here when dropped.
    pub fn take<T: Element>(&self, len: usize) -> Scratch<'_, T> {
        let lines = (len * size_of::<T>()).div_ceil(BYTES);
        let (found, stale) = match lines {
            0 => (Some(Vec::new()), Vec::new()),
            _ => {
                let mut free = self.free();
                match free.take(lines) {
                    None => (None, free.stale()),
                    found => (found, Vec::new()),
                }
            }
        };
        drop(stale); // outside the lock
        Scratch {
            lines: found.unwrap_or_else(|| vec![Line([0; 8]); lines]),
            len,
            home: self,
            element: PhantomData,
        }
    }

    /// A buffer of `len` zeros.
    pub fn take_zeroed<T: Element>(&self, len: usize) -> Scratch<'_, T> {
        let mut buffer = self.take(len);
        buffer.fill(T::default());
        buffer
    }

    /// `len` elements to own, with whatever they held last; [`Workspace::give`] brings the memory
    /// back.
    pub(crate) fn own<T: Element>(&self, len: usize) -> Aligned<T> {
        let mut buffer = self.take::<T>(len);
        Aligned {
            lines: std::mem::take(&mut buffer.lines),
            len,
            element: PhantomData,
        }
    }

    /// `len` zeros to own.
    pub(crate) fn own_zeroed<T: Element>(&self, len: usize) -> Aligned<T> {
        let mut owned = self.own(len);
        owned.fill(T::default());
        owned
    }

    /// Takes memory in to be reused.
    pub(crate) fn give<T>(&self, buffer: Aligned<T>) {
        self.free().give(buffer.lines);
    }
}

/// A buffer on loan from a [`Workspace`], aligned to cache lines.
#[derive(Debug)]
pub struct Scratch<'a, T: Element> {
    lines: Vec<Line>,
    len: usize,
    home: &'a Workspace,
    element: PhantomData<T>,
}

impl<T: Element> Deref for Scratch<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `take` made the lines hold at least `len` elements; they are initialized, aligned
        // to 64 bytes, and every bit pattern is an element.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Element> DerefMut for Scratch<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// Another buffer from the same workspace with the same values.
impl<T: Element> Clone for Scratch<'_, T> {
    fn clone(&self) -> Self {
        let mut copy = self.home.take(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Element> Drop for Scratch<'_, T> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            self.home.free().give(lines);
        }
    }
}

/// Memory aligned to cache lines that a value owns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `own` made the lines hold at least `len` elements, initialized and aligned;
        // every bit pattern is an element.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Element> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(workspace: &Workspace) -> usize {
        workspace.free().buffers.values().map(Vec::len).sum()
    }

    #[test]
    fn buffers_are_reused_and_aligned() {
        let workspace = Workspace::new();
        for len in [100, 70, 100, 90] {
            let a = workspace.take::<f32>(len);
            let b = workspace.take_zeroed::<f64>(len);
            assert!(a.len() == len && b.iter().all(|&x| x == 0.0));
            assert!(a.as_ptr().addr().is_multiple_of(64) && b.as_ptr().addr().is_multiple_of(64));
        }
        // Empty buffers are no buffers: kept, they would pile up.
        (0..10).for_each(|_| drop(workspace.take::<f32>(0)));
        assert_eq!(count(&workspace), 2);
        let owned = workspace.own_zeroed::<f32>(50);
        assert_eq!(count(&workspace), 1);
        workspace.give(owned);
        assert_eq!(count(&workspace), 2);
        let idle = workspace.idle_bytes();
        drop(workspace.take::<f32>(50));
        assert_eq!(workspace.idle_bytes(), idle);
        workspace.clear();
        assert_eq!(workspace.idle_bytes(), 0);
    }

    #[test]
    fn a_large_buffer_is_not_spent_on_a_small_one_and_does_not_stay_for_ever() {
        let workspace = Workspace::new();
        drop(workspace.take::<f32>(1 << 20));
        let small = workspace.take::<f32>(100);
        assert_eq!(workspace.idle_bytes(), 4 << 20);
        drop(small);
        (0..=STALE).for_each(|_| drop(workspace.take::<f32>(100)));
        assert_eq!(workspace.idle_bytes(), (4 << 20) + 448);
        drop(workspace.take::<f32>(1000)); // a new one: now the forgotten one goes
        assert_eq!(workspace.idle_bytes(), 448 + 4032);
    }
}
