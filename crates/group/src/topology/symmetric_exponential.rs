//! The symmetric exponential graph: each member mixes with those 1, 2, 4, … places before and after it.
//!
//! ```text
//! w_ij = 1/(d + 1) where j = i, or j − i = ±2ᵗ modulo n with 2ᵗ < n, d being the number of these neighbors
//! ```
//!
//! It is `exponential` made undirected, for rules whose theory asks for a symmetric matrix.

use std::collections::BTreeSet;

use batchscope_core::Descriptor;

use super::{TopologyKind, exponential::hops, matrix::Matrix};

pub(super) static SYMMETRIC_EXPONENTIAL: TopologyKind = TopologyKind {
    descriptor: Descriptor {
        name: "symmetric-exponential",
        aliases: &[],
        about: "Each member mixes with those 1, 2, 4, … places before and after it, equally",
        source: "",
        parameters: &[],
    },
    build: |_, members| {
        let both = hops(members).flat_map(|hop| [hop, members - hop]);
        // Half way around, both directions lead to the same member.
        let hops: BTreeSet<usize> = both.chain([0]).collect();
        let weight = 1.0 / hops.len() as f64;
        let hops: Vec<_> = hops.into_iter().map(|hop| (hop, weight)).collect();
        Ok(vec![Matrix::circulant(members, &hops)])
    },
    gap: None,
};
