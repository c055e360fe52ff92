//! Sharpness against closed forms.

use batchscope_core::EstimateState;
use batchscope_landscape::lbfgsb;
use batchscope_landscape::problems::Quadratic;
use batchscope_landscape::sharpness::{
    AverageCase, Keskar, Norm, Perturbation, Run, Scale, Space, Subspace, WorstCase, average_case,
    keskar, keskar_from, worst_case, worst_case_from,
};
use batchscope_landscape::{Block, Blocks, Filters, Objective, ObjectiveError};

fn close(a: f64, b: f64, relative: f64) {
    assert!((a - b).abs() <= relative * b.abs(), "{a} against {b}");
}

/// A linear function: the maximum over a box is in the corner the gradient points to.
fn linear(slopes: &[f64], constant: f64) -> Quadratic {
    Quadratic::diagonal(&vec![0.0; slopes.len()], slopes, constant)
}

#[test]
fn full_space_sharpness_of_a_linear_function_is_the_corner_s() {
    let (x, slopes) = ([1.0, -2.0, 0.0], [3.0, -1.0, 0.5]);
    for epsilon in [1e-3, 5e-4] {
        let mut f = linear(&slopes, 4.0);
        let value = 4.0 + 3.0 + 2.0;
        let rise = epsilon * (3.0 * 2.0 + 1.0 * 3.0 + 0.5 * 1.0);
        let settings = Keskar {
            epsilon,
            ..Keskar::default()
        };
        let sharpness = keskar(&mut f, &x, &settings).unwrap();
        assert_eq!(sharpness.value, value);
        close(
            sharpness.phi.value.unwrap(),
            100.0 * rise / (1.0 + value),
            1e-9,
        );
        close(sharpness.largest, 100.0 * rise / (1.0 + value), 1e-9);
        assert_eq!(sharpness.runs.len(), 5);
        assert_eq!(sharpness.phi.n, 5);
    }
}

/// `bᵀAz` is largest at `z_j = ±ε(|(A⁺x)_j| + 1)`, whatever the sign pattern of `Aᵀb`.
#[test]
fn random_subspace_sharpness_of_a_linear_function_is_the_corner_s() {
    let n = 1500;
    let slopes: Vec<f64> = (0..n).map(|i| (i as f64 * 0.01).cos()).collect();
    let x: Vec<f64> = (0..n).map(|i| 3.0 * (i as f64 * 0.02).sin()).collect();
    let mut f = linear(&slopes, 1e4);
    for memory_limit in [0, u64::MAX] {
        let settings = Keskar {
            space: Space::Random {
                dimension: 2,
                memory_limit,
            },
            starts: 3,
            seed: 9,
            ..Keskar::default()
        };
        let sharpness = keskar(&mut f, &x, &settings).unwrap();
        for (start, run) in sharpness.runs.iter().enumerate() {
            let a = Subspace::new(9, start as u32, n, 2, 0).unwrap();
            let pseudo_inverse = a.pseudo_inverse_times(&x).unwrap();
            // bᵀA, a column at a time
            let mut rise = 0.0;
            for j in 0..2 {
                let mut unit = [0.0; 2];
                unit[j] = 1.0;
                let along: f64 = a.times(&unit).iter().zip(&slopes).map(|(a, b)| a * b).sum();
                rise += 1e-3 * (pseudo_inverse[j].abs() + 1.0) * along.abs();
            }
            close(run.rise, rise, 1e-6);
        }
        // subspaces differ, so the interval has a width
        assert!(sharpness.phi.low.unwrap() < sharpness.phi.high.unwrap());
    }
}

