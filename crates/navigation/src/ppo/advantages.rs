//! Generalized advantage estimation: J. Schulman et al., "High-dimensional continuous control using generalized advantage
//! estimation", ICLR 2016 (arXiv 1506.02438), equation 16.
//!
//! ```text
//! δ_t = r_t + γ·V(s_{t+1}) − V(s_t)
//! Â_t = δ_t + γλ·Â_{t+1}
//! ```
//!
//! At the end of an episode nothing follows: `V(s_{t+1})` and `Â_{t+1}` count as 0. That an episode ran out of steps counts as
//! its end too, as in Habitat.

use super::Ppo;

/// What a rollout is worth: rows in the order of time, `t · environments + i`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advantages {
    /// `Â_t`.
    pub advantages: Vec<f32>,
    /// What the value should have been, `Â_t + V(s_t)`.
    pub returns: Vec<f32>,
}

/// The advantages of a rollout of `ppo.steps` steps. `values` also holds those of the observations after the last step; `ended`
/// is true where the step ended an episode.
///
/// # Panics
/// When the rows are not of the same number of environments.
pub fn generalized_advantages(
    ppo: &Ppo,
    rewards: &[f32],
    values: &[f32],
    ended: &[bool],
) -> Advantages {
    let rows = rewards.len();
    let environments = rows / ppo.steps.max(1);
    assert_eq!(environments * ppo.steps, rows, "whole steps");
    assert_eq!(
        values.len(),
        rows + environments,
        "and values after the last"
    );
    assert_eq!(ended.len(), rows, "an end for each reward");
    let mut advantages = vec![0.0; rows];
    let mut returns = vec![0.0; rows];
    let mut next = vec![0.0f64; environments];
    for row in (0..rows).rev() {
        let follows = f64::from(u8::from(!ended[row]));
        let [value, after] = [values[row], values[row + environments]].map(f64::from);
        let delta = f64::from(rewards[row]) + ppo.discount * follows * after - value;
        let advantage = &mut next[row % environments];
        *advantage = delta + ppo.discount * ppo.decay * follows * *advantage;
        advantages[row] = *advantage as f32;
        returns[row] = (*advantage + value) as f32;
    }
    Advantages {
        advantages,
        returns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PPO: Ppo = Ppo {
        steps: 3,
        discount: 0.5,
        decay: 0.5,
        ..Ppo::PUBLISHED
    };

    /// By hand: δ = (1, 2.5, 2) with γ = λ = 1/2, then 2, 2.5 + 2/4, 1 + 3/4.
    #[test]
    fn one_environment_is_summed_from_behind() {
        let found =
            generalized_advantages(&PPO, &[1.0, 2.0, 3.0], &[1.0, 2.0, 5.0, 8.0], &[false; 3]);
        // δ₀ = 1 + 0.5·2 − 1 = 1, δ₁ = 2 + 0.5·5 − 2 = 2.5, δ₂ = 3 + 0.5·8 − 5 = 2.
        assert_eq!(found.advantages, [1.75, 3.0, 2.0]);
        assert_eq!(found.returns, [2.75, 5.0, 7.0]);
    }

    #[test]
    fn nothing_follows_the_end_of_an_episode() {
        let ended = [false, true, false];
        let found = generalized_advantages(&PPO, &[1.0, 2.0, 3.0], &[1.0, 2.0, 5.0, 8.0], &ended);
        assert_eq!(found.advantages, [1.0, 0.0, 2.0]);
        assert_eq!(found.returns, [2.0, 2.0, 7.0]);
    }

    /// With λ = 1 the return is the discounted sum of rewards, whatever the values but the last.
    #[test]
    fn without_decay_returns_are_discounted_rewards() {
        let ppo = Ppo { decay: 1.0, ..PPO };
        let rewards = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
        let values = [0.3, -7.0, 9.0, 4.0, 0.1, 0.2, 4.0, 40.0];
        let found = generalized_advantages(&ppo, &rewards, &values, &[false; 6]);
        let expected = 1.0 + 0.5 * (2.0 + 0.5 * (3.0 + 0.5 * 4.0));
        assert!((found.returns[0] - expected).abs() < 1e-5);
        assert!((found.returns[1] - 10.0 * expected).abs() < 1e-4);
    }
}
