//! The benchmark workloads, the same as `benches/peers/workloads.py` has them in PyTorch.

use batchwise_core::{
    Batch, DataShape, InputShape, Inputs, Labels, Network, NetworkFactory, OptimiserSpec, Purpose,
    Solo, StreamKey, Task,
};
use batchwise_nn::{DeviceSpec, Factory};
use batchwise_optim::DecayPolicy;
use batchwise_train::{MICRO_BATCH_CEILING, Portions, Synchronous, UpdateRule};

/// Threads of every measurement, here and in PyTorch.
pub const THREADS: usize = 2;

/// Learning rate of every measured step; small, so that the losses stay finite.
const RATE: f64 = 0.01;

const KEY: StreamKey = StreamKey {
    study_seed: 1,
    trial: 0,
    purpose: Purpose::Initialisation,
};

/// What failed, for a human.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A model on data of a shape, at some batch sizes.
pub struct Workload {
    /// `W1` to `W4`.
    pub name: &'static str,
    /// The batch sizes it is reported at.
    pub batch_sizes: &'static [u64],
    model: &'static str,
    shape: DataShape,
}

/// The workloads.
pub const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "W1",
        batch_sizes: &[32, 256, 4096],
        model: "mlp(512,512)",
        shape: image(28, 1),
    },
    Workload {
        name: "W2",
        batch_sizes: &[32, 256, 2048],
        model: "lenet",
        shape: image(28, 1),
    },
    Workload {
        name: "W3",
        batch_sizes: &[64, 256],
        model: "resnet20",
        shape: image(32, 3),
    },
    Workload {
        name: "W4",
        batch_sizes: &[20, 128],
        model: "lstm(layers=1,width=200)",
        shape: DataShape {
            input: InputShape::Tokens {
                sequence: 35,
                vocabulary: 2000,
            },
            task: Task::NextToken,
        },
    },
];

const fn image(side: usize, channels: usize) -> DataShape {
    DataShape {
        input: InputShape::Image {
            height: side,
            width: side,
            channels,
        },
        task: Task::Classify { classes: 10 },
    }
}

impl Workload {
    /// A step at this batch size, ready to be taken: the parts the training loop would put
    /// together, on made-up examples drawn beforehand.
    pub fn step(&self, batch_size: u64) -> Result<Step, Failure> {
        // PyTorch normalises over the whole batch, so here the ghost batch is the batch.
        let model = match self.model {
            "resnet20" => format!("resnet20(ghost={batch_size})"),
            model => model.to_owned(),
        };
        let network = Factory::new(model.parse()?, DeviceSpec::Cpu)?.build(&self.shape, KEY)?;
        let micro_batch = match network.ghost_size(batch_size) {
            Some(ghost) => ghost.max(MICRO_BATCH_CEILING / ghost * ghost),
            None => MICRO_BATCH_CEILING,
        };
        let batches: Vec<Batch> = Portions::whole(batch_size, micro_batch)
            .micro_batches()
            .map(|positions| examples(self.shape, positions))
            .collect();
        let sgd = OptimiserSpec::Sgd {
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
        };
        let sgd = batchwise_optim::build(&sgd, network.layout(), DecayPolicy::default())?;
        Ok(Step {
            scale: (1.0 / batches.iter().map(Batch::weight).sum::<f64>()) as f32,
            rule: Synchronous::new(sgd, None),
            network,
            batch_size,
            batches,
            taken: 0,
        })
    }
}

/// A training step of a workload.
pub struct Step {
    network: Box<dyn Network>,
    rule: Synchronous,
    batches: Vec<Batch>,
    batch_size: u64,
    scale: f32,
    taken: u64,
}

impl Step {
    /// Takes the step (again): forward, loss, backward, update. Returns the loss sum.
    pub fn take(&mut self) -> Result<f64, Failure> {
        self.network.begin_step(self.batch_size);
        let mut loss = 0.0;
        for batch in &self.batches {
            loss += self.network.accumulate(batch, self.scale)?.loss;
        }
        self.rule
            .update(self.network.as_mut(), &Solo, RATE, self.taken)?;
        self.network.end_step();
        self.taken += 1;
        Ok(loss)
    }
}

/// Examples of a shape for these positions of a step: numbers in [-1, 1), tokens and classes, all
/// spread evenly by a multiplicative hash.
fn examples(shape: DataShape, positions: std::ops::Range<u64>) -> Batch {
    let len = (positions.end - positions.start) as usize;
    let numbers = len * shape.input.len();
    let spread = |i: usize| (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let value = |i: usize| spread(i) as f32 / (1 << 23) as f32 - 1.0;
    let below = |n: usize, bound: u64| (0..n).map(|i| (spread(i) % bound) as u32).collect();
    let (inputs, labels) = match shape.input {
        InputShape::Tokens { vocabulary, .. } => (
            Inputs::Tokens(below(numbers, vocabulary as u64)),
            Labels::Tokens(below(numbers, vocabulary as u64)),
        ),
        _ => (
            Inputs::Values((0..numbers).map(value).collect()),
            Labels::Classes(below(len, 10)),
        ),
    };
    Batch {
        len,
        inputs,
        labels,
        first_position: positions.start,
        ..Batch::empty(shape)
    }
}

/// Runs a job in a pool of [`THREADS`] threads, as a trial of a study runs.
pub fn in_pool<R: Send>(job: impl FnOnce() -> R + Send) -> Result<R, Failure> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(THREADS)
        .build()?;
    Ok(pool.install(job))
}
