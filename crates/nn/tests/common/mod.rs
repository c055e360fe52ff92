//! What the tests share: small synthetic data and a plain training loop.
#![allow(dead_code, reason = "each test file uses its own part")]

use batchscope_core::{
    Batch, DataShape, InputShape, Inputs, Labels, Network, NetworkFactory, Purpose, StreamKey,
    Task, UNLABELED,
};
use batchscope_nn::{DeviceSpec, Factory};
use rand_core::Rng;

pub const KEY: StreamKey = StreamKey {
    study_seed: 7,
    trial: 3,
    purpose: Purpose::Initialization,
};
pub const NOISE: StreamKey = StreamKey {
    purpose: Purpose::Network,
    ..KEY
};
pub const DIGITS: DataShape = images(28, 1);
pub const PHOTOS: DataShape = images(32, 3);

pub const fn images(side: usize, channels: usize) -> DataShape {
    DataShape {
        input: InputShape::Image {
            height: side,
            width: side,
            channels,
        },
        task: Task::Classify { classes: 10 },
    }
}

pub const fn vectors(features: usize, task: Task) -> DataShape {
    DataShape {
        input: InputShape::Vector { features },
        task,
    }
}

pub const fn text(sequence: usize, vocabulary: usize) -> DataShape {
    DataShape {
        input: InputShape::Tokens {
            sequence,
            vocabulary,
        },
        task: Task::NextToken,
    }
}

/// Images with a class for every pixel.
pub const fn masks(side: usize, classes: usize) -> DataShape {
    DataShape {
        task: Task::Segment { classes },
        ..images(side, 3)
    }
}

pub fn factory(model: &str) -> Factory {
    Factory::new(model.parse().unwrap(), DeviceSpec::Cpu).unwrap()
}

pub fn network(model: &str, shape: &DataShape) -> Box<dyn Network> {
    factory(model).build(shape, KEY).unwrap()
}

/// `len` random examples from `position` on: the same example at the same position always.
pub fn batch(shape: DataShape, position: u64, len: usize) -> Batch {
    let key = StreamKey {
        purpose: Purpose::Subset,
        ..KEY
    };
    let mut batch = Batch {
        len,
        first_position: position,
        first_draw: position,
        ..Batch::empty(shape)
    };
    for i in 0..len as u64 {
        let mut stream = key.stream(position + i);
        let mut uniform = || stream.next_u32() as f32 / 2f32.powi(31) - 1.0;
        let values: Vec<f32> = (0..shape.input.len()).map(|_| uniform()).collect();
        // Labels follow from the inputs, so that there is something to learn.
        let score = |k: usize| values.iter().skip(k).step_by(7).sum::<f32>();
        match (&mut batch.inputs, &mut batch.labels, shape.task) {
            (Inputs::Values(x), Labels::Classes(y), Task::Classify { classes }) => {
                let class = (0..classes)
                    .max_by(|&a, &b| score(a).total_cmp(&score(b)))
                    .unwrap();
                x.extend(&values);
                y.push(class as u32);
            }
            (Inputs::Values(x), Labels::Pixels(y), Task::Segment { classes }) => {
                // The upper half's class follows from the image, the lower half's from the upper's;
                // one corner has none.
                let class = (0..classes)
                    .max_by(|&a, &b| score(a).total_cmp(&score(b)))
                    .unwrap();
                let pixels = shape.input.pixels();
                y.extend((0..pixels).map(|p| match p {
                    0 => UNLABELED,
                    p if p < pixels / 2 => class as u8,
                    _ => ((class + 1) % classes) as u8,
                }));
                x.extend(&values);
            }
            (Inputs::Values(x), Labels::Values(y), Task::Regress { outputs }) => {
                x.extend(&values);
                y.extend((0..outputs).map(score));
            }
            (Inputs::Tokens(x), Labels::Tokens(y), Task::NextToken) => {
                let InputShape::Tokens { vocabulary, .. } = shape.input else {
                    unreachable!()
                };
                let token =
                    |v: f32| ((v + 1.0) * 0.5 * vocabulary as f32) as u32 % vocabulary as u32;
                x.extend(values.iter().map(|&v| token(v)));
                y.extend(
                    values
                        .iter()
                        .map(|&v| (3 * token(v) + 1) % vocabulary as u32),
                );
            }
            _ => unreachable!(),
        }
    }
    batch
}

/// Gradient of the mean loss over a step of `batch_size` examples taken `micro` at a time.
pub fn gradient(
    network: &mut dyn Network,
    shape: DataShape,
    batch_size: usize,
    micro: usize,
    edit: impl Fn(&mut Batch),
) -> (f64, Vec<Vec<f32>>) {
    network.begin_step(batch_size as u64);
    let mut loss = 0.0;
    for start in (0..batch_size).step_by(micro) {
        let mut batch = batch(shape, start as u64, micro.min(batch_size - start));
        edit(&mut batch);
        loss += network
            .accumulate(&batch, 1.0 / batch_size as f32)
            .unwrap()
            .loss;
    }
    let mut gradients = Vec::new();
    network
        .visit(&mut |_, _, g| gradients.push(g.to_vec()))
        .unwrap();
    network.end_step();
    (loss / batch_size as f64, gradients)
}

/// One step of plain gradient descent on `batch_size` fresh examples; returns the mean loss.
pub fn descend(
    network: &mut dyn Network,
    shape: DataShape,
    step: u64,
    batch_size: usize,
    rate: f32,
) -> f64 {
    network.begin_step(batch_size as u64);
    let mut batch = batch(shape, step * batch_size as u64, batch_size);
    batch.first_position = 0;
    batch.fresh_streams = step == 0;
    batch.noise = Some(NOISE);
    let scale = 1.0 / batch.weight() as f32;
    let sum = network.accumulate(&batch, scale).unwrap();
    network
        .visit(&mut |_, w, g| w.iter_mut().zip(g).for_each(|(w, g)| *w -= rate * *g))
        .unwrap();
    network.end_step();
    sum.loss / sum.weight
}

pub fn parameters(network: &mut dyn Network) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    network
        .visit(&mut |_, w, _| values.push(w.to_vec()))
        .unwrap();
    values
}

/// Largest difference between two lists of tensors, relative to the largest number of the first.
pub fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = a.iter().flatten().fold(0f32, |m, v| m.max(v.abs()));
    let mut worst = 0f32;
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!(a.is_finite() && b.is_finite());
            worst = worst.max((a - b).abs());
        }
    }
    worst / scale
}
