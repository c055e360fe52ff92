//! The benchmark workloads, the same as `benches/peers` has them in PyTorch and JAX.

use batchscope_core::{
    Batch, Choice, DataShape, DecayPolicy, InputShape, Inputs, Labels, Network, NetworkFactory,
    Purpose, Solo, StreamKey, Task, Value,
};
use batchscope_nn::{DeviceSpec, Factory};
use batchscope_train::{MICRO_BATCH_CEILING, Portions, Synchronous, UpdateRule};

/// Threads of every measurement, here and in the peers.
pub const THREADS: usize = 2;

/// Learning rate of every measured step; small, so that the losses stay finite.
pub const RATE: f64 = 0.01;

/// Names the random streams of every measurement.
pub const KEY: StreamKey = StreamKey {
    study_seed: 1,
    trial: 0,
    purpose: Purpose::Initialization,
};

/// What failed, for a human.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A model on data of a shape, at some batch sizes.
pub struct Workload {
    /// `W1` to `W4`.
    pub name: &'static str,
    /// The batch sizes it is reported at; those of at most 8 in a table of their own.
    pub batch_sizes: &'static [u64],
    /// Shape of its examples.
    pub shape: DataShape,
    model: &'static str,
}

/// The workloads.
pub const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "W1",
        batch_sizes: &[1, 2, 4, 8, 32, 256, 4096],
        shape: image(28, 1),
        model: "mlp(512,512)",
    },
    Workload {
        name: "W2",
        batch_sizes: &[1, 2, 4, 8, 32, 256, 2048],
        shape: image(28, 1),
        model: "lenet",
    },
    Workload {
        name: "W3",
        batch_sizes: &[64, 256],
        shape: image(32, 3),
        model: "resnet20",
    },
    Workload {
        name: "W4",
        batch_sizes: &[20, 128],
        shape: DataShape {
            input: InputShape::Tokens {
                sequence: 35,
                vocabulary: 2000,
            },
            task: Task::NextToken,
        },
        model: "lstm(layers=1,width=200)",
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
    /// Makes its networks for steps of this size.
    pub fn factory(&self, batch_size: u64) -> Result<Factory, Failure> {
        // The peers normalize over the whole batch, so here the ghost batch is the batch.
        let model = match self.model {
            "resnet20" => format!("resnet20(ghost={batch_size})"),
            model => model.to_owned(),
        };
        Ok(Factory::new(model.parse()?, DeviceSpec::Cpu)?)
    }

    /// A step at this batch size, ready to be taken: the parts the training loop would put
    /// together, on made-up examples drawn beforehand.
    pub fn step(&self, batch_size: u64) -> Result<Step, Failure> {
        let network = self.factory(batch_size)?.build(&self.shape, KEY)?;
        let batches: Vec<Batch> = portions(network.as_ref(), batch_size)
            .micro_batches(batch_size)
            .map(|positions| examples(self.shape, positions))
            .collect();
        Ok(Step {
            rule: update_rule(network.as_ref())?,
            weight: batches.iter().map(Batch::weight).sum(),
            network,
            batch_size,
            batches,
            taken: 0,
        })
    }
}

/// A step's micro-batches as a trial of a study would choose them.
pub fn portions(network: &dyn Network, batch_size: u64) -> Portions {
    let micro_batch = match network.ghost_size(batch_size) {
        Some(ghost) => ghost.max(MICRO_BATCH_CEILING / ghost * ghost),
        None => MICRO_BATCH_CEILING,
    };
    Portions::whole(micro_batch)
}

/// The update of every measured step: SGD with momentum 0.9.
pub fn update_rule(network: &dyn Network) -> Result<Synchronous, Failure> {
    let sgd = Choice::new(
        "sgd",
        [
            ("momentum", Value::from(0.9)),
            ("nesterov", Value::from(false)),
            ("weight_decay", Value::from(0.0)),
        ],
    );
    let sgd = batchscope_optim::build(&sgd, network.layout(), DecayPolicy::default())?;
    Ok(Synchronous::new(sgd, None))
}

/// A training step of a workload.
pub struct Step {
    /// What is trained.
    pub network: Box<dyn Network>,
    /// How its parameters change.
    pub rule: Synchronous,
    /// The micro-batches of the step.
    pub batches: Vec<Batch>,
    batch_size: u64,
    /// Examples, or tokens, in a step.
    weight: f64,
    taken: u64,
}

impl Step {
    /// Takes the step (again): forward, loss, backward, update. Returns the mean loss before the
    /// update.
    pub fn take(&mut self) -> Result<f64, Failure> {
        self.network.begin_step(self.batch_size);
        let (mut loss, scale) = (0.0, (1.0 / self.weight) as f32);
        for batch in &self.batches {
            loss += self.network.accumulate(batch, scale)?.loss;
        }
        self.rule
            .update(self.network.as_mut(), &Solo, RATE, self.taken)?;
        self.network.end_step();
        self.taken += 1;
        Ok(loss / self.weight)
    }
}

/// Examples of a shape for these positions of a step: numbers in [-1, 1), tokens and classes, all
/// spread evenly by a hash.
pub fn examples(shape: DataShape, positions: std::ops::Range<u64>) -> Batch {
    let len = (positions.end - positions.start) as usize;
    let each = shape.input.len();
    let numbers = positions.start as usize * each..positions.end as usize * each;
    let classes = positions.start as usize..positions.end as usize;
    let value = |i: usize| spread(i) as f32 / (1 << 23) as f32 - 1.0;
    let below = |range: std::ops::Range<usize>, bound: u64| {
        range.map(|i| (spread(i) % bound) as u32).collect()
    };
    let (inputs, labels) = match shape.input {
        InputShape::Tokens { vocabulary, .. } => (
            Inputs::Tokens(below(numbers.clone(), vocabulary as u64)),
            Labels::Tokens(below(numbers, vocabulary as u64)),
        ),
        _ => (
            Inputs::Values(numbers.map(value).collect()),
            Labels::Classes(below(classes, 10)),
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

/// A number below 2^24 for every index, as good as random (the finalizer of SplitMix64, Steele et
/// al. 2014). A plain lattice would make near copies of images, between which batch norm sees so
/// little variance that rounding alone drives two trainings apart.
pub fn spread(i: usize) -> u64 {
    let z = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) >> 40
}

/// Runs a job in a pool of [`THREADS`] threads, as a trial of a study runs.
pub fn in_pool<R: Send>(job: impl FnOnce() -> R + Send) -> Result<R, Failure> {
    in_pool_of(THREADS, job)
}

/// Runs a job in a pool of so many threads.
pub fn in_pool_of<R: Send>(threads: usize, job: impl FnOnce() -> R + Send) -> Result<R, Failure> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?;
    Ok(pool.install(job))
}
