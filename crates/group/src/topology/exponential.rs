//! The static exponential graph: each member mixes with those 1, 2, 4, … places after it.
//!
//! Ying et al. 2021 (arXiv 2110.13363), with τ = ⌈log₂ n⌉ hops:
//!
//! ```text
//! w_ij = 1/(τ + 1) where j = i, or j − i = 2ᵗ modulo n with t from 0 to τ − 1
//! ```
//!
//! The graph is directed: its matrix is circulant, and symmetric only for n up to 3. The degree grows with log n, and the
//! spectral gap falls with it: for even n, the paper proves a gap of 2/(τ + 1).

use batchscope_core::Descriptor;

use super::{TopologyKind, matrix::Matrix};

pub(super) static EXPONENTIAL: TopologyKind = TopologyKind {
    descriptor: Descriptor {
        name: "exponential",
        aliases: &[],
        about: "Each member mixes with those 1, 2, 4, … places after it, equally",
        source: "Ying et al. 2021, arXiv 2110.13363",
        parameters: &[],
    },
    build: |_, members| {
        let degree = hops(members).count();
        let weight = 1.0 / (1 + degree) as f64;
        let hops = std::iter::once(0).chain(hops(members));
        let hops: Vec<_> = hops.map(|hop| (hop, weight)).collect();
        Ok(vec![Matrix::circulant(members, &hops)])
    },
    gap: None,
};

/// The powers of two below n: ⌈log₂ n⌉ of them.
pub(super) fn hops(members: usize) -> impl Iterator<Item = usize> {
    let double = |hop: &usize| hop.checked_mul(2);
    std::iter::successors(Some(1), double).take_while(move |hop| *hop < members)
}
