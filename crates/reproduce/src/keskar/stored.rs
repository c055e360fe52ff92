//! What is stored of a plan's runs, start by start.

use batchscope_core::{Estimate, EstimateState};

use super::plan::Plan;
use super::record::{RunRecord, SharpnessRecord};
use super::results::Minimum;
use super::task::{Method, Quantity, RunId, Space, StateId, run_file, sharpness_file};
use crate::interval::{at_least, mean, ratio};
use crate::{Folder, ReproduceError};

/// What the folder holds of a plan.
pub(super) struct Stored<'a> {
    pub plan: &'a Plan,
    pub folder: &'a Folder,
}

/// A value of a start, and whether it is only a bound from below.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub value: f64,
    pub bound: bool,
}

impl Stored<'_> {
    fn run(
        &self,
        batch_size: u64,
        start: u32,
        method: Method,
    ) -> Result<Option<RunRecord>, ReproduceError> {
        self.folder.read(&run_file(&RunId {
            batch_size,
            start,
            method,
            warm: None,
        }))
    }

    pub fn sharpness(
        &self,
        state: &StateId,
        quantity: &Quantity,
    ) -> Result<Option<SharpnessRecord>, ReproduceError> {
        self.folder.read(&sharpness_file(state, quantity))
    }

    /// φ in the full space at the first ε, which every part measures.
    pub fn first(&self) -> Quantity {
        Quantity::Phi {
            space: Space::Full,
            epsilon: self.plan.setting.sharpness.epsilons[0],
        }
    }

    /// A quantity of a run's minimum; `None` where it was not measured.
    fn value(
        &self,
        (batch_size, start, method): (u64, u32, Method),
        what: &What,
    ) -> Result<Option<Value>, ReproduceError> {
        let exact = |value: f64| {
            Some(Value {
                value,
                bound: false,
            })
        };
        let record = self.run(batch_size, start, method)?;
        let Some((record, last)) = record.and_then(|r| r.last.map(|last| (r, last))) else {
            return Ok(None);
        };
        Ok(match what {
            What::TestAccuracy => exact(100.0 * last.test_accuracy),
            What::TrainLoss => exact(last.train_loss),
            What::Distance => exact(record.distance),
            What::Sharpness(quantity) => {
                let found = self.sharpness(&StateId::last(record.run), quantity)?;
                found.and_then(|found| {
                    found.phi.value.map(|value| Value {
                        value,
                        bound: found.phi.state == EstimateState::AtLeast,
                    })
                })
            }
        })
    }

    /// The values of two kinds of runs at the starts that have both.
    pub fn pairs(
        &self,
        [a, b]: [(u64, Method); 2],
        starts: u32,
        what: &What,
    ) -> Result<Vec<(Value, Value)>, ReproduceError> {
        let mut pairs = Vec::new();
        for start in 0..starts {
            let of = |(batch_size, method)| self.value((batch_size, start, method), what);
            if let (Some(a), Some(b)) = (of(a)?, of(b)?) {
                pairs.push((a, b));
            }
        }
        Ok(pairs)
    }

    pub fn minimum(&self, state: &StateId) -> Result<Option<Minimum>, ReproduceError> {
        let Some(record): Option<RunRecord> = self.folder.read(&run_file(&state.run))? else {
            return Ok(None);
        };
        let worth = match state.epoch {
            None => record.last,
            Some(epoch) => record.kept.iter().find(|k| k.epoch == epoch).copied(),
        };
        let sharpness = self.sharpness(state, &self.first())?;
        Ok(worth.zip(sharpness).map(|(worth, sharpness)| Minimum {
            batch_size: state.run.batch_size,
            start: state.run.start,
            epoch: worth.epoch,
            train_loss: worth.train_loss,
            test_accuracy: worth.test_accuracy,
            phi: sharpness.phi,
        }))
    }
}

/// What a row of the table is about.
pub(super) enum What {
    TestAccuracy,
    TrainLoss,
    Distance,
    Sharpness(Quantity),
}

impl What {
    /// Where its values, and so its mean, can lie.
    fn range(&self) -> (f64, f64) {
        match self {
            What::TestAccuracy => (0.0, 100.0),
            What::TrainLoss | What::Distance | What::Sharpness(_) => (0.0, f64::INFINITY),
        }
    }

    /// The mean of values, as a bound where one of them is; its interval within the range.
    pub fn mean(&self, values: &[Value]) -> Estimate {
        let numbers: Vec<f64> = values.iter().map(|v| v.value).collect();
        let (low, high) = self.range();
        let found = mean(&numbers);
        let within = |end: Option<f64>| end.map(|end| end.clamp(low, high));
        let found = Estimate {
            low: within(found.low),
            high: within(found.high),
            ..found
        };
        match values.iter().any(|v| v.bound) {
            true => at_least(found, OVERFLOWED),
            false => found,
        }
    }
}

/// `a/b` of pairs, as a bound where a numerator is; a denominator that is one leaves nothing to say.
pub(super) fn ratio_of(pairs: &[(Value, Value)]) -> Estimate {
    let numbers: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (a.value, b.value)).collect();
    let found = ratio(&numbers);
    if pairs.iter().any(|(_, b)| b.bound) {
        return Estimate::undefined(found.level, found.n, OVERFLOWED);
    }
    match pairs.iter().any(|(a, _)| a.bound) {
        true => at_least(found, OVERFLOWED),
        false => found,
    }
}

const OVERFLOWED: &str = "the loss overflowed inside the box";
