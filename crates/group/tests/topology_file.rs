//! Files of edges: what they make, and what is refused, with line and remedy.

use std::{fs, path::Path};

use batchscope_core::Choice;
use batchscope_group::topology::{EdgeFileError, TOPOLOGIES, Topology, TopologyError};

fn at(path: &Path, members: usize) -> Result<Topology, TopologyError> {
    let path = path.to_str().unwrap();
    Topology::new(&Choice::new("file", [("path", path.into())]), members)
}

fn of(content: impl AsRef<[u8]>, members: usize) -> Result<Topology, TopologyError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.txt");
    fs::write(&path, content).unwrap();
    at(&path, members)
}

fn problem(content: impl AsRef<[u8]>, members: usize) -> EdgeFileError {
    match of(content, members) {
        Err(TopologyError::File { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn edges_take_metropolis_hastings_weights() {
    // A triangle with a tail: degrees 2, 2, 3, 1.
    let text = "# a graph\n0 1 # an edge\n\n  1\t2\r\n2 0\n3 2";
    let topology = of(text, 4).unwrap();
    let degrees = [2usize, 2, 3, 1];
    for i in 0..4 {
        let row = topology.weights(0, i);
        assert_eq!(row.len(), degrees[i] + 1);
        for &(j, weight) in row.iter().filter(|(j, _)| *j != i) {
            let expected = 1.0 / (1 + degrees[i].max(degrees[j])) as f64;
            assert_eq!(weight, expected, "{i} {j}");
        }
    }
    // 1 − 1/3 − 1/4, and 1 − 3/4.
    let own = |i: usize| {
        topology
            .weights(0, i)
            .iter()
            .find(|(j, _)| *j == i)
            .unwrap()
            .1
    };
    assert!((own(0) - 5.0 / 12.0).abs() < 1e-15);
    assert_eq!((own(2), own(3)), (0.25, 0.75));
    assert!(topology.is_symmetric());
    assert_eq!(topology.period(), 1);
}

#[test]
fn the_same_edges_make_the_same_topology_as_its_name() {
    let star = "0 1\n0 2\n0 3\n4 0\n";
    let (_, choice) = TOPOLOGIES.read("star").unwrap();
    let (file, star) = (of(star, 5).unwrap(), Topology::new(&choice, 5).unwrap());
    for i in 0..5 {
        assert_eq!(file.weights(0, i), star.weights(0, i));
    }
    let gaps = (file.spectral_gap().unwrap(), star.spectral_gap().unwrap());
    assert!((gaps.0 - gaps.1).abs() < 1e-13, "{gaps:?}");
}

#[test]
fn weights_are_taken_and_the_rest_is_the_nodes_own() {
    let topology = of("\u{feff}0 1 0.5\n1 2 2.5e-1\n", 3).unwrap();
    assert_eq!(topology.weights(0, 0), [(0, 0.5), (1, 0.5)]);
    assert_eq!(topology.weights(0, 1), [(0, 0.5), (1, 0.25), (2, 0.25)]);
    assert_eq!(topology.receivers(0, 2), [(1, 0.25), (2, 0.75)]);
    // Decimals whose sum passes 1 by rounding leave nothing, and do not fail for it.
    let thirds = "0 1 0.33333333333334\n1 2 0.33333333333333\n1 3 0.3333333333333301\n";
    let topology = of(thirds, 4).unwrap();
    assert_eq!(topology.weights(0, 1)[1].0, 1);
    assert!(topology.weights(0, 1)[1].1 < 1e-12);
    // A triangle without own weights is no swap: it reaches the mean.
    let triangle = of("0 1 0.5\n1 2 0.5\n2 0 0.5\n", 3).unwrap();
    assert_eq!(triangle.weights(0, 0), [(0, 0.0), (1, 0.5), (2, 0.5)]);
    assert!((triangle.spectral_gap().unwrap() - 0.5).abs() < 1e-14);
}

#[test]
fn a_single_member_needs_no_edge() {
    for text in ["", "# nothing", "\n\n"] {
        assert_eq!(of(text, 1).unwrap().weights(0, 0), [(0, 1.0)]);
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    use EdgeFileError as E;
    let text = |text: &str| text.to_owned();
    let huge = "99999999999999999999999";
    for (content, members, expected) in [
        (
            "0 1\n0",
            2,
            E::Columns {
                line: 2,
                columns: 1,
            },
        ),
        (
            "0 1 0.1 7 8",
            2,
            E::Columns {
                line: 1,
                columns: 5,
            },
        ),
        (
            "0 1\nx 1",
            2,
            E::NotANode {
                line: 2,
                text: text("x"),
            },
        ),
        (
            "0 -1",
            2,
            E::NotANode {
                line: 1,
                text: text("-1"),
            },
        ),
        (
            "0,1 1",
            2,
            E::NotANode {
                line: 1,
                text: text("0,1"),
            },
        ),
        (
            "0 1.0",
            2,
            E::NotANode {
                line: 1,
                text: text("1.0"),
            },
        ),
        (
            &format!("0 {huge}"),
            2,
            E::NotANode {
                line: 1,
                text: text(huge),
            },
        ),
        (
            "0 1\n1 2",
            2,
            E::UnknownNode {
                line: 2,
                node: 2,
                members: 2,
            },
        ),
        (
            "0 1",
            1,
            E::UnknownNode {
                line: 1,
                node: 1,
                members: 1,
            },
        ),
        ("0 1\n\n1 1", 2, E::SelfLoop { line: 3, node: 1 }),
        (
            "0 1\n1 2\n0 1",
            3,
            E::Duplicate {
                line: 3,
                first: 1,
                a: 0,
                b: 1,
            },
        ),
        (
            "0 1\n1 0",
            2,
            E::Duplicate {
                line: 2,
                first: 1,
                a: 0,
                b: 1,
            },
        ),
        (
            "0 1 0.2\n1 0 0.2",
            2,
            E::Duplicate {
                line: 2,
                first: 1,
                a: 0,
                b: 1,
            },
        ),
        (
            "0 1 0.2\n1 0 0.3",
            2,
            E::NotSymmetric {
                line: 2,
                first: 1,
                a: 0,
                b: 1,
                weight: 0.2,
                other: 0.3,
            },
        ),
        ("0 1\n1 2 0.5", 3, E::MixedColumns { line: 2, first: 1 }),
        ("0 1 0.5\n1 2", 3, E::MixedColumns { line: 2, first: 1 }),
        (
            "0 1 nan",
            2,
            E::Weight {
                line: 1,
                text: text("nan"),
            },
        ),
        (
            "0 1 inf",
            2,
            E::Weight {
                line: 1,
                text: text("inf"),
            },
        ),
        (
            "0 1 1e999",
            2,
            E::Weight {
                line: 1,
                text: text("1e999"),
            },
        ),
        (
            "0 1 -0.5",
            2,
            E::Weight {
                line: 1,
                text: text("-0.5"),
            },
        ),
        (
            "0 1 0",
            2,
            E::Weight {
                line: 1,
                text: text("0"),
            },
        ),
        (
            "0 1 1.5",
            2,
            E::Weight {
                line: 1,
                text: text("1.5"),
            },
        ),
        (
            "0 1 half",
            2,
            E::Weight {
                line: 1,
                text: text("half"),
            },
        ),
        (
            "0 1 0.5\n1 2 0.75\n3 1 0.5",
            4,
            E::NegativeSelfWeight {
                line: 2,
                node: 1,
                sum: 1.75,
            },
        ),
        ("# none", 2, E::NoEdges { members: 2 }),
        (
            "0 1\n1 2\n2 0",
            5,
            E::TooFewNodes {
                nodes: 3,
                line: 2,
                members: 5,
            },
        ),
        (
            "0 1\n2 3\n4 2",
            5,
            E::NotConnected {
                node: 2,
                line: Some(2),
            },
        ),
        (
            "0 3\n1 3",
            4,
            E::NotConnected {
                node: 2,
                line: None,
            },
        ),
        ("0 1 1", 2, E::Alternating { line: 1 }),
        (
            "0 1 0.5\n1 2 0.5\n2 3 0.5\n3 0 0.5",
            4,
            E::Alternating { line: 1 },
        ),
    ] {
        assert_eq!(problem(content, members), expected, "{content}");
        let message = of(content, members).unwrap_err().to_string();
        assert!(
            message.contains("graph.txt' ") && message.contains(": "),
            "{message}"
        );
        eprintln!("{message}");
    }
    assert_eq!(problem(b"0 1\n1 \xff", 2), E::NotText { line: 2 });
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| match at(path, 2) {
        Err(TopologyError::File { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let missing = refused(&folder.path().join("missing"));
    assert!(
        matches!(missing, EdgeFileError::Unreadable(_)),
        "{missing:?}"
    );
    let nul = refused(Path::new("a\0b"));
    assert!(matches!(nul, EdgeFileError::Unreadable(_)), "{nul:?}");
    assert_eq!(refused(folder.path()), EdgeFileError::NotAFile);
    #[cfg(unix)]
    assert_eq!(refused(Path::new("/dev/zero")), EdgeFileError::NotAFile);
    // A file without bytes on the disk, of one byte more than is read; and one of as many.
    let path = folder.path().join("large");
    let file = fs::File::create(&path).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    assert_eq!(refused(&path), EdgeFileError::TooLarge);
    file.set_len(16 << 20).unwrap();
    let zeros = refused(&path);
    assert_eq!(
        zeros,
        EdgeFileError::Columns {
            line: 1,
            columns: 1
        }
    );
}

/// As many edges as a file of 16 MiB holds, nearly: a complete graph of 1500 nodes.
#[test]
fn large_files_are_read_in_time() {
    let n = 1500;
    let edges = (0..n).flat_map(|a| (0..a).map(move |b| format!("{a} {b}\n")));
    let text: String = edges.collect();
    let began = std::time::Instant::now();
    let topology = of(&text, n).unwrap();
    eprintln!("{} bytes in {:?}", text.len(), began.elapsed());
    assert_eq!(topology.weights(0, 7).len(), n);
    assert!((topology.spectral_gap().unwrap() - 1.0).abs() < 1e-10);
}
