//! Post-local SGD (Lin, Stich, Patel and Jaggi 2020, arXiv 1808.07217): replicas train together first, and by local SGD from
//! some step on.

use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault};
use num_traits::Float;

use super::{
    DIRICHLET, KEPT, LocalSgd, PERIOD, PmSgd, REPLICAS,
    arithmetic::{Gossip, Mix, Momentum, Point},
    check, rule,
};
use crate::methods::{MethodKind, Part};

pub(in crate::methods) static POST_LOCAL_SGD: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "post-local-sgd",
        aliases: &[],
        about: "Replicas average their gradients at first, and train alone between averages later",
        source: "Lin et al. 2020, arXiv 1808.07217",
        parameters: &[
            Parameter {
                name: "after",
                about: "Steps that they take together at first, in the source those before the learning rate is first cut",
                kind: Kind::Whole(0, 1 << 53),
                default: ParameterDefault::Required,
            },
            REPLICAS,
            PERIOD,
            DIRICHLET,
        ],
    },
    check,
    part: Part::Update(|choice, parts| {
        let whole = |key| choice.whole(key).unwrap_or(1);
        let gossip = PostLocalSgd {
            after: whole("after"),
            local: LocalSgd {
                period: whole("period"),
            },
        };
        rule(choice, &parts, gossip)
    }),
    beside: |_| KEPT,
};

/// [`PmSgd`] for some steps, then [`LocalSgd`], which takes over the momentum.
#[derive(Debug, Clone, Copy)]
pub struct PostLocalSgd {
    /// Steps together.
    pub after: u64,
    /// The steps from then on.
    pub local: LocalSgd,
}

impl PostLocalSgd {
    /// The rule of a step.
    fn at<F: Float>(&self, step: u64) -> &dyn Gossip<F> {
        match step < self.after {
            true => &PmSgd,
            false => &self.local,
        }
    }
}

impl PostLocalSgd {
    /// The number of a step among those of its rule.
    fn own(&self, step: u64) -> u64 {
        step.checked_sub(self.after).unwrap_or(step)
    }
}

impl<F: Float> Gossip<F> for PostLocalSgd {
    fn rounds(&self, step: u64) -> &'static [Mix] {
        self.at::<F>(step).rounds(self.own(step))
    }

    fn message(
        &self,
        round: usize,
        step: u64,
        at: Point<'_, F>,
        momentum: &mut Momentum<F>,
        message: &mut Vec<F>,
    ) {
        (self.at(step)).message(round, self.own(step), at, momentum, message);
    }

    fn receive(
        &self,
        round: usize,
        step: u64,
        mixed: &[F],
        x: &mut [F],
        momentum: &mut Momentum<F>,
    ) {
        (self.at(step)).receive(round, self.own(step), mixed, x, momentum);
    }
}
