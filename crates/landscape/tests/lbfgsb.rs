//! L-BFGS-B against SciPy's, from `oracles/lbfgsb.json` (made by `oracles/lbfgsb.py`).

use std::ops::ControlFlow;

use batchscope_landscape::lbfgsb::{Bounds, Minimum, Settings, Status, minimize, untraced};
use batchscope_landscape::problems::{Quadratic, Rosenbrock};
use batchscope_landscape::{Objective, ObjectiveError};
use serde_json::Value;

type Closed = fn(&[f64], &mut [f64]) -> f64;

/// A closed form of the oracle's name.
struct Problem {
    n: usize,
    f: Closed,
}

impl Objective for Problem {
    fn dimension(&self) -> usize {
        self.n
    }

    fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
        Ok((self.f)(x, g))
    }
}

fn closed_form(name: &str) -> Closed {
    match name {
        "rosenbrock" | "hs1" => |x, g| {
            Rosenbrock { dimension: x.len() }
                .value_and_gradient(x, g)
                .unwrap()
        },
        "beale" => |x, g| {
            let (a, b) = (x[0], x[1]);
            g.fill(0.0);
            let mut f = 0.0;
            for (k, c) in [(1, 1.5), (2, 2.25), (3, 2.625)] {
                let r = c - a * (1.0 - b.powi(k));
                f += r * r;
                g[0] -= 2.0 * r * (1.0 - b.powi(k));
                g[1] += 2.0 * r * a * f64::from(k) * b.powi(k - 1);
            }
            f
        },
        "wood" => |x, g| {
            let &[a, b, c, d] = x else { unreachable!() };
            let (p, q) = (b - a * a, d - c * c);
            g[0] = -400.0 * a * p - 2.0 * (1.0 - a);
            g[1] = 200.0 * p + 20.2 * (b - 1.0) + 19.8 * (d - 1.0);
            g[2] = -360.0 * c * q - 2.0 * (1.0 - c);
            g[3] = 180.0 * q + 20.2 * (d - 1.0) + 19.8 * (b - 1.0);
            100.0 * p * p
                + (1.0 - a).powi(2)
                + 90.0 * q * q
                + (1.0 - c).powi(2)
                + 10.1 * ((b - 1.0).powi(2) + (d - 1.0).powi(2))
                + 19.8 * (b - 1.0) * (d - 1.0)
        },
        "powell" => |x, g| {
            let mut f = 0.0;
            for (x, g) in x.chunks(4).zip(g.chunks_mut(4)) {
                let (p, q) = (x[0] + 10.0 * x[1], x[2] - x[3]);
                let (r, s) = (x[1] - 2.0 * x[2], x[0] - x[3]);
                f += p * p + 5.0 * q * q + r.powi(4) + 10.0 * s.powi(4);
                g[0] = 2.0 * p + 40.0 * s.powi(3);
                g[1] = 20.0 * p + 4.0 * r.powi(3);
                g[2] = 10.0 * q - 8.0 * r.powi(3);
                g[3] = -10.0 * q - 40.0 * s.powi(3);
            }
            f
        },
        "quadratic" => |x, g| {
            let index = |i: usize| (i + 1) as f64;
            let along: f64 = x.iter().enumerate().map(|(i, x)| index(i).sin() * x).sum();
            let mut f = 0.0;
            for (i, x) in x.iter().enumerate() {
                let hx = index(i).powf(1.5) / 4.0 * x + index(i).sin() * along;
                let b = 3.0 * (2.0 * index(i)).cos();
                f += (0.5 * hx + b) * x;
                g[i] = hx + b;
            }
            f
        },
        "saddle" => |x, g| {
            let index = |i: usize| (i + 1) as f64;
            let along: f64 = x.iter().enumerate().map(|(i, x)| index(i).cos() * x).sum();
            let mut f = 0.0;
            for (i, x) in x.iter().enumerate() {
                let hx = (1.7 * index(i)).sin() * x - index(i).cos() * along / 2.0;
                let b = (3.0 * index(i)).sin() / 10.0;
                f += (0.5 * hx + b) * x;
                g[i] = hx + b;
            }
            f
        },
        "hs4" => |x, g| {
            g[0] = (x[0] + 1.0).powi(2);
            g[1] = 1.0;
            (x[0] + 1.0).powi(3) / 3.0 + x[1]
        },
        "hs5" => |x, g| {
            let (a, b) = (x[0], x[1]);
            let c = (a + b).cos();
            g[0] = c + 2.0 * (a - b) - 1.5;
            g[1] = c - 2.0 * (a - b) + 2.5;
            (a + b).sin() + (a - b).powi(2) - 1.5 * a + 2.5 * b + 1.0
        },
        "hs45" => |x, g| {
            for (i, g) in g.iter_mut().enumerate() {
                let others = x.iter().enumerate().filter(|(j, _)| *j != i);
                *g = -others.map(|(_, x)| x).product::<f64>() / 120.0;
            }
            2.0 - x.iter().product::<f64>() / 120.0
        },
        "hs110" => |x, g| {
            let product = x.iter().product::<f64>().powf(0.2);
            let mut f = -product;
            for (g, x) in g.iter_mut().zip(x) {
                let (p, q) = ((x - 2.0).ln(), (10.0 - x).ln());
                f += p * p + q * q;
                *g = 2.0 * p / (x - 2.0) - 2.0 * q / (10.0 - x) - 0.2 * product / x;
            }
            f
        },
        "driver1" => |x, g| {
            g.fill(0.0);
            g[0] = 2.0 * (x[0] - 1.0);
            let mut f = (x[0] - 1.0).powi(2);
            for i in 1..x.len() {
                let t = x[i] - x[i - 1] * x[i - 1];
                f += 4.0 * t * t;
                g[i] += 8.0 * t;
                g[i - 1] -= 16.0 * x[i - 1] * t;
            }
            f
        },
        other => panic!("no closed form of {other}"),
    }
}

