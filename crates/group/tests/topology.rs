//! Topologies against closed forms and small matrices by hand.

use std::f64::consts::TAU;

use batchscope_group::topology::{
    MAX_DENSE_MEMBERS, MAX_MEMBERS, TOPOLOGIES, Topology, TopologyError,
};
use nalgebra::DMatrix;

fn topology(text: &str, members: usize) -> Topology {
    let (_, choice) = TOPOLOGIES.read(text).unwrap();
    Topology::new(&choice, members).unwrap()
}

/// The mixing matrix of a step as the rows give it.
fn dense(topology: &Topology, step: u64) -> DMatrix<f64> {
    let n = topology.members();
    let mut matrix = DMatrix::zeros(n, n);
    for i in 0..n {
        for &(j, weight) in topology.weights(step, i) {
            matrix[(i, j)] = weight;
        }
    }
    matrix
}

fn assert_near(a: &DMatrix<f64>, b: &DMatrix<f64>, what: &str) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    let worst = (a - b).abs().max();
    assert!(worst < 1e-14, "{what}: off by {worst}:\n{a}");
}

fn hand(n: usize, scale: f64, entries: &[f64]) -> DMatrix<f64> {
    DMatrix::from_row_slice(n, n, entries) / scale
}

#[test]
fn small_matrices_are_those_made_by_hand() {
    for (text, n, scale, entries) in [
        ("ring", 1, 1.0, &[1.0][..]),
        ("ring", 2, 2.0, &[1.0, 1.0, 1.0, 1.0]),
        (
            "ring",
            4,
            3.0,
            &[
                1.0, 1.0, 0.0, 1.0, //
                1.0, 1.0, 1.0, 0.0, //
                0.0, 1.0, 1.0, 1.0, //
                1.0, 0.0, 1.0, 1.0,
            ],
        ),
        // The center has three neighbors: every edge weighs 1/4.
        (
            "star",
            4,
            4.0,
            &[
                1.0, 1.0, 1.0, 1.0, //
                1.0, 3.0, 0.0, 0.0, //
                1.0, 0.0, 3.0, 0.0, //
                1.0, 0.0, 0.0, 3.0,
            ],
        ),
        // 0 1 2 / 3 4 5: corners have two neighbors, 1 and 4 have three. Corner to corner 1/3, others 1/4.
        (
            "grid",
            6,
            12.0,
            &[
                5.0, 3.0, 0.0, 4.0, 0.0, 0.0, //
                3.0, 3.0, 3.0, 0.0, 3.0, 0.0, //
                0.0, 3.0, 5.0, 0.0, 0.0, 4.0, //
                4.0, 0.0, 0.0, 5.0, 3.0, 0.0, //
                0.0, 3.0, 0.0, 3.0, 3.0, 3.0, //
                0.0, 0.0, 4.0, 0.0, 3.0, 5.0,
            ],
        ),
        // A prime makes a path.
        (
            "grid",
            3,
            3.0,
            &[2.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 2.0],
        ),
        (
            "exponential",
            5,
            4.0,
            &[
                1.0, 1.0, 1.0, 0.0, 1.0, //
                1.0, 1.0, 1.0, 1.0, 0.0, //
                0.0, 1.0, 1.0, 1.0, 1.0, //
                1.0, 0.0, 1.0, 1.0, 1.0, //
                1.0, 1.0, 0.0, 1.0, 1.0,
            ],
        ),
        ("full", 2, 2.0, &[1.0, 1.0, 1.0, 1.0]),
    ] {
        let topology = topology(text, n);
        let what = format!("{text} of {n}");
        assert_eq!((topology.members(), topology.period()), (n, 1), "{what}");
        assert_near(&dense(&topology, 0), &hand(n, scale, entries), &what);
        // A static graph is the same at every step.
        assert_eq!(topology.weights(u64::MAX, 0), topology.weights(0, 0));
    }
}

#[test]
fn a_peer_is_one_hop_away_and_the_hops_take_turns() {
    let topology = topology("one-peer", 5);
    assert_eq!(topology.period(), 3);
    for (step, hop) in [(0, 1), (1, 2), (2, 4), (3, 1), (3_000_001, 2)] {
        for i in 0..5usize {
            let peer = (i + hop) % 5;
            let mut row = [(i, 0.5), (peer, 0.5)];
            row.sort_by_key(|(j, _)| *j);
            assert_eq!(topology.weights(step, i), row);
            assert!(topology.receivers(step, peer).contains(&(i, 0.5)));
        }
    }
}

