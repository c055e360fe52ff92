//! A step of the simulator allocates nothing.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use batchscope_core::{Purpose, Split, StreamKey};
use batchscope_navigation::{Action, Difficulty, PlanSettings, Scene, Simulator, Stepped};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn steps_allocate_nothing() {
    let settings = PlanSettings {
        rooms: [1, 3],
        triangles: 800,
    };
    let scenes: Arc<[Scene]> = (0..4)
        .map(|n| Scene::draw(&settings, 1, n, Split::Train))
        .collect();
    let difficulty = Difficulty {
        nearest: 1.0,
        farthest: 5.0,
    };
    let key = StreamKey {
        study_seed: 1,
        trial: 0,
        purpose: Purpose::Episodes,
    };
    // One thread: those of a pool allocate on their own account where they wait for work.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    pool.install(|| {
        let mut simulator = Simulator::new(scenes, difficulty, key, 100);
        let mut stepped = Stepped::new(100);
        let kinds = [Action::Forward, Action::Left, Action::Forward, Action::Stop];
        let actions: Vec<Vec<Action>> = (0..50)
            .map(|step| (0..100).map(|i| kinds[(step * i + step) % 4]).collect())
            .collect();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let mut ends = 0;
        for actions in &actions {
            simulator.step(actions, &mut stepped);
            ends += stepped.ended.iter().flatten().count();
        }
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
        assert!(ends > 50, "episodes began anew too: {ends}");
    });
}
