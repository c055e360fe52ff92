//! The ways of measuring gradient noise, compared at equal variance, for a quiet machine:
//!
//! ```text
//! cargo run --release -p batchscope --example noise_ways [DATA MODEL...]
//! ```
//!
//! Without arguments perceptrons, LeNet and an LSTM over rows learn the built-in glyphs; `DATA` is
//! whatever `--data` takes (CIFAR-10 for `alexnet`, a text for `lstm(layers=1)`).
//!
//! At fixed weights, steps are measured from the norms of every example's gradient, from two halves
//! and from eight micro-batches. Printed for each: the milliseconds of a plain step and what the way
//! adds to it (medians of pairs); that share, and what counts of multiply-adds expect it to be; the
//! deviations of its estimates of |G|², which is what the noise scale's interval hangs on, and of
//! tr Σ, relative to their means; and added seconds times the variance of |G|², relative to the best.
//! Seconds times variance is what a measurement costs: twice the seconds or twice the steps for half
//! the variance come to the same. `in training` is how often the way would be used where a step is one
//! pass, and what share of training that takes; a star marks the way that training chooses.

use std::time::Instant;

use batchscope_core::{
    Batch, Examples, Network, NetworkFactory, NormsOf, Purpose, StepBatch, StreamKey,
};
use batchscope_data::{GlyphOptions, LoadOptions};
use batchscope_nn::{DeviceSpec, Factory};
use batchscope_scaling::noise::Pieces;
use batchscope_train::{NoiseEstimator, PartNorms, Portions, noise::window_norms};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Examples of each way and batch size together, and the fewest and most steps they make.
const EXAMPLES: u64 = 16_384;
const STEPS: (u64, u64) = (40, 200);

const KEY: StreamKey = StreamKey {
    study_seed: 1,
    trial: 0,
    purpose: Purpose::Initialization,
};

fn main() -> Result<(), Failure> {
    let options = LoadOptions {
        glyphs: GlyphOptions {
            train: 8000,
            test: 100,
            seed: 0,
        },
        ..LoadOptions::default()
    };
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next();
    let data = batchscope_data::open(source.as_deref().unwrap_or("glyphs"), &options)?;
    let mut models: Vec<String> = arguments.collect();
    if models.is_empty() {
        let usual = ["mlp(512,512)", "mlp(128)", "lenet", "row-lstm(width=128)"];
        models = usual.map(str::to_owned).to_vec();
    }
    println!(
        "model                batch  way             plain ms  added ms  share  counts  sd |G|²  sd tr Σ  cost × variance  in training"
    );
    for model in &models {
        for batch_size in [32, 256] {
            let factory = Factory::new(model.parse()?, DeviceSpec::Cpu)?;
            let mut network = factory.build(&data.train.shape(), KEY)?;
            table(model, network.as_mut(), data.train.as_ref(), batch_size)?;
        }
    }
    Ok(())
}

/// A way, as training knows it and as it is done here.
struct Way {
    name: &'static str,
    noise: NoiseEstimator,
    of: NormsOf,
    micro_batch: u64,
}

/// What one way costs and gives.
struct Row {
    plain: f64,
    added: f64,
    /// Relative deviations of the estimates of `|G|²` and `tr Σ`.
    deviations: [f64; 2],
}

fn table(
    model: &str,
    network: &mut dyn Network,
    examples: &dyn Examples,
    batch_size: u64,
) -> Result<(), Failure> {
    let half = batch_size / 2;
    let mut ways = vec![
        Way {
            name: "two halves",
            noise: NoiseEstimator::Split { first: half },
            of: NormsOf::MicroBatch,
            micro_batch: half,
        },
        Way {
            name: "eight parts",
            noise: NoiseEstimator::MicroBatches,
            of: NormsOf::MicroBatch,
            micro_batch: batch_size / 8,
        },
    ];
    if network.measures_per_example_grad_norms() {
        ways.push(Way {
            name: "every example",
            noise: NoiseEstimator::Examples {
                cost: network.example_norms_cost(),
            },
            of: NormsOf::Examples,
            micro_batch: batch_size,
        });
    }
    let chosen = NoiseEstimator::of(network, batch_size, batch_size);
    let rows = ways
        .iter()
        .map(|way| row(network, examples, batch_size, way))
        .collect::<Result<Vec<Row>, Failure>>()?;
    let cost = |row: &Row| row.added.max(0.0) * row.deviations[0].powi(2);
    let best = rows.iter().map(cost).fold(f64::INFINITY, f64::min);
    for (way, row) in ways.iter().zip(&rows) {
        let counts = match way.noise {
            NoiseEstimator::Examples { cost } => format!("{cost:.3}"),
            _ => "-".to_owned(),
        };
        let share = row.added / row.plain;
        // A step in micro-batches costs what it costs, measured or not: nothing to compare it with.
        let training = match way.noise {
            NoiseEstimator::MicroBatches => "-".to_owned(),
            _ => {
                let every = way.noise.every(batch_size, batch_size);
                let chosen = if way.noise == chosen { " *" } else { "" };
                format!(
                    "1 in {every}: {:.1} %{chosen}",
                    100.0 * share / every as f64
                )
            }
        };
        println!(
            "{model:<20} {batch_size:>5}  {:<14} {:>9.3} {:>9.3} {share:>6.3} {counts:>7} {:>8.2} {:>8.2} {:>16.1}  {training}",
            way.name,
            1e3 * row.plain,
            1e3 * row.added,
            row.deviations[0],
            row.deviations[1],
            cost(row) / best,
        );
    }
    Ok(())
}

fn row(
    network: &mut dyn Network,
    examples: &dyn Examples,
    batch_size: u64,
    way: &Way,
) -> Result<Row, Failure> {
    let mut sampler = examples.sampler(KEY.with_purpose(Purpose::Order), batch_size)?;
    let mut batch = Batch::empty(examples.shape());
    let (mut plain, mut added) = (Vec::new(), Vec::new());
    let mut found = [Vec::new(), Vec::new()];
    for step in 0..(EXAMPLES / batch_size).clamp(STEPS.0, STEPS.1) {
        let step = StepBatch::constant(step, batch_size);
        sampler.fill(step, 0..batch_size, &mut batch);
        let scale = (1.0 / batch.weight()) as f32;
        let start = Instant::now();
        network.begin_step(batch_size);
        network.accumulate(&batch, scale)?;
        let without = start.elapsed().as_secs_f64();

        let mut parts = Vec::new();
        for positions in Portions::whole(way.micro_batch).micro_batches(batch_size) {
            let mut part = Batch::empty(examples.shape());
            sampler.fill(step, positions, &mut part);
            parts.push(part);
        }
        let start = Instant::now();
        network.begin_step(batch_size);
        let tensors = network.layout().tensors.len();
        let mut norms = PartNorms::new(batch_size, tensors);
        for part in &parts {
            let mut squares = vec![0.0; tensors];
            network.accumulate_measured(part, scale, way.of, &mut squares)?;
            norms.add(way.of, part.len as u64, &squares);
        }
        let pieces: Pieces = norms.pieces(&window_norms(network)?)?.into_iter().sum();
        let with = start.elapsed().as_secs_f64();
        plain.push(without);
        added.push(with - without);
        found[0].push(pieces.squared_norm);
        found[1].push(pieces.trace);
    }
    Ok(Row {
        plain: median(plain),
        added: median(added),
        deviations: found.map(|values| deviation(&values)),
    })
}

/// Standard deviation over the mean.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let scatter: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (scatter / (n - 1.0)).sqrt() / mean
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
