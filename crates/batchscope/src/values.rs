//! Values of flags with a grammar of their own that no crate below has.

use std::{fmt, str::FromStr};

use batchscope_command::Pattern;
use batchscope_core::{
    Choice, ChoiceError, Decay, Descriptor, Diagnostic, Metric, Quantity, SettingError, Target,
    Value, split_list, split_sum,
};
use batchscope_optim::OPTIMIZERS;
use batchscope_rules::{CONTROLLERS, Rule, read_decay, write_decay};
use batchscope_study::{Method, RateRange, TargetChoice, parse_batch_sizes};
use batchscope_train::{
    MEASUREMENTS, METHODS, augment::AUGMENTATIONS, read_measurements, read_methods, read_part,
    written_part,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::schedule_table;

/// `on` or `off`; also `true`, `false`, `yes` and `no`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { "on" } else { "off" })
    }
}

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let on = Value::read_switch(text).ok_or("choose on or off")?;
        Ok(Self(on))
    }
}

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bool(self.0)
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Switch(bool),
            Text(String),
        }
        match Either::deserialize(d)? {
            Either::Switch(on) => Ok(Self(on)),
            Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// What the learning rate does after warm-up, as [`read_decay`] reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct AfterWarmUp(pub Decay);

impl fmt::Display for AfterWarmUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_decay(&self.0))
    }
}

impl FromStr for AfterWarmUp {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        read_decay(text).map(Self)
    }
}

/// Step methods, separated by commas; none of them is plain steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Methods(pub Vec<Choice>);

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("plain"),
            methods => {
                let methods: Vec<String> = methods.iter().map(written_part).collect();
                f.write_str(&methods.join(","))
            }
        }
    }
}

impl FromStr for Methods {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        read_methods(text).map(Self)
    }
}

/// Measurements beside the metrics, separated by commas.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measurements(pub Vec<Diagnostic>);

impl fmt::Display for Measurements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortest = |own: &Diagnostic| match MEASUREMENTS.find(own.name()) {
            Ok(kind) => kind.descriptor.shortest(&own.0),
            Err(_) => own.0.to_string(),
        };
        let names: Vec<String> = self.0.iter().map(shortest).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Measurements {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        read_measurements(text).map(Self)
    }
}

/// Reads `--adversarial EPSILON:CLEAN_WEIGHT`.
///
/// # Errors
/// When a setting is wrong.
pub fn adversarial(text: &str) -> Result<Methods, ChoiceError> {
    format!("adversarial:{text}").parse()
}

/// Reads `--conservative LAMBDA:ITERATIONS`.
///
/// # Errors
/// When a setting is wrong.
pub fn conservative(text: &str) -> Result<Methods, ChoiceError> {
    format!("conservative:{text}").parse()
}

/// What leads a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Controlled(pub Choice);

impl FromStr for Controlled {
    type Err = String;

    /// A table that is named by its file is read here: what is kept does not depend on the file.
    fn from_str(text: &str) -> Result<Self, String> {
        let (_, mut choice) = CONTROLLERS.read(text).map_err(|e| e.to_string())?;
        if let Some(rows) = choice.text("rows") {
            let rows = schedule_table::resolve(rows)?;
            choice.set("rows", rows.as_str());
        }
        Ok(Self(choice))
    }
}

/// A thing with its parameters and their defaults, as help shows it: `adversarial(epsilon=0.1)`.
pub fn written(of: &Descriptor) -> String {
    match of.defaults() {
        Ok(defaults) => defaults.to_string(),
        Err(_) => format!("{}({})", of.name, of.takes()),
    }
}

/// A size in bytes: `512M`, `4G`, `1.5GiB`, `1000000`. K, M, G, T are powers of 1024, as memory is
/// counted, with or without `iB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1u64 << 40, "T"),
            (1 << 30, "G"),
            (1 << 20, "M"),
            (1 << 10, "K"),
        ];
        let whole = units
            .iter()
            .find(|(unit, _)| self.0.is_multiple_of(*unit) && self.0 > 0);
        match whole {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Less than a byte is nothing.
        let bytes = scaled(text, 1024.0).filter(|&bytes| bytes >= 1.0);
        let bytes = bytes.ok_or("write bytes with a unit, for example 512M or 4G")?;
        Ok(Self(bytes as u64))
    }
}

/// Reads bytes a second: `12.5G`, `12.5GB/s`. K, M, G, T are powers of 1000, as links are counted.
///
/// # Errors
/// What would be right, for the flag's message.
pub fn rate(text: &str) -> Result<f64, String> {
    let wrong = || "write bytes a second, for example 12.5G or 800M".to_owned();
    scaled(text.trim().trim_end_matches("/s"), 1000.0).ok_or_else(wrong)
}

