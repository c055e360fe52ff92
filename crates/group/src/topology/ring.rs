//! The ring: each member mixes with the one before it and the one after it.
//!
//! ```text
//! w_ii = w_{i,i−1} = w_{i,i+1} = 1/3, modulo n
//! ```
//!
//! Two members have one neighbor each, and take halves. The eigenvalues are 1/3 + 2/3·cos(2πk/n), so that the spectral gap
//! falls with n².

use batchscope_core::Descriptor;

use super::{TopologyKind, matrix::Matrix};

pub(super) static RING: TopologyKind = TopologyKind {
    descriptor: Descriptor {
        name: "ring",
        aliases: &[],
        about: "Each member mixes with its two neighbors on a ring, a third each",
        source: "",
        parameters: &[],
    },
    build: |_, members| {
        const THIRD: f64 = 1.0 / 3.0;
        let hops: &[(usize, f64)] = match members {
            1 => &[(0, 1.0)],
            2 => &[(0, 0.5), (1, 0.5)],
            _ => &[(0, THIRD), (1, THIRD), (members - 1, THIRD)],
        };
        Ok(vec![Matrix::circulant(members, hops)])
    },
    gap: None,
};
