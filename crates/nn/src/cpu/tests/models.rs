//! Every model computes the same with the kernels and without.

use batchscope_core::{
    Batch, DataShape, InputShape, Inputs, Labels, Mode, Network, ParameterKind, Purpose, StreamKey,
    Task,
};

use super::random;
use crate::{
    DeviceSpec, Factory,
    loss::{Targets, training_loss},
    models::Model,
    pass::{Pass, PassContext},
    storage::to_host,
};

const KEY: StreamKey = StreamKey {
    study_seed: 1,
    trial: 0,
    purpose: Purpose::Initialization,
};

/// The path of other devices trains every model as the kernels do.
#[test]
fn models_without_kernels() {
    let images = |side, channels| InputShape::Image {
        height: side,
        width: side,
        channels,
    };
    let ten = Task::Classify { classes: 10 };
    for (model, input, task) in [
        ("mlp(9,norm,ghost=3)", images(4, 2), ten),
        (
            "mlp(9,dropout=0.5)",
            images(4, 2),
            Task::Regress { outputs: 3 },
        ),
        ("lenet(smoothing=0.1)", images(16, 1), ten),
        ("c1(ghost=8,dropout=0.5)", images(8, 3), ten),
        ("resnet20(ghost=4)", images(8, 3), ten),
        ("c2(ghost=8,dropout=0.3)", images(32, 1), ten),
        ("alexnet", images(32, 3), ten),
        ("mobilenetv2(width=0.25,ghost=8)", images(24, 3), ten),
        ("row-lstm(width=9,dropout=0.3)", images(6, 2), ten),
        ("drn-d-22(ghost=8)", images(17, 3), ten),
        (
            "drn-d-22(ghost=8,smoothing=0.1)",
            images(22, 3),
            Task::Segment { classes: 10 },
        ),
        (
            "lstm(width=7,tied,dropout=0.3,smoothing=0.1)",
            InputShape::Tokens {
                sequence: 5,
                vocabulary: 9,
            },
            Task::NextToken,
        ),
    ] {
        let shape = DataShape { input, task };
        // In deep networks rounding grows until some number falls on the other side of a rectifier,
        // with per cents of the gradient: theirs keep away from the kinks, and take a single step.
        let deep = ["c2", "mobilenetv2", "drn"]
            .iter()
            .any(|name| model.starts_with(name));
        let steps = if deep { 1 } else { 2 };
        let run = |kernels: bool| {
            let factory = Factory::new(model.parse().unwrap(), DeviceSpec::Cpu).unwrap();
            let mut network = factory.network(&shape, KEY).unwrap();
            assert!(network.kernels);
            network.kernels = kernels;
            let n = 8;
            let mut batch = Batch {
                len: n,
                noise: Some(KEY),
                ..Batch::empty(shape)
            };
            let numbers = to_host(random(7, [n * input.len()])).unwrap();
            let index = |v: f32, bound: f32| ((v + 1.0) * 0.5 * bound) as u32 % bound as u32;
            match &mut batch.inputs {
                Inputs::Values(values) => values.extend(&numbers),
                Inputs::Tokens(tokens) => tokens.extend(numbers.iter().map(|&v| index(v, 9.0))),
            }
            match &mut batch.labels {
                Labels::Classes(labels) => {
                    labels.extend(numbers[..n].iter().map(|&v| index(v, 10.0)))
                }
                Labels::Values(values) => values.extend(&numbers[..3 * n]),
                Labels::Pixels(labels) => {
                    let label = |v: f32| match index(v, 12.0) {
                        10.. => batchscope_core::UNLABELED,
                        class => class as u8,
                    };
                    labels.extend(numbers[..n * input.pixels()].iter().map(|&v| label(v)))
                }
                Labels::Tokens(tokens) => tokens.extend(numbers.iter().map(|&v| index(-v, 9.0))),
            }
            let mut outcome = Vec::new();
            let layout = network.layout().clone();
            if deep {
                let shift = |index: usize, w: &mut [f32], _: &mut [f32]| {
                    if layout.tensors[index].kind == ParameterKind::NormShift {
                        w.fill(3.0);
                    }
                };
                network.visit(&mut { shift }).unwrap();
            }
            for step in 0..steps {
                batch.fresh_streams = step == 0;
                network.begin_step(n as u64);
                let loss = network.accumulate(&batch, 0.125).unwrap().loss;
                network
                    .visit(&mut |_, w, g| {
                        outcome.push(g.to_vec());
                        w.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.01 * *g);
                    })
                    .unwrap();
                network.end_step();
                let metrics = network.evaluate(&batch).unwrap();
                outcome.push(vec![
                    loss as f32,
                    metrics.loss as f32,
                    metrics.errors as f32,
                ]);
            }
            outcome.extend(
                network
                    .export()
                    .unwrap()
                    .into_iter()
                    .map(|tensor| tensor.values),
            );
            (outcome, layout.tensors.len())
        };
        let ((kernels, gradients), (composed, _)) = (run(true), run(false));
        assert_eq!(kernels.len(), composed.len());
        let norm = |v: &[f32]| v.iter().map(|v| v * v).sum::<f32>().sqrt();
        let largest = kernels[..gradients]
            .iter()
            .fold(0f32, |m, v| m.max(norm(v)));
        for (i, (a, b)) in kernels.iter().zip(&composed).enumerate() {
            // Gradients of what a norm takes away again are nothing but rounding.
            let scale = norm(a).max(0.01 * largest);
            let off = norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>());
            let tolerance = if deep { 1e-3 } else { 2e-4 };
            assert!(
                off < tolerance * scale,
                "{model}, tensor {i}: differs by {off} of {scale}"
            );
        }
    }
}

