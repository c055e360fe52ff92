//! The star: member 0 is the center, and every other member mixes with it alone.
//!
//! Metropolis-Hastings weights are 1/n on every edge. So W = I − L/n, L being the star's Laplacian with the eigenvalues 0, 1
//! (n − 2 times) and n: W has 1, 1 − 1/n and 0. The spectral gap is 1/n from n = 3 on; smaller stars average at once.

use batchscope_core::Descriptor;

use super::{TopologyKind, graph::Graph};

pub(super) static STAR: TopologyKind = TopologyKind {
    descriptor: Descriptor {
        name: "star",
        aliases: &[],
        about: "Every member mixes with member 0 alone",
        source: "weights: Xiao, Boyd and Lall 2005",
        parameters: &[],
    },
    build: |_, members| {
        let edges = (1..members).map(|leaf| (0, leaf));
        Ok(vec![Graph::new(members, edges).metropolis_hastings()])
    },
    gap: Some(|members| match members {
        0..=2 => 1.0,
        _ => 1.0 / members as f64,
    }),
};
