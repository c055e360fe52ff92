use batchscope_core::{StepTiming, TrainerInfo, TrialRecord};

use crate::{Finished, Load, Plan, Planner, StudyError, TunedPlanner};

/// Stated prices of a device.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prices {
    /// Per hour, in the user's currency.
    pub per_hour: Option<f64>,
    /// Watts that one device draws while it trains.
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
    pub modeled: bool,
}

/// An expectation and its upper bound. Widened tuning ranges come on top of both.
///
/// `low` and `high` are the expectation had every step taken the lower or the upper quartile of
/// the steps that were timed: the spread of the clock, not of the study. Where no clock is in the
/// number they are `expected` itself.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bounded {
    /// Expected.
    pub expected: f64,
    /// The expectation by the lower quartile of step times.
    pub low: f64,
    /// The expectation by the upper quartile of step times.
    pub high: f64,
    /// At most, by the median step time.
    pub most: f64,
}

impl Bounded {
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            expected: f(self.expected),
            low: f(self.low),
            high: f(self.high),
            most: f(self.most),
        }
    }
}

/// One row of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct CostRow {
    /// Stage, batch size, trials, steps of each.
    pub load: Load,
    /// Examples of the trials still to run.
    pub examples: Bounded,
    /// Seconds of the trials still to run.
    pub seconds: Bounded,
}

/// What is left of a study of `plan` after `records`, with `step` the time of an optimizer step at a
/// batch size, where it is known. Runs nothing.
///
/// For a study that has begun `plan` is the one [`crate::resume_plan`] gives, with the choices it
/// made then.
///
/// # Errors
/// When the plan makes no sense, or the records show that the study cannot go on.
pub fn estimate(
    plan: &Plan,
    info: &TrainerInfo,
    step: impl Fn(u64) -> Option<StepTiming>,
    records: &[TrialRecord],
    prices: Prices,
) -> Result<CostEstimate, StudyError> {
    plan.check_against(info)?;
    let plan = plan.resolved(None);
    let finished = Finished::new(records.iter().cloned());
    let study = TunedPlanner.assess(&plan, info, &finished)?;
    let rows: Vec<CostRow> = study
        .loads
        .into_iter()
        .map(|load| {
            let left = load.trials.saturating_sub(load.done) as f64;
            let times = |low: f64, middle: f64, high: f64| Bounded {
                expected: left * load.expected_steps * middle,
                low: left * load.expected_steps * low,
                high: left * load.expected_steps * high,
                most: left * load.most_steps * middle,
            };
            let examples = load.batch_size as f64;
            let (low, middle, high) = step(load.batch_size)
                .map_or((f64::NAN, f64::NAN, f64::NAN), |t| {
                    (t.low, t.seconds, t.high)
                });
            let (examples, seconds) = (
                times(examples, examples, examples),
                times(low, middle, high),
            );
            CostRow {
                load,
                examples,
                seconds,
            }
        })
        .collect();
    let sum = |of: fn(&CostRow) -> Bounded| {
        rows.iter()
            .map(of)
            .fold(Bounded::default(), |a, b| Bounded {
                expected: a.expected + b.expected,
                low: a.low + b.low,
                high: a.high + b.high,
                most: a.most + b.most,
            })
    };
    let seconds = sum(|row| row.seconds);
    let hours = |rate: f64| seconds.map(|s| s / 3600.0 * rate);
    Ok(CostEstimate {
        examples: sum(|row| row.examples),
        seconds,
        money: prices.per_hour.map(hours),
        energy: prices.watts.map(|watts| hours(watts / 1000.0)),
        modeled: study.modeled,
        rows,
    })
}