fn oracle() -> Vec<Value> {
    let text = include_str!("oracles/lbfgsb.json");
    let oracle: Value = serde_json::from_str(text).unwrap();
    oracle["cases"].as_array().unwrap().clone()
}

fn numbers(value: &Value, open: f64) -> Vec<f64> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|v| v.as_f64().unwrap_or(open)).collect()
}

fn solve(case: &Value, settings: &Settings) -> Minimum {
    let start = numbers(&case["start"], f64::NAN);
    let bounds = Bounds::new(
        numbers(&case["lower"], f64::NEG_INFINITY),
        numbers(&case["upper"], f64::INFINITY),
    )
    .unwrap();
    let mut problem = Problem {
        n: start.len(),
        f: closed_form(case["name"].as_str().unwrap()),
    };
    let mut last = f64::INFINITY;
    let minimum = minimize(&mut problem, &start, &bounds, settings, &mut |iteration| {
        assert!(iteration.value <= last, "the value rose");
        last = iteration.value;
        ControlFlow::Continue(())
    })
    .unwrap();
    let inside = minimum
        .x
        .iter()
        .zip(bounds.lower().iter().zip(bounds.upper()));
    assert!(inside.into_iter().all(|(x, (l, u))| l <= x && x <= u));
    minimum
}

/// Largest difference of the points, and the difference of the values, relative above 1.
fn distance(minimum: &Minimum, golden: &Value) -> (f64, f64) {
    let points = minimum.x.iter().zip(numbers(&golden["x"], f64::NAN));
    let point = points.map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    let value = golden["value"].as_f64().unwrap();
    let point = point.fold(0.0, f64::max);
    (point, (minimum.value - value).abs() / value.abs().max(1.0))
}

#[test]
fn minima_agree_with_scipy_to_1e_6() {
    let settings = Settings {
        projected_gradient: 1e-10,
        reduction: 0.0,
        ..Settings::default()
    };
    for case in oracle() {
        let name = case["name"].as_str().unwrap();
        let minimum = solve(&case, &settings);
        let golden = &case["converged"];
        let (point, value) = distance(&minimum, golden);
        println!(
            "{name}: point {point:.1e}, value {value:.1e}, {} iterations (SciPy {}), {} evaluations (SciPy {}), {:?}",
            minimum.iterations,
            golden["iterations"],
            minimum.evaluations,
            golden["evaluations"],
            minimum.status
        );
        assert!(value < 1e-6, "{name}: {minimum:?}");
        // Powell's Hessian is singular at 0: a value of 1e-13 is a point of 1e-3.
        let singular = name == "powell" && golden["value"].as_f64().unwrap() < 1e-6;
        let allowed = if singular { 1e-2 } else { 1e-6 };
        assert!(point < allowed, "{name}: {minimum:?}");
        // a value flat to 1e-16 leaves slopes of 1e-8 times the curvature, here up to 1e3
        assert!(minimum.projected_gradient <= 1e-5, "{name}: {minimum:?}");
    }
}

