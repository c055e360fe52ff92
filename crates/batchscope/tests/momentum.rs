//! Is momentum a larger batch for those whose memory holds eight examples? Steps to a target over momentum at batch size
//! 8, and the noise of the update's direction. docs/results/momentum.md has what it printed:
//!
//! `cargo test --release -p batchscope --test momentum -- --ignored --nocapture --test-threads 1`

mod support;

use std::{env, path::PathBuf};

use batchscope_core::{
    Batch, DecayPolicy, Examples, Network, NetworkFactory, Purpose, StepBatch, StreamKey,
    statistics::{quantile, t_quantile},
};
use batchscope_data::LoadOptions;
use batchscope_nn::{DeviceSpec, Factory};
use batchscope_optim::{OPTIMIZERS, build};
use serde_json::Value;
use support::{run, text};

const BATCH: u64 = 8;
const MOMENTA: [f64; 5] = [0.0, 0.5, 0.9, 0.97, 0.99];
/// Effective rates η/(1 − m) that are tried.
const EFFECTIVE: [f64; 7] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64];
const TARGET: &str = "val-error=0.04";
const CAP: u64 = 8000;

/// The MNIST files, where there are any.
fn mnist() -> Option<PathBuf> {
    let data = env::var_os("BATCHSCOPE_DATA").map(PathBuf::from);
    let found = data
        .map(|data| data.join("mnist"))
        .filter(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no MNIST in BATCHSCOPE_DATA");
    }
    found
}

