//! The rest of the `Network` contract: tables, states, refusals, evaluation.

mod common;

use batchscope_core::{
    Batch, DataShape, Inputs, Labels, NetworkError, NetworkFactory, StateTensor, StreamKey, Task,
};
use common::*;

const WIKITEXT: DataShape = text(35, 10_000);

/// Photographs of so many pixels a side and so many classes.
const fn classes(side: usize, classes: usize) -> DataShape {
    DataShape {
        task: Task::Classify { classes },
        ..images(side, 3)
    }
}

/// Frames of speech with so many numbers.
const fn speech(features: usize) -> DataShape {
    vectors(features, Task::Classify { classes: 1973 })
}

/// F2 is one network: other windows are refused with what would fit.
#[test]
fn f2_takes_the_paper_s_inputs() {
    let error = factory("f2")
        .build(&speech(351), KEY)
        .err()
        .unwrap()
        .to_string();
    for part in ["f2", "360", "351", "a context of 7"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Models with their parameter counts, derived by hand or published.
#[test]
fn parameters_are_as_many_as_published() {
    for (model, shape, parameters) in [
        ("softmax", DIGITS, 7_850),
        (
            "mlp",
            DIGITS,
            784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10,
        ),
        // 784·512 + 4·512² without biases, five norms of 2·512, the output layer.
        ("f1", DIGITS, 401_408 + 1_048_576 + 5_120 + 5_130),
        // 360·512 + 6·512² without biases, seven norms of 2·512, the output layer of TIMIT's 1973 states.
        (
            "f2",
            speech(360),
            184_320 + 1_572_864 + 7_168 + 512 * 1973 + 1973,
        ),
        // 5·5·16 + 16, 5·5·16·32 + 32, 512·128 + 128, 128·10 + 10.
        ("lenet", DIGITS, 416 + 12_832 + 65_664 + 1_290),
        // 5·5·3·64 + 2·64, 5·5·64·64 + 2·64, 8·8·64·384 + 2·384, 384·192 + 2·192, 192·10 + 10.
        ("c1", PHOTOS, 4_928 + 102_528 + 1_573_632 + 74_112 + 1_930),
        // C1 with a hundred classes.
        ("c3", classes(32, 100), 1_757_130 + 90 * 193),
        // VGG-16's 13 convolutions without biases, 14,710,464, their norms, 8,448, a hidden layer of
        // 512² + 2·512 and the outputs.
        ("c2", PHOTOS, 14_710_464 + 8_448 + 263_168 + 5_130),
        (
            "c4",
            classes(32, 100),
            14_710_464 + 8_448 + 263_168 + 51_300,
        ),
        // github.com/bearpaw/pytorch-classification states 2.47 M; with biases
        // 11²·3·64 + 64, 5²·64·192 + 192, 3²·(192·384 + 384·256 + 256²) + 896, 2,570.
        (
            "alexnet",
            PHOTOS,
            23_296 + 307_392 + 2_138_112 + 896 + 2_570,
        ),
        // github.com/kuangliu/pytorch-cifar's VGG16 has 14,728,266, with the biases of its 4,224
        // convolved channels, which batch norm makes idle.
        ("vgg16", PHOTOS, 14_728_266 - 4_224),
        // torchvision's vgg16: 138,357,544.
        ("vgg16(imagenet)", classes(224, 1000), 138_357_544),
        // torchvision's mobilenet_v2: 3,504,872, and 2,236,682 with ten classes.
        ("mobilenetv2(imagenet)", classes(224, 1000), 3_504_872),
        ("mobilenetv2", PHOTOS, 2_236_682),
        // You et al. 2019 describe 128 units on rows of 28: 28·512 + 128·512 + 512, 128·10 + 10.
        ("row-lstm", DIGITS, 14_336 + 65_536 + 512 + 1_290),
        // Yu et al. 2017 state 16.4 M for a thousand classes; github.com/osmr/imgclsmob's
        // drnd22 has 16,393,752. The head for masks is the same 1 × 1 convolution.
        ("drn-d-22", classes(224, 1000), 16_393_752),
        ("drn-d-22", masks(64, 19), 16_393_752 - 981 * 513),
        // He et al. 2016 state 0.27 M; with projection shortcuts 272,474.
        ("resnet20", PHOTOS, 272_474),
        // The small-image ResNet-34 in wide use (github.com/kuangliu/pytorch-cifar).
        ("resnet34", PHOTOS, 21_282_122),
        // Embedding, two layers of 2·200·800 + 800, output matrix and bias.
        (
            "lstm",
            WIKITEXT,
            2_000_000 + 2 * 320_800 + 2_000_000 + 10_000,
        ),
        (
            "lstm(layers=1,tied)",
            WIKITEXT,
            2_000_000 + 320_800 + 10_000,
        ),
    ] {
        assert_eq!(
            factory(model).parameters(&shape).unwrap(),
            parameters,
            "{model}"
        );
    }
}

/// timm's `mobilenetv2_050` and `mobilenetv2_140`, in millions.
#[test]
fn widths_multiply_the_channels_of_mobilenetv2() {
    for (width, millions, rounding) in [("0.5", 1.97, 0.005), ("1.4", 6.1, 0.05)] {
        let model = format!("mobilenetv2(width={width},imagenet)");
        let parameters = factory(&model).parameters(&classes(224, 1000)).unwrap();
        assert!(
            (parameters as f64 / 1e6 - millions).abs() <= rounding,
            "{model}: {parameters}"
        );
    }
}

#[test]
fn the_table_lists_what_visit_shows() {
    for (model, shape) in [
        ("lenet", DIGITS),
        ("resnet20", images(8, 3)),
        ("lstm", text(3, 20)),
    ] {
        let mut network = network(model, &shape);
        let layout = network.layout().clone();
        assert_eq!(
            layout.parameters() as u64,
            factory(model).parameters(&shape).unwrap()
        );
        let mut seen = Vec::new();
        network
            .visit(&mut |index, w, g| {
                assert_eq!(
                    (w.len(), g.len()),
                    (layout.tensors[index].len(), layout.tensors[index].len())
                );
                assert!(g.iter().all(|&g| g == 0.0), "nothing has flowed yet");
                seen.push(index);
            })
            .unwrap();
        assert_eq!(seen, (0..layout.tensors.len()).collect::<Vec<_>>());
        let mut names: Vec<_> = layout.tensors.iter().map(|tensor| &tensor.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), layout.tensors.len());
    }
}

#[test]
fn changes_made_in_a_visit_persist() {
    let mut network = network("lenet", &DIGITS);
    gradient(network.as_mut(), DIGITS, 4, 4, |_| {});
    network
        .visit(&mut |index, w, g| {
            w.fill(index as f32);
            g.fill(-1.0);
        })
        .unwrap();
    network
        .visit(&mut |index, w, g| {
            assert!(w.iter().all(|&w| w == index as f32) && g.iter().all(|&g| g == -1.0));
        })
        .unwrap();
}

#[test]
fn weights_depend_on_key_and_model_alone() {
    let weights = |model: &str, key: StreamKey| {
        parameters(factory(model).build(&DIGITS, key).unwrap().as_mut())
    };
    let other = StreamKey {
        trial: KEY.trial + 1,
        ..KEY
    };
    assert_eq!(weights("lenet", KEY), weights("lenet", KEY));
    assert_eq!(
        weights("mlp(8)", KEY),
        weights("mlp(8,dropout=0.5,smoothing=0.1)", KEY)
    );
    assert_ne!(weights("lenet", KEY), weights("lenet", other));
}

#[test]
fn a_stored_state_goes_on_bit_for_bit() {
    for (model, shape) in [
        ("mlp(16,norm,ghost=4,dropout=0.3)", DIGITS),
        ("lenet", DIGITS),
        ("resnet20(ghost=4)", images(8, 3)),
        ("lstm(layers=2,width=8,dropout=0.2)", text(5, 20)),
    ] {
        let train = |network: &mut dyn batchscope_core::Network, steps: std::ops::Range<u64>| {
            steps
                .map(|step| descend(network, shape, step, 8, 0.1))
                .collect::<Vec<_>>()
        };
        let mut straight = network(model, &shape);
        let mut first = network(model, &shape);
        let all = train(straight.as_mut(), 0..5);
        train(first.as_mut(), 0..3);
        let state = first.export().unwrap();
        let mut second = factory(model)
            .build(&shape, StreamKey { trial: 99, ..KEY })
            .unwrap();
        second.import(&state).unwrap();
        assert_eq!(second.export().unwrap(), state, "{model}");
        assert_eq!(train(second.as_mut(), 3..5), all[3..], "{model}");
        assert!(
            second.export().unwrap() == straight.export().unwrap(),
            "{model}"
        );
        // A young state makes an old network young again.
        let young = network(model, &shape).export().unwrap();
        second.import(&young).unwrap();
        assert_eq!(train(second.as_mut(), 0..2), all[..2], "{model}");
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut network = network("lstm(layers=1,width=4,tied)", &text(3, 9));
    let shape = text(3, 9);
    descend(network.as_mut(), shape, 0, 2, 0.1);
    let good = network.export().unwrap();
    let edit = |edit: &dyn Fn(&mut Vec<StateTensor>)| {
        let mut state = good.clone();
        edit(&mut state);
        state
    };
    let reversed = |s: &mut Vec<StateTensor>| s[0].shape.reverse();
    for (state, says) in [
        (
            edit(&|s| drop(s.remove(1))),
            "tensor lstm1.input is missing",
        ),
        (
            edit(&reversed),
            "tensor embedding.weight has shape [4, 9], the network's has [9, 4]",
        ),
        (
            edit(&|s| s[0].values.truncate(35)),
            "tensor embedding.weight has 35 values for shape [9, 4]",
        ),
        (
            edit(&|s| s.push(s[2].clone())),
            "tensor lstm1.recurrent is there twice",
        ),
        (
            edit(&|s| s[0].name = "other".to_owned()),
            "tensor embedding.weight is missing",
        ),
        (
            edit(&|s| {
                s.push(StateTensor {
                    name: "extra".to_owned(),
                    shape: vec![],
                    values: vec![1.0],
                })
            }),
            "the network has no tensor extra",
        ),
        (edit(&|s| drop(s.pop())), "tensor lstm1.cell is missing"),
        (
            edit(&|s| s[0].shape = vec![usize::MAX, 2]),
            "tensor embedding.weight has 36 values for shape",
        ),
    ] {
        let error = network.import(&state).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(network.export().unwrap() == good);
    }
}

#[test]
fn models_refuse_data_they_cannot_take() {
    let vector = vectors(4, Task::Classify { classes: 2 });
    for (model, shape, says) in [
        ("lenet", vector, "it takes images"),
        ("lenet", images(15, 1), "at least 16 × 16"),
        ("alexnet", images(28, 1), "at least 29 × 29"),
        ("vgg16", images(31, 3), "at least 32 × 32"),
        ("c4", images(31, 3), "at least 32 × 32"),
        ("row-lstm", text(3, 5), "it takes images"),
        ("mobilenetv2", vector, "it takes images"),
        ("resnet20", masks(8, 3), "choose drn-d-22"),
        ("drn-d-22", masks(8, 256), "more than the 255"),
        (
            "drn-d-22",
            vectors(4, Task::Segment { classes: 2 }),
            "it takes images",
        ),
        ("resnet20", text(3, 5), "it takes images"),
        ("mlp", text(3, 5), "choose lstm"),
        ("lstm", DIGITS, "it takes text"),
        (
            "softmax",
            vectors(0, Task::Classify { classes: 2 }),
            "no numbers",
        ),
        (
            "softmax",
            vectors(3, Task::Classify { classes: 0 }),
            "nothing to predict",
        ),
        ("mlp(65536,65536)", vector, "choose smaller widths"),
        ("softmax", vectors(3, Task::NextToken), "tokens go with"),
    ] {
        let error = factory(model)
            .build(&shape, KEY)
            .err()
            .expect(model)
            .to_string();
        assert!(error.contains(says) && error.contains(model), "{error}");
        assert_eq!(factory(model).memory(&shape, 8), 0);
    }
}

#[test]
fn broken_batches_are_refused() {
    let broken = |shape: DataShape, edit: &dyn Fn(&mut Batch)| {
        let mut batch = batch(shape, 0, 3);
        edit(&mut batch);
        batch
    };
    let words = text(4, 6);
    let cases: [(&str, Batch); 10] = [
        ("mlp(4)", broken(DIGITS, &|b| b.len = 4)),
        ("mlp(4)", broken(DIGITS, &|b| b.len = 0)),
        (
            "mlp(4)",
            broken(DIGITS, &|b| b.labels = Labels::Classes(vec![0, 1, 10])),
        ),
        (
            "mlp(4)",
            broken(DIGITS, &|b| b.labels = Labels::Values(vec![0.0; 3])),
        ),
        (
            "mlp(4)",
            broken(DIGITS, &|b| b.inputs = Inputs::Tokens(vec![0; 3 * 784])),
        ),
        ("mlp(4)", batch(images(27, 1), 0, 3)),
        (
            "drn-d-22",
            broken(masks(8, 3), &|b| b.labels = Labels::Pixels(vec![3; 192])),
        ),
        (
            "drn-d-22",
            broken(masks(8, 3), &|b| b.labels = Labels::Pixels(vec![0; 191])),
        ),
        (
            "lstm(width=4)",
            broken(words, &|b| b.inputs = Inputs::Tokens(vec![6; 12])),
        ),
        (
            "lstm(width=4)",
            broken(words, &|b| b.labels = Labels::Tokens(vec![0; 11])),
        ),
    ];
    for (i, (model, batch)) in cases.iter().enumerate() {
        let mut network = network(
            model,
            match *model {
                "drn-d-22" => &batch.shape,
                model if model.starts_with("lstm") => &words,
                _ => &DIGITS,
            },
        );
        network.begin_step(3);
        assert!(
            matches!(
                network.accumulate(batch, 1.0),
                Err(NetworkError::Unfit { .. })
            ),
            "case {i}"
        );
        assert!(
            matches!(network.evaluate(batch), Err(NetworkError::Unfit { .. })),
            "case {i}"
        );
    }
    let mut network = network("mlp(4)", &DIGITS);
    network.begin_step(2);
    assert!(matches!(
        network.accumulate(&batch(DIGITS, 0, 3), 1.0),
        Err(NetworkError::Unfit { .. })
    ));
}

#[test]
fn evaluation_has_no_noise_and_leaves_training_alone() {
    for (model, shape) in [
        ("mlp(16,dropout=0.9,smoothing=0.3)", DIGITS),
        ("resnet20(ghost=2)", images(8, 3)),
        ("lstm(width=8,dropout=0.9)", text(4, 11)),
        ("drn-d-22(ghost=4)", masks(30, 2)),
    ] {
        let mut network = network(model, &shape);
        descend(network.as_mut(), shape, 0, 8, 0.1);
        let before = network.export().unwrap();
        let batch = batch(shape, 0, 6);
        let whole = network.evaluate(&batch).unwrap();
        assert_eq!(network.evaluate(&batch).unwrap(), whole, "{model}");
        assert!(network.export().unwrap() == before, "{model}");
        assert_eq!(whole.weight, batch.weight());
        // Example by example, the same sums.
        let mut sums = batchscope_core::MetricSums::default();
        for position in 0..6 {
            sums += network
                .evaluate(&common::batch(shape, position, 1))
                .unwrap();
        }
        assert!(
            (sums.loss - whole.loss).abs() < 1e-5 * whole.loss,
            "{model}"
        );
        assert_eq!(
            (sums.errors, sums.weight, sums.confusion),
            (whole.errors, whole.weight, whole.confusion),
            "{model}"
        );
    }
}

#[test]
fn text_streams_continue_in_evaluation() {
    let shape = text(4, 11);
    let mut network = network("lstm(width=8)", &shape);
    let evaluate = |network: &mut dyn batchscope_core::Network, fresh: bool| {
        let batch = Batch {
            fresh_streams: fresh,
            ..batch(shape, 0, 3)
        };
        network.evaluate(&batch).unwrap().loss
    };
    let first = evaluate(network.as_mut(), true);
    let second = evaluate(network.as_mut(), false);
    assert_ne!(first, second, "the second window continues the first");
    assert_eq!(evaluate(network.as_mut(), true), first);
    assert_eq!(evaluate(network.as_mut(), false), second);
}

#[test]
fn scale_multiplies_the_gradient_and_not_the_loss() {
    for (model, shape) in [
        ("mlp(8)", DIGITS),
        ("softmax", vectors(5, Task::Regress { outputs: 2 })),
        ("lstm(width=4)", text(3, 7)),
    ] {
        let run = |scale: f32| {
            let mut network = network(model, &shape);
            network.begin_step(3);
            let loss = network.accumulate(&batch(shape, 0, 3), scale).unwrap();
            let mut gradients = Vec::new();
            network
                .visit(&mut |_, _, g| {
                    gradients.push(g.iter().map(|g| g / scale).collect::<Vec<_>>())
                })
                .unwrap();
            (loss, gradients)
        };
        let ((one, one_gradients), (half, half_gradients)) = (run(1.0), run(0.5));
        assert_eq!(one, half);
        assert!(difference(&one_gradients, &half_gradients) < 1e-6);
    }
}

#[test]
fn factories_say_what_they_are() {
    let factory = factory("lstm:tied");
    assert_eq!(factory.name(), "lstm(tied)");
    assert_eq!(factory.device(), "cpu (flex)");
}
