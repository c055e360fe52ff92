//! The protocol of `benches/peers/peer.py`: a line asks, a line of JSON answers.
//!
//! * `loss STEPS`: the mean loss of the batch after so many steps from the start.
//! * `time SECONDS`: the median seconds of a step, measured for about so long.
//! * `memory`: the most bytes of memory this process has held.
//! * `split SECONDS`: how a step's time divides (see `split.rs`); ours alone.
//! * `bandwidth`: bytes a second of an update over as many parameters; ours alone.

use std::{
    io::{BufRead, Write},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    machine,
    split::split,
    start::Start,
    workloads::{Failure, Step, Workload},
};

/// Steps after a return to the start before the clock counts.
const WARM_UP: usize = 3;
/// Steps from the start until the next return. One batch repeated for long starves most units, and
/// their velocities decay into denormal numbers, which no real training computes with.
const BLOCK: usize = 200;
/// Steps timed at least.
const FEWEST: usize = 5;

/// Answers the lines of standard input until it ends.
pub fn serve(workload: &Workload, batch_size: u64) -> Result<(), Failure> {
    let mut step = workload.step(batch_size)?;
    let start = Start::of(&step)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer: Value = match words.as_slice() {
            ["loss", steps] => json!({ "loss": loss(&mut step, &start, steps.parse()?)? }),
            ["time", seconds] => json!({ "seconds": time(&mut step, &start, seconds.parse()?)? }),
            ["memory"] => json!({ "bytes": machine::peak_memory()? }),
            ["split", seconds] => split(workload, batch_size, seconds.parse()?)?,
            ["bandwidth"] => {
                let parameters = step.network.layout().parameters();
                json!({ "bytes_per_second": machine::bandwidth(parameters)? })
            }
            _ => return Err(format!("'{line}' is no question: see examples/step/serve.rs").into()),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The mean loss after `steps` steps from the start.
fn loss(step: &mut Step, start: &Start, steps: usize) -> Result<f64, Failure> {
    start.restore(step)?;
    for _ in 0..steps {
        step.take()?;
    }
    step.take()
}

/// The median seconds of a step.
fn time(step: &mut Step, start: &Start, seconds: f64) -> Result<f64, Failure> {
    let (mut times, begun) = (Vec::new(), Instant::now());
    while times.len() < FEWEST || begun.elapsed().as_secs_f64() < seconds {
        if times.len().is_multiple_of(BLOCK) {
            start.restore(step)?;
            for _ in 0..WARM_UP {
                step.take()?;
            }
        }
        let clock = Instant::now();
        step.take()?;
        times.push(clock.elapsed().as_secs_f64());
    }
    Ok(median(&mut times))
}

/// The middle of some numbers.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    (values[half] + values[(values.len() - 1) / 2]) / 2.0
}