/// Steps to the target of one run; `None` where the cap came first, or it diverged.
fn steps(data: &str, momentum: f64, effective: f64, seed: u64) -> Option<f64> {
    let [momentum, rate, cap, seed] = [
        momentum.to_string(),
        (effective * (1.0 - momentum)).to_string(),
        CAP.to_string(),
        seed.to_string(),
    ];
    let out = run(&[
        "train",
        "--json",
        "--quiet",
        "--data",
        data,
        "--examples",
        "10000",
        "--model",
        "lenet",
        "--batch-size",
        "8",
        "--momentum",
        &momentum,
        "--learning-rate",
        &rate,
        "--target",
        TARGET,
        "--steps",
        &cap,
        "--seed",
        &seed,
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let record: Value = serde_json::from_slice(&out.stdout).unwrap();
    record["outcome"]["step"]
        .as_f64()
        .filter(|_| record["outcome"]["state"] == "reached")
}

/// The geometric mean with its 95 % interval, or how many of them did not arrive.
fn summary(steps: &[Option<f64>]) -> String {
    let reached: Vec<f64> = steps.iter().flatten().map(|s| s.ln()).collect();
    let missing = steps.len() - reached.len();
    if missing > 0 {
        return format!("{missing} of {} not reached", steps.len());
    }
    let n = reached.len() as f64;
    let mean = reached.iter().sum::<f64>() / n;
    let variance = reached.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t_quantile(0.95, n - 1.0) * (variance / n).sqrt();
    format!(
        "{:.0} ({:.0}–{:.0})",
        mean.exp(),
        (mean - half).exp(),
        (mean + half).exp()
    )
}

#[test]
#[ignore = "takes ten minutes, and needs MNIST"]
fn steps_to_a_target_over_momentum() {
    let Some(data) = mnist() else { return };
    let data = data.to_str().unwrap();
    // One run at every rate; a tie goes to the lower.
    let best = |momentum: f64| {
        let tried = EFFECTIVE.map(|effective| (steps(data, momentum, effective, 100), effective));
        let found = tried
            .iter()
            .filter_map(|(steps, rate)| Some((steps.as_ref()?, rate)));
        let best = found.min_by(|a, b| a.0.total_cmp(b.0));
        *best.expect("some rate reaches the target").1
    };
    let held = best(0.0);
    println!(
        "\n| momentum | effective rate held: {held} | tuned | its effective rate |\n| ---: | --- | --- | ---: |"
    );
    for momentum in MOMENTA {
        let tuned = if momentum == 0.0 {
            held
        } else {
            best(momentum)
        };
        let fresh = |effective: f64| {
            let all: Vec<_> = (0..5)
                .map(|seed| steps(data, momentum, effective, seed))
                .collect();
            summary(&all)
        };
        println!(
            "| {momentum} | {} | {} | {tuned} |",
            fresh(held),
            fresh(tuned)
        );
    }
}

/// A gradient over these examples, flat.
fn gradient(
    network: &mut dyn Network,
    fill: &mut dyn FnMut(&mut Batch),
    batch: &mut Batch,
) -> Vec<f64> {
    fill(batch);
    batch.first_position = 0;
    batch.noise = None;
    network.begin_step(batch.len as u64);
    network.accumulate(batch, 1.0 / batch.len as f32).unwrap();
    let mut flat = Vec::new();
    network
        .visit(&mut |_, _, g| flat.extend(g.iter().map(|&g| f64::from(g))))
        .unwrap();
    flat
}

/// The gradient over all training examples, chunk by chunk.
fn full_gradient(
    network: &mut dyn Network,
    examples: &dyn Examples,
    batch: &mut Batch,
) -> Vec<f64> {
    const CHUNK: u64 = 500;
    let mut sum: Vec<f64> = Vec::new();
    let n = examples.len();
    for from in (0..n).step_by(CHUNK as usize) {
        let to = (from + CHUNK).min(n);
        let part = gradient(
            network,
            &mut |batch| examples.fill_in_order(from..to, batch),
            batch,
        );
        sum.resize(part.len(), 0.0);
        let share = (to - from) as f64 / n as f64;
        sum.iter_mut()
            .zip(part)
            .for_each(|(sum, g)| *sum += share * g);
    }
    sum
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// At 100 points of a run's second thousand of steps, in squares, as shares of the squared norms there: how far the update's direction `(1 − m)·v` and the step's own
/// gradient lie from the gradient over all training examples there.
#[test]
#[ignore = "takes five minutes, and needs MNIST"]
fn noise_of_the_direction_over_momentum() {
    let Some(data) = mnist() else { return };
    let options = LoadOptions {
        examples: Some(10_000),
        ..LoadOptions::default()
    };
    let data = batchscope_data::open(data.to_str().unwrap(), &options).unwrap();
    let factory = Factory::new("lenet".parse().unwrap(), DeviceSpec::Cpu).unwrap();
    let key = StreamKey {
        study_seed: 0,
        trial: 0,
        purpose: Purpose::Initialization,
    };
    let mut batch = Batch::empty(data.shape);
    println!(
        "\n| momentum | distance of a gradient of 8 | of the direction | acts like a batch of | at weights that stand still | median distance of a gradient | of the direction |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for momentum in MOMENTA {
        let mut network = factory.build(&data.shape, key).unwrap();
        let (_, choice) = OPTIMIZERS
            .read(&format!("sgd(momentum={momentum})"))
            .unwrap();
        let mut optimizer = build(&choice, network.layout(), DecayPolicy::default()).unwrap();
        let mut sampler = data
            .train
            .sampler(key.with_purpose(Purpose::Order), BATCH)
            .unwrap();
        let (mut of_gradient, mut of_direction, mut sizes) = (Vec::new(), Vec::new(), 0.0);
        for step in 0..2000u64 {
            let looks = step >= 1000 && step % 10 == 0;
            let truth =
                looks.then(|| full_gradient(network.as_mut(), data.train.as_ref(), &mut batch));
            let mut draw =
                |batch: &mut Batch| sampler.fill(StepBatch::constant(step, BATCH), 0..BATCH, batch);
            let own = gradient(network.as_mut(), &mut draw, &mut batch);
            optimizer.begin_step(0.04 * (1.0 - momentum), step);
            network
                .visit(&mut |tensor, w, g| optimizer.update(tensor, w, g))
                .unwrap();
            network.end_step();
            if let Some(truth) = truth {
                let size = squared_distance(&truth, &vec![0.0; truth.len()]);
                let state = optimizer.state();
                let velocity = state.iter().flat_map(|tensor| &tensor.values);
                let direction: Vec<f64> = match momentum == 0.0 {
                    true => own.clone(),
                    false => velocity.map(|&v| (1.0 - momentum) * f64::from(v)).collect(),
                };
                sizes += size;
                of_gradient.push(squared_distance(&own, &truth));
                of_direction.push(squared_distance(&direction, &truth));
            }
        }
        // Variances are means. Gradients of eight examples have heavy tails: their median tells of the easy ones alone.
        let count = of_gradient.len() as f64;
        let over = |values: &[f64]| values.iter().sum::<f64>() / sizes;
        let [own, direction] = [over(&of_gradient), over(&of_direction)];
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            quantile(&values, 0.5) / sizes * count
        };
        println!(
            "| {momentum} | {own:.1} | {direction:.1} | {:.0} | {:.0} | {:.1} | {:.1} |",
            BATCH as f64 * own / direction,
            BATCH as f64 * (1.0 + momentum) / (1.0 - momentum),
            median(of_gradient),
            median(of_direction),
        );
    }
}
