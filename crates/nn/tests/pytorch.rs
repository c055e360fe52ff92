//! Two training steps and an evaluation of every model equal PyTorch's (see `golden/pytorch.py`).

mod common;

use std::collections::BTreeMap;

use batchscope_core::{
    Batch, DataShape, InputShape, Inputs, Labels, Network, ParameterKind, ParameterTensor, Task,
    UNLABELED,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    input: Option<Vec<usize>>,
    tokens: Option<[usize; 2]>,
    classes: Option<usize>,
    /// Classes of pixels.
    masks: Option<usize>,
    outputs: Option<usize>,
    n: usize,
    /// Learning rate between the steps, where it is not 1/16.
    rate: Option<f32>,
    /// How far gradients may be off, where that is not 2e-4.
    tolerance: Option<f64>,
    /// Mean of the shifts of the batch norms, where that is not 0.
    shift: Option<f64>,
    steps: Vec<Step>,
    /// Norm and product with a fixed vector of each running statistic and hidden state.
    state: BTreeMap<String, [f64; 2]>,
}

#[derive(Deserialize)]
struct Step {
    loss: f64,
    gradients: Vec<[f64; 2]>,
    evaluation: f64,
    errors: f64,
}

/// The hash of `pytorch.py`: 24 bits each.
fn hashed(seed: u64, n: usize) -> impl Iterator<Item = u64> {
    (0..n as u64).map(move |i| {
        let h = i
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add((seed + 1).wrapping_mul(0xBF58_476D_1CE4_E5B9));
        let h = (h ^ (h >> 31)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (h ^ (h >> 29)) >> 40
    })
}

/// Numbers in [−1, 1).
fn value(seed: u64, n: usize) -> impl Iterator<Item = f64> {
    hashed(seed, n).map(|h| h as f64 / f64::from(1 << 23) - 1.0)
}

fn initial(index: usize, tensor: &ParameterTensor, shift: f64) -> Vec<f32> {
    let shape = &tensor.shape;
    let adjust = |v: f64| match tensor.kind {
        ParameterKind::Matrix => v / (shape[0] as f64).sqrt(),
        ParameterKind::Kernel => v / (shape[1..].iter().product::<usize>() as f64).sqrt(),
        ParameterKind::NormScale => 1.0 + 0.25 * v,
        ParameterKind::NormShift => shift + 0.125 * v,
        ParameterKind::Embedding | ParameterKind::Bias => 0.125 * v,
    };
    value(index as u64, tensor.len())
        .map(|v| adjust(v) as f32)
        .collect()
}

fn shape(case: &Case) -> DataShape {
    let input = match (case.input.as_deref(), case.tokens) {
        (_, Some([sequence, vocabulary])) => InputShape::Tokens {
            sequence,
            vocabulary,
        },
        (Some(&[height, width, channels]), _) => InputShape::Image {
            height,
            width,
            channels,
        },
        (Some(&[features]), _) => InputShape::Vector { features },
        _ => panic!("a case has an input"),
    };
    let task = match (case.classes, case.masks, case.outputs) {
        (Some(classes), ..) => Task::Classify { classes },
        (_, Some(classes), _) => Task::Segment { classes },
        (.., Some(outputs)) => Task::Regress { outputs },
        _ => Task::NextToken,
    };
    DataShape { input, task }
}

fn batch(case: &Case, step: u64) -> Batch {
    let shape = shape(case);
    let numbers = case.n * shape.input.len();
    let below = |seed: u64, n: usize, bound: usize| {
        let numbers = hashed(seed, n).map(|h| (h % bound as u64) as u32);
        numbers.collect::<Vec<u32>>()
    };
    let (inputs, labels) = match (shape.input, shape.task) {
        (InputShape::Tokens { vocabulary, .. }, _) => (
            Inputs::Tokens(below(1000 + step, numbers, vocabulary)),
            Labels::Tokens(below(2000 + step, numbers, vocabulary)),
        ),
        (_, task) => (
            Inputs::Values(value(1000 + step, numbers).map(|v| v as f32).collect()),
            match task {
                Task::Classify { classes } => Labels::Classes(below(2000 + step, case.n, classes)),
                Task::Regress { outputs } => Labels::Values(
                    value(2000 + step, case.n * outputs)
                        .map(|v| v as f32)
                        .collect(),
                ),
                Task::Segment { classes } => {
                    let pixels = case.n * shape.input.pixels();
                    // A class more than there are stands for pixels without a label.
                    let label = |class| match class {
                        class if class == classes as u32 => UNLABELED,
                        class => class as u8,
                    };
                    let labels = below(2000 + step, pixels, classes + 1);
                    Labels::Pixels(labels.into_iter().map(label).collect())
                }
                Task::NextToken => unreachable!(),
            },
        ),
    };
    Batch {
        len: case.n,
        inputs,
        labels,
        fresh_streams: step == 0,
        ..Batch::empty(shape)
    }
}

/// How far numbers may be off, relative to their scale.
const TOLERANCE: f64 = 2e-4;

fn close(what: &str, ours: f64, theirs: f64, margin: f64) {
    assert!(
        (ours - theirs).abs() <= margin,
        "{what}: {ours}, PyTorch {theirs}"
    );
}

/// Holds a tensor's norm and product against PyTorch's, within a `tolerance` of the norm, but at
/// least of `floor`.
fn summary(
    what: &str,
    values: &[f32],
    index: usize,
    [norm, product]: [f64; 2],
    floor: f64,
    tolerance: f64,
) {
    let ours = values
        .iter()
        .map(|&v| f64::from(v).powi(2))
        .sum::<f64>()
        .sqrt();
    let margin = tolerance * norm.max(floor);
    close(&format!("norm of {what}"), ours, norm, margin);
    let fixed = value(3000 + index as u64, values.len());
    close(
        &format!("product of {what}"),
        values
            .iter()
            .zip(fixed)
            .map(|(&v, f)| f64::from(v) * f)
            .sum(),
        product,
        margin,
    );
}

fn check(name: &str, case: &Case, network: &mut dyn Network) {
    let layout = network.layout().clone();
    network
        .visit(&mut |index, w, _| {
            let shift = case.shift.unwrap_or(0.0);
            w.copy_from_slice(&initial(index, &layout.tensors[index], shift));
        })
        .unwrap();
    let rate = case.rate.unwrap_or(0.0625);
    let tolerance = case.tolerance.unwrap_or(TOLERANCE);
    let evaluated = tolerance.min(1e-3);
    for (step, golden) in case.steps.iter().enumerate() {
        let batch = batch(case, step as u64);
        network.begin_step(case.n as u64);
        let loss = network
            .accumulate(&batch, 1.0 / batch.weight() as f32)
            .unwrap();
        close(
            &format!("loss of {name}"),
            loss.loss,
            golden.loss,
            TOLERANCE * golden.loss,
        );
        assert_eq!(golden.gradients.len(), layout.tensors.len(), "{name}");
        let largest = golden.gradients.iter().fold(0f64, |m, g| m.max(g[0]));
        network
            .visit(&mut |index, w, g| {
                let what = format!(
                    "step {step}'s gradient of {name}'s {}",
                    layout.tensors[index].name
                );
                let (golden, floor) = (golden.gradients[index], 0.01 * largest);
                summary(&what, g, index, golden, floor, tolerance);
                w.iter_mut().zip(g).for_each(|(w, g)| *w -= rate * *g);
            })
            .unwrap();
        network.end_step();
        let metrics = network
            .evaluate(&Batch {
                fresh_streams: true,
                ..batch
            })
            .unwrap();
        close(
            &format!("evaluation of {name}"),
            metrics.loss,
            golden.evaluation,
            // After a step along the gradient.
            evaluated * golden.evaluation,
        );
        // Among many pixels some scores are equal but for rounding.
        let ties = if case.masks.is_some() { 3.0 } else { 0.0 };
        close(
            &format!("errors of {name}"),
            metrics.errors,
            golden.errors,
            ties,
        );
    }
    let state = network.export().unwrap();
    assert_eq!(
        state.len(),
        layout.tensors.len() + case.state.len(),
        "{name}"
    );
    for (tensor, &golden) in &case.state {
        let ours = state
            .iter()
            .find(|t| t.name == *tensor)
            .unwrap_or_else(|| panic!("{name} has no {tensor}"));
        let what = format!("{name}'s {tensor}");
        summary(&what, &ours.values, 0, golden, 0.0, TOLERANCE);
    }
}

#[test]
fn every_model_trains_as_in_pytorch() {
    let golden: Golden = serde_json::from_str(include_str!("golden/pytorch.json")).unwrap();
    assert!(golden.cases.len() >= 23);
    for (name, case) in &golden.cases {
        let model = name.strip_suffix(" away from kinks").unwrap_or(name);
        check(name, case, common::network(model, &shape(case)).as_mut());
    }
}