/// A positive number with a unit whose steps are `thousand`.
fn scaled(text: &str, thousand: f64) -> Option<f64> {
    let trimmed = text.trim().trim_end_matches('B');
    let (trimmed, thousand) = match trimmed.strip_suffix('i') {
        Some(binary) => (binary, 1024.0),
        None => (trimmed, thousand),
    };
    let (digits, unit) = match trimmed.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            (&trimmed[..at], unit.to_ascii_uppercase())
        }
        _ => (trimmed, ' '),
    };
    let power = match unit {
        ' ' => 0,
        'K' => 1,
        'M' => 2,
        'G' => 3,
        'T' => 4,
        _ => return None,
    };
    let value: f64 = digits.trim().parse().ok()?;
    (value.is_finite() && value > 0.0).then_some(value * f64::powi(thousand, power))
}

/// Batch sizes: `8..2048`, `8..2048:x4`, `8,24,96`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSizes(pub Vec<u64>);

impl fmt::Display for BatchSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&sizes.join(","))
    }
}

impl FromStr for BatchSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_batch_sizes(text).map(Self).map_err(|e| e.why)
    }
}

/// Rules, separated by commas.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules(pub Vec<Rule>);

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<String> = self.0.iter().map(Rule::to_string).collect();
        f.write_str(&rules.join(","))
    }
}

impl FromStr for Rules {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let rules = split_list(text)?;
        let rules: Result<_, ChoiceError> = rules.into_iter().map(str::parse).collect();
        rules.map(Self)
    }
}

/// Methods to compare: an optimizer and a rule each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MethodList(pub Vec<Method>);

impl fmt::Display for MethodList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|method| method.name.as_str()).collect();
        f.write_str(&names.join(", "))
    }
}

impl FromStr for MethodList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = split_list(text).map_err(|error| error.to_string())?;
        parts
            .into_iter()
            .map(method)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// `adamw(beta2=0.99)+sqrt+timescale+conadv+flip+grow`: an optimizer, then the parts of a rule, or `tuned`, step methods and
/// augmentations, and a controller, between plus signs outside of parentheses. A controller that finds the rate needs no
/// rule.
fn method(text: &str) -> Result<Method, String> {
    /// How a method without a rule is written.
    const TUNED: &str = "tuned";
    let parts = split_sum(text).map_err(|e| e.to_string())?;
    let (kind, optimizer) = OPTIMIZERS.read(parts[0]).map_err(|e| e.to_string())?;
    let (mut rules, mut steps, mut led, mut is_tuned) = (Vec::new(), Vec::new(), None, false);
    for part in &parts[1..] {
        let name = part.split(['(', ':']).next().unwrap_or_default().trim();
        if part.eq_ignore_ascii_case(TUNED) {
            is_tuned = true;
        } else if CONTROLLERS.find(name).is_ok() {
            let Controlled(choice) = part.parse()?;
            if led.replace(choice).is_some() {
                return Err(format!("'{text}' names two controllers: keep one of them"));
            }
        } else if METHODS.find(name).is_ok() || AUGMENTATIONS.find(name).is_ok() {
            // A plain step is no method at all.
            let read = read_part(part).map_err(|e| e.to_string())?;
            steps.extend((read.name() != "plain").then_some(read));
        } else {
            rules.push(*part);
        }
    }
    let [low, high] = kind.rates.searched;
    let mut method = Method {
        name: String::new(),
        optimizer,
        rule: match rules.is_empty() {
            true => None,
            false => Some(
                rules
                    .join("+")
                    .parse()
                    .map_err(|e: ChoiceError| e.to_string())?,
            ),
        },
        steps,
        controller: led,
        rates: RateRange { low, high },
    };
    let shown = text.trim();
    match (method.finds_rate(), &method.rule, is_tuned) {
        (true, None, false) | (false, Some(_), false) | (false, None, true) => {}
        (true, _, _) => {
            return Err(format!(
                "'{shown}' tunes or carries a rate, and its controller finds one: keep one of them"
            ));
        }
        (false, Some(_), true) => {
            return Err(format!(
                "'{shown}' tunes the rate at every batch size and carries it by a rule: keep one of them"
            ));
        }
        (false, None, false) => {
            return Err(format!(
                "'{shown}' names no rule: write an optimizer and a rule, sgd+lsr, or sgd+tuned"
            ));
        }
    }
    let mut written = vec![kind.descriptor.shortest(&method.optimizer)];
    written.extend(is_tuned.then(|| TUNED.to_owned()));
    written.extend(method.rule.as_ref().map(Rule::to_string));
    written.extend(method.steps.iter().map(written_part));
    if let Some(choice) = &method.controller {
        let kind = CONTROLLERS.find(choice.name()).map_err(|e| e.to_string())?;
        written.push(kind.descriptor.shortest(choice));
    }
    method.name = written.join("+");
    Ok(method)
}

/// The ratio of a tuning range's ends; `full` for `--learning-rates` themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TuneWidth(pub Option<f64>);

impl fmt::Display for TuneWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("full"),
            Some(ratio) => write!(f, "{ratio}"),
        }
    }
}

impl FromStr for TuneWidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self(None)),
            ratio => ratio
                .parse()
                .map(|ratio| Self(Some(ratio)))
                .map_err(|_| "write a ratio above 1, or full".to_owned()),
        }
    }
}

