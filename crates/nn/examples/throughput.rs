//! Examples (tokens) per second of whole training steps, and how a step's time divides between
//! gradient and update: `cargo run --release -p batchwise-nn --example throughput [WORKLOAD…]`.

use std::time::Instant;

use batchwise_core::{
    Batch, DataShape, InputShape, Inputs, Labels, NetworkFactory, Purpose, StreamKey, Task,
};
use batchwise_kernels::{Sgd, Workspace, sgd_step};
use batchwise_nn::{DeviceSpec, Factory};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static WORKSPACE: Workspace = Workspace::new();

const KEY: StreamKey = StreamKey {
    study_seed: 1,
    trial: 0,
    purpose: Purpose::Initialisation,
};

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

const TEXT: DataShape = DataShape {
    input: InputShape::Tokens {
        sequence: 35,
        vocabulary: 2000,
    },
    task: Task::NextToken,
};

const WORKLOADS: [(&str, &str, DataShape, &[usize]); 4] = [
    ("W1", "mlp(512,512)", image(28, 1), &[32, 256, 4096]),
    ("W2", "lenet", image(28, 1), &[32, 256, 2048]),
    ("W3", "resnet20", image(32, 3), &[64, 256]),
    ("W4", "lstm(layers=1)", TEXT, &[20, 128]),
];

fn batch(shape: DataShape, len: usize) -> Batch {
    let numbers = len * shape.input.len();
    let spread = |i: usize| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
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
        fresh_streams: false,
        ..Batch::empty(shape)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("workload   batch     per second   step (ms)   gradient   update");
    for (name, model, shape, sizes) in WORKLOADS {
        if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
            continue;
        }
        let factory = Factory::new(model.parse()?, DeviceSpec::Cpu)?;
        for &size in sizes {
            let mut network = factory.build(&shape, KEY)?;
            let batch = batch(shape, size);
            let mut velocity: Vec<Vec<f32>> = network
                .layout()
                .tensors
                .iter()
                .map(|t| vec![0.0; t.len()])
                .collect();
            let mut times = Vec::new();
            let begun = Instant::now();
            while times.len() < 5 || begun.elapsed().as_secs_f64() < 3.0 {
                let start = Instant::now();
                network.begin_step(size as u64);
                network.accumulate(&batch, 1.0 / batch.weight() as f32)?;
                let gradient = start.elapsed().as_secs_f64();
                let sgd = Sgd {
                    learning_rate: 0.01,
                    momentum: 0.9,
                    weight_decay: 0.0,
                    nesterov: false,
                };
                network.visit(&mut |i, w, g| {
                    sgd_step(&WORKSPACE, sgd, w, &mut velocity[i], g).expect("lengths agree");
                })?;
                network.end_step();
                times.push((start.elapsed().as_secs_f64(), gradient));
            }
            times.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (step, gradient) = times[times.len() / 2];
            let (ms, update) = (1e3 * step, 1e3 * (step - gradient));
            let gradient = 1e3 * gradient;
            println!(
                "{name:8} {size:7} {:14.0} {ms:11.3} {gradient:10.3} {update:8.3}",
                batch.weight() / step
            );
        }
    }
    Ok(())
}
