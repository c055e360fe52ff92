//! Convolutions against naive loops in double precision, on every instruction set.

mod common;

use batchscope_kernels::{
    ConvGradients, ConvShape, PackedWeights, PoolShape, Real, Workspace, conv_backward,
    conv_bias_relu_maxpool_backward, conv_bias_relu_maxpool_forward, conv_forward,
};
use common::*;
use proptest::prelude::*;

/// Double-precision inputs of a convolution, rounded to single so that both kinds see the same.
fn tensors(conv: &Conv) -> [Vec<f64>; 4] {
    let shape = conv.shape();
    let lens = [
        shape.input_len(),
        shape.weight_len(),
        conv.out,
        shape.output_len(),
    ];
    let mut seed = 0;
    lens.map(|len| {
        seed += 1;
        double(&single(&numbers(seed, len)))
    })
}

/// What rounding may do to `[y, dx, dw, db]`, in units of the arithmetic's epsilon.
fn slack(conv: &Conv, tensors: [&[f64]; 4]) -> [f64; 4] {
    let sums = |f: fn(f64) -> f64| {
        let [x, w, bias, dy] = tensors.map(|t| t.iter().map(|&t| f(t)).collect::<Vec<_>>());
        let (dx, dw, db) = conv.backward(&x, &w, &dy);
        [conv.forward(&x, &w, &bias), dx, dw, db]
    };
    let (products, squares) = (sums(|t| f64::from(t != 0.0)), sums(|t| t * t));
    std::array::from_fn(|i| rounding(&products[i], &squares[i]))
}

fn run_backward<T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    x: &[T],
    w: &[T],
    dy: &[T],
    rectified: Option<&[T]>,
) -> (Vec<T>, Vec<T>, Vec<T>) {
    let nan = T::from_f64(f64::NAN); // whatever is left unwritten is found
    let (mut dx, mut dw) = (vec![nan; x.len()], vec![nan; w.len()]);
    let mut db = vec![nan; shape.output()[2]];
    let gradients = ConvGradients {
        dx: Some(&mut dx),
        dw: Some(&mut dw),
        db: Some(&mut db),
    };
    conv_backward(workspace, shape, x, w, dy, rectified, gradients).unwrap();
    (dx, dw, db)
}

