//! The median seconds of a training step, as one line of JSON, for `benches/peers/compare`:
//! `cargo run --release -p batchwise --example step WORKLOAD BATCH SECONDS`.

use std::time::Instant;

#[path = "../benches/step/workloads.rs"]
mod workloads;

use workloads::{Failure, WORKLOADS, Workload, in_pool};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Steps before the clock counts, and steps timed at least: as in `workloads.py`.
const WARM_UP: usize = 3;
const FEWEST: usize = 5;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, batch_size, seconds] = arguments.as_slice() else {
        let known: Vec<String> = WORKLOADS
            .iter()
            .map(|w| format!("{} at {:?}", w.name, w.batch_sizes))
            .collect();
        return Err(format!("usage: step WORKLOAD BATCH SECONDS ({})", known.join(", ")).into());
    };
    let workload = WORKLOADS
        .iter()
        .find(|w| w.name == name)
        .ok_or_else(|| format!("'{name}' is not a workload: choose W1, W2, W3 or W4"))?;
    let batch_size: u64 = batch_size.parse()?;
    let median = step_seconds(workload, batch_size, seconds.parse()?)?;
    let line = serde_json::json!({ "workload": name, "batch_size": batch_size, "seconds": median });
    println!("{line}");
    Ok(())
}

/// Median seconds of a training step, over about `seconds` after a warm-up.
fn step_seconds(workload: &Workload, batch_size: u64, seconds: f64) -> Result<f64, Failure> {
    in_pool(|| {
        let mut step = workload.step(batch_size)?;
        for _ in 0..WARM_UP {
            step.take()?;
        }
        let (mut times, begun) = (Vec::new(), Instant::now());
        while times.len() < FEWEST || begun.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            step.take()?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let half = times.len() / 2;
        Ok((times[half] + times[(times.len() - 1) / 2]) / 2.0)
    })?
}
