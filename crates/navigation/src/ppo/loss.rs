//! The clipped loss of policy optimization and its gradient with respect to what the network answers.
//!
//! For a row with logits `z`, `π = softmax(z)`, action `a`, `ρ = π(a)/π_old(a)`, advantage `Â` and return `R`
//! (Schulman et al. 2017, equations 7 and 9):
//!
//! ```text
//! L = −min(ρ·Â, clip(ρ, 1 − ε, 1 + ε)·Â) + c_v·½(R − V)² − c_e·H(π)
//! ```
//!
//! The half of the value's loss is as in the code of Shacklett et al. 2021.

use super::{ACTIONS, Ppo};

/// What a rollout keeps of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The action taken.
    pub action: u8,
    /// Logarithm of its probability when it was.
    pub log_probability: f32,
    /// `Â`.
    pub advantage: f32,
    /// `R`.
    pub target: f32,
}

/// The three parts of the loss, as they enter it, summed over rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossParts {
    /// Of the policy.
    pub policy: f64,
    /// Of the value, `½(R − V)²`, without its weight.
    pub value: f64,
    /// Entropy of the policy, in nats, without its weight.
    pub entropy: f64,
    /// Rows.
    pub rows: u64,
}

impl std::ops::AddAssign for LossParts {
    fn add_assign(&mut self, other: Self) {
        self.policy += other.policy;
        self.value += other.value;
        self.entropy += other.entropy;
        self.rows += other.rows;
    }
}

/// The loss with its weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolicyLoss {
    ppo: Ppo,
    /// What gradients are multiplied by: one over the rows of the whole update.
    scale: f64,
}

/// Logarithms of the probabilities of actions.
pub fn log_probabilities(logits: &[f32; ACTIONS]) -> [f64; ACTIONS] {
    let logits = logits.map(f64::from);
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - most).exp()).sum();
    logits.map(|z| z - most - sum.ln())
}

impl PolicyLoss {
    /// The loss of an update of so many rows.
    pub fn new(ppo: Ppo, rows: usize) -> Self {
        Self {
            ppo,
            scale: 1.0 / rows as f64,
        }
    }

    /// The loss of a row. Its share of the gradient of the update's mean goes to `dlogits` and `dvalue`.
    pub fn of_row(
        &self,
        logits: &[f32; ACTIONS],
        value: f32,
        sample: &Sample,
        dlogits: &mut [f32; ACTIONS],
        dvalue: &mut f32,
    ) -> LossParts {
        let Ppo {
            clip,
            value: value_weight,
            entropy: entropy_weight,
            ..
        } = self.ppo;
        let logs = log_probabilities(logits);
        let action = usize::from(sample.action).min(ACTIONS - 1);
        let advantage = f64::from(sample.advantage);
        let ratio = (logs[action] - f64::from(sample.log_probability)).exp();
        let bounded = ratio.clamp(1.0 - clip, 1.0 + clip);
        let is_clipped = bounded * advantage < ratio * advantage;
        let surrogate = (ratio * advantage).min(bounded * advantage);
        // d(ρÂ)/dz_k = ρÂ·(1[k = a] − π_k); nothing flows where the clip holds.
        let slope = if is_clipped { 0.0 } else { ratio * advantage };
        let entropy: f64 = -logs.iter().map(|log| log.exp() * log).sum::<f64>();
        for (k, (to, log)) in dlogits.iter_mut().zip(logs).enumerate() {
            let chosen = f64::from(u8::from(k == action));
            // dH/dz_k = −π_k·(ln π_k + H).
            let of_entropy = -log.exp() * (log + entropy);
            let gradient = -slope * (chosen - log.exp()) - entropy_weight * of_entropy;
            *to = (self.scale * gradient) as f32;
        }
        let error = f64::from(value) - f64::from(sample.target);
        *dvalue = (self.scale * value_weight * error) as f32;
        LossParts {
            policy: -surrogate,
            value: 0.5 * error * error,
            entropy,
            rows: 1,
        }
    }

    /// The mean loss of rows, with the weights.
    pub fn mean(&self, parts: &LossParts) -> f64 {
        let sum = parts.policy + self.ppo.value * parts.value - self.ppo.entropy * parts.entropy;
        sum / parts.rows as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(logits: &[f32; ACTIONS], value: f32, sample: &Sample) -> (f64, [f32; ACTIONS], f32) {
        let loss = PolicyLoss::new(Ppo::PUBLISHED, 1);
        let (mut dlogits, mut dvalue) = ([0.0; ACTIONS], 0.0);
        let parts = loss.of_row(logits, value, sample, &mut dlogits, &mut dvalue);
        (loss.mean(&parts), dlogits, dvalue)
    }

    /// By central differences, where the clip holds and where it does not, for advantages of both signs.
    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        let logits = [0.3f32, -0.7, 1.1, 0.2];
        for advantage in [-1.3, 0.8] {
            for old in [-2.5f32, -1.6, -0.4] {
                let sample = Sample {
                    action: 0,
                    log_probability: old,
                    advantage,
                    target: 0.4,
                };
                let (_, dlogits, dvalue) = loss(&logits, 1.5, &sample);
                for k in 0..ACTIONS {
                    let at = |step: f32| {
                        let mut moved = logits;
                        moved[k] += step;
                        loss(&moved, 1.5, &sample).0
                    };
                    let slope = (at(1e-3) - at(-1e-3)) / 2e-3;
                    assert!(
                        (slope - f64::from(dlogits[k])).abs() < 2e-3,
                        "{slope} {dlogits:?}"
                    );
                }
                let at = |value| loss(&logits, value, &sample).0;
                let slope = (at(1.501) - at(1.499)) / 2e-3;
                assert!((slope - f64::from(dvalue)).abs() < 2e-3);
            }
        }
    }

    #[test]
    fn ratios_beyond_the_clip_move_nothing_further() {
        // Far more probable than it was, and good: the clip holds. Were it bad, it would not.
        let logits = [2.0f32, 0.0, 0.0, 0.0];
        let sample = Sample {
            action: 0,
            log_probability: -3.0,
            advantage: 1.0,
            target: 0.0,
        };
        let ppo = Ppo {
            entropy: 0.0,
            ..Ppo::PUBLISHED
        };
        let of = |sample: &Sample| {
            let (mut dlogits, mut dvalue) = ([0.0; ACTIONS], 0.0);
            let parts =
                PolicyLoss::new(ppo, 1).of_row(&logits, 0.0, sample, &mut dlogits, &mut dvalue);
            (parts, dlogits)
        };
        let (parts, dlogits) = of(&sample);
        assert_eq!((parts.policy, dlogits), (-1.2, [0.0; ACTIONS]));
        let (parts, dlogits) = of(&Sample {
            advantage: -1.0,
            ..sample
        });
        assert!(parts.policy > 1.2 && dlogits[0] > 0.0);
    }

    #[test]
    fn of_equal_logits_the_entropy_is_that_of_a_fair_choice() {
        let sample = Sample {
            action: 1,
            log_probability: 0.25f32.ln(),
            advantage: 0.0,
            target: 0.0,
        };
        let (mut dlogits, mut dvalue) = ([0.0; ACTIONS], 0.0);
        let loss = PolicyLoss::new(Ppo::PUBLISHED, 1);
        let parts = loss.of_row(&[5.0; ACTIONS], 0.0, &sample, &mut dlogits, &mut dvalue);
        assert!((parts.entropy - 4f64.ln()).abs() < 1e-12);
        assert!(dlogits.iter().all(|d| d.abs() < 1e-9));
    }
}