/// Depthwise convolutions: whole vectors of channels and tails, rows long enough for tiles of every
/// width, borders on either side.
fn depthwise() -> impl Strategy<Value = Conv> {
    let channels = prop_oneof![2usize..=5, Just(8), Just(13), Just(16), Just(20), Just(33)];
    let side = || (1usize..=5, 1usize..=4, 1usize..=3, 0usize..=4, 0usize..=24);
    (1usize..=5, side(), side(), channels).prop_map(|(n, rows, columns, channels)| {
        let [rows, columns] = [rows, columns].map(|(kernel, stride, dilation, padding, extra)| {
            let reach = (kernel - 1) * dilation;
            let padding = padding.min(reach);
            let size = (reach + 1).saturating_sub(2 * padding).max(1) + extra;
            [size, kernel, stride, dilation, padding]
        });
        let pair = |i: usize| [rows[i], columns[i]];
        Conv {
            n,
            image: [rows[0], columns[0], channels],
            out: channels,
            kernel: pair(1),
            stride: pair(2),
            dilation: pair(3),
            padding: pair(4),
            groups: channels,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn forward_and_gradients_match_naive_loops(conv in prop_oneof![3 => convolutions(), 2 => depthwise(), 1 => dense()], relu in any::<bool>()) {
        let shape = conv.shape();
        let [x, w, bias, dy] = tensors(&conv);
        let mut expected = conv.forward(&x, &w, &bias);
        if relu {
            expected.iter_mut().for_each(|y| *y = y.max(0.0));
        }

        let double_workspace = Workspace::new();
        let mut y = vec![f64::NAN; shape.output_len()];
        conv_forward(&double_workspace, &shape, &x, &w, Some(&bias), relu, &mut y).unwrap();
        let masked: Vec<f64> = dy.iter().zip(&y).map(|(&d, &y)| if relu && y <= 0.0 { 0.0 } else { d }).collect();
        let (dx, dw, db) = conv.backward(&x, &w, &masked);
        let slack = slack(&conv, [&x, &w, &bias, &masked]);
        let [y_within, dx_within, dw_within, db_within] = slack.map(|units| units * f64::EPSILON);
        assert_close("f64 y", &y, &expected, y_within);
        let rectified = relu.then_some(&y[..]);
        let found = run_backward(&double_workspace, &shape, &x, &w, &dy, rectified);
        assert_close("f64 dx", &found.0, &dx, dx_within);
        assert_close("f64 dw", &found.1, &dw, dw_within);
        assert_close("f64 db", &found.2, &db, db_within);

        let [x32, w32, bias32, dy32] = [&x, &w, &bias, &dy].map(|t| single(t));
        let [y_within, dx_within, dw_within, db_within] = slack.map(|units| units * f64::from(f32::EPSILON));
        for workspace in workspaces() {
            let isa = workspace.isa();
            let mut y32 = vec![f32::NAN; shape.output_len()];
            conv_forward(&workspace, &shape, &x32, &w32, Some(&bias32), relu, &mut y32).unwrap();
            assert_close32(&format!("{isa:?} y"), &y32, &expected, y_within);

            // The mask is the double-precision output's, lest a rounding near zero flip it.
            let mask: Vec<f32> = y.iter().map(|&y| if y > 0.0 { 1.0 } else { 0.0 }).collect();
            let found = run_backward(&workspace, &shape, &x32, &w32, &dy32, relu.then_some(&mask));
            assert_close32(&format!("{isa:?} dx"), &found.0, &dx, dx_within);
            assert_close32(&format!("{isa:?} dw"), &found.1, &dw, dw_within);
            assert_close32(&format!("{isa:?} db"), &found.2, &db, db_within);

            // Packed beforehand, without bias: the same bits as packed by the call.
            let packed = PackedWeights::new(&workspace, &shape, &w32).unwrap();
            let (mut a, mut b) = (y32.clone(), y32);
            conv_forward(&workspace, &shape, &x32, &w32, None, relu, &mut a).unwrap();
            conv_forward(&workspace, &shape, &x32, &packed, None, relu, &mut b).unwrap();
            prop_assert_eq!(a, b);
            let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
            let gradients = ConvGradients { dx: Some(&mut dx), dw: Some(&mut dw), db: None };
            conv_backward(&workspace, &shape, &x32, &packed, &dy32, relu.then_some(&mask), gradients).unwrap();
            prop_assert_eq!((&dx, &dw), (&found.0, &found.1));

            // Each gradient alone: the same bits.
            let [mut dx, mut dw, mut db] = [&x, &w, &bias].map(|t| vec![f32::NAN; t.len()]);
            for gradients in [
                ConvGradients { dx: Some(&mut dx), dw: None, db: None },
                ConvGradients { dx: None, dw: Some(&mut dw), db: None },
                ConvGradients { dx: None, dw: None, db: Some(&mut db) },
            ] {
                conv_backward(&workspace, &shape, &x32, &w32, &dy32, relu.then_some(&mask), gradients).unwrap();
            }
            prop_assert_eq!((dx, dw, db), found);
        }
    }
}

/// A pool whose windows fit the convolution's output.
fn pools(conv: Conv) -> impl Strategy<Value = (Conv, PoolShape, [[usize; 2]; 3])> {
    let [h, w, _] = conv.shape().output();
    let side = |size: usize| (1usize..=size.min(4), 1usize..=3, 0usize..=1);
    (side(h), side(w)).prop_map(move |((kh, sh, ph), (kw, sw, pw))| {
        let settings = [[kh, kw], [sh, sw], [ph.min(kh / 2), pw.min(kw / 2)]];
        let [kernel, stride, padding] = settings;
        (
            conv,
            PoolShape::new(kernel, stride, padding).unwrap(),
            settings,
        )
    })
}

/// The rectified maximum pool of `y`, `[n, h, w, c]`, and the input each output came from.
fn naive_pool(
    y: &[f64],
    n: usize,
    [h, w, c]: [usize; 3],
    settings: [[usize; 2]; 3],
) -> (Vec<f64>, Vec<Option<usize>>) {
    let [kernel, stride, padding] = settings;
    let out =
        [0, 1].map(|side| ([h, w][side] + 2 * padding[side] - kernel[side]) / stride[side] + 1);
    let (mut values, mut sources) = (Vec::new(), Vec::new());
    for i in 0..n * out[0] * out[1] * c {
        let (channel, column, row, image) = (
            i % c,
            i / c % out[1],
            i / c / out[1] % out[0],
            i / c / out[1] / out[0],
        );
        let (mut best, mut source) = (0.0, None);
        for (a, b) in (0..kernel[0]).flat_map(|a| (0..kernel[1]).map(move |b| (a, b))) {
            let at_row = (row * stride[0] + a).wrapping_sub(padding[0]);
            let at_column = (column * stride[1] + b).wrapping_sub(padding[1]);
            if at_row < h && at_column < w {
                let at = ((image * h + at_row) * w + at_column) * c + channel;
                if y[at] > best {
                    (best, source) = (y[at], Some(at));
                }
            }
        }
        values.push(best);
        sources.push(source);
    }
    (values, sources)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pooled_convolution_matches_naive_loops((conv, pool, settings) in prop_oneof![3 => convolutions(), 1 => dense()].prop_flat_map(pools)) {
        let shape = conv.shape();
        let [x, w, bias, dy] = tensors(&conv);
        let convolved = conv.forward(&x, &w, &bias);
        let (expected, sources) = naive_pool(&convolved, conv.n, shape.output(), settings);
        let dy = &dy.iter().copied().cycle().take(expected.len()).collect::<Vec<f64>>();
        let mut dconv = vec![0.0; convolved.len()];
        sources.iter().zip(dy).for_each(|(source, dy)| {
            if let Some(source) = source { dconv[*source] += dy }
        });
        let (dx, dw, db) = conv.backward(&x, &w, &dconv);

        let workspace = Workspace::new();
        let (mut y, mut places) = (vec![f64::NAN; expected.len()], vec![7; expected.len()]);
        conv_bias_relu_maxpool_forward(&workspace, &shape, &pool, &x, &w, &bias, &mut y, &mut places).unwrap();
        let slack = slack(&conv, [&x, &w, &bias, &dconv]);
        let [y_within, dx_within, dw_within, db_within] = slack.map(|units| units * f64::EPSILON);
        assert_close("f64 y", &y, &expected, y_within);
        let (mut fx, mut fw, mut fb) = (vec![f64::NAN; x.len()], vec![f64::NAN; w.len()], vec![f64::NAN; conv.out]);
        let gradients = ConvGradients { dx: Some(&mut fx), dw: Some(&mut fw), db: Some(&mut fb) };
        conv_bias_relu_maxpool_backward(&workspace, &shape, &pool, &x, &w, dy, &places, gradients).unwrap();
        assert_close("f64 dx", &fx, &dx, dx_within);
        assert_close("f64 dw", &fw, &dw, dw_within);
        assert_close("f64 db", &fb, &db, db_within);

        let [x, w, bias, dy] = [&x, &w, &bias, dy].map(|t| single(t));
        let [y_within, dx_within, dw_within, db_within] = slack.map(|units| units * f64::from(f32::EPSILON));
        for workspace in workspaces() {
            let isa = workspace.isa();
            let (mut y, mut own) = (vec![f32::NAN; expected.len()], vec![7; expected.len()]);
            conv_bias_relu_maxpool_forward(&workspace, &shape, &pool, &x, &w, &bias, &mut y, &mut own).unwrap();
            assert_close32(&format!("{isa:?} y"), &y, &expected, y_within);
            let (mut fx, mut fw, mut fb) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()], vec![f32::NAN; conv.out]);
            let gradients = ConvGradients { dx: Some(&mut fx), dw: Some(&mut fw), db: Some(&mut fb) };
            // The double-precision places: rounding may choose another of two near-equal maxima.
            conv_bias_relu_maxpool_backward(&workspace, &shape, &pool, &x, &w, &dy, &places, gradients).unwrap();
            assert_close32(&format!("{isa:?} dx"), &fx, &dx, dx_within);
            assert_close32(&format!("{isa:?} dw"), &fw, &dw, dw_within);
            assert_close32(&format!("{isa:?} db"), &fb, &db, db_within);
            let mut alone = vec![f32::NAN; x.len()];
            let gradients = ConvGradients { dx: Some(&mut alone), dw: None, db: None };
            conv_bias_relu_maxpool_backward(&workspace, &shape, &pool, &x, &w, &dy, &places, gradients).unwrap();
            prop_assert_eq!(alone, fx);
        }
    }
}