/// Stopped at ten iterations, as Keskar et al. 2016 do: the *path* is SciPy's, not only its end.
#[test]
fn ten_iterations_end_where_scipy_s_do() {
    let settings = Settings {
        max_iterations: 10,
        ..Settings::default()
    };
    for case in oracle() {
        let name = case["name"].as_str().unwrap();
        let minimum = solve(&case, &settings);
        let golden = &case["truncated"];
        let (point, value) = distance(&minimum, golden);
        println!(
            "{name}: point {point:.1e}, value {value:.1e}, {:?}",
            minimum.status
        );
        assert!(value < 1e-6 && point < 1e-6, "{name}: {minimum:?}");
        if minimum.status == Status::IterationLimit {
            assert_eq!(golden["iterations"].as_u64(), Some(10), "{name}");
            assert_eq!(
                golden["evaluations"].as_u64(),
                Some(minimum.evaluations),
                "{name}"
            );
        } else {
            assert!(minimum.status.converged(), "{name}: {minimum:?}");
        }
    }
}

/// The stopping tests are SciPy's: the same number of iterations, give or take rounding.
#[test]
fn the_defaults_stop_where_scipy_s_do() {
    for case in oracle() {
        let name = case["name"].as_str().unwrap();
        let minimum = solve(&case, &Settings::default());
        let golden = &case["defaults"];
        let theirs = golden["iterations"].as_f64().unwrap();
        let ours = minimum.iterations as f64;
        println!("{name}: {ours} iterations (SciPy {theirs})");
        assert!(minimum.status.converged(), "{name}: {minimum:?}");
        assert!(
            (ours - theirs).abs() <= 3.0 + 0.2 * theirs,
            "{name}: {ours} {theirs}"
        );
        assert!(distance(&minimum, golden).1 < 1e-4, "{name}: {minimum:?}");
    }
}

/// `ln(1 − x₀) − 4x₀ + x₁²` falls without bound as `x₀` nears 1 and is not a number beyond.
struct Cliff;

impl Objective for Cliff {
    fn dimension(&self) -> usize {
        2
    }

    fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
        g[0] = -1.0 / (1.0 - x[0]) - 4.0;
        g[1] = 2.0 * x[1];
        Ok((1.0 - x[0]).ln() - 4.0 * x[0] + x[1] * x[1])
    }
}

#[test]
fn a_cliff_into_nan_is_a_status_not_a_panic() {
    let solve = |start: [f64; 2]| {
        minimize(
            &mut Cliff,
            &start,
            &Bounds::none(2),
            &Settings::default(),
            &mut untraced,
        )
        .unwrap()
    };
    assert_eq!(solve([2.0, 0.0]).status, Status::NonFinite);
    let near = solve([0.0, 3.0]);
    assert!(near.value.is_finite() && near.x[0] < 1.0, "{near:?}");
    assert!(!near.status.converged() || near.value < -4.0, "{near:?}");
}

