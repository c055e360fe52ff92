//! How the time of a step divides, with the data drawn as the training loop draws them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use batchscope_core::{Batch, InputShape, Network, NetworkFactory, Solo, StepBatch};
use batchscope_train::{BatchStream, GradientSource, Supervised, UpdateRule, augment::Augmenter};
use serde_json::{Value, json};

use crate::{
    clocked::{Clock, ClockedFactory},
    data,
    serve::median,
    workloads::{Failure, KEY, RATE, Workload, portions, update_rule},
};

/// Steps before the clock counts, and steps timed at least.
const WARM_UP: u64 = 3;
const FEWEST: u64 = 5;

/// Median seconds of the parts of a step, over about `seconds`: `data` is drawing, gathering and
/// normalizing the examples from memory (and cropping and flipping color images), `update` the
/// optimizer with its access to the parameters. `forward` is a pass without gradients over the same
/// examples, `backward` the rest of the passes: the network computes both in one call, so the cut
/// between them is not seen from here, only estimated.
pub fn split(workload: &Workload, batch_size: u64, seconds: f64) -> Result<Value, Failure> {
    let set = data::memory(workload.shape)?;
    let clock = Arc::new(Clock::default());
    let factory = ClockedFactory {
        factory: workload.factory(batch_size)?,
        clock: clock.clone(),
    };
    let mut network = factory.build(&workload.shape, KEY)?;
    let mut rule = update_rule(network.as_ref())?;
    let portions = portions(network.as_ref(), batch_size);
    let augmenter = match workload.shape.input {
        InputShape::Image { channels: 3, .. } => {
            Augmenter::new(&"crop:4,flip".parse()?, &workload.shape, KEY)?
        }
        _ => None,
    };
    let sampler = set.train.sampler(KEY, batch_size)?;
    let stream = BatchStream::new(sampler, workload.shape, portions, augmenter, KEY);
    let mut source = Supervised::new(stream);

    let mut parts: [Vec<f64>; 3] = Default::default();
    let (mut step, mut begun) = (0, Instant::now());
    while step < WARM_UP + FEWEST || begun.elapsed().as_secs_f64() < seconds {
        if step == WARM_UP {
            begun = Instant::now();
        }
        clock.reset();
        let gradient = Instant::now();
        source.gradient(network.as_mut(), StepBatch::constant(step, batch_size))?;
        let data = gradient.elapsed().saturating_sub(clock.network());
        rule.update(network.as_mut(), &Solo, RATE, step)?;
        network.end_step();
        if step >= WARM_UP {
            let times = [data, clock.network(), clock.update()];
            for (part, time) in parts.iter_mut().zip(times) {
                part.push(time.as_secs_f64());
            }
        }
        step += 1;
    }
    let [data, passes, update] = parts.each_mut().map(|part| median(part));

    let batches: Vec<Batch> = portions
        .micro_batches(batch_size)
        .map(|range| {
            let first_position = range.start;
            let mut batch = Batch::empty(workload.shape);
            set.train.fill_in_order(range, &mut batch);
            Batch {
                first_position,
                ..batch
            }
        })
        .collect();
    let mut forward = Vec::new();
    for _ in 0..WARM_UP + FEWEST.max(forward_count(seconds, passes)) {
        forward.push(pass(network.as_mut(), &batches)?.as_secs_f64());
    }
    let forward = median(&mut forward[WARM_UP as usize..]).min(passes);
    Ok(json!({
        "forward": forward,
        "backward": passes - forward,
        "update": update,
        "data": data,
    }))
}

/// How many forward passes fit into a third of the time; a pass takes about a third of both.
fn forward_count(seconds: f64, passes: f64) -> u64 {
    (seconds / passes.max(1e-6)) as u64
}

/// Time of a pass without gradients.
fn pass(network: &mut dyn Network, batches: &[Batch]) -> Result<Duration, Failure> {
    let clock = Instant::now();
    for batch in batches {
        network.evaluate(batch)?;
    }
    Ok(clock.elapsed())
}
