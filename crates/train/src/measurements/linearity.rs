//! How far the first-order picture of a step holds: a diagnostic that leaves the run exactly as it was.

use std::collections::BTreeMap;

use batchscope_core::{Choice, Descriptor, Diagnostic, Metric, Quantity, Split};

use super::{Made, MeasurementKind, any};
use crate::{
    Run, TrainError,
    update::{squared_gradient_norm, sum_over_replicas},
};

pub(super) static LINEARITY: MeasurementKind = MeasurementKind {
    descriptor: Descriptor {
        name: Diagnostic::LINEARITY,
        aliases: &[],
        about: "How far the loss is from its first-order prediction after one plain step, at each evaluation",
        source: "Golmant et al. 2018, arXiv 1811.12941",
        parameters: &[],
    },
    check: any,
    made: Made::AtEvaluations(measure),
};

/// `|L(w) − L̂(w)|` of Golmant et al. 2018 (arXiv 1811.12941), added as
/// `train-linearity`.
///
/// ```text
/// w = w* − η·g_B(w*)        L̂(w) = L(w*) + ⟨g_B(w*), w − w*⟩ = L(w*) − η·‖g_B(w*)‖²
/// ```
///
/// `w*` are the current weights, `g_B` the mean gradient of the batch the next step will use, `η`
/// that step's learning rate, and `L` the loss on the fixed train subset. Above 1 the first-order
/// picture behind linear scaling has broken down. A loss that is not finite is left out.
fn measure(
    _: &Choice,
    run: &mut Run<'_>,
    metrics: &mut BTreeMap<Metric, f64>,
) -> Result<(), TrainError> {
    let network = run.network.as_mut();
    let loss = match metrics.get(&Metric::new(Split::Train, Quantity::Loss)) {
        Some(&loss) => Some(loss),
        // This evaluation left the training examples out.
        None => (run.evaluator).measure(Split::Train, network, run.group, &mut BTreeMap::new())?,
    };
    let Some(loss) = loss else {
        return Ok(());
    };
    let step = run.driver.step();
    let setting = run.controller.at(step);
    let rate = setting.learning_rate;

    let network = run.network.as_mut();
    let part = run.source.gradient(network, setting.batch)?;
    sum_over_replicas(network, run.group, part, &mut Vec::new())?;
    let squared_norm = squared_gradient_norm(network)?;
    network.visit(&mut |_, parameters, gradient| {
        for (w, &g) in parameters.iter_mut().zip(&*gradient) {
            *w -= rate as f32 * g;
        }
    })?;
    let there = run
        .evaluator
        .measure(Split::Train, network, run.group, &mut BTreeMap::new())?;

    let error = there.map(|there| (there - (loss - rate * squared_norm)).abs());
    if let Some(error) = error.filter(|error| error.is_finite()) {
        metrics.insert(
            Metric::new(Split::Train, Quantity::Other("linearity".to_owned())),
            error,
        );
    }
    Ok(())
}