#[test]
fn limits_and_stops_are_obeyed_and_named() {
    let mut f = Rosenbrock { dimension: 6 };
    let bounds = Bounds::new(vec![-2.0; 6], vec![2.0; 6]).unwrap();
    let start = [-1.2, 1.0, -1.2, 1.0, -1.2, 1.0];
    let mut seen = Vec::new();
    let minimum = minimize(&mut f, &start, &bounds, &Settings::default(), &mut |i| {
        seen.push(i.iteration);
        if i.iteration == 4 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .unwrap();
    assert_eq!(
        (minimum.status, seen),
        (Status::Stopped, vec![0, 1, 2, 3, 4])
    );
    let few = Settings {
        max_evaluations: 7,
        ..Settings::default()
    };
    let minimum = minimize(&mut f, &start, &bounds, &few, &mut untraced).unwrap();
    assert_eq!(minimum.status, Status::EvaluationLimit);
    assert!(minimum.evaluations < 7 + 20);

    assert!(Bounds::new(vec![1.0], vec![0.0]).is_err());
    assert!(Bounds::new(vec![f64::NAN], vec![0.0]).is_err());
    assert!(minimize(&mut f, &[0.0; 5], &bounds, &few, &mut untraced).is_err());
    assert!(minimize(&mut f, &[f64::NAN; 6], &bounds, &few, &mut untraced).is_err());
    let none = Settings { memory: 0, ..few };
    assert!(minimize(&mut f, &start, &bounds, &none, &mut untraced).is_err());
}

/// A quarter of a million variables, a third of them ending at a bound: the minimum of a separable
/// quadratic is its unconstrained one, clipped.
#[test]
fn many_variables_and_active_bounds() {
    struct Separable(usize);
    impl Objective for Separable {
        fn dimension(&self) -> usize {
            self.0
        }
        fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
            let mut f = 0.0;
            for (i, (x, g)) in x.iter().zip(g).enumerate() {
                let (h, center) = (1.0 + (i % 7) as f64, (i as f64).sin());
                *g = h * (x - center);
                f += 0.5 * h * (x - center).powi(2);
            }
            Ok(f)
        }
    }
    let n = 250_000;
    let bounds = Bounds::new(vec![-0.5; n], vec![0.8; n]).unwrap();
    let settings = Settings {
        projected_gradient: 1e-6,
        reduction: 0.0,
        ..Settings::default()
    };
    let minimum = minimize(
        &mut Separable(n),
        &vec![0.0; n],
        &bounds,
        &settings,
        &mut untraced,
    )
    .unwrap();
    assert!(minimum.projected_gradient <= 1e-5, "{:?}", minimum.status);
    for (i, x) in minimum.x.iter().enumerate() {
        assert!((x - (i as f64).sin().clamp(-0.5, 0.8)).abs() < 1e-5, "{i}");
    }
}

/// The minimum from 0 of `½·xᵀHx + Σ slope·cos(i + slope)·xᵢ`, `H` of these eigenvalues, in the box
/// `[low, high]ⁿ`, searched until nothing moves.
fn convex_minimum(eigenvalues: &[f64], slope: f64, low: f64, high: f64) -> Minimum {
    let n = eigenvalues.len();
    let mut h = vec![0.0; n * n];
    let mut f = Quadratic::with_spectrum(eigenvalues);
    for i in 0..n {
        let mut unit = vec![0.0; n];
        unit[i] = 1.0;
        f.hessian_vector(&unit, &unit, &mut h[i * n..(i + 1) * n])
            .unwrap()
            .unwrap();
    }
    let linear: Vec<f64> = (0..n).map(|i| slope * (i as f64 + slope).cos()).collect();
    let mut f = Quadratic::new(&h, &linear, 0.0).unwrap();
    let bounds = Bounds::new(vec![low; n], vec![high; n]).unwrap();
    let settings = Settings {
        projected_gradient: 1e-9,
        reduction: 0.0,
        ..Settings::default()
    };
    minimize(&mut f, &vec![0.0; n], &bounds, &settings, &mut untraced).unwrap()
}

/// The sixth search ends at the exact minimum along a step towards a corner of the box, and the
/// seventh projected step leads to the same corner: level, or falling by rounding alone. SciPy 1.17
/// takes it and stops there, with a projected gradient of 0.68.
#[test]
fn a_projected_step_back_to_the_same_corner_is_not_taken() {
    let eigenvalues = [
        7.004639909394147,
        2.3421461491049267,
        1.1338785915795584,
        5.331775200289665,
        8.853444073416188,
        3.5858304312660336,
        0.01,
        6.481622420043382,
        3.1715389808717576,
        6.163629357293108,
        9.950641768006713,
    ];
    let minimum = convex_minimum(
        &eigenvalues,
        0.8084791979727322,
        -0.7185897001047096,
        0.971196852280578,
    );
    assert!(minimum.projected_gradient < 1e-7, "{minimum:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    /// Random convex quadratics in random boxes: the end satisfies the first-order conditions.
    #[test]
    fn ends_of_convex_problems_are_stationary(
        eigenvalues in proptest::collection::vec(0.01f64..10.0, 2..12),
        slope in -5.0f64..5.0,
        low in -1.0f64..0.0,
        high in 0.0f64..1.0,
    ) {
        let minimum = convex_minimum(&eigenvalues, slope, low, high);
        proptest::prop_assert!(minimum.projected_gradient < 1e-5, "{minimum:?}");
    }
}
