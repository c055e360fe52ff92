//! Squared norms against their definitions, on every instruction set and any number of threads.

mod common;

use batchwise_kernels::{Isa, LinearShape, linear_example_norms, squared_norm};
use common::*;
use proptest::prelude::*;

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

    /// Against the gradients themselves, example by example.
    #[test]
    fn examples_norms_are_those_of_their_gradients(
        rows in prop_oneof![1usize..=9, Just(300)], inputs in 1usize..=40, outputs in 1usize..=40, relu in any::<bool>(),
    ) {
        let tensor = |seed, len| double(&single(&numbers(seed, len)));
        let (x, dy, y) = (tensor(1, rows * inputs), tensor(2, rows * outputs), tensor(3, rows * outputs));
        let (mut weights, mut bias) = (0.0, 0.0);
        for i in 0..rows {
            for k in 0..outputs {
                let dz = if relu && y[i * outputs + k] <= 0.0 { 0.0 } else { dy[i * outputs + k] };
                bias += dz * dz;
                weights += x[i * inputs..][..inputs].iter().map(|x| (x * dz).powi(2)).sum::<f64>();
            }
        }
        let shape = LinearShape::new(rows, inputs, outputs).unwrap();
        for isa in Isa::available() {
            let norms = || linear_example_norms(isa, shape, &single(&x), relu.then_some(&single(&y)[..]), &single(&dy)).unwrap();
            let found = norms();
            prop_assert!((found.weights - weights).abs() <= 1e-5 * weights, "{isa:?}: {found:?}, expected {weights}");
            prop_assert!((found.bias - bias).abs() <= 1e-5 * bias, "{isa:?}: {found:?}, expected {bias}");
            prop_assert_eq!(found, on_threads(3, norms));
        }
    }
}

#[test]
fn what_is_no_number_shows_and_wrong_lengths_are_refused() {
    assert!(squared_norm(Isa::best(), &[1.0f32, f32::NAN]).is_nan());
    assert_eq!(squared_norm(Isa::best(), &[f32::MAX]), f64::INFINITY);
    let shape = LinearShape::new(2, 3, 1).unwrap();
    let norms = |x, y, dy| linear_example_norms::<f32>(Isa::best(), shape, x, y, dy);
    assert!(norms(&[1.0; 5], None, &[1.0; 2]).is_err());
    assert!(norms(&[1.0; 6], None, &[1.0; 3]).is_err());
    assert!(norms(&[1.0; 6], Some(&[1.0]), &[1.0; 2]).is_err());
    assert_eq!(norms(&[1.0; 6], None, &[1.0; 2]).unwrap().weights, 6.0);
}
