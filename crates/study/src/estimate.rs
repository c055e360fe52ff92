use batchwise_core::{TrainerInfo, TrialRecord};

use crate::{
    Load, Plan, StudyError,
    forecast::loads,
    planner::{Finished, assess},
};

/// Stated prices of a device.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prices {
    /// Per hour, in the user's currency.
    pub per_hour: Option<f64>,
    /// Watts.
    pub watts: Option<f64>,
}

/// What is left of a study, and what it costs: expected, and at most.
#[derive(Debug, Clone, PartialEq)]
pub struct CostEstimate {
    /// The plan as a table.
    pub rows: Vec<CostRow>,
    /// Examples still to train on.
    pub examples: Bounded,
    /// Seconds of training, one trial after another, evaluations left out.
    pub seconds: Bounded,
    /// In the currency of the price.
    pub money: Option<Bounded>,
    /// Kilowatt-hours.
    pub energy: Option<Bounded>,
    /// True once the pilot's model is known; before, expectations are guesses from its bound.
    pub modelled: bool,
}

/// An expectation and its upper bound. Widened tuning ranges come on top of both.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bounded {
    /// Expected.
    pub expected: f64,
    /// At most.
    pub most: f64,
}

/// One row of the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostRow {
    /// Stage, batch size, trials, steps of each.
    pub load: Load,
    /// Examples of the trials still to run.
    pub examples: Bounded,
    /// Seconds of the trials still to run.
    pub seconds: Bounded,
}

/// What is left of a study of `plan` after `records`, with `seconds_per_step` the time of an
/// optimiser step at a batch size. Runs nothing.
///
/// # Errors
/// When the plan makes no sense, or the records show that the study cannot go on.
pub fn estimate(
    plan: &Plan,
    info: &TrainerInfo,
    seconds_per_step: impl Fn(u64) -> f64,
    records: &[TrialRecord],
    prices: Prices,
) -> Result<CostEstimate, StudyError> {
    plan.check_against(info)?;
    let plan = plan.resolved(None);
    let study = assess(&plan, info, &Finished::new(records.iter().cloned()))?;
    let rows: Vec<CostRow> = loads(&plan, info, &study)
        .into_iter()
        .map(|load| {
            let left = load.trials.saturating_sub(load.done) as f64;
            let times = |factor: f64| Bounded {
                expected: left * load.expected_steps * factor,
                most: left * load.most_steps * factor,
            };
            CostRow {
                load,
                examples: times(load.batch_size as f64),
                seconds: times(seconds_per_step(load.batch_size)),
            }
        })
        .collect();
    let sum = |of: fn(&CostRow) -> Bounded| {
        rows.iter()
            .map(of)
            .fold(Bounded::default(), |a, b| Bounded {
                expected: a.expected + b.expected,
                most: a.most + b.most,
            })
    };
    let seconds = sum(|row| row.seconds);
    let hours = |rate: f64| Bounded {
        expected: seconds.expected / 3600.0 * rate,
        most: seconds.most / 3600.0 * rate,
    };
    Ok(CostEstimate {
        examples: sum(|row| row.examples),
        seconds,
        money: prices.per_hour.map(hours),
        energy: prices.watts.map(|watts| hours(watts / 1000.0)),
        modelled: study.model.is_some(),
        rows,
    })
}
