//! Linear layers and recurrent layers against plain loops and central differences in `f64`.

mod common;

use batchscope_kernels::{
    LinearGradients, LinearShape, LstmGradients, LstmShape, Workspace, linear_backward,
    linear_forward, lstm_backward, lstm_forward,
};
use common::{assert_close, assert_close32, double, numbers, on_threads, single, workspaces};
use proptest::prelude::*;

/// `∂ Σ weights·f(x) / ∂x` by central differences.
fn differences(x: &[f64], weights: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let objective = |x: &[f64]| -> f64 { f(x).iter().zip(weights).map(|(y, w)| y * w).sum() };
    let step = 1e-6;
    (0..x.len())
        .map(|i| {
            let mut moved = x.to_vec();
            moved[i] = x[i] + step;
            let up = objective(&moved);
            moved[i] = x[i] - step;
            (up - objective(&moved)) / (2.0 * step)
        })
        .collect()
}

fn linear(shape: [usize; 3], x: &[f64], w: &[f64], b: &[f64], relu: bool) -> Vec<f64> {
    let [rows, inputs, outputs] = shape;
    let mut y = Vec::with_capacity(rows * outputs);
    for row in x.chunks(inputs) {
        for j in 0..outputs {
            let sum = b[j]
                + (0..inputs)
                    .map(|i| row[i] * w[i * outputs + j])
                    .sum::<f64>();
            y.push(if relu { sum.max(0.0) } else { sum });
        }
    }
    y
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The hidden states of all steps, by the equations; states before a `fresh` step are zero.
fn recurrence(
    shape: [usize; 3],
    gates: &[f64],
    r: &[f64],
    h: &[f64],
    c: &[f64],
    fresh: &[bool],
) -> Vec<f64> {
    let [steps, streams, width] = shape;
    let (mut h, mut c, mut all) = (h.to_vec(), c.to_vec(), Vec::new());
    for step in 0..steps {
        for stream in (0..streams).filter(|stream| fresh[step * streams + stream]) {
            h[stream * width..][..width].fill(0.0);
            c[stream * width..][..width].fill(0.0);
        }
        let past = h.clone();
        for stream in 0..streams {
            for cell in 0..width {
                let at = stream * width;
                let gate = |k: usize| {
                    let from = gates[(step * streams + stream) * 4 * width + k * width + cell];
                    let back =
                        (0..width).map(|i| past[at + i] * r[i * 4 * width + k * width + cell]);
                    from + back.sum::<f64>()
                };
                let (i, f, g, o) = (
                    sigmoid(gate(0)),
                    sigmoid(gate(1)),
                    gate(2).tanh(),
                    sigmoid(gate(3)),
                );
                c[at + cell] = f * c[at + cell] + i * g;
                h[at + cell] = o * c[at + cell].tanh();
            }
        }
        all.extend_from_slice(&h);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear_layer_and_its_gradients(
        rows in 1usize..=20, inputs in 1usize..=20, outputs in 1usize..=40, relu: bool, turned: bool,
    ) {
        let shape = [rows, inputs, outputs];
        let mut of = LinearShape::new(rows, inputs, outputs).unwrap();
        if turned {
            of = of.with_turned_weights();
        }
        let turn = |w: &[f64]| -> Vec<f64> {
            let at = |o: usize, i: usize| w[i * outputs + o];
            (0..outputs).flat_map(|o| (0..inputs).map(move |i| at(o, i))).collect()
        };
        let (x, w) = (numbers(1, rows * inputs), numbers(2, inputs * outputs));
        let (b, dy) = (numbers(3, outputs), numbers(4, rows * outputs));
        // Neither a rounding nor a step of the differences may carry a unit over the ReLU's kink.
        prop_assume!(!relu || linear(shape, &x, &w, &b, false).iter().all(|y| y.abs() > 1e-5));
        let expected = linear(shape, &x, &w, &b, relu);
        let dx = differences(&x, &dy, |x| linear(shape, x, &w, &b, relu));
        let dw = differences(&w, &dy, |w| linear(shape, &x, w, &b, relu));
        let db = differences(&b, &dy, |b| linear(shape, &x, &w, b, relu));
        let (w, dw) = if turned { (turn(&w), turn(&dw)) } else { (w, dw) };
        for workspace in workspaces() {
            let (x, w, b, dy) = (single(&x), single(&w), single(&b), single(&dy));
            let results = [1, 2].map(|threads| on_threads(threads, || {
                let mut y = vec![f32::NAN; rows * outputs];
                linear_forward(&workspace, of, &x, &w, Some(&b), relu, &mut y).unwrap();
                let mut gradients = [x.len(), w.len(), b.len()].map(|len| vec![f32::NAN; len]);
                let [dx, dw, db] = &mut gradients;
                let to = LinearGradients { dx: Some(dx), dw: Some(dw), db: Some(db) };
                linear_backward(&workspace, of, &x, &w, relu.then_some(&*y), &dy, to).unwrap();
                (y, gradients)
            }));
            prop_assert_eq!(&results[0], &results[1]);
            let (y, gradients) = &results[0];
            assert_close32("y", y, &expected, 1e-5);
            for (name, (found, expected)) in
                ["dx", "dw", "db"].iter().zip(gradients.iter().zip([&dx, &dw, &db]))
            {
                assert_close32(name, found, expected, 1e-4);
            }
        }
    }

    #[test]
    fn recurrent_layer_and_its_gradients(
        steps in 1usize..=3, streams in prop_oneof![Just(1), 1usize..=20],
        width in prop_oneof![1usize..=4, Just(17)], resets in 0usize..=3,
    ) {
        let shape = [steps, streams, width];
        let of = LstmShape::new(steps, streams, width).unwrap();
        let state = streams * width;
        let (gates, r) = (numbers(1, 4 * steps * state), numbers(2, 4 * width * width));
        let (h, c, dh) = (numbers(3, state), numbers(4, state), numbers(5, steps * state));
        // None at all, flags that are all false, or some set.
        let flags: Vec<bool> =
            (0..steps * streams).map(|row| resets > 1 && (row * 5 + resets) % 3 == 0).collect();
        let fresh = (resets > 0).then_some(&flags[..]);
        let expected = recurrence(shape, &gates, &r, &h, &c, &flags);
        // In f64 the kernel must agree closely, gradients included.
        let workspace = Workspace::new();
        let mut active = gates.clone();
        let (mut cells, mut hidden) = (vec![f64::NAN; steps * state], vec![f64::NAN; steps * state]);
        lstm_forward(&workspace, of, &mut active, &r, &h, &c, fresh, &mut cells, &mut hidden).unwrap();
        assert_close("hidden", &hidden, &expected, 1e-12);
        let (mut dgates, mut dr) = (vec![f64::NAN; gates.len()], vec![f64::NAN; r.len()]);
        let to = LstmGradients { dgates: &mut dgates, drecurrent: &mut dr };
        lstm_backward(&workspace, of, &active, &r, &h, &c, fresh, &cells, &hidden, &dh, to).unwrap();
        if state <= 24 {
            let by_gates = differences(&gates, &dh, |gates| recurrence(shape, gates, &r, &h, &c, &flags));
            let by_weights = differences(&r, &dh, |r| recurrence(shape, &gates, r, &h, &c, &flags));
            assert_close("dgates", &dgates, &by_gates, 1e-7);
            assert_close("drecurrent", &dr, &by_weights, 1e-7);
        }
        // In f32 every instruction set agrees with that, on any number of threads.
        for workspace in workspaces() {
            let (gates, r, h, c, dh) =
                (single(&gates), single(&r), single(&h), single(&c), single(&dh));
            let results = [1, 3].map(|threads| on_threads(threads, || {
                let mut active = gates.clone();
                let mut cells = vec![f32::NAN; steps * state];
                let mut hidden = cells.clone();
                lstm_forward(&workspace, of, &mut active, &r, &h, &c, fresh, &mut cells, &mut hidden)
                    .unwrap();
                let (mut dgates, mut dr) = (vec![f32::NAN; gates.len()], vec![f32::NAN; r.len()]);
                let to = LstmGradients { dgates: &mut dgates, drecurrent: &mut dr };
                lstm_backward(&workspace, of, &active, &r, &h, &c, fresh, &cells, &hidden, &dh, to)
                    .unwrap();
                [active, cells, hidden, dgates, dr].map(|x| double(&x))
            }));
            prop_assert_eq!(&results[0], &results[1]);
            let wanted = [&active, &cells, &hidden, &dgates, &dr];
            for (found, wanted) in results[0].iter().zip(wanted) {
                assert_close("in f32", found, wanted, 2e-5);
            }
        }
    }
}

#[test]
fn shapes_without_numbers_and_wrong_lengths_are_refused() {
    assert!(LinearShape::new(0, 1, 1).is_err() && LinearShape::new(1, 0, 1).is_err());
    assert!(LinearShape::new(usize::MAX, 2, 1).is_err());
    assert!(LstmShape::new(0, 1, 1).is_err() && LstmShape::new(1, 1, usize::MAX).is_err());
    let workspace = Workspace::new();
    let shape = LinearShape::new(2, 3, 4).unwrap();
    let (x, w, mut y) = ([0.0f32; 6], [0.0; 12], [0.0; 8]);
    assert!(linear_forward(&workspace, shape, &x[..5], &w, None, false, &mut y).is_err());
    assert!(linear_forward(&workspace, shape, &x, &w, Some(&[0.0; 3]), false, &mut y).is_err());
    let shape = LstmShape::new(2, 1, 1).unwrap();
    let (mut gates, mut cells, mut hidden) = ([0.0f32; 8], [0.0; 2], [0.0; 2]);
    let (short, whole) = (&[0.0; 3], &[0.0; 4]);
    let mut run = |recurrent: &[f32], fresh: Option<&[bool]>| {
        lstm_forward(
            &workspace,
            shape,
            &mut gates,
            recurrent,
            &[0.0],
            &[0.0],
            fresh,
            &mut cells,
            &mut hidden,
        )
    };
    assert!(run(short, None).is_err());
    assert!(run(whole, Some(&[true])).is_err());
    assert!(run(whole, Some(&[true, false])).is_ok());
}