/// With constant parameters, whose gradients are left out, those of the inputs keep their bits, on any number of threads.
#[test]
fn input_gradients_are_those_of_a_pass_with_tracked_parameters() {
    for (model, side, channels) in [
        ("lenet", 16, 1),
        ("c1(ghost=3)", 12, 3),
        ("resnet20(ghost=3)", 8, 3),
        ("mobilenetv2(width=0.25,ghost=3)", 24, 3),
        ("mlp(9)", 4, 2),
    ] {
        let shape = DataShape {
            input: InputShape::Image {
                height: side,
                width: side,
                channels,
            },
            task: Task::Classify { classes: 10 },
        };
        let factory = Factory::new(model.parse().unwrap(), DeviceSpec::Cpu).unwrap();
        let mut network = factory.network(&shape, KEY).unwrap();
        let n = 7;
        let labels: Vec<u32> = (0..n as u32).collect();
        let batch = Batch {
            len: n,
            inputs: Inputs::Values(to_host(random(7, [n * shape.input.len()])).unwrap()),
            labels: Labels::Classes(labels.clone()),
            ..Batch::empty(shape)
        };
        network.begin_step(n as u64);
        let gradients = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let mut gradient = Vec::new();
            pool.build().unwrap().install(|| {
                network
                    .input_gradient(&batch, Mode::Training, &mut gradient)
                    .unwrap()
            });
            gradient
        });

        let Model::Values(values) = &network.model else {
            unreachable!("of images")
        };
        let context = PassContext {
            parameters: &network.parameters,
            norms: &mut network.norms,
            streams: &mut network.evaluation,
            device: &network.device,
            kernels: true,
            first: 0,
            len: n,
        };
        let mut pass = Pass::train(context, 3, None);
        let x = random(7, [n, shape.input.len()]).autodiff().require_grad();
        let outputs = values.forward(x.clone(), &mut pass);
        let loss = training_loss(outputs, &Targets::Classes(&labels), 0.0, 1.0, true).unwrap();
        let mut gradients_of_all = loss.scaled.backward();
        let expected = to_host(x.grad_remove(&mut gradients_of_all).unwrap()).unwrap();
        assert!(expected.iter().any(|g| *g != 0.0), "{model}");
        for gradient in gradients {
            assert_eq!(gradient, expected, "{model}");
        }
    }
}
