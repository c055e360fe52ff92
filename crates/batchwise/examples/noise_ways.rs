//! Which way of measuring gradient noise in training is cheapest at equal variance:
//! `cargo run --release -p batchwise --example noise_ways`.
//!
//! At fixed weights, steps are measured from the norms of every example's gradient, from two halves
//! and from eight micro-batches. Printed for each: the seconds it adds to a plain step (medians of
//! pairs), the variance of its estimate of |G|², which is what the noise scale's interval hangs on,
//! and their product, relative to the best. Seconds times variance is what a measurement costs: twice
//! the seconds or twice the steps for half the variance come to the same.

use std::time::Instant;

use batchwise_core::{Batch, Examples, Network, NetworkFactory, NormsOf, Purpose, StreamKey};
use batchwise_data::{GlyphOptions, LoadOptions};
use batchwise_nn::{DeviceSpec, Factory};
use batchwise_scaling::noise::Pieces;
use batchwise_train::{PartNorms, Portions, noise::window_norms};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Steps of each way and batch size.
const STEPS: u64 = 200;

const KEY: StreamKey = StreamKey {
    study_seed: 1,
    trial: 0,
    purpose: Purpose::Initialisation,
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
    let data = batchwise_data::open("glyphs", &options)?;
    println!(
        "model         batch  way              plain ms  added ms  sd(|G|²)/mean  cost × variance"
    );
    for model in ["mlp(512,512)", "mlp(128)", "lenet"] {
        for batch_size in [32, 256] {
            let factory = Factory::new(model.parse()?, DeviceSpec::Cpu)?;
            let mut network = factory.build(&data.train.shape(), KEY)?;
            table(model, network.as_mut(), data.train.as_ref(), batch_size)?;
        }
    }
    Ok(())
}

/// What one way costs and gives.
struct Row {
    way: &'static str,
    plain: f64,
    added: f64,
    deviation: f64,
}

fn table(
    model: &str,
    network: &mut dyn Network,
    examples: &dyn Examples,
    batch_size: u64,
) -> Result<(), Failure> {
    let mut ways = vec![
        ("two halves", NormsOf::MicroBatch, batch_size / 2),
        ("eight parts", NormsOf::MicroBatch, batch_size / 8),
    ];
    if network.measures_examples() {
        ways.push(("every example", NormsOf::Examples, batch_size));
    }
    let rows = ways
        .into_iter()
        .map(|(way, of, micro_batch)| row(network, examples, batch_size, way, of, micro_batch))
        .collect::<Result<Vec<Row>, Failure>>()?;
    let cost = |row: &Row| row.added.max(0.0) * row.deviation.powi(2);
    let best = rows.iter().map(cost).fold(f64::INFINITY, f64::min);
    for row in &rows {
        println!(
            "{model:<13} {batch_size:>5}  {:<15} {:>9.3} {:>9.3} {:>15.2} {:>16.1}",
            row.way,
            1e3 * row.plain,
            1e3 * row.added,
            row.deviation,
            cost(row) / best
        );
    }
    Ok(())
}

fn row(
    network: &mut dyn Network,
    examples: &dyn Examples,
    batch_size: u64,
    way: &'static str,
    of: NormsOf,
    micro_batch: u64,
) -> Result<Row, Failure> {
    let mut sampler = examples.sampler(KEY.with_purpose(Purpose::Order), batch_size)?;
    let mut batch = Batch::empty(examples.shape());
    let scale = 1.0 / batch_size as f32;
    let (mut plain, mut added, mut norms) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..STEPS {
        sampler.fill(step, 0..batch_size, &mut batch);
        let start = Instant::now();
        network.begin_step(batch_size);
        network.accumulate(&batch, scale)?;
        let without = start.elapsed().as_secs_f64();

        let mut parts = Vec::new();
        for positions in Portions::whole(batch_size, micro_batch).micro_batches() {
            let mut part = Batch::empty(examples.shape());
            sampler.fill(step, positions, &mut part);
            parts.push(part);
        }
        let start = Instant::now();
        network.begin_step(batch_size);
        let tensors = network.layout().tensors.len();
        let mut found = PartNorms::new(batch_size, tensors);
        for part in &parts {
            let mut squares = vec![0.0; tensors];
            network.accumulate_measured(part, scale, of, &mut squares)?;
            found.add(of, part.len as u64, &squares);
        }
        let pieces: Pieces = found.pieces(&window_norms(network)?)?.into_iter().sum();
        let with = start.elapsed().as_secs_f64();
        plain.push(without);
        added.push(with - without);
        norms.push(pieces.squared_norm);
    }
    let mean = norms.iter().sum::<f64>() / norms.len() as f64;
    let scatter: f64 = norms.iter().map(|n| (n - mean).powi(2)).sum();
    Ok(Row {
        way,
        plain: median(plain),
        added: median(added),
        deviation: (scatter / (norms.len() - 1) as f64).sqrt() / mean,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
