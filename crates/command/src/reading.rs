//! What a program reports at once: names with numbers.

use std::collections::BTreeMap;

use batchscope_core::{Metric, plain_name};

/// Names and numbers that belong together: a line, an object, a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading(pub Vec<(String, f64)>);

/// What the names of a program's reports mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names {
    /// Metrics that are reported under a name of the program's own.
    pub metrics: Vec<(Metric, String)>,
    /// Metrics that are wanted and found by their usual names.
    pub wanted: Vec<Metric>,
}

/// Names of the steps done, of the examples, epochs and learning rate, as [`plain_name`] writes them.
const STEPS: &[&str] = &[
    "step",
    "steps",
    "globalstep",
    "iteration",
    "iterations",
    "iter",
    "iters",
    "update",
    "updates",
];
const EXAMPLES: &[&str] = &[
    "examples",
    "samples",
    "examplesseen",
    "samplesseen",
    "numexamples",
    "numsamples",
];
const EPOCHS: &[&str] = &["epoch", "epochs"];
const RATES: &[&str] = &["lr", "learningrate"];

/// A reading whose names are understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Understood {
    pub step: Option<f64>,
    pub examples: Option<f64>,
    pub epochs: Option<f64>,
    pub learning_rate: Option<f64>,
    pub metrics: BTreeMap<Metric, f64>,
}

impl Names {
    /// What a reading says.
    pub(crate) fn understand(&self, reading: &Reading) -> Understood {
        let mut understood = Understood::default();
        for (name, value) in &reading.0 {
            if let Some(metric) = self.metric(name) {
                understood.metrics.insert(metric.clone(), *value);
                continue;
            }
            // `train/global_step` is a step, whatever it is a part of.
            let last = name.rsplit('/').next().unwrap_or(name);
            let plain = plain_name(last);
            let is = |names: &[&str]| names.contains(&plain.as_str());
            let field = match () {
                () if is(STEPS) => &mut understood.step,
                () if is(EXAMPLES) => &mut understood.examples,
                () if is(EPOCHS) => &mut understood.epochs,
                () if is(RATES) => &mut understood.learning_rate,
                () => continue,
            };
            field.get_or_insert(*value);
        }
        understood
    }

    /// The metric that a name stands for.
    pub(crate) fn metric(&self, name: &str) -> Option<&Metric> {
        let own = self.metrics.iter().find(|(_, own)| own == name);
        let usual = || {
            let renamed = |metric: &&Metric| self.metrics.iter().any(|(named, _)| named == *metric);
            self.wanted
                .iter()
                .filter(|m| !renamed(m))
                .find(|metric| metric.is_called(name))
        };
        own.map(|(metric, _)| metric).or_else(usual)
    }
}

/// The metrics of each line of a program's output: what a trial takes from it, without the trial. For tests
/// that read hostile bytes.
pub fn metrics_of_output(bytes: &[u8], names: &Names) -> Vec<BTreeMap<Metric, f64>> {
    let (mut lines, mut found) = (crate::Lines::default(), Vec::new());
    let mut take = |line: &str| {
        found.push(
            names
                .understand(&crate::sources::output_line(line, None))
                .metrics,
        )
    };
    lines.push(bytes, &mut take);
    lines.finish(&mut take);
    found
}

/// The names and numbers of a line: `step=100 val_loss: 0.43`, `{'loss': 0.5, "lr": 1e-3}`, `iter 20: val_acc=0.9`. A number may be
/// `nan` or `inf`.
pub(crate) fn pairs(line: &str) -> Reading {
    let mut pairs = Vec::new();
    let bytes = line.as_bytes();
    for (at, _) in line.match_indices(['=', ':']) {
        let before = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let begin = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| c.is_alphanumeric() || "_-./@".contains(*c))
            .last()
            .map_or(before.len(), |(begin, _)| begin);
        let name = before[begin..].trim_start_matches(['-', '.', '/']);
        let doubled = bytes.get(at + 1).is_some_and(|b| matches!(b, b'=' | b':'));
        if name.is_empty() || !name.starts_with(|c: char| c.is_alphabetic() || c == '_') || doubled
        {
            continue;
        }
        let after = line[at + 1..].trim_start();
        let end = after
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c)))
            .unwrap_or(after.len());
        if let Some(value) = number(after[..end].trim_end_matches('.')) {
            pairs.push((name.to_owned(), value));
        }
    }
    counted(line, &mut pairs);
    Reading(pairs)
}

