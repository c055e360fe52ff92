//! What was found, in words: the terminal and the page say the same.

use batchscope_core::Estimate;
use batchscope_landscape::{
    sharpness::Sharpness,
    survey::{Measurement, MeasurementKind, MeasurementResult, SliceKind, SliceRecord, Survey},
};

use crate::format::{count, duration, estimate, number, percent};

/// A number with its name, and where it comes from.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
    /// Evaluations and seconds behind it.
    pub(super) cost: String,
}

/// What was surveyed, in a sentence.
pub(super) fn subject(survey: &Survey) -> String {
    let subject = &survey.subject;
    format!(
        "{} ({} parameters) after step {} at batch size {}, mean loss over {} training examples, {}",
        subject.model,
        count(subject.dimension as u64),
        count(subject.step),
        count(subject.batch_size),
        count(subject.examples),
        subject.computed
    )
}

/// Everything that was found, in the order it was measured.
pub(super) fn all(survey: &Survey) -> Vec<Fact> {
    let rate = survey.subject.learning_rate;
    let mut facts: Vec<Fact> = survey
        .measured
        .iter()
        .flat_map(|measured| of_measurement(measured, rate))
        .collect();
    facts.extend(survey.slices.iter().map(of_slice));
    facts
}

fn of_measurement(measured: &Measurement, rate: f64) -> Vec<Fact> {
    let mut cost = format!(
        "{} evaluations, {}",
        count(measured.evaluations),
        duration(measured.seconds)
    );
    let fact = |name: String, value: String, cost: &str| Fact {
        name,
        value,
        cost: cost.to_owned(),
    };
    let name = measured.kind.name();
    match &measured.result {
        MeasurementResult::Sharpness(sharpness) => vec![fact(name, worst(sharpness), &cost)],
        MeasurementResult::Rise { rise } => vec![fact(
            name,
            format!("the loss rises by {}", estimate(rise)),
            &cost,
        )],
        MeasurementResult::Eigenvalues {
            values,
            stable_learning_rate,
            relative_error,
            ..
        } => {
            cost += &format!("; relative error of products {}", number(*relative_error));
            let missed = values.iter().filter(|v| !v.converged).count();
            let numbers: Vec<String> = values.iter().map(|v| with_error(&v.value)).collect();
            let note = match missed {
                0 => String::new(),
                n => format!(" ({n} not converged)"),
            };
            let stable = format!(
                "{} beside the {} in use",
                estimate(stable_learning_rate),
                number(rate)
            );
            let mut facts = vec![fact(name, numbers.join(", ") + &note, &cost)];
            if !matches!(measured.kind, MeasurementKind::GaussNewton { .. }) {
                let bound = "stable learning rate, 2/λ_max".to_owned();
                facts.push(fact(bound, stable, "from the first of them"));
            }
            facts
        }
        MeasurementResult::Trace(trace) => {
            let note = if trace.converged {
                ""
            } else {
                ", not converged"
            };
            let value = format!("{}{note}", estimate(&trace.trace));
            vec![fact(name, value, &cost)]
        }
        MeasurementResult::Density {
            negative,
            flat,
            relative_error,
            ..
        } => {
            cost += &format!("; relative error of products {}", number(*relative_error));
            let share = |e: &Estimate| crate::format::estimate_as(e, percent);
            let value = format!(
                "{} of the eigenvalues are about zero, {} are negative",
                share(flat),
                share(negative)
            );
            vec![fact(name, value, &cost)]
        }
        MeasurementResult::Layers { layers } => {
            let value = |v: &Estimate| v.value.map_or("undefined".to_owned(), number);
            let list: Vec<String> = layers
                .iter()
                .map(|layer| format!("{} {}", layer.name, value(&layer.largest.value)))
                .collect();
            vec![fact(name, list.join(", "), &cost)]
        }
    }
}

fn worst(sharpness: &Sharpness) -> String {
    let ended = sharpness
        .runs
        .iter()
        .filter(|r| r.status.converged())
        .count();
    format!(
        "φ = {}, largest {}; {ended} of {} searches converged",
        estimate(&sharpness.phi),
        number(sharpness.largest),
        sharpness.runs.len()
    )
}

/// An eigenvalue's interval is certain and narrow: half of it after a ±.
fn with_error(e: &Estimate) -> String {
    match (e.value, e.low, e.high) {
        (Some(value), Some(low), Some(high)) => {
            format!("{} ± {}", number(value), number(0.5 * (high - low)))
        }
        _ => estimate(e),
    }
}

/// The least loss of a slice and where it is.
fn of_slice(slice: &SliceRecord) -> Fact {
    let known = slice.coordinates.iter().zip(&slice.points);
    let known = known.filter_map(|(at, point)| Some((at, point.as_ref()?)));
    let finite = known.filter(|(_, point)| point.0.loss.is_finite());
    let least = finite.min_by(|a, b| a.1.0.loss.total_cmp(&b.1.0.loss));
    let value = match (slice.missing(), least) {
        (0, Some((at, point))) => {
            let at: Vec<String> = at.iter().map(|x| number(*x)).collect();
            let loss = number(point.0.loss);
            format!("least training loss {loss} at {}", at.join(", "))
        }
        (0, None) => "the loss is finite nowhere".to_owned(),
        (n, _) => format!("{n} of {} points still to be measured", slice.points.len()),
    };
    Fact {
        name: slice_name(&slice.kind),
        value,
        cost: match slice.statistics.is_empty() {
            true => format!("{} points", slice.points.len()),
            false => format!(
                "{} points; batch-norm statistics {}",
                slice.points.len(),
                slice.statistics
            ),
        },
    }
}

/// What people call a slice.
pub(super) fn slice_name(kind: &SliceKind) -> String {
    match kind {
        SliceKind::Straight { to } => format!("straight path to {to}"),
        SliceKind::Curved { to } => format!("curved path to {to}"),
        SliceKind::Line => "along a random direction".to_owned(),
        SliceKind::Surface => "over two random directions".to_owned(),
    }
}
