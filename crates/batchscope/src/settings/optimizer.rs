//! Which optimizer, with one flag for every parameter that some optimizer of the registry has.

use std::collections::BTreeMap;

use batchscope_core::{
    Call, Choice, ChoiceError, DecayPolicy, Kind, Parameter, ParameterDefault, Value,
};
use batchscope_optim::{OPTIMIZERS, OptimizerKind, Rates};
use clap::{
    Arg, ArgMatches, Args, Command, Error, FromArgMatches,
    builder::{PossibleValue, TypedValueParser, ValueParser},
};
use serde::{Deserialize, Serialize};

use super::text;
use crate::values;

/// The optimizer when nothing is said.
pub const DEFAULT_OPTIMIZER: &str = "sgd";

/// The optimizer.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Optimizer")]
pub struct OptimizerArgs {
    /// Optimizer, with settings or without: sgd, adam(beta1=0.8) [default: sgd]
    #[arg(long, alias = "optimiser", value_name = "NAME", value_parser = OptimizerParser)]
    #[serde(
        with = "text",
        alias = "optimiser",
        skip_serializing_if = "Option::is_none"
    )]
    pub optimizer: Option<Call>,
    /// Its settings, each by a flag of its own.
    #[command(flatten)]
    #[serde(skip)]
    pub settings: OptimizerSettings,
    /// Clip the mean gradient to this norm, above 0
    #[arg(long, value_name = "NORM", value_parser = values::positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// What weight decay applies to: weights (not biases and normalizations), or all (PyTorch's default) [default: weights]
    #[arg(long, value_name = "weights|all")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub weight_decay_on: Option<DecayPolicy>,
}

/// Settings of optimizers by key: `weight-decay`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OptimizerSettings(BTreeMap<String, Value>);

impl OptimizerArgs {
    /// The same with the arguments of `--optimizer 'adam(beta1=0.8)'` as settings beside its name,
    /// where a flag does not say otherwise.
    pub fn spread(mut self) -> Self {
        let Some(call) = &mut self.optimizer else {
            return self;
        };
        // Unknown names and settings are left for `choice` to refuse.
        if let Ok(kind) = OPTIMIZERS.find(&call.name)
            && let Ok(choice) = kind.descriptor.read(call)
            && let Ok(defaults) = kind.descriptor.defaults()
        {
            for (key, value) in choice.values() {
                if defaults.get(key) != Some(value) {
                    let key = key.replace('_', "-");
                    self.settings.0.entry(key).or_insert_with(|| value.clone());
                }
            }
            call.arguments.clear();
        }
        self
    }

    /// The optimizer that was asked for. Settings that do not belong to it are refused, not
    /// ignored.
    ///
    /// # Errors
    /// When there is no such optimizer, or a setting is not its own or out of range.
    pub fn choice(&self) -> Result<Choice, ChoiceError> {
        let spread = self.clone().spread();
        let name = spread.optimizer.map(|call| call.to_string());
        let (kind, mut choice) = OPTIMIZERS.read(name.as_deref().unwrap_or(DEFAULT_OPTIMIZER))?;
        for (key, value) in spread.settings.0 {
            choice.set(&key.replace('-', "_"), value);
        }
        kind.descriptor.check(&choice)
    }

    /// The same with every setting of a choice.
    pub fn resolved(self, choice: &Choice) -> Self {
        let settings = choice.values();
        let settings = settings.map(|(key, value)| (key.replace('_', "-"), value.clone()));
        Self {
            optimizer: Some(Call {
                name: choice.name().to_owned(),
                arguments: Vec::new(),
            }),
            settings: OptimizerSettings(settings.collect()),
            ..self
        }
    }

    /// The learning rates of the optimizer when nothing is said.
    pub fn rates(&self) -> Rates {
        // Unknown names are refused by `choice`.
        OPTIMIZERS
            .find(self.name())
            .or_else(|_| OPTIMIZERS.find(DEFAULT_OPTIMIZER))
            .expect("the default is in the registry")
            .rates
    }

    /// The name of the optimizer.
    pub fn name(&self) -> &str {
        self.optimizer
            .as_ref()
            .map_or(DEFAULT_OPTIMIZER, |call| &call.name)
    }
}

/// Every parameter that some optimizer has, once.
fn parameters() -> Vec<&'static Parameter> {
    let mut all: Vec<&'static Parameter> = Vec::new();
    for parameter in OPTIMIZERS.all.iter().flat_map(|k| k.descriptor.parameters) {
        if all.iter().all(|known| known.name != parameter.name) {
            all.push(parameter);
        }
    }
    all
}

/// A flag's name.
fn flag(parameter: &Parameter) -> String {
    parameter.name.replace('_', "-")
}

impl OptimizerSettings {
    /// The keys, which are the flags.
    pub fn keys() -> Vec<String> {
        parameters().into_iter().map(flag).collect()
    }