/// Adds the steps or epochs of lines such as `iter 20: loss=0.5` and `Epoch 3/10`, where a number follows a word
/// for them.
fn counted(line: &str, pairs: &mut Vec<(String, f64)>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    for pair in words.windows(2) {
        let name = pair[0].trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        let plain = plain_name(name);
        let is = |names: &[&str]| names.contains(&plain.as_str());
        if !(is(STEPS) || is(EPOCHS)) || pairs.iter().any(|(known, _)| known == name) {
            continue;
        }
        let text = pair[1];
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'));
        let digits = text[..end.unwrap_or(text.len())].trim_end_matches('.');
        pairs.extend(number(digits).map(|value| (name.to_owned(), value)));
    }
}

/// A number as programs print it: also `1_000`, `nan`, `inf`.
pub(crate) fn number(text: &str) -> Option<f64> {
    let begins = text.trim_start_matches(['+', '-']);
    let plausible = begins.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || ["nan", "inf", "infinity"].contains(&begins.to_ascii_lowercase().as_str());
    if !plausible {
        return None;
    }
    match text.contains('_') {
        true => text.replace('_', "").parse().ok(),
        false => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<(String, f64)> {
        pairs(line).0
    }

    fn pair(name: &str, value: f64) -> (String, f64) {
        (name.to_owned(), value)
    }

    #[test]
    fn lines_of_many_programs_are_read() {
        assert_eq!(
            of("step=100 val_loss=0.43"),
            [pair("step", 100.0), pair("val_loss", 0.43)]
        );
        assert_eq!(
            of("epoch: 3, val/acc : 9.1e-1."),
            [pair("epoch", 3.0), pair("val/acc", 0.91)]
        );
        assert_eq!(
            of("{'loss': 0.5, \"lr\": 1e-3}"),
            [pair("loss", 0.5), pair("lr", 0.001)]
        );
        assert_eq!(
            of("[INFO] step=1_000, --rate=.5"),
            [pair("step", 1000.0), pair("rate", 0.5)]
        );
        assert_eq!(
            of("iter 326: val_acc: 0.95"),
            [pair("val_acc", 0.95), pair("iter", 326.0)]
        );
        assert_eq!(
            of("[Epoch 3/10] acc=1"),
            [pair("acc", 1.0), pair("Epoch", 3.0)]
        );
        assert!(of("val_loss=nan")[0].1.is_nan());
        assert_eq!(of("val_loss = -inf"), [pair("val_loss", f64::NEG_INFINITY)]);
    }

    #[test]
    fn what_is_no_number_is_nothing() {
        for line in [
            "",
            "=",
            ":::",
            "a==1",
            "time: 12:30:05x",
            "path=/a/b",
            "name=bob",
            "1=2",
            "é:",
            "x=",
            "a=e5",
        ] {
            let found = of(line);
            assert!(
                found.iter().all(|(name, _)| name == "time"),
                "{line}: {found:?}"
            );
        }
    }

    #[test]
    fn names_are_understood_by_rule_or_as_told() {
        let metric = |text: &str| text.parse::<Metric>().unwrap();
        let names = Names {
            metrics: vec![(metric("val-loss"), "dev/nll".to_owned())],
            wanted: vec![metric("val-loss"), metric("val-accuracy")],
        };
        let understood = names.understand(&pairs(
            "train/global_step=7 dev/nll=2 eval_acc=0.9 val_loss=8 lr=0.1",
        ));
        assert_eq!(understood.step, Some(7.0));
        assert_eq!(understood.learning_rate, Some(0.1));
        let found: Vec<(String, f64)> = understood
            .metrics
            .iter()
            .map(|(m, v)| (m.to_string(), *v))
            .collect();
        // A metric with a name of its own is found under no other.
        assert_eq!(found, [pair("val-loss", 2.0), pair("val-accuracy", 0.9)]);
    }
}
