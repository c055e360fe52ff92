//! Spectra of quadratics whose eigenvalues are known: clusters, repeats, negative ones, all zero.

use batchscope_landscape::problems::{Logistic, Quadratic};
use batchscope_landscape::spectrum::{
    DensitySettings, EigenSettings, Eigenpairs, TraceSettings, Which, extreme_eigenpairs,
    spectral_density, stable_learning_rate, trace,
};
use batchscope_landscape::{
    GaussNewtonOperator, HessianOperator, LandscapeError, LinearOperator, Objective, Products,
    Restricted, operator,
};
use proptest::prelude::*;

fn hessian(eigenvalues: &[f64]) -> impl LinearOperator {
    let mut f = Quadratic::with_spectrum(eigenvalues);
    operator(eigenvalues.len(), move |v: &[f64], out: &mut [f64]| {
        f.hessian_vector(v, v, out)
            .expect("a quadratic has products")
            .map_err(LandscapeError::from)
    })
}

fn values(found: &Eigenpairs) -> Vec<f64> {
    found.pairs.iter().map(|p| p.value.value.unwrap()).collect()
}

fn find(eigenvalues: &[f64], settings: &EigenSettings) -> Eigenpairs {
    extreme_eigenpairs(&mut hessian(eigenvalues), settings).unwrap()
}

/// Sorted as `which` wants them.
fn wanted(eigenvalues: &[f64], which: Which, count: usize) -> Vec<f64> {
    let mut sorted = eigenvalues.to_vec();
    match which {
        Which::Largest => sorted.sort_by(|a, b| b.total_cmp(a)),
        Which::Smallest => sorted.sort_by(f64::total_cmp),
        Which::LargestMagnitude => sorted.sort_by(|a, b| b.abs().total_cmp(&a.abs())),
    }
    sorted.truncate(count);
    sorted
}

/// A bulk of small eigenvalues with ten outliers in a cluster, two pairs of them equal, and a
/// negative tail: a classifier's Hessian in shape.
fn network_like() -> Vec<f64> {
    let bulk = (0..180).map(|i| 0.02 * (f64::from(i) * 0.7).sin().abs());
    let outliers = [40.0, 22.0, 22.0, 21.9, 20.0, 12.0, 11.0, 11.0, 5.0, 4.0];
    let negative = [-3.0, -1.0, -0.5];
    bulk.chain(outliers).chain(negative).collect()
}

#[test]
fn either_end_of_a_network_like_spectrum_repeats_included() {
    let eigenvalues = network_like();
    for (which, count) in [
        (Which::Largest, 8),
        (Which::Smallest, 3),
        (Which::LargestMagnitude, 11),
    ] {
        let settings = EigenSettings {
            which,
            tolerance: 1e-8,
            ..EigenSettings::largest(count)
        };
        let found = find(&eigenvalues, &settings);
        assert!(found.converged, "{which:?}: {:?}", values(&found));
        for (got, truth) in values(&found)
            .iter()
            .zip(wanted(&eigenvalues, which, count))
        {
            assert!(
                (got - truth).abs() < 1e-7 * 40.0,
                "{which:?}: {got} {truth}"
            );
        }
        for (i, a) in found.pairs.iter().enumerate() {
            for (j, b) in found.pairs.iter().enumerate() {
                let dot: f64 = a.vector.iter().zip(&b.vector).map(|(a, b)| a * b).sum();
                let expected = f64::from(i == j);
                assert!((dot - expected).abs() < 1e-6, "{which:?} {i} {j}: {dot}");
            }
        }
    }
}

/// Memory is bounded: with a basis of ten vectors the same answer, by restarts, and few products.
#[test]
fn restarts_reach_the_same_pairs() {
    let eigenvalues: Vec<f64> = (0..400).map(|i| f64::from(i) / 40.0).collect();
    let settings = EigenSettings {
        max_basis: 14,
        max_products: 3000,
        tolerance: 1e-6,
        find_repeated: false,
        ..EigenSettings::largest(3)
    };
    let found = find(&eigenvalues, &settings);
    assert!(
        found.converged && found.products < 1500,
        "{}",
        found.products
    );
    for (got, truth) in values(&found).iter().zip([9.975, 9.95, 9.925]) {
        assert!((got - truth).abs() < 1e-8, "{got} {truth}");
    }
}

