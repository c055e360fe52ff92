//! Decentralized SGD (Lian et al. 2017, arXiv 1705.09056), in the order of descent first, then mixing.

use batchscope_core::Descriptor;
use num_traits::Float;

use super::{
    DIRICHLET, GRAPH, KEPT, REPLICAS,
    arithmetic::{Gossip, Mix, Momentum, Point, write},
    check, momentum, refused, rule,
};
use crate::methods::{MethodKind, Part};

pub(in crate::methods) static DSGD: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "dsgd",
        aliases: &[],
        about: "Replicas mix their parameters with their neighbors' after a step of descent",
        source: "Lian et al. 2017, arXiv 1705.09056",
        parameters: &[REPLICAS, GRAPH, DIRICHLET],
    },
    check,
    part: Part::Update(|choice, parts| match momentum(&parts) == 0.0 {
        true => rule(choice, &parts, Dsgd),
        false => Err(refused(
            "dsgd has no momentum: say sgd(momentum=0), or choose dmsgd or decentlam",
        )),
    }),
    beside: |_| KEPT,
};

/// `x_i ← Σ_j w_ij (x_j − γ·g_j)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dsgd;

impl<F: Float> Gossip<F> for Dsgd {
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
        _momentum: &mut Momentum<F>,
    ) {
        x.copy_from_slice(mixed);
    }
}
