//! The text of a file of edges, and the mixing matrix that it makes.

use super::{EdgeFileError, TOLERANCE, graph::Graph, matrix::Matrix, matrix::Sum};

/// An edge and where it stands.
#[derive(Debug, Clone, Copy)]
struct Edge {
    /// The smaller node.
    a: usize,
    /// The larger node.
    b: usize,
    weight: Option<f64>,
    /// Counted from 1.
    line: usize,
}

/// The mixing matrix of a file of edges with this content, for a group of this size.
pub(super) fn matrix(content: &[u8], members: usize) -> Result<Matrix, EdgeFileError> {
    let edges = read(content, members)?;
    check_once(&edges)?;
    check_nodes(&edges, members)?;
    let graph = Graph::new(members, edges.iter().map(|edge| (edge.a, edge.b)));
    if let Some(node) = graph.apart() {
        let mut with = edges.iter().filter(|edge| edge.a == node || edge.b == node);
        return Err(EdgeFileError::NotConnected {
            node,
            line: with.next().map(|edge| edge.line),
        });
    }
    let weights = edges.iter().map(|e| Some((e.a, e.b, e.weight?)));
    let Some(weights) = weights.collect::<Option<Vec<_>>>() else {
        return Ok(graph.metropolis_hastings());
    };
    check_sums(&edges, members)?;
    let matrix = Matrix::of_edges(members, &weights);
    check_mixes(&edges, &graph, &matrix)?;
    Ok(matrix)
}

/// The edges in the order of their lines.
fn read(content: &[u8], members: usize) -> Result<Vec<Edge>, EdgeFileError> {
    let text = std::str::from_utf8(content).map_err(|e| EdgeFileError::NotText {
        line: 1 + content[..e.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count(),
    })?;
    // Some editors begin UTF-8 with a mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut edges: Vec<Edge> = Vec::new();
    for (index, text) in text.split('\n').enumerate() {
        let edge = text.split('#').next().unwrap_or_default();
        let Some(edge) = read_line(edge, index + 1, members)? else {
            continue;
        };
        if let Some(first) = edges.first()
            && first.weight.is_some() != edge.weight.is_some()
        {
            return Err(EdgeFileError::MixedColumns {
                line: edge.line,
                first: first.line,
            });
        }
        edges.push(edge);
    }
    Ok(edges)
}

/// The edge of a line without its comment; `None` where nothing is left.
fn read_line(text: &str, line: usize, members: usize) -> Result<Option<Edge>, EdgeFileError> {
    let mut columns = text.split_whitespace();
    let (a, b, weight) = match (columns.next(), columns.next(), columns.next()) {
        (None, ..) => return Ok(None),
        (Some(a), Some(b), weight) if columns.next().is_none() => (a, b, weight),
        _ => {
            let columns = text.split_whitespace().count();
            return Err(EdgeFileError::Columns { line, columns });
        }
    };
    let node = |text: &str| {
        let node = text.parse().map_err(|_| EdgeFileError::NotANode {
            line,
            text: shown(text),
        })?;
        if node >= members {
            return Err(EdgeFileError::UnknownNode {
                line,
                node,
                members,
            });
        }
        Ok(node)
    };
    let (a, b) = (node(a)?, node(b)?);
    if a == b {
        return Err(EdgeFileError::SelfLoop { line, node: a });
    }
    let weight = weight.map(|text| {
        let weight = text.parse().ok();
        // A weight of 0 would be no edge, and hide that the graph is not connected.
        let weight = weight.filter(|weight| *weight > 0.0 && *weight <= 1.0);
        weight.ok_or_else(|| EdgeFileError::Weight {
            line,
            text: shown(text),
        })
    });
    Ok(Some(Edge {
        a: a.min(b),
        b: a.max(b),
        weight: weight.transpose()?,
        line,
    }))
}

/// Refuses the first edge that stands on an earlier line too, in either direction.
fn check_once(edges: &[Edge]) -> Result<(), EdgeFileError> {
    let mut sorted = edges.to_vec();
    sorted.sort_unstable_by_key(|edge| (edge.a, edge.b, edge.line));
    let pairs = sorted.windows(2).map(|pair| (pair[0], pair[1]));
    let twice = pairs.filter(|(one, two)| (one.a, one.b) == (two.a, two.b));
    let Some((one, two)) = twice.min_by_key(|(_, two)| two.line) else {
        return Ok(());
    };
    let Edge { a, b, .. } = one;
    Err(match (one.weight, two.weight) {
        (Some(weight), Some(other)) if weight != other => EdgeFileError::NotSymmetric {
            line: two.line,
            first: one.line,
            a,
            b,
            weight,
            other,
        },
        _ => EdgeFileError::Duplicate {
            line: two.line,
            first: one.line,
            a,
            b,
        },
    })
}

/// Refuses a file whose largest node is not the group's last member.
fn check_nodes(edges: &[Edge], members: usize) -> Result<(), EdgeFileError> {
    // Of lines that have the largest node, the first.
    let last = edges.iter().rev().max_by_key(|edge| edge.b);
    match last {
        None if members > 1 => Err(EdgeFileError::NoEdges { members }),
        Some(&Edge { b, line, .. }) if b + 1 < members => Err(EdgeFileError::TooFewNodes {
            nodes: b + 1,
            line,
            members,
        }),
        _ => Ok(()),
    }
}

/// Refuses edges that leave a node a negative weight of its own.
fn check_sums(edges: &[Edge], members: usize) -> Result<(), EdgeFileError> {
    // What is written in decimals may pass 1 by its rounding: by half of what a sum may be off, so that it still passes.
    let is_above = |sum: f64| sum > 1.0 + TOLERANCE / 2.0;
    let mut sums = vec![Sum::default(); members];
    let mut passed = None;
    for edge in edges {
        for node in [edge.a, edge.b] {
            sums[node].add(edge.weight.unwrap_or_default());
            if is_above(sums[node].value()) {
                passed = passed.or(Some((node, edge.line)));
            }
        }
    }
    match passed {
        None => Ok(()),
        Some((node, line)) => Err(EdgeFileError::NegativeSelfWeight {
            line,
            node,
            sum: sums[node].value(),
        }),
    }
}

/// Refuses weights that swap vectors for ever: a connected W reaches the mean unless it has no weight on its diagonal and its
/// graph has two sides. Then −1 is an eigenvalue.
fn check_mixes(edges: &[Edge], graph: &Graph, matrix: &Matrix) -> Result<(), EdgeFileError> {
    let own = |node: usize| {
        let row = matrix.row(node).iter();
        row.filter(move |(column, _)| *column == node)
            .any(|(_, weight)| *weight > TOLERANCE)
    };
    match edges.first() {
        Some(first) if !(0..matrix.size()).any(own) && graph.is_bipartite() => {
            Err(EdgeFileError::Alternating { line: first.line })
        }
        _ => Ok(()),
    }
}

/// The start of a text, for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