#[test]
fn too_few_products_are_flagged_and_the_interval_still_holds() {
    let eigenvalues: Vec<f64> = (0..400).map(|i| f64::from(i) / 40.0).collect();
    let settings = EigenSettings {
        max_products: 6,
        ..EigenSettings::largest(1)
    };
    let found = find(&eigenvalues, &settings);
    assert!(!found.converged);
    let pair = &found.pairs[0];
    assert!(
        pair.value
            .reason
            .as_ref()
            .unwrap()
            .contains("not converged")
    );
    let (low, high) = (pair.value.low.unwrap(), pair.value.high.unwrap());
    assert!(eigenvalues.iter().any(|e| (low..=high).contains(e)));
    assert!(pair.residual > 0.01);
}

#[test]
fn identity_zero_and_tiny_operators() {
    for (eigenvalues, truth) in [
        (vec![3.0; 30], 3.0),
        (vec![0.0; 30], 0.0),
        (vec![-2.0], -2.0),
    ] {
        let found = find(&eigenvalues, &EigenSettings::largest(4));
        assert_eq!(found.pairs.len(), eigenvalues.len().min(4));
        assert!(found.converged, "{truth}");
        assert!(
            values(&found).iter().all(|v| (v - truth).abs() < 1e-10),
            "{found:?}"
        );
    }
    let none = EigenSettings {
        count: 0,
        ..EigenSettings::largest(1)
    };
    assert!(extreme_eigenpairs(&mut hessian(&[1.0]), &none).is_err());
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let eigenvalues = network_like();
    let settings = EigenSettings::largest(2);
    assert_eq!(find(&eigenvalues, &settings), find(&eigenvalues, &settings));
    let density = |seed| {
        let settings = DensitySettings {
            seed,
            ..DensitySettings::default()
        };
        spectral_density(&mut hessian(&eigenvalues), &settings).unwrap()
    };
    assert_eq!(density(1), density(1));
    assert_ne!(density(1), density(2));
}

/// Hutch++ intervals at 95 % hold the truth in most of 200 seeds, and its error is far below
/// Hutchinson's at equal cost where a few eigenvalues dominate.
#[test]
fn traces_hold_the_truth_and_the_sketch_pays() {
    let eigenvalues = network_like();
    let truth: f64 = eigenvalues.iter().sum();
    let (mut held, mut plus, mut plain) = (0, 0.0, 0.0);
    for seed in 0..200 {
        let settings = TraceSettings {
            sketch: 8,
            min_probes: 12,
            max_probes: 12,
            seed,
            ..TraceSettings::default()
        };
        let estimate = trace(&mut hessian(&eigenvalues), &settings).unwrap();
        assert_eq!(estimate.products, 28);
        let (low, high) = (estimate.trace.low.unwrap(), estimate.trace.high.unwrap());
        held += u32::from(low <= truth && truth <= high);
        plus += (estimate.trace.value.unwrap() - truth).powi(2);
        let hutchinson = TraceSettings {
            sketch: 0,
            min_probes: 28,
            max_probes: 28,
            ..settings
        };
        let estimate = trace(&mut hessian(&eigenvalues), &hutchinson).unwrap();
        plain += (estimate.trace.value.unwrap() - truth).powi(2);
    }
    assert!((180..=198).contains(&held), "{held} of 200");
    assert!(plus < plain / 2.0, "{plus} {plain}");
}

