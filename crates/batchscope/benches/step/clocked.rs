//! A network that adds up the time spent in it, so that what a loop costs around it is measured
//! within one run, not as the difference of two.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use batchscope_core::{
    Batch, DataShape, LossSum, MetricSums, Network, NetworkError, NetworkFactory, NormStatistics,
    NormsOf, ParameterLayout, ParameterVisitor, StateTensor, StreamKey,
};

/// Nanoseconds spent in a network and in the update of its parameters.
#[derive(Debug, Default)]
pub struct Clock {
    network: AtomicU64,
    update: AtomicU64,
}

impl Clock {
    /// Time in forward and backward passes.
    pub fn network(&self) -> Duration {
        Duration::from_nanos(self.network.load(Relaxed))
    }

    /// Time in the update rule, access to the parameters included.
    pub fn update(&self) -> Duration {
        Duration::from_nanos(self.update.load(Relaxed))
    }

    /// Starts again from zero.
    pub fn reset(&self) {
        self.network.store(0, Relaxed);
        self.update.store(0, Relaxed);
    }
}

fn timed<R>(counter: &AtomicU64, job: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = job();
    counter.fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
    result
}

/// Makes the networks of another factory, with a clock in them.
pub struct ClockedFactory<F> {
    /// The other factory.
    pub factory: F,
    /// The clock all its networks share.
    pub clock: Arc<Clock>,
}

impl<F: NetworkFactory> NetworkFactory for ClockedFactory<F> {
    fn name(&self) -> String {
        self.factory.name()
    }

    fn build(&self, shape: &DataShape, key: StreamKey) -> Result<Box<dyn Network>, NetworkError> {
        Ok(Box::new(Clocked {
            network: self.factory.build(shape, key)?,
            clock: self.clock.clone(),
        }))
    }

    fn memory(&self, shape: &DataShape, micro_batch: u64) -> u64 {
        self.factory.memory(shape, micro_batch)
    }

    fn device(&self) -> String {
        self.factory.device()
    }
}

struct Clocked {
    network: Box<dyn Network>,
    clock: Arc<Clock>,
}

impl Network for Clocked {
    fn layout(&self) -> &ParameterLayout {
        self.network.layout()
    }

    fn ghost_size(&self, batch_size: u64) -> Option<u64> {
        self.network.ghost_size(batch_size)
    }

    fn begin_step(&mut self, batch_size: u64) {
        timed(&self.clock.network, || self.network.begin_step(batch_size));
    }

    fn collect_statistics(&mut self, of: NormStatistics) {
        self.network.collect_statistics(of);
    }

    fn accumulate(&mut self, batch: &Batch, scale: f32) -> Result<LossSum, NetworkError> {
        timed(&self.clock.network, || {
            self.network.accumulate(batch, scale)
        })
    }

    fn accumulate_measured(
        &mut self,
        batch: &Batch,
        scale: f32,
        of: NormsOf,
        squared_norms: &mut [f64],
    ) -> Result<LossSum, NetworkError> {
        timed(&self.clock.network, || {
            self.network
                .accumulate_measured(batch, scale, of, squared_norms)
        })
    }

    fn measures_per_example_grad_norms(&self) -> bool {
        self.network.measures_per_example_grad_norms()
    }

    fn example_norms_cost(&self) -> f64 {
        self.network.example_norms_cost()
    }

    fn visit(&mut self, visitor: &mut ParameterVisitor<'_>) -> Result<(), NetworkError> {
        timed(&self.clock.update, || self.network.visit(visitor))
    }

    fn end_step(&mut self) {
        timed(&self.clock.network, || self.network.end_step());
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<MetricSums, NetworkError> {
        self.network.evaluate(batch)
    }

    fn export(&self) -> Result<Vec<StateTensor>, NetworkError> {
        self.network.export()
    }

    fn import(&mut self, state: &[StateTensor]) -> Result<(), NetworkError> {
        self.network.import(state)
    }
}
