//! Once a training run is under way, its steps take all large memory from what earlier steps left.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use common::*;

/// Bytes from which an allocation is large: neither a node of the graph nor the queue of a thread,
/// which grow now and then.
const LARGE: usize = 32 << 10;

struct Counting;

static NUMBER: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE {
            NUMBER.fetch_add(1, Relaxed);
            LARGEST.fetch_max(layout.size(), Relaxed);
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn later_steps_allocate_no_tensors() {
    let mut faults = Vec::new();
    for (model, shape, size) in [
        ("mlp(512,512)", DIGITS, 32),
        ("f1", DIGITS, 64),
        ("lenet", DIGITS, 32),
        ("c1", PHOTOS, 16),
        ("resnet20(ghost=8)", PHOTOS, 16),
        ("lstm(layers=2,width=64)", text(35, 500), 4),
        ("lstm(layers=1,tied,width=64)", text(35, 500), 4),
    ] {
        let mut network = network(model, &shape);
        let batch = batch(shape, 0, size);
        let mut step = || {
            network.begin_step(size as u64);
            network.accumulate(&batch, 1.0).unwrap();
            network
                .visit(&mut |_, w, g| w.iter_mut().zip(g).for_each(|(w, g)| *w -= 1e-4 * *g))
                .unwrap();
            network.end_step();
        };
        (0..10).for_each(|_| step());
        let before = NUMBER.load(Relaxed);
        LARGEST.store(0, Relaxed);
        (0..20).for_each(|_| step());
        let number = NUMBER.load(Relaxed) - before;
        // A thread that other work has kept from the first steps takes its first buffers later.
        if number > 4 {
            let largest = LARGEST.load(Relaxed);
            faults.push(format!(
                "{model}: {number} in 20 steps, up to {largest} bytes"
            ));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