#[test]
fn the_trace_stops_when_it_is_good_enough_and_says_when_it_is_not() {
    let eigenvalues = network_like();
    let loose = TraceSettings::default();
    let estimate = trace(&mut hessian(&eigenvalues), &loose).unwrap();
    assert!(estimate.converged && estimate.products < 220);
    let (low, high) = (estimate.trace.low.unwrap(), estimate.trace.high.unwrap());
    assert!(high - low <= 2.0 * 0.05 * estimate.trace.value.unwrap() + 1e-9);
    let strict = TraceSettings {
        relative_tolerance: 1e-6,
        max_probes: 20,
        ..loose
    };
    let estimate = trace(&mut hessian(&eigenvalues), &strict).unwrap();
    assert!(!estimate.converged && estimate.trace.reason.is_some());
    // a sketch as wide as the space leaves nothing to chance
    let wide = TraceSettings {
        sketch: 40,
        ..strict
    };
    let few: Vec<f64> = (0..30).map(|i| f64::from(i) - 10.0).collect();
    let estimate = trace(&mut hessian(&few), &wide).unwrap();
    assert!(estimate.converged && (estimate.trace.value.unwrap() - 135.0).abs() < 1e-8);
    let bad = TraceSettings {
        min_probes: 1,
        ..loose
    };
    assert!(trace(&mut hessian(&few), &bad).is_err());
}

/// Moments of the density are those of the spectrum, within their error bars; with as many steps
/// as dimensions, the quadrature of every probe is exact for its own measure.
#[test]
fn densities_have_the_spectrum_s_moments() {
    let eigenvalues = network_like();
    let n = eigenvalues.len() as f64;
    let settings = DensitySettings {
        probes: 60,
        steps: 40,
        seed: 3,
    };
    let density = spectral_density(&mut hessian(&eigenvalues), &settings).unwrap();
    for power in [1, 2, 3] {
        let truth = eigenvalues.iter().map(|e| e.powi(power)).sum::<f64>() / n;
        let moment = density.mean(|x| x.powi(power), 0.999);
        assert!(
            moment.low.unwrap() < truth && truth < moment.high.unwrap(),
            "{power}"
        );
    }
    for quadrature in &density.quadratures {
        let total: f64 = quadrature.iter().map(|q| q.1).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }
    let negative = density.fraction(f64::NEG_INFINITY..-0.25, 0.999);
    let truth = 3.0 / n;
    assert!(
        negative.low.unwrap() <= truth && truth <= negative.high.unwrap(),
        "{negative:?}"
    );
    let (low, high) = density.range();
    assert!(
        (low + 3.0).abs() < 1e-6 && (high - 40.0).abs() < 1e-6,
        "{low} {high}"
    );
}

/// The smoothed density against the same smoothing of the true spectrum, everywhere on a grid.
#[test]
fn smoothed_densities_are_the_smoothed_spectrum() {
    let eigenvalues: Vec<f64> = (0..120)
        .map(|i| {
            if i < 80 {
                1.0
            } else {
                6.0 + 0.05 * f64::from(i - 80)
            }
        })
        .collect();
    let settings = DensitySettings {
        probes: 40,
        steps: 30,
        seed: 1,
    };
    let density = spectral_density(&mut hessian(&eigenvalues), &settings).unwrap();
    let (bandwidth, points) = (0.4, 50);
    let mut area = 0.0;
    let curve = density.curve(points, Some(bandwidth), 0.9999);
    let step = curve[1].0 - curve[0].0;
    for (x, estimate) in curve {
        let truth = eigenvalues
            .iter()
            .map(|e| (-0.5 * ((x - e) / bandwidth).powi(2)).exp())
            .sum::<f64>()
            / (120.0 * bandwidth * std::f64::consts::TAU.sqrt());
        let (low, high) = (estimate.low.unwrap(), estimate.high.unwrap());
        assert!(
            low <= truth + 1e-3 && truth <= high + 1e-3,
            "{x}: {truth} {low} {high}"
        );
        area += step * estimate.value.unwrap();
    }
    assert!((0.7..1.05).contains(&area), "{area}");
}

