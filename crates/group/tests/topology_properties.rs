//! What holds of every topology: doubly stochastic matrices, columns that are the rows transposed, the mean kept.

use std::{collections::BTreeSet, fs};

use batchscope_core::Choice;
use batchscope_group::topology::{TOLERANCE, TOPOLOGIES, Topology, TopologyError};
use proptest::prelude::*;

/// Checks rows, columns and their agreement at every step of a period.
fn check(topology: &Topology) -> Result<(), TestCaseError> {
    let n = topology.members();
    let mut symmetric = true;
    for step in 0..topology.period() {
        let (mut rows, mut columns) = (BTreeSet::new(), BTreeSet::new());
        for member in 0..n {
            for (list, is_row) in [
                (topology.weights(step, member), true),
                (topology.receivers(step, member), false),
            ] {
                prop_assert!(list.windows(2).all(|pair| pair[0].0 < pair[1].0));
                prop_assert!(list.iter().any(|(other, _)| *other == member));
                let sum: f64 = list.iter().map(|(_, weight)| weight).sum();
                prop_assert!((sum - 1.0).abs() <= 2.0 * TOLERANCE, "{}", sum);
                for &(other, weight) in list {
                    prop_assert!(weight > 0.0 || (weight == 0.0 && other == member));
                    prop_assert!(other < n);
                    if is_row {
                        rows.insert((member, other, weight.to_bits()));
                    } else {
                        columns.insert((other, member, weight.to_bits()));
                    }
                }
            }
        }
        prop_assert_eq!(&rows, &columns);
        symmetric &= rows
            .iter()
            .all(|&(i, j, weight)| rows.contains(&(j, i, weight)));
        prop_assert_eq!(
            topology.weights(step, 0),
            topology.weights(step + topology.period(), 0)
        );
    }
    prop_assert_eq!(symmetric, topology.is_symmetric());
    if let Some(gap) = topology.spectral_gap() {
        // Every graph here is connected and averages in the end.
        prop_assert!(gap > 0.0 && gap <= 1.0, "{}", gap);
        check_contraction(topology, gap)?;
    }
    Ok(())
}

/// A period keeps the mean, and shrinks the distance from it to 1 − gap times what it was, or less.
fn check_contraction(topology: &Topology, gap: f64) -> Result<(), TestCaseError> {
    let n = topology.members();
    let mean = |x: &[f64]| x.iter().sum::<f64>() / n as f64;
    let distance = |x: &[f64]| {
        let mean = mean(x);
        x.iter().map(|x| (x - mean).powi(2)).sum::<f64>().sqrt()
    };
    let begin: Vec<f64> = (0..n).map(|i| ((i * 37 + 11) % 17) as f64).collect();
    let mut x = begin.clone();
    for step in 0..topology.period() {
        let mix = |i| topology.weights(step, i).iter().map(|&(j, w)| w * x[j]);
        x = (0..n).map(|i| mix(i).sum()).collect();
    }
    prop_assert!((mean(&x) - mean(&begin)).abs() < 1e-10);
    prop_assert!(distance(&x) <= (1.0 - gap) * distance(&begin) + 1e-10);
    Ok(())
}

fn read(content: &[u8], members: usize) -> Result<Topology, TopologyError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.txt");
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap();
    Topology::new(&Choice::new("file", [("path", path.into())]), members)
}

/// A connected graph: a random tree and some more edges, as n and pairs.
fn graphs() -> impl Strategy<Value = (usize, BTreeSet<(usize, usize)>)> {
    (2usize..24).prop_flat_map(|n| {
        let parents = prop::collection::vec(any::<prop::sample::Index>(), n - 1);
        let more = prop::collection::vec((0..n, 0..n), 0..2 * n);
        (parents, more).prop_map(move |(parents, more)| {
            let tree = parents.iter().enumerate();
            let tree = tree.map(|(i, parent)| (parent.index(i + 1), i + 1));
            let more = more.into_iter().filter(|(a, b)| a != b);
            let edges = tree.chain(more.map(|(a, b)| (a.min(b), a.max(b))));
            (n, edges.collect())
        })
    })
}

proptest! {
    #[test]
    fn named_topologies_are_doubly_stochastic(
        kind in prop::sample::select(vec!["ring", "grid", "exponential", "symmetric-exponential", "one-peer", "star", "full"]),
        members in 1usize..80,
    ) {
        let (_, choice) = TOPOLOGIES.read(kind).unwrap();
        check(&Topology::new(&choice, members).unwrap())?;
    }

    #[test]
    fn connected_graphs_take_metropolis_hastings_weights((members, edges) in graphs(), flip: bool) {
        let line = |&(a, b): &(usize, usize)| if flip { format!("{b} {a}\n") } else { format!("{a} {b}\n") };
        let text: String = edges.iter().map(line).collect();
        let topology = read(text.as_bytes(), members).unwrap();
        check(&topology)?;
        let degree = |i: usize| edges.iter().filter(|(a, b)| *a == i || *b == i).count();
        for i in 0..members {
            let row = topology.weights(0, i);
            prop_assert_eq!(row.len(), degree(i) + 1);
            for &(j, weight) in row.iter().filter(|(j, _)| *j != i) {
                prop_assert!(edges.contains(&(i.min(j), i.max(j))));
                prop_assert_eq!(weight, 1.0 / (1 + degree(i).max(degree(j))) as f64);
            }
        }
    }

    #[test]
    fn connected_graphs_keep_their_own_weights((members, edges) in graphs(), scale in 0.01f64..1.0) {
        // No node has as many neighbors as there are members.
        let weight = scale / members as f64;
        let text: String = edges.iter().map(|(a, b)| format!("{a} {b} {weight:e}\n")).collect();
        let topology = read(text.as_bytes(), members).unwrap();
        check(&topology)?;
        for &(a, b) in &edges {
            prop_assert!(topology.weights(0, a).contains(&(b, weight)));
        }
    }

    /// Text that looks like edges, so that it gets past the first check.
    #[test]
    fn any_lines_are_read_or_refused(
        text in "(([0-9]{1,2}|-1|x|1e3)[ \t]([0-9]|10)([ \t](0\\.[0-9]{1,3}|1|nan|-0|1e-400))?( ?#.{0,3})?\r?\n){0,12}",
        members in 1usize..12,
    ) {
        match read(text.as_bytes(), members) {
            Ok(topology) => check(&topology)?,
            Err(error) => prop_assert!(error.to_string().contains("graph.txt' ")),
        }
    }

    #[test]
    fn small_files_of_weights_are_read_or_refused(
        lines in prop::collection::vec((0usize..4, 0usize..4, 0u32..5), 0..6),
        members in 1usize..5,
    ) {
        let line = |(a, b, quarters): &(usize, usize, u32)| format!("{a} {b} {}\n", f64::from(*quarters) / 4.0);
        let text: String = lines.iter().map(line).collect();
        if let Ok(topology) = read(text.as_bytes(), members) {
            check(&topology)?;
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        content in prop::collection::vec(any::<u8>(), 0..200),
        members in 1usize..70_000,
    ) {
        let _ = read(&content, members);
    }
}