#[test]
fn one_peer_averages_exactly_after_log2_n_steps_for_powers_of_two() {
    for power in 0..=6u64 {
        let n = 1usize << power;
        let topology = topology("one-peer", n);
        assert_eq!(topology.period(), power.max(1));
        // Whole numbers and powers of two: no rounding, wherever in the period the steps begin.
        for begin in 0..topology.period() {
            let mut x: Vec<f64> = (0..n).map(|i| (i * i) as f64).collect();
            let mean = x.iter().sum::<f64>() / n as f64;
            for step in begin..begin + topology.period() {
                let mix = |i| topology.weights(step, i).iter().map(|&(j, w)| w * x[j]);
                x = (0..n).map(|i| mix(i).sum()).collect();
            }
            assert!(x.iter().all(|x| *x == mean), "{n} from {begin}: {x:?}");
        }
        assert!((topology.spectral_gap().unwrap() - 1.0).abs() < 1e-14);
    }
    // No power of two: not exact, but nearer.
    let gap = topology("one-peer", 6).spectral_gap().unwrap();
    assert!(gap > 0.1 && gap < 1.0 - 1e-3, "{gap}");
}

#[test]
fn the_ring_has_the_eigenvalues_of_its_closed_form() {
    for n in [3usize, 4, 5, 8, 13, 32] {
        let topology = topology("ring", n);
        let mut eigenvalues: Vec<f64> = dense(&topology, 0)
            .symmetric_eigenvalues()
            .as_slice()
            .to_vec();
        let closed = |k| 1.0 / 3.0 + 2.0 / 3.0 * (TAU * k as f64 / n as f64).cos();
        let mut expected: Vec<f64> = (0..n).map(closed).collect();
        eigenvalues.sort_by(f64::total_cmp);
        expected.sort_by(f64::total_cmp);
        for (a, b) in eigenvalues.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-12, "{n}: {a} {b}");
        }
        let rho = (1..n).map(|k| closed(k).abs()).fold(0.0, f64::max);
        assert!((topology.spectral_gap().unwrap() - (1.0 - rho)).abs() < 1e-14);
    }
}

/// The eigenvalues are the discrete Fourier transform of the first row: W v_m = λ_m v_m for v_m(j) = exp(2πi·mj/n).
#[test]
fn the_exponential_graph_has_the_fourier_transform_of_its_row_as_eigenvalues() {
    for n in [2usize, 3, 5, 6, 8, 12, 16] {
        let topology = topology("exponential", n);
        let matrix = dense(&topology, 0);
        let mut rho = 0.0f64;
        for m in 0..n {
            let wave = |j: usize| {
                let angle = TAU * (m * j % n) as f64 / n as f64;
                (angle.cos(), angle.sin())
            };
            let transform = |part: fn((f64, f64)) -> f64| -> f64 {
                (0..n).map(|j| matrix[(0, j)] * part(wave(j))).sum()
            };
            let (re, im) = (transform(|w| w.0), transform(|w| w.1));
            for i in 0..n {
                let (c, s) = wave(i);
                let image = |part: fn((f64, f64)) -> f64| -> f64 {
                    (0..n).map(|j| matrix[(i, j)] * part(wave(j))).sum()
                };
                assert!((image(|w| w.0) - (re * c - im * s)).abs() < 1e-13);
                assert!((image(|w| w.1) - (re * s + im * c)).abs() < 1e-13);
            }
            if m > 0 {
                rho = rho.max(re.hypot(im));
            }
        }
        let gap = topology.spectral_gap().unwrap();
        assert!((gap - (1.0 - rho)).abs() < 1e-13, "{n}: {gap} {rho}");
    }
}

/// Ying et al. 2021: the gap is 2/(1 + ⌈log₂ n⌉) for even n, and no less for odd n.
#[test]
fn the_exponential_graph_has_the_published_gap() {
    for n in (2usize..=130).chain([1024, 4095, 4096]) {
        let degree = n.next_power_of_two().trailing_zeros();
        let published = 2.0 / f64::from(1 + degree);
        let gap = topology("exponential", n).spectral_gap().unwrap();
        if n % 2 == 0 {
            assert!((gap - published).abs() < 1e-12, "{n}: {gap} {published}");
        } else {
            assert!(gap > published - 1e-12, "{n}: {gap} {published}");
        }
    }
}