fn logistic() -> Logistic {
    let rows = (0..60)
        .map(|i| {
            (0..8)
                .map(|j| (f64::from(i * 5 + j * 11)).sin() * f64::from(1 + j))
                .collect()
        })
        .collect();
    let labels = (0..60)
        .map(|i| if i % 4 == 0 { -1.0 } else { 1.0 })
        .collect();
    Logistic::new(rows, labels, 0.05).unwrap()
}

/// Whole, Gauss–Newton and one block, against the dense matrices.
#[test]
fn hessian_gauss_newton_and_blocks_of_a_regression() {
    let mut f = logistic();
    let x: Vec<f64> = (0..8).map(|i| 0.1 * f64::from(i)).collect();
    let dense = nalgebra::DMatrix::from_fn(8, 8, |i, j| {
        let mut unit = vec![0.0; 8];
        unit[j] = 1.0;
        let mut column = vec![0.0; 8];
        f.hessian_vector(&x, &unit, &mut column).unwrap().unwrap();
        column[i]
    });
    let largest = |m: nalgebra::DMatrix<f64>| m.symmetric_eigenvalues().max();
    let settings = EigenSettings {
        tolerance: 1e-9,
        ..EigenSettings::largest(1)
    };
    let whole = extreme_eigenpairs(
        &mut HessianOperator::new(&mut f, &x, Products::Fast).unwrap(),
        &settings,
    )
    .unwrap();
    assert!((values(&whole)[0] - largest(dense.clone())).abs() < 1e-8);
    let gauss_newton = extreme_eigenpairs(
        &mut GaussNewtonOperator::new(&mut f, &x).unwrap(),
        &settings,
    );
    assert!((values(&gauss_newton.unwrap())[0] - largest(dense.clone())).abs() < 1e-8);
    let hessian = HessianOperator::new(&mut f, &x, Products::Fast).unwrap();
    let block =
        extreme_eigenpairs(&mut Restricted::new(hessian, 2..6).unwrap(), &settings).unwrap();
    let part = dense.view((2, 2), (4, 4)).into_owned();
    assert!((values(&block)[0] - largest(part)).abs() < 1e-8);
    assert_eq!(block.pairs[0].vector.len(), 4);

    let rate = stable_learning_rate(&whole.pairs[0].value);
    assert!((rate.value.unwrap() - 2.0 / values(&whole)[0]).abs() < 1e-9);
    assert!(rate.low < rate.value && rate.value < rate.high);
    let flat = batchscope_core::Estimate::exact(-1.0);
    assert_eq!(stable_learning_rate(&flat).value, None);
}

/// Without exact products the differences' own error is in the interval.
#[test]
fn differenced_curvature_carries_its_error() {
    struct Plain(Logistic);
    impl Objective for Plain {
        fn dimension(&self) -> usize {
            self.0.dimension()
        }
        fn value_and_gradient(
            &mut self,
            x: &[f64],
            g: &mut [f64],
        ) -> Result<f64, batchscope_landscape::ObjectiveError> {
            self.0.value_and_gradient(x, g)
        }
    }
    let x = vec![0.2; 8];
    let settings = EigenSettings {
        tolerance: 1e-6,
        ..EigenSettings::largest(1)
    };
    let mut exact = logistic();
    let mut operator = HessianOperator::new(&mut exact, &x, Products::Fast).unwrap();
    let truth = values(&extreme_eigenpairs(&mut operator, &settings).unwrap())[0];
    let mut plain = Plain(logistic());
    let mut operator = HessianOperator::new(&mut plain, &x, Products::Checked).unwrap();
    let found = extreme_eigenpairs(&mut operator, &settings).unwrap();
    let value = &found.pairs[0].value;
    assert!(found.converged);
    assert!(
        value.low.unwrap() <= truth && truth <= value.high.unwrap(),
        "{value} {truth}"
    );
    assert!((value.value.unwrap() / truth - 1.0).abs() < 1e-7);
}

