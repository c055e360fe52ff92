//! Timing of training steps, evaluations left out.

use std::time::{Duration, Instant};

use batchscope_core::{Control, Flow, StepTiming};

use crate::{Run, TrainError};

/// Steps before the clock counts: buffers are allocated, caches warmed, kernels chosen.
const WARM_UP_STEPS: u64 = 3;

/// Steps timed at least, however slow they are.
const FEWEST: usize = 5;

/// Trains for about `budget` and reports the median and quartiles of the seconds per step; `None`
/// if `control` told it to stop before.
pub(crate) fn time_steps(
    run: &mut Run<'_>,
    micro_batch: u64,
    budget: Duration,
    control: &dyn Control,
) -> Result<Option<StepTiming>, TrainError> {
    let start = Instant::now();
    let mut seconds = Vec::new();
    let mut step = 0;
    loop {
        let clock = Instant::now();
        run.take_step(step)?;
        step += 1;
        if step > WARM_UP_STEPS {
            seconds.push(clock.elapsed().as_secs_f64());
        }
        // In a group member 0's clock counts.
        let mut over = [
            u64::from(seconds.len() >= FEWEST && start.elapsed() >= budget),
            u64::from(control.flow() == Flow::Interrupt),
        ];
        run.group.broadcast(&mut over, 0)?;
        match over {
            [1, _] => break,
            [_, 1] => return Ok(None),
            _ => {}
        }
    }
    let batch_size = run.driver.spec().batch_size;
    Ok(StepTiming::of(batch_size, micro_batch, seconds))
}
