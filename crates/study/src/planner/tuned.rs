use batchscope_core::{TrainerInfo, TrialSpec};

use super::{Assessment, Finished, Planner, fresh, loads::loads, pilot, racing, tuning};
use crate::{Plan, StudyError};

/// The planner of studies: a pilot finds the scale of things, tuning the learning rate of each batch
/// size with raced trials, and fresh seeds measure at the rates chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct TunedPlanner;

impl Planner for TunedPlanner {
    fn assess(
        &self,
        plan: &Plan,
        info: &TrainerInfo,
        finished: &Finished,
    ) -> Result<Assessment, StudyError> {
        let mut study = Assessment::default();
        let pilot = pilot::run(plan, info, finished, &mut study)?;
        if let Some(pilot) = &pilot
            && let Some(rates) = tuning::run(plan, pilot, finished, &mut study)?
        {
            fresh::run(plan, info, pilot, &rates, finished, &mut study)?;
        }
        let model = pilot.map(|pilot| pilot.model);
        study.modeled = model.is_some();
        study.loads = loads(plan, info, &study, model);
        Ok(study)
    }

    fn race_bound(&self, spec: &TrialSpec, finished: &Finished) -> Option<u64> {
        racing::race_bound(spec, finished)
    }
}
