//! Class proportions of a Dirichlet law, drawn and drawn from as logarithms.

use batchscope_core::statistics::NormalDraws;
use rand_core::Rng;

/// Concentrations beyond these change no draw, but would be beyond the range of `f64`.
pub(super) const ALPHAS: [f64; 2] = [1e-100, 1e30];

/// The logarithm of a Gamma(`shape`, 1) variable: G. Marsaglia and W. W. Tsang, "A simple method for
/// generating gamma variables" (2000, ACM Transactions on Mathematical Software 26, 363), without
/// their squeeze. Below 1, `Γ(a)` is `Γ(a + 1)·u^(1/a)` in law.
pub(super) fn log_gamma(shape: f64, draws: &mut NormalDraws<impl Rng>) -> f64 {
    if shape < 1.0 {
        return log_gamma(shape + 1.0, draws) + draws.uniform().ln() / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = draws.normal();
        let t = c * x;
        if t <= -1.0 {
            continue;
        }
        // With v = (1 + t)³, this is their x²/2 + d − d·v + d·ln v, without the cancellation.
        let log_v = 3.0 * t.ln_1p();
        let bound = 0.5 * x * x + d * (log_v - t * (3.0 + t * (3.0 + t)));
        if draws.uniform().ln() < bound {
            return d.ln() + log_v;
        }
    }
}

/// Weights to draw from and to strike out, given by their logarithms: a tree of sums, so that both
/// take a time that grows with the logarithm of their number.
pub(super) struct LogWeights {
    /// The node `i` is the logarithm of the sum of the nodes `2i` and `2i + 1`; the leaves come last.
    nodes: Vec<f64>,
    leaves: usize,
}

impl LogWeights {
    pub(super) fn new(logs: impl ExactSizeIterator<Item = f64>) -> Self {
        let leaves = logs.len().next_power_of_two();
        let mut nodes = vec![f64::NEG_INFINITY; 2 * leaves];
        nodes[leaves..]
            .iter_mut()
            .zip(logs)
            .for_each(|(n, log)| *n = log);
        let mut weights = Self { nodes, leaves };
        (1..leaves).rev().for_each(|node| weights.add(node));
        weights
    }

    /// Makes a node the sum of the two below it.
    fn add(&mut self, node: usize) {
        let (a, b) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
        let (most, least) = (a.max(b), a.min(b));
        self.nodes[node] = match least == f64::NEG_INFINITY {
            true => most,
            false => most + (least - most).exp().ln_1p(),
        };
    }

    /// Makes a weight 0.
    pub(super) fn strike_out(&mut self, weight: usize) {
        let mut node = self.leaves + weight;
        self.nodes[node] = f64::NEG_INFINITY;
        while node > 1 {
            node /= 2;
            self.add(node);
        }
    }

    /// The number of a weight, each with a chance in proportion to it. Some weight is not 0.
    pub(super) fn draw(&self, draws: &mut NormalDraws<impl Rng>) -> usize {
        let mut node = 1;
        while node < self.leaves {
            let (a, b) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
            // Never a weight of 0: the chance is then 0 or 1, and the draw is neither.
            let first = draws.uniform() < 1.0 / (1.0 + (b - a).exp());
            node = 2 * node + usize::from(!first);
        }
        node - self.leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use batchscope_core::{Purpose, StreamKey};

    fn draws(index: u64) -> NormalDraws<impl Rng> {
        let key = StreamKey {
            study_seed: 1,
            trial: 2,
            purpose: Purpose::Shards,
        };
        NormalDraws::new(key.stream(index))
    }

    /// Its mean is the digamma function and its variance the trigamma function of the shape.
    #[test]
    fn logarithms_of_gamma_variables_have_their_moments() {
        let cases = [
            (1e-3, -1_000.575_571_931_8, 1_000_001.642_533_2),
            (0.5, -1.963_510_026_021_4, 4.934_802_200_544_7),
            (1.0, -0.577_215_664_901_5, 1.644_934_066_848_2),
            (3.0, 0.922_784_335_098_5, 0.394_934_066_848_2),
            (1e6, 13.815_510_057_964_2, 1.000_000_5e-6),
        ];
        let n = 200_000;
        for (index, (shape, mean, variance)) in cases.into_iter().enumerate() {
            let mut draws = draws(index as u64);
            let logs: Vec<f64> = (0..n).map(|_| log_gamma(shape, &mut draws)).collect();
            let found = logs.iter().sum::<f64>() / n as f64;
            let scatter = logs.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n as f64;
            let error = (variance / n as f64).sqrt();
            assert!((found - mean).abs() < 4.0 * error, "{shape}: {found}");
            assert!(
                (scatter / variance - 1.0).abs() < 0.03,
                "{shape}: {scatter}"
            );
        }
        for shape in [ALPHAS[0] / f64::from(u32::MAX), ALPHAS[1]] {
            assert!(log_gamma(shape, &mut draws(9)).is_finite());
        }
    }

    #[test]
    fn weights_are_drawn_in_proportion_and_renormalized() {
        let logs = [1.0f64, 2.0, 3.0, 4.0, 10.0].map(|w| w.ln() - 5000.0);
        let mut weights = LogWeights::new(logs.into_iter());
        let mut draws = draws(0);
        weights.strike_out(4);
        let mut counts = [0.0f64; 5];
        (0..10_000).for_each(|_| counts[weights.draw(&mut draws)] += 1.0);
        assert_eq!(counts[4], 0.0);
        let chi =
            |i: usize| (counts[i] - 1000.0 * (i + 1) as f64).powi(2) / (1000 * (i + 1)) as f64;
        // 99.9 % of chi-square with 3 degrees of freedom.
        assert!((0..4).map(chi).sum::<f64>() < 16.3, "{counts:?}");
    }

    #[test]
    fn weights_too_small_for_a_float_are_still_told_apart() {
        let mut weights = LogWeights::new([-2e6, -1e6, -3.0].into_iter());
        let mut draws = draws(0);
        for expected in [2, 1, 0] {
            assert!((0..50).all(|_| weights.draw(&mut draws) == expected));
            weights.strike_out(expected);
        }
    }
}
