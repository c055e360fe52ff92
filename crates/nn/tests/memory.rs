//! The memory estimate holds, and is not absurd: peaks of a counting allocator.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use batchscope_core::NetworkFactory;
use common::*;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_step_stays_within_the_estimate() {
    let mut faults = Vec::new();
    for (model, shape, micro_batch) in [
        ("softmax", DIGITS, 512),
        ("mlp(512,512,dropout=0.5)", DIGITS, 1),
        ("mlp(512,512,dropout=0.5)", DIGITS, 512),
        ("f1", DIGITS, 256),
        ("lenet", DIGITS, 2),
        ("lenet", DIGITS, 128),
        ("c1", PHOTOS, 16),
        ("resnet20", PHOTOS, 1),
        ("resnet20", PHOTOS, 32),
        ("alexnet", PHOTOS, 32),
        ("c2", PHOTOS, 2),
        ("vgg16", PHOTOS, 16),
        ("mobilenetv2", PHOTOS, 2),
        ("mobilenetv2", PHOTOS, 16),
        ("row-lstm", DIGITS, 64),
        ("drn-d-22", masks(48, 19), 2),
        ("lstm(dropout=0.2)", text(35, 2000), 1),
        ("lstm(dropout=0.2)", text(35, 2000), 16),
        ("lstm(layers=1,tied)", text(35, 2000), 16),
    ] {
        let factory = factory(model);
        let estimate = factory.memory(&shape, micro_batch) as usize;
        let batch = batch(shape, 0, micro_batch as usize);
        let before = NOW.load(Relaxed);
        PEAK.store(before, Relaxed);
        let mut network = factory.build(&shape, KEY).unwrap();
        // Two moments, as Adam keeps.
        let moments = [parameters(network.as_mut()), parameters(network.as_mut())];
        for _ in 0..2 {
            network.begin_step(micro_batch);
            network.accumulate(&batch, 1.0).unwrap();
            network
                .visit(&mut |_, w, g| w.iter_mut().zip(g).for_each(|(w, g)| *w -= 1e-4 * *g))
                .unwrap();
            network.end_step();
        }
        drop(moments);
        let peak = PEAK.load(Relaxed) - before;
        // Twelve mebibytes of the estimate are for what any model's kernels take.
        if peak > estimate || estimate > 4 * peak + (12 << 20) {
            faults.push(format!(
                "{model} by {micro_batch}: took {peak}, estimated {estimate}"
            ));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
