//! The loss and the error on test examples that are moved against their labels, by the weights that the run is judged by: a
//! white-box attack of one step, on the network as it would be used (batch norm by its running statistics, no dropout).
//!
//! `x̃ = x + ε·dir(∇_x J(θ, x, y))` of Goodfellow et al. 2015 (arXiv 1412.6572), as the adversarial step methods have it.
//! Reported as metrics `test-attacked_loss` and, where examples have classes, `test-attacked_error`.

use std::collections::BTreeMap;

use batchscope_core::{Choice, Descriptor, Metric, Mode, Quantity, Split, Task, TrialSpec};

use super::{Made, MeasurementKind, refused};
use crate::{BuiltIn, Run, TrainError, methods::attack};

pub(super) static ATTACKED: MeasurementKind = MeasurementKind {
    descriptor: Descriptor {
        name: "attacked",
        aliases: &[],
        about: "Loss and error on test examples moved against their labels, at the end",
        source: "Goodfellow et al. 2015, arXiv 1412.6572",
        parameters: &[attack::EPSILON, attack::NORM],
    },
    check,
    made: Made::AtTheTest(measure),
};

fn check(choice: &Choice, _: &TrialSpec, trainer: &BuiltIn) -> Result<(), TrainError> {
    let config = trainer.config();
    attack::check_as("measure", choice, &config.train.shape())?;
    match &config.test {
        Some(test) if !test.is_empty() => Ok(()),
        _ => Err(refused(
            "attacked moves test examples, and these data have none: name some by --test",
        )),
    }
}

fn measure(
    choice: &Choice,
    run: &mut Run<'_>,
    metrics: &mut BTreeMap<Metric, f64>,
) -> Result<(), TrainError> {
    let attack = attack::Attack::of(choice);
    let Some(test) = run.evaluator.test.as_mut() else {
        return Ok(());
    };
    let mut slope = Vec::new();
    let sums = test.measure_changed(run.network.as_mut(), run.group, &mut |network, batch| {
        network.input_gradient(batch, Mode::Evaluation, &mut slope)?;
        let examples = batch.len;
        attack.shift(attack::values(batch), &slope, examples);
        Ok(())
    })?;
    let mut put = |name: &str, value: f64| {
        if value.is_finite() {
            let quantity = Quantity::Other(format!("attacked_{name}"));
            metrics.insert(Metric::new(Split::Test, quantity), value);
        }
    };
    put("loss", sums.loss / sums.weight);
    if !matches!(run.evaluator.shape.task, Task::Regress { .. }) {
        put("error", sums.errors / sums.weight);
    }
    Ok(())
}
