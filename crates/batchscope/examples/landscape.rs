//! Our side of `benches/peers/landscape`.
//!
//! * `landscape start MODEL EXAMPLES STEPS FILE` trains a model on glyphs for some steps and writes
//!   what all sides start from as safetensors: the network's state under its own names, and the
//!   examples as `inputs` (`[n, height, width, channels]`) and `labels`.
//! * `landscape eigenvalue MODEL FILE f32|f64` and `landscape sharpness MODEL FILE f32|f64` measure
//!   from such a file and print a line of JSON.

use std::time::Instant;

use batchscope_core::{
    Batch, DataShape, InputShape, Inputs, Labels, NetworkFactory, Purpose, StateTensor, StepBatch,
    StreamKey, Task,
};
use batchscope_data::{LoadOptions, open};
use batchscope_landscape::{
    HessianOperator, LinearOperator, Products,
    sharpness::{Keskar, keskar},
    spectrum::{EigenSettings, extreme_eigenpairs},
};
use batchscope_nn::{DeviceSpec, Factory, NetworkObjective, ObjectiveSettings, Precision};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: landscape start MODEL EXAMPLES STEPS FILE, or landscape eigenvalue|sharpness MODEL FILE f32|f64";

/// Threads, as in the other comparison (`benches/peers/peer.py`).
const THREADS: usize = 2;
/// Examples of a training step, and its learning rate.
const BATCH: usize = 64;
const RATE: f32 = 0.05;
/// The 28 × 28 gray pictures of ten characters, as MNIST has them.
const SHAPE: DataShape = DataShape {
    input: InputShape::Image {
        height: 28,
        width: 28,
        channels: 1,
    },
    task: Task::Classify { classes: 10 },
};

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(THREADS)
        .build()?;
    pool.install(|| match arguments.as_slice() {
        ["start", model, examples, steps, file] => {
            start(model, examples.parse()?, steps.parse()?, file)
        }
        ["eigenvalue", model, file, precision] => eigenvalue(read(model, file, precision)?),
        ["sharpness", model, file, precision] => sharpness(read(model, file, precision)?),
        _ => Err(USAGE.into()),
    })
}

fn factory(model: &str) -> Result<Factory, Failure> {
    Ok(Factory::new(model.parse()?, DeviceSpec::Cpu)?)
}

/// Trains by plain gradient descent on mini-batches, so that the point is one that training visits.
fn start(model: &str, examples: usize, steps: u64, file: &str) -> Result<(), Failure> {
    let data = open("glyphs", &LoadOptions::default())?;
    if data.shape != SHAPE {
        return Err(format!("glyphs are {:?}", data.shape).into());
    }
    let key = StreamKey {
        study_seed: 0,
        trial: 0,
        purpose: Purpose::Initialization,
    };
    let mut network = factory(model)?.build(&SHAPE, key)?;
    let order = key.with_purpose(Purpose::Order);
    let mut sampler = data.train.sampler(order, BATCH as u64)?;
    let mut batch = Batch::empty(SHAPE);
    for step in 0..steps {
        let step = StepBatch::constant(step, BATCH as u64);
        sampler.fill(step, 0..BATCH as u64, &mut batch);
        network.begin_step(BATCH as u64);
        network.accumulate(&batch, 1.0 / BATCH as f32)?;
        network.visit(&mut |_, w, g| w.iter_mut().zip(g).for_each(|(w, g)| *w -= RATE * *g))?;
        network.end_step();
    }
    data.train.fill_in_order(0..examples as u64, &mut batch);
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for tensor in network.export()? {
        tensors.push((tensor.name, Dtype::F32, tensor.shape, bytes(&tensor.values)));
    }
    let (Inputs::Values(inputs), Labels::Classes(labels)) = (&batch.inputs, &batch.labels) else {
        return Err("glyphs are pictures with classes".into());
    };
    let shape = vec![batch.len, 28, 28, 1];
    tensors.push(("inputs".to_owned(), Dtype::F32, shape, bytes(inputs)));
    let labels = labels.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensors.push(("labels".to_owned(), Dtype::U32, vec![batch.len], labels));
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize_to_file(views, None, file.as_ref())?)
}

/// The objective of a start file, batch norm in evaluation mode.
fn read(model: &str, file: &str, precision: &str) -> Result<NetworkObjective, Failure> {
    let bytes = std::fs::read(file)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let floats = |view: &TensorView<'_>| -> Vec<f32> {
        let words = view.data().chunks_exact(4);
        words
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    };
    let mut examples = Batch::empty(SHAPE);
    let mut state = Vec::new();
    for (name, view) in tensors.tensors() {
        match name.as_str() {
            "inputs" => examples.inputs = Inputs::Values(floats(&view)),
            "labels" => {
                let words = view.data().chunks_exact(4);
                let labels = words.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                examples.labels = Labels::Classes(labels.collect());
                examples.len = view.shape()[0];
            }
            _ => state.push(StateTensor {
                values: floats(&view),
                shape: view.shape().to_vec(),
                name,
            }),
        }
    }
    let precision = match precision {
        "f32" => Precision::F32,
        "f64" => Precision::F64,
        _ => return Err(USAGE.into()),
    };
    let settings = ObjectiveSettings {
        precision,
        ..ObjectiveSettings::default()
    };
    Ok(factory(model)?.objective(&SHAPE, &state, vec![examples], settings)?)
}

/// The largest eigenvalue of the Hessian to a relative residual of 1e-3, which a further product
/// measures.
fn eigenvalue(mut objective: NetworkObjective) -> Result<(), Failure> {
    let x = objective.parameters().to_vec();
    let began = Instant::now();
    let mut hessian = HessianOperator::new(&mut objective, &x, Products::Fast)?;
    let found = extreme_eigenpairs(&mut hessian, &EigenSettings::largest(1))?;
    let seconds = began.elapsed().as_secs_f64();
    let error = hessian.relative_error();
    let pair = found.pairs.first().ok_or("nothing was found")?;
    let value = pair.value.value.ok_or("the eigenvalue is undefined")?;
    println!(
        "{}",
        serde_json::json!({
            "value": value,
            "residual": pair.residual / value.abs(),
            "converged": pair.converged,
            "product_error": error,
            "products": found.products,
            "seconds": seconds,
        })
    );
    Ok(())
}

/// Keskar's φ, full space, ε = 1e-3, five starts of ten iterations.
fn sharpness(mut objective: NetworkObjective) -> Result<(), Failure> {
    let x = objective.parameters().to_vec();
    let began = Instant::now();
    let found = keskar(&mut objective, &x, &Keskar::default())?;
    let seconds = began.elapsed().as_secs_f64();
    let factor = 100.0 / (1.0 + found.value);
    let starts: Vec<f64> = found.runs.iter().map(|run| factor * run.rise).collect();
    let evaluations: u64 = found.runs.iter().map(|run| run.evaluations).sum();
    println!(
        "{}",
        serde_json::json!({
            "value": found.phi.value,
            "starts": starts,
            "loss": found.value,
            "evaluations": evaluations,
            "seconds": seconds,
        })
    );
    Ok(())
}
