//! Losses and accuracies on the paths between the minima of a start.

use std::sync::Mutex;

use batchscope_core::{Control, Flow, Network, StateTensor};
use batchscope_landscape::{
    ObjectiveError,
    slices::{KESKAR_POINTS, Measure, Path, Slice, Statistic, evaluate},
};

use super::lab::{ExperimentContext, parameters};
use super::plan::Plan;
use super::record::{SlicePoint, SliceRecord};
use super::setting::Setting;
use super::sharpness::{is_stop, stopped};
use super::task::{RunId, Shape, StateId, Statistics, slice_file, state_file};
use super::training::stored_state;
use crate::{Folder, ReproduceError};

/// Measures the points of a slice.
struct Points<'a> {
    lab: &'a ExperimentContext<'a>,
    setting: &'a Setting,
    control: &'a dyn Control,
    network: Box<dyn Network>,
    small: Vec<StateTensor>,
    large: Vec<StateTensor>,
    statistics: Statistics,
}

impl Measure for Points<'_> {
    type Output = SlicePoint;

    fn measure(
        &mut self,
        _: usize,
        coordinates: &[f64],
        x: &[f64],
    ) -> Result<SlicePoint, ObjectiveError> {
        if self.control.flow() == Flow::Interrupt {
            return Err(stopped());
        }
        let alpha = coordinates[0];
        let mut state = state_at(self.network.as_ref(), &self.small, &self.large, alpha, x);
        if self.statistics == Statistics::Estimated {
            let examples = self.setting.evaluation.min(self.lab.train.len());
            state = (self.lab.reestimate)(&state, examples)?;
        }
        self.network.import(&state).map_err(ObjectiveError::new)?;
        let found = self
            .lab
            .evaluate(self.network.as_mut(), self.setting.evaluation, 0)
            .map_err(ObjectiveError::new)?;
        let finite = |x: f64| x.is_finite().then_some(x);
        Ok(SlicePoint {
            alpha,
            train_loss: finite(found.train_loss),
            train_accuracy: found.train_accuracy,
            test_loss: finite(found.test_loss),
            test_accuracy: found.test_accuracy,
        })
    }
}

/// The state with parameters `x`, and what is no parameter, running statistics, between those of the
/// minima.
fn state_at(
    network: &dyn Network,
    small: &[StateTensor],
    large: &[StateTensor],
    alpha: f64,
    x: &[f64],
) -> Vec<StateTensor> {
    let mut places = std::collections::BTreeMap::new();
    let mut next = 0;
    for tensor in &network.layout().tensors {
        places.insert(tensor.name.as_str(), next..next + tensor.len());
        next += tensor.len();
    }
    small
        .iter()
        .zip(large)
        .map(|(small, large)| {
            let values = match places.get(small.name.as_str()) {
                Some(range) => x[range.clone()].iter().map(|&v| v as f32).collect(),
                None => {
                    let kind = match small.name.ends_with("variance") {
                        true => Statistic::Variance,
                        false => Statistic::Mean,
                    };
                    (small.values.iter().zip(&large.values))
                        .map(|(&s, &l)| kind.between(alpha, s.into(), l.into()) as f32)
                        .collect()
                }
            };
            StateTensor {
                values,
                ..small.clone()
            }
        })
        .collect()
}

/// Measures a slice, on from the points that are stored, and stores each point as it comes.
pub(crate) fn measure(
    plan: &Plan,
    lab: &ExperimentContext<'_>,
    folder: &Folder,
    (start, shape, statistics): (u32, Shape, Statistics),
    control: &dyn Control,
    tell: &(dyn Fn(f64) + Sync),
) -> Result<SliceRecord, ReproduceError> {
    let setting = &plan.setting;
    let file = slice_file(start, shape, statistics);
    let task = || format!("{} slice of start {start}", shape.name());
    let network = lab.network(setting.seed, start)?;
    let like = network.export()?;
    let read = |batch_size: u64| -> Result<Option<Vec<StateTensor>>, ReproduceError> {
        let state = StateId::last(RunId::plain(batch_size, start));
        let path = folder.file(&state_file(&state));
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(stored_state(&path, &like, &task())?.0))
    };
    let stored: Option<SliceRecord> = folder.read(&file)?;
    let points = stored.map(|record| record.points);
    let known = points
        .filter(|points| points.len() == KESKAR_POINTS)
        .unwrap_or_else(|| vec![None; KESKAR_POINTS]);
    let mut record = SliceRecord {
        start,
        shape,
        statistics,
        points: known.clone(),
        missing: None,
    };
    let (Some(small), Some(large)) = (read(setting.small)?, read(setting.large)?) else {
        record.missing = Some("one of the runs has no minimum".to_owned());
        record.points.clear();
        folder.write(&file, &record)?;
        return Ok(record);
    };
    let path = match shape {
        Shape::Straight => Path::Straight,
        Shape::Curved => Path::Curved,
    };
    let ends = [&small, &large].map(|state| parameters(network.as_ref(), state));
    let failed = |source| ReproduceError::Measuring {
        task: task(),
        source,
    };
    let slice = Slice::between(path, &ends[0], &ends[1]).map_err(failed)?;
    let mut worker = Points {
        lab,
        setting,
        control,
        network,
        small,
        large,
        statistics,
    };
    let written = Mutex::new((record, Ok(())));
    let measured = evaluate(
        &slice,
        std::slice::from_mut(&mut worker),
        known,
        &mut |index, point| {
            let mut guard = written
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            guard.0.points[index] = Some(*point);
            let done = guard.0.points.iter().flatten().count();
            let stored = folder.write(&file, &guard.0);
            if guard.1.is_ok() {
                guard.1 = stored;
            }
            tell(done as f64 / KESKAR_POINTS as f64);
        },
    );
    let (record, stored) = written
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    stored?;
    match measured {
        Ok(_) => Ok(record),
        Err(error) if is_stop(&error) => Err(ReproduceError::Interrupted),
        Err(error) => Err(failed(error)),
    }
}
