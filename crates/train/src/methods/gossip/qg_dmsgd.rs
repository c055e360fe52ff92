//! Quasi-global momentum (Lin et al. 2021, arXiv 2102.04761): the momentum follows how the mixed parameters have moved.

use batchscope_core::Descriptor;
use num_traits::Float;

use super::{
    DIRICHLET, GRAPH, KEPT, REPLICAS,
    arithmetic::{Gossip, Mix, Momentum, Point, write},
    check, rule,
};
use crate::methods::{MethodKind, Part};

pub(in crate::methods) static QG_DMSGD: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "qg-dmsgd",
        aliases: &[],
        about: "Decentralized SGD whose momentum follows how the mixed parameters have moved",
        source: "Lin et al. 2021, arXiv 2102.04761",
        parameters: &[REPLICAS, GRAPH, DIRICHLET],
    },
    check,
    part: Part::Update(|choice, parts| rule(choice, &parts, QgDmSgd)),
    beside: |_| KEPT,
};

/// `x_i⁺ = Σ_j w_ij (x_j − γ·(β·m_j + g_j))`; `m_i ← β·m_i + (1 − β)·(x_i − x_i⁺)/γ`.
#[derive(Debug, Clone, Copy, Default)]
pub struct QgDmSgd;

impl<F: Float> Gossip<F> for QgDmSgd {
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
        let places = at.x.iter().zip(&momentum.u).zip(at.moves());
        write(
            message,
            places.map(|((&x, &u), d)| x - (momentum.beta * u + d)),
        );
    }

    fn receive(
        &self,
        _round: usize,
        _step: u64,
        mixed: &[F],
        x: &mut [F],
        momentum: &mut Momentum<F>,
    ) {
        let share = F::one() - momentum.beta;
        momentum.add(x.iter().zip(mixed).map(|(&x, &mixed)| share * (x - mixed)));
        x.copy_from_slice(mixed);
    }
}