#[test]
fn the_gap_of_the_grid_is_that_of_its_singular_values() {
    // A path of three: the eigenvalues of [[2,1,0],[1,1,1],[0,1,2]]/3 are 1, 2/3 and 0.
    let gap = topology("grid", 3).spectral_gap().unwrap();
    assert!((gap - 1.0 / 3.0).abs() < 1e-14, "{gap}");
    // Four in a square are a ring of four with thirds: 1, 1/3, 1/3 and −1/3.
    let gap = topology("grid", 4).spectral_gap().unwrap();
    assert!((gap - 2.0 / 3.0).abs() < 1e-14, "{gap}");
    for n in [6, 12, 20] {
        let topology = topology("grid", n);
        let eigenvalues = dense(&topology, 0).symmetric_eigenvalues();
        let mut absolute: Vec<f64> = eigenvalues.iter().map(|x| x.abs()).collect();
        absolute.sort_by(f64::total_cmp);
        let rho = absolute[n - 2];
        let gap = topology.spectral_gap().unwrap();
        assert!((gap - (1.0 - rho)).abs() < 1e-12, "{n}: {gap} {rho}");
    }
}

#[test]
fn gaps_that_need_a_decomposition_stop_at_the_limit() {
    let gap = topology("grid", MAX_DENSE_MEMBERS).spectral_gap();
    // 32 × 32: with a weight of 1/5 on every edge it would be 2/5·(1 − cos(π/32)). Edges of the border weigh more.
    let inner = 0.4 * (1.0 - (TAU / 64.0).cos());
    assert!(
        gap.is_some_and(|gap| gap > inner && gap < 1.1 * inner),
        "{gap:?} {inner}"
    );
    assert_eq!(topology("grid", MAX_DENSE_MEMBERS + 1).spectral_gap(), None);
}

#[test]
fn symmetry_is_stated_as_it_is() {
    for (text, n, symmetric) in [
        ("ring", 9, true),
        ("grid", 12, true),
        ("star", 7, true),
        ("full", 6, true),
        ("exponential", 3, true),
        ("exponential", 4, false),
        ("symmetric-exponential", 4, true),
        ("symmetric-exponential", 9, true),
        ("one-peer", 2, true),
        ("one-peer", 4, false),
    ] {
        assert_eq!(topology(text, n).is_symmetric(), symmetric, "{text} of {n}");
    }
}

#[test]
fn a_single_member_keeps_its_vector() {
    for text in [
        "ring",
        "grid",
        "exponential",
        "symmetric-exponential",
        "one-peer",
        "star",
        "full",
    ] {
        let topology = topology(text, 1);
        assert_eq!(topology.weights(5, 0), [(0, 1.0)], "{text}");
        assert_eq!(topology.receivers(5, 0), [(0, 1.0)], "{text}");
        assert_eq!((topology.period(), topology.is_symmetric()), (1, true));
        assert_eq!(topology.spectral_gap(), Some(1.0), "{text}");
    }
}

/// Thousands of members are quick; the full graph would have billions of weights, and keeps one row.
#[test]
fn large_groups_are_made_and_have_a_gap_where_a_formula_gives_it() {
    for n in [4096, MAX_MEMBERS] {
        for text in [
            "ring",
            "grid",
            "exponential",
            "symmetric-exponential",
            "one-peer",
            "star",
            "full",
        ] {
            let began = std::time::Instant::now();
            let topology = topology(text, n);
            let made = began.elapsed();
            let gap = topology.spectral_gap();
            eprintln!(
                "{text} of {n}: made in {made:?}, gap {gap:?} in {:?}",
                began.elapsed() - made
            );
            assert_eq!(gap.is_none(), text == "grid", "{text} of {n}");
            assert_eq!(topology.weights(0, n), []);
            assert_eq!(topology.receivers(0, usize::MAX), []);
        }
    }
    assert_eq!(topology("star", 4096).spectral_gap(), Some(1.0 / 4096.0));
}

#[test]
fn choices_and_sizes_that_are_wrong_are_refused() {
    let (_, ring) = TOPOLOGIES.read("ring").unwrap();
    for members in [0, MAX_MEMBERS + 1, usize::MAX] {
        let error = Topology::new(&ring, members).unwrap_err();
        assert_eq!(error, TopologyError::Members { members });
        assert!(error.to_string().contains("from 1 to 65536"), "{error}");
    }
    let torus = batchscope_core::Choice::new("torus", [("a", 1u64.into())]);
    let error = Topology::new(&torus, 4).unwrap_err();
    assert!(error.to_string().contains("not a topology"), "{error}");
    for text in ["ring:3", "file", "rign"] {
        assert!(TOPOLOGIES.read(text).is_err(), "{text}");
    }
}
