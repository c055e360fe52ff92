//! What an answer depends on beside the model, the data and the target.

use batchscope_core::{Choice, Decay, DecayPolicy, Length, Schedule, Value, WarmUpShape};
use batchscope_rules::write_decay;
use batchscope_scaling::StudySummary;

use crate::format::{number, plain, warm_up};

/// Optimizer, momentum, warm-up, schedule, clipping and step methods, as a list: `SGD, momentum 0.9, 10
/// warm-up steps`. Empty where the findings do not say.
pub(super) fn conditions(study: &StudySummary) -> String {
    let Some(conditions) = &study.conditions else {
        return String::new();
    };
    let mut parts = match conditions.tuned_momentum {
        None => optimizer(&conditions.optimizer),
        Some((low, high)) => {
            let mut without = conditions.optimizer.clone();
            without.set("momentum", 0.0);
            let mut parts = optimizer(&without);
            let tuned = format!("momentum tuned from {} to {}", number(low), number(high));
            parts.insert(1, tuned);
            parts
        }
    };
    if conditions.token_half_life {
        parts.push(format!(
            "beta2 that of batch size {}, its half-life in examples kept at others",
            study.base_batch
        ));
    }
    if conditions.decay == DecayPolicy::All
        && conditions
            .optimizer
            .number("weight_decay")
            .is_some_and(|w| w > 0.0)
    {
        parts.push("of biases and normalizations too".to_owned());
    }
    parts.extend(schedule(&conditions.schedule));
    if let Some(norm) = conditions.clip {
        parts.push(format!("gradients clipped to norm {}", number(norm)));
    }
    parts.extend(conditions.methods.iter().map(Choice::to_string));
    plain(&parts.join(", "))
}

/// The same in parentheses after a space, where there is anything to say.
pub(super) fn in_parentheses(study: &StudySummary) -> String {
    match conditions(study) {
        _ if study.measured_elsewhere.is_some() => {
            " (under conditions that the table does not state)".to_owned()
        }
        _ if study.own_settings => " (with the optimizer and schedule of the program)".to_owned(),
        none if none.is_empty() => none,
        conditions => format!(" ({conditions})"),
    }
}

/// Its name and the constants that are not zero or off. ε of Adam's family only keeps a division from
/// zero.
fn optimizer(choice: &Choice) -> Vec<String> {
    let name = match choice.name() {
        "sgd" => "SGD",
        "adam" => "Adam",
        "adamw" => "AdamW",
        "lars" => "LARS",
        "lamb" => "LAMB",
        "adamp" => "AdamP",
        "sgdp" => "SGDP",
        other => other,
    };
    let mut parts = vec![name.to_owned()];
    for (key, value) in choice.values() {
        let words = key.replace('_', " ");
        match value {
            Value::Number(0.0) | Value::Switch(false) => {}
            _ if key == "epsilon" => {}
            Value::Number(x) => parts.push(format!("{words} {}", number(*x))),
            Value::Switch(true) => parts.push(words),
            other => parts.push(format!("{words} {other}")),
        }
    }
    parts
}

fn schedule(schedule: &Schedule) -> Vec<String> {
    let gradual = match schedule.warm_up.shape {
        WarmUpShape::Linear => "",
        WarmUpShape::Gradual => "gradual ",
    };
    let mut parts = vec![match schedule.warm_up.length {
        none if none.is_zero() => warm_up(0, gradual),
        Length::Steps(steps) => warm_up(steps, gradual),
        Length::Epochs(epochs) => format!("{} {gradual}warm-up epochs", number(epochs)),
    }];
    if schedule.decay != Decay::Constant {
        parts.push(write_decay(&schedule.decay));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nothing_is_not_said() {
        let sgd = |momentum: f64| {
            let values = [
                ("momentum", Value::from(momentum)),
                ("nesterov", Value::Switch(false)),
                ("weight_decay", Value::from(0.0)),
            ];
            optimizer(&Choice::new("sgd", values)).join(", ")
        };
        assert_eq!(sgd(0.9), "SGD, momentum 0.9");
        assert_eq!(sgd(0.0), "SGD");
        let adam = Choice::new(
            "adamw",
            [
                ("beta1", Value::from(0.9)),
                ("epsilon", Value::from(1e-8)),
                ("weight_decay", Value::from(0.01)),
            ],
        );
        assert_eq!(
            optimizer(&adam).join(", "),
            "AdamW, beta1 0.9, weight decay 0.01"
        );
    }

    #[test]
    fn warm_up_and_decay_are_said() {
        let said = |s: &Schedule| schedule(s).join(", ");
        assert_eq!(said(&Schedule::constant()), "no warm-up");
        let mut cosine = Schedule::warm_up(10);
        cosine.decay = Decay::Cosine {
            over: Length::Epochs(30.0),
            floor: 0.0,
        };
        assert_eq!(said(&cosine), "10 warm-up steps, cosine(30ep)");
    }
}