/// Ten iterations may fall short of the corner of a stiff quadratic; run to convergence they do
/// not, and the answer does not depend on when it is asked for.
#[test]
fn a_quadratic_s_corner_by_convergence_and_repeatably() {
    let curvatures: Vec<f64> = (1..=30).map(|i| f64::from(i) * f64::from(i)).collect();
    let x = vec![0.5; 30];
    let slopes: Vec<f64> = curvatures.iter().map(|h| -0.5 * h).collect();
    let constant = 0.125 * curvatures.iter().sum::<f64>();
    let mut f = Quadratic::diagonal(&curvatures, &slopes, constant);
    let settings = Keskar {
        search: lbfgsb::Settings {
            projected_gradient: 1e-12,
            reduction: 0.0,
            ..lbfgsb::Settings::default()
        },
        ..Keskar::default()
    };
    let sharpness = keskar(&mut f, &x, &settings).unwrap();
    // separable and symmetric about the minimum: every corner has the same value
    let rise = 0.5 * curvatures.iter().sum::<f64>() * (1.5e-3f64).powi(2);
    close(sharpness.phi.value.unwrap(), 100.0 * rise, 1e-6);
    assert!(sharpness.runs.iter().all(|r| r.status.converged()));
    assert_eq!(keskar(&mut f, &x, &settings).unwrap(), sharpness);
    let other = Keskar {
        seed: 1,
        starts: 2,
        ..settings
    };
    assert_eq!(keskar(&mut f, &x, &other).unwrap().phi.n, 2);
}

/// A measurement that was interrupted after any of its starts finds what an undisturbed one does.
#[test]
fn searches_go_on_from_those_that_were_kept() {
    let curvatures: Vec<f64> = (1..=30).map(f64::from).collect();
    let x = vec![0.5; 30];
    let mut f = Quadratic::diagonal(&curvatures, &vec![0.1; 30], 1.0);
    let spaces = [
        Space::Full,
        Space::Random {
            dimension: 7,
            memory_limit: 1 << 20,
        },
    ];
    for space in spaces {
        let settings = Keskar {
            space,
            starts: 4,
            ..Keskar::default()
        };
        let mut kept = vec![Vec::new()];
        let mut keep = |runs: &[Run]| kept.push(runs.to_vec());
        let whole = keskar_from(&mut f, &x, &settings, Vec::new(), &mut keep).unwrap();
        assert_eq!(kept.len(), 5);
        for known in kept {
            let mut made = 0;
            let left = 4 - known.len();
            let again = keskar_from(&mut f, &x, &settings, known, &mut |_| made += 1);
            assert_eq!((again.unwrap(), made), (whole.clone(), left));
        }
    }
    let settings = WorstCase::asam(0.1);
    let mut kept = Vec::new();
    let mut keep = |runs: &[Run]| kept = runs[..2].to_vec();
    let mut first = |runs: &[Run]| {
        if runs.len() == 2 {
            keep(runs)
        }
    };
    let whole = worst_case_from(&mut f, &x, &settings, Vec::new(), &mut first).unwrap();
    let again = worst_case_from(&mut f, &x, &settings, kept, &mut |_| {});
    assert_eq!(again.unwrap(), whole);
}

/// The closed forms of the scaled neighborhoods for a linear function: `ρ‖T∇f‖₁` in the maximum
/// norm, `ρ‖T∇f‖₂` in the Euclidean.
#[test]
fn adaptive_sharpness_of_a_linear_function() {
    struct Layered(Quadratic);
    impl Objective for Layered {
        fn dimension(&self) -> usize {
            self.0.dimension()
        }
        fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
            self.0.value_and_gradient(x, g)
        }
        fn blocks(&self) -> Blocks {
            let block = |name: &str, range, filters| Block {
                name: name.to_owned(),
                range,
                filters,
            };
            Blocks::new(vec![
                block("weight", 0..4, Filters::Rows { count: 2 }),
                block("bias", 4..5, Filters::None),
            ])
            .unwrap()
        }
    }
    let x = [3.0, 4.0, 0.0, -2.0, 1.0];
    let slopes = [1.0, -2.0, 0.5, 1.0, -3.0];
    let mut f = Layered(linear(&slopes, 20.0));
    let eta = 0.1;
    for (scale, t) in [
        (Scale::Element { eta }, [3.1, 4.1, 0.1, 2.1, 1.1]),
        (Scale::Filter { eta }, [5.1, 5.1, 2.1, 2.1, 1.1]),
    ] {
        let moved: Vec<f64> = t
            .iter()
            .zip(&slopes)
            .map(|(t, b): (&f64, &f64)| t * b)
            .collect();
        let box_rise = 0.01 * moved.iter().map(|m| m.abs()).sum::<f64>();
        let ball_rise = 0.01 * moved.iter().map(|m| m * m).sum::<f64>().sqrt();
        for (norm, rise) in [(Norm::Max, box_rise), (Norm::Euclidean, ball_rise)] {
            let settings = WorstCase {
                scale,
                norm,
                ..WorstCase::asam(0.01)
            };
            let sharpness = worst_case(&mut f, &x, &settings).unwrap();
            for run in &sharpness.runs {
                close(run.rise, rise, 1e-6);
            }
        }
    }
}

