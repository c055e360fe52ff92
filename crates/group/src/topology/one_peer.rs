//! The one-peer exponential graph: at each step, each member mixes with one other, 1, 2, 4, … places after it in turn.
//!
//! Ying et al. 2021 (arXiv 2110.13363), with τ = ⌈log₂ n⌉:
//!
//! ```text
//! w_ij⁽ᵏ⁾ = 1/2 where j = i, or j − i = 2^(k mod τ) modulo n
//! ```
//!
//! So a step costs one vector each way, whatever n is. Where n is a power of two, τ steps in a row average exactly, wherever
//! they begin: their matrices commute, and their product has each hop from 0 to n − 1 once.

use batchscope_core::Descriptor;

use super::{TopologyKind, exponential, matrix::Matrix};

pub(super) static ONE_PEER: TopologyKind = TopologyKind {
    descriptor: Descriptor {
        name: "one-peer",
        aliases: &[],
        about: "One peer per step, 1, 2, 4, … places after the member in turn, half and half",
        source: "Ying et al. 2021, arXiv 2110.13363",
        parameters: &[],
    },
    build: |_, members| {
        let hops = exponential::hops(members);
        let step = |hop| Matrix::circulant(members, &[(0, 0.5), (hop, 0.5)]);
        let steps: Vec<Matrix> = hops.map(step).collect();
        // A single member has no peer, and one step in which nothing happens.
        Ok(match steps.len() {
            0 => vec![Matrix::uniform(members)],
            _ => steps,
        })
    },
    gap: None,
};
