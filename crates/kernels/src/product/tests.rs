use proptest::prelude::*;

use super::*;
use crate::simd::Isa;

/// Numbers without a pattern, in −1..1.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u64)
        .map(|i| {
            let bits = (i + 1 + seed * 7919).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            bits as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn widened(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

/// The product in double precision, term by term.
fn reference(product: Product<'_, f64>, c: &mut [f64]) {
    let Product { a, b, start, relu } = product;
    for i in 0..a.rows {
        for j in 0..b.columns {
            let at = |m: Matrix<'_, f64>, i: usize, j: usize| {
                m.values[i * m.strides[0] + j * m.strides[1]]
            };
            let out = &mut c[i * b.columns + j];
            let first = match start {
                Start::Zero => 0.0,
                Start::Bias(bias) => bias[j],
                Start::Output => *out,
            };
            let sum = first
                + (0..a.columns)
                    .map(|k| at(a, i, k) * at(b, k, j))
                    .sum::<f64>();
            *out = if relu { sum.max(0.0) } else { sum };
        }
    }
}

/// A product of these sizes on every instruction set, in one thread and in three, against the
/// reference; operands by columns where told.
fn check(m: usize, k: usize, n: usize, turned: [bool; 2], start: usize, relu: bool) {
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    let (bias, output) = (numbers(n, 3), numbers(m * n, 4));
    fn operand<T>(values: &[T], rows: usize, columns: usize, turned: bool) -> Matrix<'_, T> {
        if turned {
            Matrix::new(values, columns, rows).transposed()
        } else {
            Matrix::new(values, rows, columns)
        }
    }
    fn begin<T>(start: usize, bias: &[T]) -> Start<'_, T> {
        match start {
            0 => Start::Zero,
            1 => Start::Bias(bias),
            _ => Start::Output,
        }
    }
    let (a64, b64, bias64) = (widened(&a), widened(&b), widened(&bias));
    let mut expected = widened(&output);
    let product = Product {
        a: operand(&a64, m, k, turned[0]),
        b: operand(&b64, k, n, turned[1]),
        start: begin(start, &bias64),
        relu,
    };
    reference(product, &mut expected);
    let mut in_f64 = widened(&output);
    product.compute(&Workspace::new(), &mut in_f64);
    for (x, y) in in_f64.iter().zip(&expected) {
        assert!((x - y).abs() < 1e-12 * (k + 1) as f64);
    }
    for isa in Isa::available() {
        let workspace = Workspace::with_isa(isa);
        let mut results = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let mut c = output.clone();
            pool.build().unwrap().install(|| {
                let product = Product {
                    a: operand(&a, m, k, turned[0]),
                    b: operand(&b, k, n, turned[1]),
                    start: begin(start, &bias),
                    relu,
                };
                product.compute(&workspace, &mut c);
            });
            c
        });
        assert_eq!(results[0], results[1], "{isa:?} on one thread and on three");
        for (x, y) in std::mem::take(&mut results[0]).iter().zip(&expected) {
            let error = (f64::from(*x) - y).abs();
            assert!(error < 1e-6 * (k + 1) as f64, "{isa:?}: {x} for {y}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn products_agree_with_the_sum_of_terms(
        m in 0usize..40, k in 0usize..40, n in 1usize..80,
        turned in any::<[bool; 2]>(), start in 0usize..3, relu: bool,
    ) {
        check(m, k, n, turned, start, relu);
    }
}

#[test]
fn products_larger_than_a_block() {
    check(70, 300, 300, [false, false], 1, true);
    check(70, 300, 300, [false, true], 2, false);
    check(300, 70, 270, [true, false], 0, false);
    check(520, 33, 10, [false, false], 1, false);
    check(5, 513, 64, [false, false], 0, true);
}
