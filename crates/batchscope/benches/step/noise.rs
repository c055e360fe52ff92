//! What watching gradient noise adds to training: steps of the workloads with the watch and without,
//! taken in turns in one run, since the difference is a few per cent and a machine's moods are not.
//! `noise/W1/32` prints a ratio: its "time" is in units of a step, so 1.02 s means 2 % more.
//!
//! A turn is several periods of the watch, after a few untimed steps of its own kind: memory that one
//! kind of step leaves behind suits the other badly, and the first steps after a change pay for it.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use batchscope_core::{
    Batch, Choice, DataShape, DecayPolicy, Network, NetworkFactory, Sampler, Solo, StepBatch, Value,
};
use batchscope_train::{
    BatchStream, GradientSource, NoiseEstimator, Portions, StepNoise, Supervised, Synchronous,
    UpdateRule, noise::window_norms,
};
use criterion::Criterion;

use crate::workloads::{Failure, KEY, RATE, WORKLOADS, Workload, examples, in_pool};

/// Workload, batch size, micro-batch.
const CASES: [(usize, u64, u64); 12] = [
    (0, 8, 8),
    (0, 32, 32),
    (0, 256, 256),
    (0, 256, 32),
    (0, 4096, 1024),
    (1, 8, 8),
    (1, 32, 32),
    (1, 256, 256),
    (1, 256, 32),
    (1, 2048, 1024),
    (2, 64, 64),
    (3, 20, 20),
];

/// Steps of a turn at least, and untimed ones before it.
const TURN: u64 = 16;
const SETTLING: u64 = 3;

/// Adds the group.
pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("noise");
    for (place, batch_size, micro_batch) in CASES {
        let workload = &WORKLOADS[place];
        let name = format!("{}/{batch_size}/{micro_batch}", workload.name);
        group.bench_function(name, |bencher| {
            in_pool(|| {
                let mut pair = Pair::new(workload, batch_size, micro_batch).expect("a known model");
                bencher.iter_custom(|steps| pair.ratio(steps).expect("a step on the CPU"));
            })
            .expect("a pool of threads");
        });
    }
    group.finish();
}

/// One network in training, its steps watched or not.
struct Pair {
    network: Box<dyn Network>,
    source: Supervised<'static>,
    rule: Synchronous,
    batch_size: u64,
    /// Steps from one that is measured to the next.
    period: u64,
    taken: u64,
}

impl Pair {
    fn new(workload: &Workload, batch_size: u64, micro_batch: u64) -> Result<Self, Failure> {
        // Half a batch is a ghost batch, so that ResNet's steps can be cut.
        let factory = workload.factory(batch_size.div_ceil(2))?;
        let network = factory.build(&workload.shape, KEY)?;
        let sgd = Choice::new(
            "sgd",
            [
                ("momentum", Value::from(0.9)),
                ("nesterov", Value::from(false)),
                ("weight_decay", Value::from(0.0)),
            ],
        );
        let sgd = batchscope_optim::build(&sgd, network.layout(), DecayPolicy::default())?;
        let way = NoiseEstimator::of(network.as_ref(), batch_size, micro_batch);
        let portions = Portions::whole(micro_batch);
        let sampler = Box::new(Fixed::of(workload.shape));
        let stream = BatchStream::new(sampler, workload.shape, portions, None, KEY);
        Ok(Self {
            network,
            source: Supervised::new(stream),
            batch_size,
            rule: Synchronous::new(sgd, None),
            period: way.every(batch_size, micro_batch).max(1),
            taken: 0,
        })
    }

    /// Time of so many rounds, each the ratio of turns with the watch to turns without.
    fn ratio(&mut self, rounds: u64) -> Result<Duration, Failure> {
        let mut spent = [Duration::ZERO; 2];
        let turn = self.period * TURN.div_ceil(self.period);
        for _ in 0..rounds {
            // What drifts over a round weighs on both alike.
            for watched in [false, true, true, false] {
                for step in 0..SETTLING {
                    self.take(step, watched)?;
                }
                let start = Instant::now();
                for step in 0..turn {
                    self.take(step, watched)?;
                }
                spent[usize::from(watched)] += start.elapsed();
            }
        }
        let [without, with] = spent.map(|time| time.as_secs_f64());
        Ok(Duration::from_secs_f64(rounds as f64 * with / without))
    }

    fn take(&mut self, step: u64, watched: bool) -> Result<(), Failure> {
        let network = self.network.as_mut();
        let step = StepBatch::constant(step, self.batch_size);
        if watched {
            let (_, found) = self.source.measured_gradient(network, step)?;
            if let StepNoise::Parts(parts) = found {
                std::hint::black_box(parts.pieces(&window_norms(network)?)?);
            }
        } else {
            self.source.gradient(network, step)?;
        }
        self.rule.update(network, &Solo, RATE, self.taken)?;
        network.end_step();
        self.taken += 1;
        Ok(())
    }
}

/// The same examples in every step, copied as from a data set.
pub struct Fixed {
    shape: DataShape,
    made: Vec<(Range<u64>, Batch)>,
}

impl Fixed {
    /// Examples of this shape.
    pub fn of(shape: DataShape) -> Self {
        Self {
            shape,
            made: Vec::new(),
        }
    }
}

impl Sampler for Fixed {
    fn fill(&mut self, _step: StepBatch, positions: Range<u64>, batch: &mut Batch) {
        let place = self.made.iter().position(|(made, _)| *made == positions);
        let place = place.unwrap_or_else(|| {
            let made = examples(self.shape, positions.clone());
            self.made.push((positions, made));
            self.made.len() - 1
        });
        batch.clone_from(&self.made[place].1);
    }
}
