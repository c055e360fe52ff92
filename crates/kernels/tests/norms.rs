//! Squared norms against their definitions, on every instruction set and any number of threads.

mod common;

use batchscope_kernels::{
    ConvGradients, ExampleNorms, Isa, LinearShape, LstmGradients, LstmShape, PoolShape, Real,
    Workspace, conv_backward, conv_bias_relu_maxpool_backward,
    conv_bias_relu_maxpool_example_norms, conv_bias_relu_maxpool_forward, conv_example_norms,
    embedding_example_norms, linear_example_norms, lstm_backward, lstm_example_norms, lstm_forward,
    pick_tied_scores, squared_norm, tied_example_products, tied_pairs,
};
use common::*;
use proptest::prelude::*;

/// Numbers that are the same in single precision.
fn tensor(seed: u64, len: usize) -> Vec<f64> {
    double(&single(&numbers(seed, len)))
}

fn squares(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

/// Holds a norm against its definition in both precisions, and to the bit on several threads.
fn check<N: Copy + PartialEq + std::fmt::Debug + Send>(
    expected: &[f64],
    parts: impl Fn(N) -> Vec<f64>,
    in_single: impl Fn(&Workspace) -> N + Sync,
    in_double: impl Fn(&Workspace) -> N,
) {
    for workspace in workspaces() {
        let (one, two) = (in_single(&workspace), in_double(&workspace));
        assert_eq!(one, on_threads(3, || in_single(&workspace)));
        for ((one, two), e) in parts(one).iter().zip(parts(two)).zip(expected) {
            let isa = workspace.isa();
            // Terms of either sign may cancel to nearly nothing.
            assert!(
                (one - e).abs() <= 2e-5 * (e + 1e-2),
                "{isa:?}: {one}, expected {e}"
            );
            assert!(
                (two - e).abs() <= 1e-12 * (e + 1.0),
                "{isa:?}: {two}, expected {e}"
            );
        }
    }
}

fn both(norms: ExampleNorms) -> Vec<f64> {
    vec![norms.weights, norms.bias]
}

/// `(weights, bias)` of one example's sum of outer products.
fn of_sum(terms: &[(&[f64], Vec<f64>)]) -> [f64; 2] {
    let (inputs, outputs) = (terms[0].0.len(), terms[0].1.len());
    let (mut w, mut b) = (vec![0.0; inputs * outputs], vec![0.0; outputs]);
    for (x, dz) in terms {
        for (k, dz) in dz.iter().enumerate() {
            b[k] += dz;
            x.iter()
                .enumerate()
                .for_each(|(i, x)| w[i * outputs + k] += x * dz);
        }
    }
    [squares(&w), squares(&b)]
}

/// A convolution of one of the images.
fn alone(conv: &Conv) -> Conv {
    Conv { n: 1, ..*conv }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn squared_norms_are_the_sums_of_squares(
        len in prop_oneof![0usize..=70, Just(1024), Just(1025), Just(40_000)], scale in prop_oneof![Just(1.0), Just(1e-6), Just(1e6)],
    ) {
        let x: Vec<f64> = double(&single(&numbers(3, len).iter().map(|x| scale * x).collect::<Vec<_>>()));
        let expected: f64 = x.iter().map(|x| x * x).sum();
        prop_assert!((squared_norm(Isa::best(), &x) - expected).abs() <= 1e-12 * expected);
        for isa in Isa::available() {
            let found = squared_norm(isa, &single(&x));
            prop_assert!((found - expected).abs() <= 1e-6 * expected, "{isa:?}: {found}, expected {expected}");
            let again = on_threads(3, || squared_norm(isa, &single(&x)));
            prop_assert_eq!(found.to_bits(), again.to_bits());
        }
    }

    /// Against the gradients themselves, example by example, at one place or several; sizes lie on
    /// either side of where inner products are cheaper.
    #[test]
    fn linear_layers_norms_are_those_of_the_examples_gradients(
        examples in prop_oneof![1usize..=9, Just(70)], steps in prop_oneof![Just(1usize), 2usize..=12],
        inputs in 1usize..=40, outputs in 1usize..=40, relu in any::<bool>(),
    ) {
        let rows = steps * examples;
        let (x, dy, y) = (tensor(1, rows * inputs), tensor(2, rows * outputs), tensor(3, rows * outputs));
        let mut expected = [0.0; 2];
        for i in 0..examples {
            let terms: Vec<_> = (0..steps).map(|t| t * examples + i).map(|row| {
                let kept = |k: usize| !relu || y[row * outputs + k] > 0.0;
                let dz = (0..outputs).map(|k| if kept(k) { dy[row * outputs + k] } else { 0.0 });
                (&x[row * inputs..][..inputs], dz.collect())
            }).collect();
            let [w, b] = of_sum(&terms);
            expected[0] += w;
            expected[1] += b;
        }
        let shape = LinearShape::new(rows, inputs, outputs).unwrap();
        check(
            &expected, both,
            |w| linear_example_norms(w, shape, examples, &single(&x), relu.then_some(&single(&y)[..]), &single(&dy)).unwrap(),
            |w| linear_example_norms(w, shape, examples, &x, relu.then_some(&y[..]), &dy).unwrap(),
        );
    }

    /// Against the recurrent gradient of each stream alone.
    #[test]
    fn recurrent_norms_are_those_of_the_streams_gradients(
        steps in 1usize..=9, streams in prop_oneof![1usize..=5, Just(17)], width in 1usize..=20,
    ) {
        let state = streams * width;
        let mut gates = tensor(1, 4 * steps * state);
        let (recurrent, first, cell) = (tensor(2, 4 * width * width), tensor(3, state), tensor(4, state));
        let (mut cells, mut hidden) = (vec![0.0; steps * state], vec![0.0; steps * state]);
        let workspace = Workspace::new();
        let shape = LstmShape::new(steps, streams, width).unwrap();
        lstm_forward(&workspace, shape, &mut gates, &recurrent, &first, &cell, None, &mut cells, &mut hidden).unwrap();
        let dhidden = tensor(5, steps * state);
        let mut dgates = vec![0.0; gates.len()];
        let backward = |shape, gates: &[f64], first: &[f64], cell: &[f64], cells: &[f64], hidden: &[f64], dhidden: &[f64], dgates: &mut [f64]| {
            let mut drecurrent = vec![0.0; 4 * width * width];
            let gradients = LstmGradients { dgates, drecurrent: &mut drecurrent };
            lstm_backward(&workspace, shape, gates, &recurrent, first, cell, None, cells, hidden, dhidden, gradients).unwrap();
            squares(&drecurrent)
        };
        backward(shape, &gates, &first, &cell, &cells, &hidden, &dhidden, &mut dgates);
        let one = LstmShape::new(steps, 1, width).unwrap();
        let mut expected = 0.0;
        for i in 0..streams {
            let of = |x: &[f64], width: usize| -> Vec<f64> {
                x.chunks(width).skip(i).step_by(streams).flatten().copied().collect()
            };
            let (first, cell) = (of(&first, width), of(&cell, width));
            let (cells, hidden, dhidden) = (of(&cells, width), of(&hidden, width), of(&dhidden, width));
            let mut dgates = vec![0.0; 4 * steps * width];
            expected += backward(one, &of(&gates, 4 * width), &first, &cell, &cells, &hidden, &dhidden, &mut dgates);
        }
        check(
            &[expected], |norm: f64| vec![norm],
            |w| lstm_example_norms(w, shape, &single(&first), &single(&hidden), &single(&dgates)).unwrap(),
            |w| lstm_example_norms(w, shape, &first, &hidden, &dgates).unwrap(),
        );
    }

    /// Equal tokens of an example meet in one row of the table, those of different examples do not.
    #[test]
    fn embeddings_norms_add_equal_tokens_first(
        examples in prop_oneof![1usize..=6, Just(50)], steps in 1usize..=12, width in 1usize..=35, vocabulary in 1usize..=9,
    ) {
        let tokens: Vec<u32> = numbers(1, steps * examples).iter()
            .map(|x| ((x + 1.0) / 2.0 * vocabulary as f64) as u32).collect();
        let dout = tensor(2, tokens.len() * width);
        let mut expected = 0.0;
        for i in 0..examples {
            let mut table = vec![0.0; vocabulary * width];
            for row in (i..tokens.len()).step_by(examples) {
                let sums = &mut table[tokens[row] as usize * width..][..width];
                sums.iter_mut().zip(&dout[row * width..]).for_each(|(sum, d)| *sum += d);
            }
            expected += squares(&table);
        }
        check(
            &[expected], |norm: f64| vec![norm],
            |w| embedding_example_norms(w, vocabulary, width, examples, &tokens, &single(&dout)).unwrap(),
            |w| embedding_example_norms(w, vocabulary, width, examples, &tokens, &dout).unwrap(),
        );
    }

    /// A table that is looked up and scores: against the sum of both gradients, example by example.
    #[test]
    fn tied_tables_norms_are_those_of_the_sum_of_both_gradients(
        examples in prop_oneof![1usize..=6, Just(40)], steps in 1usize..=9, width in 1usize..=35, vocabulary in 1usize..=20,
    ) {
        let rows = examples * steps;
        let tokens: Vec<u32> = numbers(1, rows).iter()
            .map(|x| ((x + 1.0) / 2.0 * vocabulary as f64) as u32).collect();
        let (dout, x, dy) = (tensor(2, rows * width), tensor(3, rows * width), tensor(4, rows * vocabulary));
        let mut expected = 0.0;
        for i in 0..examples {
            let mut table = vec![0.0; vocabulary * width];
            for row in (i..rows).step_by(examples) {
                let (x, dy) = (&x[row * width..][..width], &dy[row * vocabulary..][..vocabulary]);
                let looked_up = &mut table[tokens[row] as usize * width..][..width];
                looked_up.iter_mut().zip(&dout[row * width..]).for_each(|(sum, d)| *sum += d);
                for (scored, dy) in table.chunks_mut(width).zip(dy) {
                    scored.iter_mut().zip(x).for_each(|(sum, x)| *sum += x * dy);
                }
            }
            expected += squares(&table);
        }
        let shape = LinearShape::new(rows, width, vocabulary).unwrap().with_turned_weights();
        fn of<T: Real>(w: &Workspace, shape: LinearShape, examples: usize, tokens: &[u32], [x, dy, dout]: [&[T]; 3]) -> f64 {
            let mut picked = vec![T::ZERO; tied_pairs(shape, examples, tokens).unwrap()];
            pick_tied_scores(shape, examples, tokens, dy, &mut picked).unwrap();
            embedding_example_norms(w, shape.outputs(), shape.inputs(), examples, tokens, dout).unwrap()
                + linear_example_norms(w, shape, examples, x, None, dy).unwrap().weights
                + tied_example_products(w, shape, examples, x, &picked, dout).unwrap()
        }
        check(
            &[expected], |norm: f64| vec![norm],
            |w| of(w, shape, examples, &tokens, [&single(&x), &single(&dy), &single(&dout)]),
            |w| of(w, shape, examples, &tokens, [&x, &dy, &dout]),
        );
    }

    /// Any stride, padding, dilation and grouping, depthwise among them, rectified or not.
    #[test]
    fn convolutions_norms_are_those_of_the_images_gradients(conv in convolutions(), relu in any::<bool>()) {
        let shape = conv.shape();
        let (x, dy, y) = (tensor(1, shape.input_len()), tensor(2, shape.output_len()), tensor(3, shape.output_len()));
        let dz: Vec<f64> = dy.iter().zip(&y).map(|(&dy, &y)| if relu && y <= 0.0 { 0.0 } else { dy }).collect();
        let weights = vec![0.0; shape.weight_len()];
        let mut expected = [0.0; 2];
        for (x, dz) in x.chunks(x.len() / conv.n).zip(dz.chunks(dz.len() / conv.n)) {
            let (_, dw, db) = alone(&conv).backward(x, &weights, dz);
            expected[0] += squares(&dw);
            expected[1] += squares(&db);
        }
        check(
            &expected, both,
            |w| conv_example_norms(w, &shape, &single(&x), &single(&dy), relu.then_some(&single(&y)[..])).unwrap(),
            |w| conv_example_norms(w, &shape, &x, &dy, relu.then_some(&y[..])).unwrap(),
        );
    }
}

/// Shapes whose norms are taken by inner products, by the gradient, and depthwise: each really is
/// what it is meant to be, and is right.
#[test]
fn either_way_of_a_convolution_gives_its_gradients_norms() {
    let conv = |image, out, kernel: usize, stride, groups| Conv {
        n: 3,
        image,
        out,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        dilation: [1; 2],
        groups,
    };
    for (conv, by_products) in [
        (conv([4, 4, 40], 48, 3, 2, 1), true),
        (conv([3, 2, 24], 32, 3, 1, 2), true),
        (conv([9, 9, 3], 16, 5, 1, 1), false),
        (conv([6, 5, 20], 20, 3, 1, 20), false),
    ] {
        let shape = conv.shape();
        assert_eq!(
            shape.example_norms_flops() < shape.flops(),
            by_products,
            "{conv:?}"
        );
        let (x, dy) = (tensor(1, shape.input_len()), tensor(2, shape.output_len()));
        let workspace = Workspace::new();
        let mut expected = [0.0; 2];
        for (x, dy) in x.chunks(x.len() / 3).zip(dy.chunks(dy.len() / 3)) {
            let norms = gradients_of(&conv, |gradients| {
                let weights = vec![0.0; shape.weight_len()];
                conv_backward(
                    &workspace,
                    &alone(&conv).shape(),
                    x,
                    &weights,
                    dy,
                    None,
                    gradients,
                )
            });
            expected[0] += norms[0];
            expected[1] += norms[1];
        }
        check(
            &expected,
            both,
            |w| conv_example_norms(w, &shape, &single(&x), &single(&dy), None).unwrap(),
            |w| conv_example_norms(w, &shape, &x, &dy, None).unwrap(),
        );
    }
}

fn gradients_of<T: Real, E: std::fmt::Debug>(
    conv: &Conv,
    backward: impl FnOnce(ConvGradients<T>) -> Result<(), E>,
) -> [f64; 2] {
    let shape = conv.shape();
    let (mut dw, mut db) = (vec![T::ZERO; shape.weight_len()], vec![T::ZERO; conv.out]);
    backward(ConvGradients {
        dx: None,
        dw: Some(&mut dw),
        db: Some(&mut db),
    })
    .unwrap();
    [dw, db].map(|d| d.iter().map(|x| x.to_f64().powi(2)).sum())
}

/// Through rectifier and pool, against the fused kernel on each image alone.
#[test]
fn pooled_convolutions_norms_are_those_of_the_images_gradients() {
    let pool = PoolShape::new([2, 2], [2, 2], [0, 0]).unwrap();
    for (image, out, kernel) in [([13, 12, 3], 16, 5), ([4, 4, 48], 40, 3)] {
        let conv = Conv {
            n: 5,
            image,
            out,
            kernel: [kernel; 2],
            stride: [1, 1],
            padding: [1, 1],
            dilation: [1, 1],
            groups: 1,
        };
        let (shape, one) = (conv.shape(), alone(&conv).shape());
        let x = tensor(1, shape.input_len());
        let (w, b) = (tensor(2, shape.weight_len()), tensor(3, out));
        let [rows, columns, _] = shape.output();
        let [rows, columns] = pool.output(rows, columns).unwrap();
        let len = 5 * rows * columns * out;
        let (mut y, mut places) = (vec![0.0; len], vec![0; len]);
        let workspace = Workspace::new();
        conv_bias_relu_maxpool_forward(&workspace, &shape, &pool, &x, &w, &b, &mut y, &mut places)
            .unwrap();
        let dy = tensor(4, len);
        let mut expected = [0.0; 2];
        let images = x
            .chunks(x.len() / 5)
            .zip(dy.chunks(len / 5))
            .zip(places.chunks(len / 5));
        for ((x, dy), places) in images {
            let norms = gradients_of(&conv, |gradients| {
                conv_bias_relu_maxpool_backward(
                    &workspace, &one, &pool, x, &w, dy, places, gradients,
                )
            });
            expected[0] += norms[0];
            expected[1] += norms[1];
        }
        let norms = |w: &Workspace, x: &[f64]| {
            conv_bias_relu_maxpool_example_norms(w, &shape, &pool, x, &dy, &places).unwrap()
        };
        let in_single = |w: &Workspace| {
            let (x, dy) = (single(&x), single(&dy));
            conv_bias_relu_maxpool_example_norms(w, &shape, &pool, &x, &dy, &places).unwrap()
        };
        check(&expected, both, in_single, |w| norms(w, &x));
    }
}

#[test]
fn what_is_no_number_shows_and_wrong_lengths_are_refused() {
    assert!(squared_norm(Isa::best(), &[1.0f32, f32::NAN]).is_nan());
    assert_eq!(squared_norm(Isa::best(), &[f32::MAX]), f64::INFINITY);
    let workspace = Workspace::new();
    let norms = |rows, examples, x, y, dy| {
        let shape = LinearShape::new(rows, 3, 1).unwrap();
        linear_example_norms::<f32>(&workspace, shape, examples, x, y, dy)
    };
    assert!(norms(2, 2, &[1.0; 5], None, &[1.0; 2]).is_err());
    assert!(norms(2, 2, &[1.0; 6], None, &[1.0; 3]).is_err());
    assert!(norms(2, 2, &[1.0; 6], Some(&[1.0]), &[1.0; 2]).is_err());
    assert_eq!(
        norms(2, 2, &[1.0; 6], None, &[1.0; 2]).unwrap().weights,
        6.0
    );
    // Two places of one example: (1, 1, 1) twice.
    assert_eq!(
        norms(2, 1, &[1.0; 6], None, &[1.0; 2]).unwrap().weights,
        12.0
    );
    for examples in [0, 2] {
        let error = norms(3, examples, &[1.0; 9], None, &[1.0; 3]).unwrap_err();
        assert!(error.to_string().contains("choose a divisor"), "{error}");
    }
    for nan in [&[f32::NAN, 1.0], &[1.0, f32::NAN]] {
        let found = norms(2, 1, &[1.0; 6], None, nan).unwrap();
        assert!(found.weights.is_nan() && found.bias.is_nan());
    }
    let embedding =
        |tokens: &[u32], dout: &[f32]| embedding_example_norms(&workspace, 3, 2, 2, tokens, dout);
    assert!(embedding(&[0, 3], &[1.0; 4]).is_err());
    assert!(embedding(&[0, 1, 2], &[1.0; 6]).is_err());
    assert!(embedding(&[0, 1], &[1.0; 3]).is_err());
    // Example 0 has token 1 twice: (2, 2); example 1 has 1 and 2.
    assert_eq!(embedding(&[1, 1, 1, 2], &[1.0; 8]).unwrap(), 8.0 + 4.0);
    assert_eq!(embedding(&[], &[]).unwrap(), 0.0);
    let shape = LinearShape::new(4, 1, 3).unwrap();
    for (examples, tokens) in [(3, &[0; 4][..]), (2, &[0; 3]), (2, &[3; 4]), (0, &[0; 4])] {
        assert!(
            tied_pairs(shape, examples, tokens).is_err(),
            "{examples} {tokens:?}"
        );
    }
    assert_eq!(tied_pairs(shape, 2, &[0; 4]).unwrap(), 8);
    let mut picked = [0.0f32; 8];
    assert!(pick_tied_scores(shape, 2, &[0; 4], &[1.0; 11], &mut picked).is_err());
    assert!(
        tied_example_products(&workspace, shape, 2, &[1.0f32; 4], &[1.0; 7], &[1.0; 4]).is_err()
    );
    let shape = LstmShape::new(2, 1, 1).unwrap();
    assert!(lstm_example_norms(&workspace, shape, &[1.0f32], &[1.0; 2], &[1.0; 7]).is_err());
    let conv = Conv {
        n: 1,
        image: [2, 2, 1],
        out: 1,
        kernel: [1; 2],
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
        groups: 1,
    };
    assert!(conv_example_norms(&workspace, &conv.shape(), &[1.0f32; 4], &[1.0; 3], None).is_err());
}
