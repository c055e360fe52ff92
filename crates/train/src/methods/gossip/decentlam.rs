//! DecentLaM (Yuan et al. 2021, arXiv 2104.11981): momentum without the bias that it gives decentralized training.
//!
//! Its momentum takes in what mixing has moved, so that without gradients a mode of the mixing matrix with eigenvalue `λ` follows
//! `z² − (β + λ)·z + β = 0`. For real `λ` its roots lie within the unit circle; for complex ones, of graphs that are not
//! symmetric, they need not: the directed exponential graph of 8 replicas has a root of 1.18 at `β = 0.8`. The authors
//! assume a symmetric matrix; others are refused here.

use batchscope_core::Descriptor;
use num_traits::Float;

use super::{
    DIRICHLET, GRAPH, KEPT, REPLICAS,
    arithmetic::{Gossip, Mix, Momentum, Point, write},
    check, refused, rule, topology,
};
use crate::methods::{MethodKind, Part};

pub(in crate::methods) static DECENTLAM: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "decentlam",
        aliases: &[],
        about: "Decentralized SGD whose momentum takes in how mixing has moved the parameters",
        source: "Yuan et al. 2021, arXiv 2104.11981",
        parameters: &[REPLICAS, GRAPH, DIRICHLET],
    },
    check: |choice, shape| {
        check(choice, shape)?;
        match topology(choice)?.is_none_or(|graph| graph.is_symmetric()) {
            true => Ok(()),
            false => Err(refused(
                "decentlam may diverge on a graph that is not symmetric: choose ring, grid, star, full or symmetric-exponential",
            )),
        }
    },
    part: Part::Update(|choice, parts| rule(choice, &parts, DecentLam)),
    beside: |_| KEPT,
};

/// `g̃_i = (x_i − Σ_j w_ij (x_j − γ·g_j))/γ`; `m_i ← β·m_i + g̃_i`; `x_i ← x_i − γ·m_i`. Its bias is that of decentralized
/// descent without momentum, at the rate `γ`: squared, about `(1 − β)²` of that of `dmsgd`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecentLam;

impl<F: Float> Gossip<F> for DecentLam {
    fn rounds(&self, _step: u64) -> &'static [Mix] {
        &[Mix::Neighbors]
    }

    fn message(
        &self,
        _round: usize,
        _step: u64,
        at: Point<'_, F>,
        _momentum: &mut Momentum<F>,
        message: &mut Vec<F>,
    ) {
        write(message, at.x.iter().zip(at.moves()).map(|(&x, d)| x - d));
    }

    fn receive(
        &self,
        _round: usize,
        _step: u64,
        mixed: &[F],
        x: &mut [F],
        momentum: &mut Momentum<F>,
    ) {
        momentum.add(x.iter().zip(mixed).map(|(&x, &mixed)| x - mixed));
        momentum.step(x);
    }
}
