//! Why a topology cannot be made.

use batchscope_core::ChoiceError;

use super::{MAX_MEMBERS, TOLERANCE, file::MAX_BYTES};

/// Why a topology cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TopologyError {
    /// There is no such topology, or a parameter is wrong.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The number of members is out of range.
    #[error(
        "no topology has {members} members: choose a number of replicas from 1 to {MAX_MEMBERS}"
    )]
    Members {
        /// How many were asked for.
        members: usize,
    },
    /// A file of edges is refused.
    #[error("the file of edges '{path}' {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: EdgeFileError,
    },
    /// A row or a column of a mixing matrix does not sum to 1, or has a weight that is negative or not finite.
    #[error(
        "the weights of {of} {member} of the mixing matrix of step {step} sum to {sum}, and must be finite, not negative \
         and sum to 1 within {TOLERANCE}: choose other weights, or another topology"
    )]
    NotDoublyStochastic {
        /// The step within the period.
        step: usize,
        /// `row` or `column`.
        of: &'static str,
        /// Its number.
        member: usize,
        /// What it sums to; not a number where a weight in it is wrong.
        sum: f64,
    },
}

/// What is wrong with a file of edges, as it follows the file's name. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EdgeFileError {
    /// The system refuses to read it.
    #[error("cannot be read: {0}: give the path of a text file with one edge 'A B' on each line")]
    Unreadable(String),
    /// It is a folder, a FIFO or a device.
    #[error("is not a regular file: give the path of a text file with one edge 'A B' on each line")]
    NotAFile,
    /// It is longer than is read.
    #[error("has more than {MAX_BYTES} bytes: use a graph with fewer edges")]
    TooLarge,
    /// It holds bytes that are not UTF-8.
    #[error("is not text, on line {line}: save it as UTF-8")]
    NotText {
        /// The line.
        line: usize,
    },
    /// A line has neither two columns nor three.
    #[error(
        "has {columns} column(s) on line {line}: write 'A B' or 'A B WEIGHT', with spaces between"
    )]
    Columns {
        /// The line.
        line: usize,
        /// How many it has.
        columns: usize,
    },
    /// Some edges have weights and some have not.
    #[error(
        "mixes edges with a weight and edges without, on lines {first} and {line}: give every edge a weight, or none"
    )]
    MixedColumns {
        /// The line that differs.
        line: usize,
        /// The first edge's line.
        first: usize,
    },
    /// A node is not a whole number.
    #[error("has the node '{text}' on line {line}: nodes are whole numbers from 0")]
    NotANode {
        /// The line.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A node is not a member of the group.
    #[error(
        "has node {node} on line {line}, but the group has {members} member(s), which are the nodes from 0 to {}: \
         correct the line, or train with more replicas", members - 1
    )]
    UnknownNode {
        /// The line.
        line: usize,
        /// The node.
        node: usize,
        /// The group's size.
        members: usize,
    },
    /// An edge joins a node to itself.
    #[error(
        "joins node {node} to itself on line {line}: delete the line, a node's own weight is what its edges leave"
    )]
    SelfLoop {
        /// The line.
        line: usize,
        /// The node.
        node: usize,
    },
    /// An edge stands twice.
    #[error(
        "has the edge {a} {b} on lines {first} and {line}: delete one, an edge has no direction"
    )]
    Duplicate {
        /// The later line.
        line: usize,
        /// The earlier line.
        first: usize,
        /// The edge's smaller node.
        a: usize,
        /// The edge's larger node.
        b: usize,
    },
    /// An edge has one weight in one direction and another in the other.
    #[error(
        "gives the edge {a} {b} the weight {weight} on line {first} and {other} on line {line}: delete one, the weights \
         must be symmetric"
    )]
    NotSymmetric {
        /// The later line.
        line: usize,
        /// The earlier line.
        first: usize,
        /// The edge's smaller node.
        a: usize,
        /// The edge's larger node.
        b: usize,
        /// The earlier line's weight.
        weight: f64,
        /// The later line's weight.
        other: f64,
    },
    /// An edge's weight is not a number above 0 and at most 1.
    #[error("has the weight '{text}' on line {line}: a weight is a number above 0 and at most 1")]
    Weight {
        /// The line.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A node's edges weigh more than 1, so that its own weight would be negative.
    #[error(
        "gives the edges of node {node} weights that sum to {sum}, more than 1, as of line {line}: lower them"
    )]
    NegativeSelfWeight {
        /// The line of the edge that passes 1.
        line: usize,
        /// The node.
        node: usize,
        /// What the weights of all its edges sum to.
        sum: f64,
    },
    /// The file has no edge, and the group has more than one member.
    #[error("has no edge, but the group has {members} members: write one edge 'A B' on each line")]
    NoEdges {
        /// The group's size.
        members: usize,
    },
    /// The file has fewer nodes than the group has members.
    #[error(
        "has {nodes} nodes, the last on line {line}, but the group has {members} members: add edges of the nodes up to \
         {}, or train with {nodes} replicas", members - 1
    )]
    TooFewNodes {
        /// The largest node's number and 1.
        nodes: usize,
        /// The first line that has the largest node.
        line: usize,
        /// The group's size.
        members: usize,
    },
    /// Two nodes have no path between them.
    #[error("has no path from node 0 to node {node}{}: add an edge that joins them", on_line(*line))]
    NotConnected {
        /// The smallest node without a path from node 0.
        node: usize,
        /// The first line that has the node, if any has.
        line: Option<usize>,
    },
    /// No node keeps a part of its own vector, and every edge joins two sides of the graph.
    #[error(
        "leaves no node a weight of its own, and every edge joins the same two sides of the graph, so that the sides \
         swap their vectors and never reach the mean: lower the weight on line {line}"
    )]
    Alternating {
        /// The first edge's line.
        line: usize,
    },
}

fn on_line(line: Option<usize>) -> String {
    match line {
        Some(line) => format!(", which is on line {line}"),
        None => ", which is on no line".to_owned(),
    }
}
