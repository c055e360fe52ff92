//! Decentralized momentum SGD, as Yuan et al. 2021 (arXiv 2104.11981) have it.

use batchscope_core::Descriptor;
use num_traits::Float;

use super::{
    DIRICHLET, GRAPH, KEPT, REPLICAS,
    arithmetic::{Gossip, Mix, Momentum, Point, write},
    check, rule,
};
use crate::methods::{MethodKind, Part};

pub(in crate::methods) static DMSGD: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "dmsgd",
        aliases: &[],
        about: "Decentralized momentum SGD: each replica's momentum is its own",
        source: "Yuan et al. 2021, arXiv 2104.11981",
        parameters: &[REPLICAS, GRAPH, DIRICHLET],
    },
    check,
    part: Part::Update(|choice, parts| rule(choice, &parts, DmSgd)),
    beside: |_| KEPT,
};

/// `m_i ← β·m_i + g_i`; `x_i ← Σ_j w_ij (x_j − γ·m_j)`. Its bias on replicas whose examples differ is that of
/// decentralized descent at the rate `γ/(1 − β)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DmSgd;

impl<F: Float> Gossip<F> for DmSgd {
    fn rounds(&self, _step: u64) -> &'static [Mix] {
        &[Mix::Neighbors]
    }

    fn message(
        &self,
        _round: usize,
        _step: u64,
        at: Point<'_, F>,
        momentum: &mut Momentum<F>,
        message: &mut Vec<F>,
    ) {
        momentum.add(at.moves());
        write(message, at.x.iter().zip(&momentum.u).map(|(&x, &u)| x - u));
    }

    fn receive(
        &self,
        _round: usize,
        _step: u64,
        mixed: &[F],
        x: &mut [F],
        _momentum: &mut Momentum<F>,
    ) {
        x.copy_from_slice(mixed);
    }
}
