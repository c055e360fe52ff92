//! Steps on clean and on adversarial examples beside the same step given its adversarial examples for free, on one thread.
//! `adversarial/conadv/resnet20/64` prints a ratio: its "time" is in units of the free step, so 1.2 s means 20 % more.
//!
//! * `conadv`: that thread, and a second one which moves the examples of the coming step meanwhile.
//! * `disadv`: that thread alone, one after the other.
//! * `disadv-two`: one after the other, on both threads.
//!
//! The steps are taken in turns in one run, since a machine's moods are larger than the differences.

use std::time::{Duration, Instant};

use batchscope_core::{
    Batch, Choice, InputShape, Inputs, LossSum, Network, NetworkFactory, NormStatistics, Solo,
    StepBatch, Task,
};
use batchscope_nn::{DeviceSpec, Factory};
use batchscope_train::{
    BatchStream, GradientSource, METHODS, Part, Portions, SourceParts, Synchronous, TrainError,
    UpdateRule,
};
use criterion::Criterion;

use crate::{
    noise::Fixed,
    workloads::{Failure, KEY, RATE, examples, in_pool_of, update_rule},
};

const SHAPE: batchscope_core::DataShape = batchscope_core::DataShape {
    input: InputShape::Image {
        height: 32,
        width: 32,
        channels: 3,
    },
    task: Task::Classify { classes: 10 },
};

/// Models and batch sizes.
const CASES: [(&str, u64); 4] = [("resnet20", 64), ("resnet20", 256), ("c1", 64), ("c1", 256)];

/// Steps of a turn, and untimed ones before it.
const TURN: u64 = 3;
const SETTLING: u64 = 1;

/// Adds the group.
pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adversarial");
    for (name, method, threads) in [
        ("conadv", "conadv", 2),
        ("disadv", "disadv", 1),
        ("disadv-two", "disadv", 2),
    ] {
        for (model, batch_size) in CASES {
            group.bench_function(format!("{name}/{model}/{batch_size}"), |bencher| {
                let mut free = Training::new(model, batch_size, None).expect("a known model");
                let mut paid =
                    Training::new(model, batch_size, Some(method)).expect("a known model");
                bencher.iter_custom(|rounds| {
                    ratio(rounds, &mut free, &mut paid, threads).expect("a step on the CPU")
                });
            });
        }
    }
    group.finish();
}

/// Time of so many rounds, each the ratio of turns of one kind to free ones.
fn ratio(
    rounds: u64,
    free: &mut Training,
    paid: &mut Training,
    threads: usize,
) -> Result<Duration, Failure> {
    let mut spent = [0.0; 2];
    for _ in 0..rounds {
        // What drifts over a round weighs on both alike.
        for is_paid in [false, true, true, false] {
            let (training, threads) = match is_paid {
                true => (&mut *paid, threads),
                false => (&mut *free, 1),
            };
            spent[usize::from(is_paid)] += in_pool_of(threads, || training.turn())??;
        }
    }
    let [without, with] = spent;
    Ok(Duration::from_secs_f64(rounds as f64 * with / without))
}

/// A network in training.
struct Training {
    network: Box<dyn Network>,
    source: Box<dyn GradientSource>,
    rule: Synchronous,
    batch_size: u64,
    taken: u64,
}

impl Training {
    /// With a method's steps, or with those whose adversarial examples cost nothing.
    fn new(model: &str, batch_size: u64, method: Option<&str>) -> Result<Self, Failure> {
        let factory = Factory::new(
            format!("{model}(ghost={batch_size})").parse()?,
            DeviceSpec::Cpu,
        )?;
        let network = factory.build(&SHAPE, KEY)?;
        let stream = || {
            let (fixed, portions) = (Box::new(Fixed::of(SHAPE)), Portions::whole(batch_size));
            BatchStream::new(fixed, SHAPE, portions, None, KEY)
        };
        let source = match method {
            None => {
                let moved = examples(SHAPE, batch_size..2 * batch_size);
                Box::new(Free {
                    stream: stream(),
                    moved,
                })
            }
            Some(method) => {
                let (kind, choice): (_, Choice) = METHODS.read(method)?;
                let Part::Gradient(make) = kind.part else {
                    return Err("a method that takes gradients".into());
                };
                let beside = || Ok((stream(), factory.build(&SHAPE, KEY)?));
                let parts = SourceParts {
                    stream: stream(),
                    beside: &beside,
                };
                make(&choice, parts)?
            }
        };
        Ok(Self {
            rule: update_rule(network.as_ref())?,
            network,
            source,
            batch_size,
            taken: 0,
        })
    }

    /// Seconds of a turn.
    fn turn(&mut self) -> Result<f64, Failure> {
        for _ in 0..SETTLING {
            self.take()?;
        }
        let start = Instant::now();
        for _ in 0..TURN {
            self.take()?;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn take(&mut self) -> Result<(), Failure> {
        let step = StepBatch::constant(self.taken, self.batch_size);
        let network = self.network.as_mut();
        self.source.gradient(network, step)?;
        self.rule.update(network, &Solo, RATE, self.taken)?;
        network.end_step();
        self.taken += 1;
        Ok(())
    }
}

/// The mixed step, given its adversarial examples.
struct Free<'a> {
    stream: BatchStream<'a>,
    moved: Batch,
}

impl GradientSource for Free<'_> {
    fn gradient(
        &mut self,
        network: &mut dyn Network,
        step: StepBatch,
    ) -> Result<LossSum, TrainError> {
        let scale = 0.5 * self.stream.scale(step);
        network.begin_step(step.batch_size);
        let batch = self.stream.fill(step, 0..step.batch_size);
        let clean = network.accumulate(batch, scale)?;
        if let (Inputs::Values(values), Inputs::Values(moved)) =
            (&mut batch.inputs, &self.moved.inputs)
        {
            values.copy_from_slice(moved);
        }
        network.collect_statistics(NormStatistics::Auxiliary);
        network.accumulate(batch, scale)?;
        Ok(clean)
    }
}
