//! What can be measured beside the metrics of a run: one measurement a file, listed in [`MEASUREMENTS`].
//!
//! A measurement leaves the run exactly as it was.

mod attacked;
mod linearity;
mod noise;
mod schedule;
mod sign_noise;

use std::collections::BTreeMap;

use batchscope_core::{
    Choice, ChoiceError, Described, Descriptor, Diagnostic, Metric, Registry, SettingError,
    TrialSpec, split_list,
};

use crate::{BuiltIn, Run, TrainError, methods::own_replicas};

/// A measurement that can be chosen.
pub struct MeasurementKind {
    /// Name, source and parameters.
    pub descriptor: Descriptor,
    /// Refuses runs that it cannot measure.
    pub check: Check,
    /// When it is made.
    pub made: Made,
}

/// Refuses a trial of a trainer that cannot be measured so.
pub type Check = fn(&Choice, &TrialSpec, &BuiltIn) -> Result<(), TrainError>;

/// Adds what it finds to the metrics of an evaluation. Whatever it does to the network and the gradient source is undone.
pub type Measure = fn(&Choice, &mut Run<'_>, &mut BTreeMap<Metric, f64>) -> Result<(), TrainError>;

/// When a measurement is made.
pub enum Made {
    /// Along the steps, by the loop itself.
    Along,
    /// At each evaluation, after the metrics, at the parameters in training.
    AtEvaluations(Measure),
    /// When the run looks at the test examples, at the parameters that it is judged by.
    AtTheTest(Measure),
}

impl Described for MeasurementKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// Every measurement there is.
pub static MEASUREMENTS: Registry<MeasurementKind> = Registry {
    what: "measurement",
    all: &[
        &noise::NOISE,
        &schedule::SCHEDULE,
        &linearity::LINEARITY,
        &sign_noise::SIGN_NOISE,
        &attacked::ATTACKED,
    ],
};

/// Reads measurements: `linearity, attacked(0.1)`.
///
/// # Errors
/// When there is no such measurement, or a setting is wrong.
pub fn read_measurements(text: &str) -> Result<Vec<Diagnostic>, ChoiceError> {
    let items = split_list(text)?.into_iter();
    let read = items.map(|item| MEASUREMENTS.read(item));
    read.map(|read| read.map(|(_, choice)| Diagnostic(choice)))
        .collect()
}

/// Refuses measurements that do not exist, or that this trial does not allow.
///
/// # Errors
/// Naming the measurement.
pub(crate) fn check_measurements(spec: &TrialSpec, trainer: &BuiltIn) -> Result<(), TrainError> {
    for diagnostic in &spec.diagnostics {
        let (kind, choice) = MEASUREMENTS.check(&diagnostic.0).map_err(wrong)?;
        if let (Made::AtEvaluations(_), Some(own)) = (&kind.made, own_replicas(&spec.methods)) {
            return Err(refused(format!(
                "{} is of one network's gradient, and the replicas of {} have parameters and examples of their own: leave one of them out",
                kind.descriptor.name, own.name
            )));
        }
        (kind.check)(&choice, spec, trainer)?;
    }
    Ok(())
}

fn wrong(error: ChoiceError) -> TrainError {
    TrainError::choice("measure", &error)
}

/// Allows any trial.
fn any(_: &Choice, _: &TrialSpec, _: &BuiltIn) -> Result<(), TrainError> {
    Ok(())
}

/// Refuses, by the flag of measurements.
fn refused(why: impl Into<String>) -> TrainError {
    SettingError::new("measure", why).into()
}

impl Run<'_> {
    /// Makes the measurements of an evaluation.
    pub(crate) fn measure_at_evaluation(
        &mut self,
        metrics: &mut BTreeMap<Metric, f64>,
    ) -> Result<(), TrainError> {
        self.measure(metrics, |made| match made {
            Made::AtEvaluations(measure) => Some(*measure),
            _ => None,
        })
    }

    /// Makes those of the look at the test examples.
    pub(crate) fn measure_at_test(
        &mut self,
        metrics: &mut BTreeMap<Metric, f64>,
    ) -> Result<(), TrainError> {
        self.measure(metrics, |made| match made {
            Made::AtTheTest(measure) => Some(*measure),
            _ => None,
        })
    }

    fn measure(
        &mut self,
        metrics: &mut BTreeMap<Metric, f64>,
        now: fn(&Made) -> Option<Measure>,
    ) -> Result<(), TrainError> {
        let spec = self.driver.spec();
        let known = spec.diagnostics.iter();
        let due: Vec<(Measure, Choice)> = known
            .filter_map(|diagnostic| {
                let (kind, choice) = MEASUREMENTS.check(&diagnostic.0).ok()?;
                Some((now(&kind.made)?, choice))
            })
            .collect();
        for (measure, choice) in due {
            let (here, remembered) = (self.network.export()?, self.source.state());
            let measured = measure(&choice, self, metrics);
            self.network.import(&here)?;
            self.source.load(&remembered)?;
            measured?;
        }
        Ok(())
    }
}