/// Rescaling two layers of a network that multiplies them changes Keskar's sharpness (Dinh et al.
/// 2017) and not the adaptive one.
#[test]
fn adaptive_sharpness_does_not_see_a_rescaling_and_keskar_s_does() {
    /// `½(a·b − 1)²`: a linear network of two weights.
    struct TwoLayers;
    impl Objective for TwoLayers {
        fn dimension(&self) -> usize {
            2
        }
        fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
            let r = x[0] * x[1] - 1.0;
            g.copy_from_slice(&[r * x[1], r * x[0]]);
            Ok(0.5 * r * r)
        }
    }
    let (even, skewed) = ([1.0, 1.0], [20.0, 0.05]);
    let phi = |x: &[f64]| {
        keskar(&mut TwoLayers, x, &Keskar::default())
            .unwrap()
            .largest
    };
    assert!(
        phi(&skewed) > 10.0 * phi(&even),
        "{} {}",
        phi(&skewed),
        phi(&even)
    );
    for norm in [Norm::Max, Norm::Euclidean] {
        let settings = WorstCase {
            scale: Scale::Element { eta: 0.0 },
            norm,
            iterations: 50,
            ..WorstCase::adaptive_box(0.01)
        };
        let adaptive = |x: &[f64]| worst_case(&mut TwoLayers, x, &settings).unwrap().largest;
        close(adaptive(&skewed), adaptive(&even), 1e-6);
    }
}

#[test]
fn average_sharpness_is_half_the_scaled_trace() {
    let mut f = Quadratic::diagonal(&[4.0, -1.0, 2.0], &[7.0, 0.0, 1.0], 3.0);
    let x = [1.0, 2.0, 0.0];
    // T = |x| + 1
    let trace = 4.0 * 4.0 - 9.0 + 2.0;
    for (perturbation, variance) in [
        (Perturbation::Normal, 1.0),
        (Perturbation::Uniform, 1.0 / 3.0),
    ] {
        let settings = AverageCase {
            scale: Scale::Keskar,
            perturbation,
            pairs: 4000,
            level: 0.999,
            ..AverageCase::adaptive(0.02)
        };
        let rise = average_case(&mut f, &x, &settings).unwrap();
        let truth = 0.5 * 0.02f64.powi(2) * trace * variance;
        assert!(
            rise.low.unwrap() < truth && truth < rise.high.unwrap(),
            "{rise:?} {truth}"
        );
        assert!((rise.high.unwrap() - rise.low.unwrap()) < truth);
    }
}

/// Where the loss overflows inside the neighborhood the sharpness is a lower bound, not a number.
#[test]
fn overflow_is_at_least_and_bad_settings_are_errors() {
    struct Wall;
    impl Objective for Wall {
        fn dimension(&self) -> usize {
            1
        }
        fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
            g[0] = 1.0;
            Ok(if x[0] > 5e-4 {
                f64::INFINITY
            } else {
                1.0 + x[0]
            })
        }
    }
    let sharpness = keskar(&mut Wall, &[0.0], &Keskar::default()).unwrap();
    assert_eq!(sharpness.phi.state, EstimateState::AtLeast);
    assert!(sharpness.largest <= 100.0 * 5e-4 / 2.0);
    let rise = average_case(&mut Wall, &[0.0], &AverageCase::adaptive(1.0)).unwrap();
    assert_eq!(rise.state, EstimateState::Undefined);

    let mut f = linear(&[1.0], 0.0);
    let none = Keskar {
        starts: 0,
        ..Keskar::default()
    };
    let negative = Keskar {
        epsilon: -1.0,
        ..Keskar::default()
    };
    for settings in [none, negative] {
        assert!(keskar(&mut f, &[0.0], &settings).is_err());
    }
    assert!(keskar(&mut f, &[-3.0], &Keskar::default()).is_err());
    assert!(keskar(&mut f, &[f64::NAN], &Keskar::default()).is_err());
    assert!(keskar(&mut f, &[0.0, 0.0], &Keskar::default()).is_err());
}
