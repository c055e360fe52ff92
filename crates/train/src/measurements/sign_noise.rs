//! The noise scale of optimizers that go by signs, `B_ℓ1`, at each evaluation, from gradients of the examples of the coming
//! steps, about a thousand. Reported, in examples, as metric `train-noise_l1`, the ends of its 95 % interval as
//! `train-noise_l1_low` and `train-noise_l1_high`; where only a bound is known, that is the low end and there is nothing else.

use batchscope_core::{Choice, Descriptor, Diagnostic, SettingError, TrialSpec};

use super::{Made, MeasurementKind};
use crate::{BuiltIn, TrainError, methods::takes_gradients, norm_noise};

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
fn check(_: &Choice, spec: &TrialSpec, trainer: &BuiltIn) -> Result<(), TrainError> {
    if takes_gradients(&spec.methods) {
        let why = "measures the gradients of the examples, and a step method takes others: leave one of them out";
        return Err(SettingError::new("l1", why).into());
    }
    let train = &trainer.config().train;
    let ghost = trainer.ghost_size(spec.batch_size);
    norm_noise::check_along(ghost, &train.shape(), spec.batch_size, train.len())
}