/// A second 9.5 is found on the complement of three pairs, one of which it pushes out. That one's
/// residual of 3e-9 is in part along the newcomer, so what had converged on the complement (9.4e-9)
/// had not in the whole space (9.6e-9 of 9.5e-9 allowed).
#[test]
fn a_pair_coupled_to_one_it_pushed_out_converges() {
    let quarters = [
        0, 31, 33, 19, 0, 9, 0, -13, 38, 26, 6, 7, 27, 36, -39, 7, 25, 22, -4, 16, 22, -34, 36, 24,
        -29, 6, -11, 3, 30, -18, -33, -27, -2, 4, -26, 2, 38, 28,
    ];
    let eigenvalues = quarters.map(|q| f64::from(q) / 4.0);
    let settings = EigenSettings {
        tolerance: 1e-9,
        seed: 411,
        ..EigenSettings::largest(3)
    };
    let found = find(&eigenvalues, &settings);
    assert!(found.converged, "{found:?}");
    for (got, truth) in values(&found).iter().zip([9.5, 9.5, 9.0]) {
        assert!((got - truth).abs() < 1e-9, "{got} {truth}");
    }
}

/// Both copies of 9.25 are found with less residual than allowed, by different runs. Decoupling may
/// turn them into each other, and the sum of their residuals must be within what is allowed too.
#[test]
fn copies_found_by_different_runs_converge_together() {
    let quarters = [
        -9, 19, 21, -25, 37, -31, 31, 9, -35, 10, 37, -21, -34, -9, -10, -21, 21, 39, 38, 6, -24,
        25, -5, -14, 19, 8, -9, -33, 24, -1, -23, -24, -9, -22, 24, 11, 26,
    ];
    let eigenvalues = quarters.map(|q| f64::from(q) / 4.0);
    let settings = EigenSettings {
        which: Which::LargestMagnitude,
        tolerance: 1e-9,
        seed: 866,
        ..EigenSettings::largest(4)
    };
    let found = find(&eigenvalues, &settings);
    assert!(found.converged, "{found:?}");
    for (got, truth) in values(&found).iter().zip([9.75, 9.5, 9.25, 9.25]) {
        assert!((got - truth).abs() < 1e-9, "{got} {truth}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Any spectrum, rounded so that repeats are common: the wanted end is found, with residuals
    /// that hold.
    #[test]
    fn any_spectrum(
        quarters in proptest::collection::vec(-40i32..40, 2..40),
        count in 1usize..5,
        which in prop_oneof![
            Just(Which::Largest),
            Just(Which::Smallest),
            Just(Which::LargestMagnitude)
        ],
        seed in 0u64..1000,
    ) {
        let eigenvalues: Vec<f64> = quarters.iter().map(|q| f64::from(*q) / 4.0).collect();
        let settings = EigenSettings {
            which,
            tolerance: 1e-9,
            find_repeated: true,
            seed,
            ..EigenSettings::largest(count)
        };
        let found = find(&eigenvalues, &settings);
        prop_assert!(found.converged);
        let truth = wanted(&eigenvalues, which, count);
        prop_assert_eq!(found.pairs.len(), truth.len());
        for (got, truth) in values(&found).iter().zip(truth) {
            // equal magnitudes of either sign may come in either order
            let same = if which == Which::LargestMagnitude {
                (got.abs() - truth.abs()).abs() < 1e-7
            } else {
                (got - truth).abs() < 1e-7
            };
            prop_assert!(same, "{} {} of {:?}", got, truth, eigenvalues);
        }
    }

    /// The trace of any spectrum by a sketch as wide as the space.
    #[test]
    fn any_trace(eigenvalues in proptest::collection::vec(-5.0f64..5.0, 2..25), seed in 0u64..1000) {
        let settings = TraceSettings { sketch: 25, absolute_tolerance: 1e-6, seed, ..TraceSettings::default() };
        let estimate = trace(&mut hessian(&eigenvalues), &settings).unwrap();
        let truth: f64 = eigenvalues.iter().sum();
        prop_assert!((estimate.trace.value.unwrap() - truth).abs() < 1e-5, "{estimate:?}");
    }
}
