//! Doubly averaging momentum SGD: parameters and momentum are mixed (Yu, Jin and Yang 2019, arXiv 1905.03817), at twice the
//! traffic.

use batchscope_core::Descriptor;
use num_traits::Float;

use super::{
    DIRICHLET, GRAPH, KEPT, REPLICAS,
    arithmetic::{Gossip, Mix, Momentum, Point, write},
    check, rule,
};
use crate::methods::{MethodKind, Part};

pub(in crate::methods) static DA_DMSGD: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "da-dmsgd",
        aliases: &[],
        about: "Decentralized momentum SGD whose momentum is mixed too, at twice the traffic",
        source: "Yu et al. 2019, arXiv 1905.03817",
        parameters: &[REPLICAS, GRAPH, DIRICHLET],
    },
    check,
    part: Part::Update(|choice, parts| rule(choice, &parts, DaDmSgd)),
    beside: |_| KEPT,
};

/// `m_i ← Σ_j w_ij (β·m_j + g_j)`; `x_i ← Σ_j w_ij (x_j − γ·m_j)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DaDmSgd;

impl<F: Float> Gossip<F> for DaDmSgd {
    fn rounds(&self, _step: u64) -> &'static [Mix] {
        &[Mix::Neighbors, Mix::Neighbors]
    }

    fn message(
        &self,
        round: usize,
        _step: u64,
        at: Point<'_, F>,
        momentum: &mut Momentum<F>,
        message: &mut Vec<F>,
    ) {
        if round == 0 {
            momentum.add(at.moves());
            write(message, momentum.u.iter().copied());
        } else {
            write(message, at.x.iter().zip(&momentum.u).map(|(&x, &u)| x - u));
        }
    }

    fn receive(
        &self,
        round: usize,
        _step: u64,
        mixed: &[F],
        x: &mut [F],
        momentum: &mut Momentum<F>,
    ) {
        match round {
            0 => momentum.u.copy_from_slice(mixed),
            _ => x.copy_from_slice(mixed),
        }
    }
}
