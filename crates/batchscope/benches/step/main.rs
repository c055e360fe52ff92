//! What a training step costs, and what everything around it adds: `cargo bench -p batchscope`.
//!
//! * `step`: forward, loss, backward and update of the workloads W1 to W4, on two threads.
//! * `loop`: one step of the training loop at W1, batch 32, and how it divides.
//! * `noise`: what watching gradient noise adds to a step, as a ratio.
//! * `adversarial`: steps on adversarial examples, one thing after the other or at a time, as ratios.
//! * `bookkeeping`: what a study does around a trial (planning, events, the store on disk).

mod adversarial;
mod bookkeeping;
mod clocked;
mod noise;
mod training_loop;
mod workloads;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use workloads::{WORKLOADS, in_pool};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn steps(criterion: &mut Criterion) {
    for workload in &WORKLOADS {
        let mut group = criterion.benchmark_group(format!("step/{}", workload.name));
        for &batch_size in workload.batch_sizes {
            group.throughput(Throughput::Elements(batch_size));
            group.bench_function(batch_size.to_string(), |bencher| {
                in_pool(|| {
                    let mut step = workload.step(batch_size).expect("a known model");
                    bencher.iter(|| step.take().expect("a step on the CPU"));
                })
                .expect("a pool of threads");
            });
        }
        group.finish();
    }
}

fn few_samples() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
}

criterion_group! {
    name = benches;
    config = few_samples();
    targets = steps, training_loop::bench, noise::bench, adversarial::bench, bookkeeping::bench
}
criterion_main!(benches);
