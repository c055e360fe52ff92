//! What would turn a bound into a number: which batch sizes to add, and their cost.

use batchscope_core::{EstimateState, Outcome, TrialRecord};

use crate::curves::CurveTrials;
use crate::findings::{CriticalBatchSizes, Settle};
use crate::fit::Hyperbola;
use crate::intervals::Pooled;
use crate::sample::Sample;

/// At most this many batch sizes are proposed on each side.
const MOST: usize = 4;

/// What a settling run would be made of.
pub(crate) struct Study<'a> {
    pub trials: &'a CurveTrials<'a>,
    pub samples: &'a [Sample],
    pub pooled: &'a Pooled,
    pub curve: Option<&'a Hyperbola>,
    /// Tuning trials at each new batch size (0 where a rule sets the rate).
    pub tuning_trials: f64,
    pub train_examples: Option<u64>,
}

/// The batch sizes to add so that every definition lies inside the range, or `None` when all are
/// estimated or no batch size within the training set would help.
pub(crate) fn settle(study: &Study, critical: &CriticalBatchSizes) -> Option<Settle> {
    let reached: Vec<(u64, f64)> = study
        .samples
        .iter()
        .zip(&study.pooled.means)
        .filter_map(|(s, mean)| Some((s.batch_size, (*mean)?)))
        .collect();
    let (&(smallest, _), &(largest, ln_steps_largest)) = (reached.first()?, reached.last()?);
    let definitions = [
        &critical.hyperbola,
        &critical.overhead20_batch,
        &critical.plateau_batch,
    ];
    let bounded = |state: EstimateState| definitions.iter().any(|e| e.state == state);
    let undefined = critical.hyperbola.state == EstimateState::Undefined;

    let mut added = Vec::new();
    if bounded(EstimateState::AtLeast) || undefined {
        // far enough that the plateau of the best guess lies inside
        let guess = study.curve.map_or(f64::INFINITY, |c| 20.0 * c.ln_b_c.exp());
        let mut next = largest;
        while added.len() < MOST && (next as f64) < guess {
            let Some(doubled) = next
                .checked_mul(2)
                .filter(|&b| study.train_examples.is_none_or(|n| b <= n))
            else {
                break;
            };
            added.push(doubled);
            next = doubled;
        }
    }
    if bounded(EstimateState::AtMost) || undefined {
        let guess = study.curve.map_or(0.0, |c| 0.1 * c.ln_b_c.exp());
        let mut next = smallest;
        let more = added.len() + MOST;
        while added.len() < more && next > 1 && next as f64 > guess {
            next /= 2;
            added.push(next);
        }
    }
    let known: Vec<u64> = study.samples.iter().map(|s| s.batch_size).collect();
    added.retain(|b| !known.contains(b));
    added.sort_unstable();
    if added.is_empty() {
        return None;
    }

    let seeds = reached
        .iter()
        .filter_map(|(b, _)| study.trials.by_batch.get(b))
        .map(Vec::len)
        .max()
        .unwrap_or(1);
    let trials = seeds as f64 + study.tuning_trials;
    // steps do not rise with the batch size, nor examples as it falls: the ends bound the cost
    let examples: f64 = added
        .iter()
        .map(|&b| {
            let at = |(batch, ln_steps): (u64, f64)| batch as f64 * ln_steps.exp();
            let each = if b > largest {
                b as f64 * ln_steps_largest.exp()
            } else {
                at(reached[0])
            };
            trials * each
        })
        .sum();
    Some(Settle {
        batch_sizes: added,
        command: String::new(),
        examples,
        seconds: examples * seconds_per_example(study.trials.trials())?,
    })
}

/// Largest mean time per example over the batch sizes of the study: what a new one costs at most.
fn seconds_per_example<'a>(records: impl Iterator<Item = &'a TrialRecord>) -> Option<f64> {
    records
        .filter_map(|r| {
            // A raced trial's seconds go on beyond the bound at which its record is cut.
            let whole = !matches!(r.outcome, Outcome::Raced { .. });
            let steps = r.outcome.last_step().filter(|_| whole)?;
            let examples = steps as f64 * r.spec.batch_size as f64;
            (examples > 0.0 && r.seconds.is_finite() && r.seconds >= 0.0)
                .then(|| r.seconds / examples)
        })
        .reduce(f64::max)
}
