//! Local SGD: replicas train alone and average their parameters now and then.
//!
//! Stich 2019 (arXiv 1805.09767), with a momentum that each replica keeps to itself, as in Lin, Stich, Patel and Jaggi 2020
//! (arXiv 1808.07217).

use batchscope_core::Descriptor;
use num_traits::Float;

use super::{
    DIRICHLET, KEPT, PERIOD, REPLICAS,
    arithmetic::{Gossip, Mix, Momentum, Point, write},
    check, rule,
};
use crate::methods::{MethodKind, Part};

pub(in crate::methods) static LOCAL_SGD: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "local-sgd",
        aliases: &[],
        about: "Replicas train alone and average their parameters every so many steps",
        source: "Stich 2019, arXiv 1805.09767",
        parameters: &[REPLICAS, PERIOD, DIRICHLET],
    },
    check,
    part: Part::Update(|choice, parts| {
        let period = choice.whole("period").unwrap_or(1);
        rule(choice, &parts, LocalSgd { period })
    }),
    beside: |_| KEPT,
};

/// `m_i ← β·m_i + g_i`; `x_i ← x_i − γ·m_i`; and after every `period` steps `x_i ← Σ_j x_j/n`.
#[derive(Debug, Clone, Copy)]
pub struct LocalSgd {
    /// Steps between two averages, at least 1.
    pub period: u64,
}

impl<F: Float> Gossip<F> for LocalSgd {
    fn rounds(&self, step: u64) -> &'static [Mix] {
        match (step + 1).is_multiple_of(self.period.max(1)) {
            true => &[Mix::All],
            false => &[Mix::Nothing],
        }
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