    fn arguments() -> impl Iterator<Item = Arg> {
        parameters().into_iter().map(|parameter| {
            let stated = defaults(parameter.name);
            let range = match parameter.kind {
                Kind::Number(range) => format!(", {range}"),
                _ => String::new(),
            };
            let argument = Arg::new(parameter.name)
                .long(flag(parameter))
                .help(format!("{}{range}{stated}", parameter.about))
                .help_heading("Optimizer")
                .value_parser(parser(parameter));
            match parameter.kind {
                Kind::Switch => argument
                    .value_name("on|off")
                    .num_args(0..=1)
                    .default_missing_value("on"),
                Kind::Whole(..) => argument.value_name("N"),
                _ => argument.value_name("X"),
            }
        })
    }
}

/// What a parameter is by default, and for whom it is something else: ` [default: 0.9] [muon: 0.95]`.
fn defaults(name: &str) -> String {
    let stated = |kind: &OptimizerKind| {
        Some(match kind.descriptor.parameter(name)?.default {
            ParameterDefault::Number(x) => short(x),
            ParameterDefault::Whole(n) => n.to_string(),
            ParameterDefault::Text(text) => text.to_owned(),
            ParameterDefault::Switch(on) => if on { "on" } else { "off" }.to_owned(),
            _ => return None,
        })
    };
    let of_all = OPTIMIZERS
        .all
        .iter()
        .filter_map(|kind| Some((kind.descriptor.name, stated(kind)?)));
    let of_all: Vec<(&str, String)> = of_all.collect();
    let Some((_, usual)) = of_all.first() else {
        return String::new();
    };
    let others = of_all.iter().filter(|(_, default)| default != usual);
    let others: String = others
        .map(|(name, default)| format!(" [{name}: {default}]"))
        .collect();
    // A switch that is off until it is named needs no word.
    match usual == "off" && others.is_empty() {
        true => others,
        false => format!(" [default: {usual}]{others}"),
    }
}

/// A number as people write it: `1e-8`, not `0.00000001`.
fn short(x: f64) -> String {
    if x != 0.0 && x.abs() < 1e-3 {
        format!("{x:e}")
    } else {
        x.to_string()
    }
}

/// Reads a parameter's value, whichever optimizer it is for: its own range is checked with the
/// optimizer known.
fn parser(parameter: &'static Parameter) -> ValueParser {
    let owner = OPTIMIZERS
        .all
        .iter()
        .find(|kind| kind.descriptor.parameter(parameter.name).is_some());
    let owner = owner.map(|kind| &kind.descriptor);
    ValueParser::new(move |text: &str| -> Result<Value, String> {
        let value = owner.map(|owner| owner.value(parameter, text));
        match value {
            Some(Ok(value)) => Ok(value),
            _ => Err(format!("must be {}", parameter.kind)),
        }
    })
}

impl Args for OptimizerSettings {
    fn augment_args(command: Command) -> Command {
        command.args(Self::arguments())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for OptimizerSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = parameters().into_iter().filter_map(|parameter| {
            let value = matches.get_one::<Value>(parameter.name)?;
            Some((flag(parameter), value.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

/// Reads `--optimizer`; completes its names.
#[derive(Clone)]
struct OptimizerParser;

impl TypedValueParser for OptimizerParser {
    type Value = Call;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Call, Error> {
        let read = |text: &str| -> Result<Call, ChoiceError> {
            let call: Call = text.parse()?;
            OPTIMIZERS.find(&call.name)?.descriptor.read(&call)?;
            Ok(call)
        };
        read.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = OPTIMIZERS.all.iter().map(|kind| {
            let of = &kind.descriptor;
            PossibleValue::new(of.name)
                .aliases(of.aliases)
                .help(format!(
                    "{}; usual learning rate {}",
                    of.about,
                    short(kind.rates.usual)
                ))
        });
        Some(Box::new(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_one_name_are_of_one_kind() {
        // One flag serves all of them.
        for known in parameters() {
            for kind in OPTIMIZERS.all {
                if let Some(other) = kind.descriptor.parameter(known.name) {
                    let same = std::mem::discriminant(&other.kind);
                    assert_eq!(same, std::mem::discriminant(&known.kind), "{}", known.name);
                }
            }
        }
    }

    #[test]
    fn arguments_of_the_name_are_settings_and_flags_win() {
        let mut args = OptimizerArgs {
            optimizer: Some("adam(beta1=0.8,beta2=0.9)".parse().unwrap()),
            ..OptimizerArgs::default()
        };
        args.settings.0.insert("beta2".to_owned(), 0.5.into());
        let choice = args.choice().unwrap();
        let number = |key: &str| choice.number(key).unwrap();
        assert_eq!((number("beta1"), number("beta2")), (0.8, 0.5));
        args.settings.0.insert("momentum".to_owned(), 0.5.into());
        assert_eq!(args.choice().unwrap_err().key(), Some("momentum"));
    }
}
