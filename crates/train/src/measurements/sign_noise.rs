//! The noise scale of optimizers that go by signs, `B_ℓ1`, at each evaluation, from gradients of the examples of the coming
//! steps, about a thousand. Reported, in examples, as metric `train-noise_l1`, the ends of its 95 % interval as
//! `train-noise_l1_low` and `train-noise_l1_high`; where only a bound is known, that is the low end and there is nothing else.

use batchscope_core::{Descriptor, Diagnostic, Purpose, SettingError, StreamKey, TrialSpec};

use super::{Made, MeasurementKind};
use crate::{BuiltInConfig, TrainError, methods::takes_gradients, norm_noise};

pub(super) static SIGN_NOISE: MeasurementKind = MeasurementKind {
    descriptor: Descriptor {
        name: Diagnostic::SIGN_NOISE,
        aliases: &["noise_l1"],
        about: "The noise scale in the ℓ1 norm, of Adam and other optimizers that go by signs",
        source: "docs/methods.md, noise scales of other optimizers",
        parameters: &[],
    },
    check,
    made: Made::AtEvaluations(|_, run, metrics| norm_noise::measure_along(run, metrics)),
};

/// Refuses steps whose gradients are not those of the examples, and training sets too small for it.
fn check(spec: &TrialSpec, config: &BuiltInConfig) -> Result<(), TrainError> {
    if takes_gradients(&spec.methods) {
        let why = "measures the gradients of the examples, and a step method takes others: leave one of them out";
        return Err(SettingError::new("l1", why).into());
    }
    let shape = config.train.shape();
    let key = StreamKey {
        study_seed: spec.study_seed,
        trial: spec.seed,
        purpose: Purpose::Initialization,
    };
    let network = config.factory.build(&shape, key)?;
    norm_noise::check_along(
        network.as_ref(),
        &shape,
        spec.batch_size,
        config.train.len(),
    )
}