/// Devices that trials take turns on, separated by commas: `cuda:0,cuda:1+cuda:2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices(pub Vec<String>);

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let devices: Vec<String> = text
            .split(',')
            .map(|device| device.trim().to_owned())
            .collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || "+:_-.".contains(c);
        let is_device = |device: &String| !device.is_empty() && device.chars().all(plain);
        let mut single: Vec<&str> = devices
            .iter()
            .flat_map(|device| device.split('+'))
            .collect();
        let count = single.len();
        single.sort_unstable();
        single.dedup();
        if !devices.iter().all(is_device) || single.iter().any(|device| device.is_empty()) {
            return Err(
                "write devices with commas between them, for example cuda:0,cuda:1".to_owned(),
            );
        }
        match single.len() == count {
            true => Ok(Self(devices)),
            false => Err("names a device twice: two trials would share it".to_owned()),
        }
    }
}

/// A program's own name for a metric: `val-loss=dev/nll`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricName {
    /// The metric.
    pub metric: Metric,
    /// What the program calls it.
    pub name: String,
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.metric, self.name)
    }
}

impl FromStr for MetricName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (metric, name) = text.split_once('=').unwrap_or((text, ""));
        if name.trim().is_empty() {
            return Err("write METRIC=NAME, for example val-loss=dev/nll".to_owned());
        }
        let metric = metric.trim().parse().map_err(|e| format!("{e}"))?;
        let name = name.trim().to_owned();
        Ok(Self { metric, name })
    }
}

impl Serialize for MetricName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MetricName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How lines of a program's output are read.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputPattern(pub Pattern);

impl fmt::Display for OutputPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OutputPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// Reads a part of a plan; its error without the key, which the flag's message has already.
///
/// # Errors
/// What would be right.
pub fn of_plan<T: FromStr<Err = SettingError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: SettingError| e.why)
}

/// Reads where a study's target comes from.
///
/// # Errors
/// When it cannot be read, or no training can be on either side of it.
pub fn target(text: &str) -> Result<TargetChoice, String> {
    let choice: TargetChoice = of_plan(text)?;
    match &choice {
        TargetChoice::Fixed(target) => check_target(target).map(|()| choice.clone()),
        _ => Ok(choice),
    }
}

/// Reads a target fixed beforehand.
///
/// # Errors
/// As [`target`].
pub fn fixed_target(text: &str) -> Result<Target, String> {
    let target: Target = text.parse().map_err(|e| format!("{e}"))?;
    check_target(&target).map(|()| target)
}

/// Refuses a target that no training can be on either side of.
fn check_target(target: &Target) -> Result<(), String> {
    let value = target.value;
    Err(match target.metric.quantity {
        Quantity::Error | Quantity::Accuracy | Quantity::MeanIou
            if !(0.0..=1.0).contains(&value) =>
        {
            format!("{} must be from 0 to 1: 3 % is 0.03", target.metric)
        }
        Quantity::Error if value == 1.0 => {
            "an error is never above 1: every network meets that".to_owned()
        }
        Quantity::Accuracy | Quantity::MeanIou if value == 0.0 => {
            format!(
                "{} is never below 0: every network meets that",
                target.metric
            )
        }
        Quantity::Loss if value < 0.0 => "a loss is never below 0".to_owned(),
        Quantity::Perplexity if value < 1.0 => "a perplexity is never below 1".to_owned(),
        _ => return Ok(()),
    })
}

/// Reads a finite number of at least 0.
///
/// # Errors
/// What would be right.
pub fn at_least_zero(text: &str) -> Result<f64, String> {
    number(text, "at least 0", |x| x >= 0.0)
}

/// Reads a finite number above 0.
///
/// # Errors
/// What would be right.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text, "above 0", |x| x > 0.0)
}

/// Reads a whole number of at least 1.
///
/// # Errors
/// What would be right.
pub fn at_least_one(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(n) if n >= 1 => Ok(n),
        _ => Err("must be a whole number of at least 1".to_owned()),
    }
}

fn number(text: &str, range: &str, within: impl Fn(f64) -> bool) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && within(x) => Ok(x),
        _ => Err(format!("must be a number {range}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        assert_eq!(bytes("512M"), Ok(512 << 20));
        assert_eq!(bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(bytes("1000"), Ok(1000));
        for text in ["512M", "4G", "1000", "1536M", "3K"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        assert_eq!(rate("12.5G"), Ok(12.5e9));
        assert_eq!(rate("12.5GB/s"), Ok(12.5e9));
        assert_eq!(rate("1GiB/s"), Ok(1024f64.powi(3)));
        for broken in ["", "G", "-1G", "1X", "infG", "ä"] {
            assert!(bytes(broken).is_err() && rate(broken).is_err(), "{broken}");
        }
        assert!(bytes("1.8e-30").is_err() && bytes("0.9").is_err());
    }

    #[test]
    fn a_target_that_training_cannot_be_on_either_side_of_is_refused() {
        for text in ["val-error=3", "val-loss=-1", "val-perplexity=0.5"] {
            assert!(
                target(text).is_err() && fixed_target(text).is_err(),
                "{text}"
            );
        }
        assert!(fixed_target("auto").is_err() && target("auto").is_ok());
    }
}
