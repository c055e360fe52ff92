//! Parallel momentum SGD: all replicas average their gradients at every step, and hold the same parameters. It stands beside
//! the decentralized rules, on the same parts of the training set.

use batchscope_core::Descriptor;
use num_traits::Float;

use super::{
    DIRICHLET, KEPT, REPLICAS,
    arithmetic::{Gossip, Mix, Momentum, Point, write},
    check, rule,
};
use crate::methods::{MethodKind, Part};

pub(in crate::methods) static PMSGD: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "pmsgd",
        aliases: &[],
        about: "Momentum SGD by the mean gradient of all replicas, which the others are measured against",
        source: "Yuan et al. 2021, arXiv 2104.11981",
        parameters: &[REPLICAS, DIRICHLET],
    },
    check,
    part: Part::Update(|choice, parts| rule(choice, &parts, PmSgd)),
    beside: |_| KEPT,
};

/// `m ← β·m + Σ_j g_j/n`; `x ← x − γ·m`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PmSgd;

impl<F: Float> Gossip<F> for PmSgd {
    fn rounds(&self, _step: u64) -> &'static [Mix] {
        &[Mix::All]
    }

    fn message(
        &self,
        _round: usize,
        _step: u64,
        at: Point<'_, F>,
        _momentum: &mut Momentum<F>,
        message: &mut Vec<F>,
    ) {
        write(message, at.moves());
    }

    fn receive(
        &self,
        _round: usize,
        _step: u64,
        mixed: &[F],
        x: &mut [F],
        momentum: &mut Momentum<F>,
    ) {
        momentum.add(mixed.iter().copied());
        momentum.step(x);
    }
}
