//! Choosing things by name: how a choice is written, what there is to choose from, and what was
//! chosen.
//!
//! Every kind of thing (optimizer, rule, model, reader, …) has a [`Registry`] in the crate that
//! implements it: a list of entries, each with a [`Descriptor`] beside its implementation.

mod call;
mod descriptor;
mod refusal;
mod registry;
mod value;

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap,
};

pub use call::{Argument, Call, CallError, MAX_TEXT, split_list, split_sum};
pub use descriptor::{Default, Descriptor, Kind, Parameter, Range};
pub use refusal::ChoiceError;
pub use registry::{Described, Registry};
pub use value::Value;

/// A thing that was chosen, with all its settings: `sgd` with momentum 0.9, nesterov off, weight
/// decay 0.
///
/// Made by [`Descriptor::read`], which checks it. In JSON it is one object, `kind` and the
/// settings: `{"kind": "sgd", "momentum": 0.9, "nesterov": false, "weight_decay": 0.0}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    name: String,
    values: Vec<(String, Value)>,
}

impl Choice {
    /// A choice of these settings, unchecked: [`Descriptor::check`] checks it.
    pub fn new<K: Into<String>>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = (K, Value)>,
    ) -> Self {
        let values = values.into_iter().map(|(key, value)| (key.into(), value));
        Self {
            name: name.into(),
            values: values.collect(),
        }
    }

    /// The thing's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings, in the order of its parameters.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A setting.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Replaces a setting, or adds it.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.values.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.values.push((key.to_owned(), value)),
        }
    }

    /// A numeric setting.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Number(x) => Some(*x),
            Value::Whole(n) => Some(*n as f64),
            _ => None,
        }
    }

    /// A whole-number setting.
    pub fn whole(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Whole(n) => Some(*n),
            _ => None,
        }
    }

    /// Whether a switch is on; off where it is not set.
    pub fn is_on(&self, key: &str) -> bool {
        self.get(key) == Some(&Value::Switch(true))
    }

    /// A setting that is a word or text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A setting that is a list of whole numbers; empty where it is not set.
    pub fn list(&self, key: &str) -> &[u64] {
        match self.get(key) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }
}

impl fmt::Display for Choice {
    /// The name with every setting: `sgd(momentum=0.9,nesterov=off,weight_decay=0)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.values.is_empty() {
            return Ok(());
        }
        let values = self.values().map(|(key, value)| match value {
            Value::List(_) => value.to_string(),
            value => format!("{key}={value}"),
        });
        write!(f, "({})", values.collect::<Vec<_>>().join(","))
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.values.len() + 1))?;
        map.serialize_entry("kind", &self.name)?;
        for (key, value) in self.values() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl JsonSchema for Choice {
    fn schema_name() -> Cow<'static, str> {
        "Choice".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Something chosen by name, with its settings",
            "type": "object",
            "properties": { "kind": { "type": "string" } },
            "required": ["kind"],
            "additionalProperties": {
                "anyOf": [
                    { "type": ["number", "boolean", "string"] },
                    { "type": "array", "items": { "type": "integer", "minimum": 0 } },
                ],
            },
        })
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        /// Most settings that are read: untrusted files may hold any number.
        const MOST: usize = 64;
        struct Settings;
        impl<'de> Visitor<'de> for Settings {
            type Value = Choice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a `kind` and its settings")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Choice, M::Error> {
                let (mut name, mut values) = (None, Vec::new());
                while let Some(key) = map.next_key::<String>()? {
                    if key == "kind" {
                        name = Some(map.next_value()?);
                    } else if values.len() == MOST {
                        return Err(M::Error::custom("too many settings"));
                    } else {
                        values.push((key, map.next_value()?));
                    }
                }
                let name = name.ok_or_else(|| M::Error::missing_field("kind"))?;
                Ok(Choice { name, values })
            }
        }
        d.deserialize_map(Settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SGD: Descriptor = Descriptor {
        name: "sgd",
        aliases: &["momentum-sgd"],
        about: "Stochastic gradient descent",
        source: "",
        parameters: &[
            Parameter {
                name: "momentum",
                about: "Share of the last step that is kept",
                kind: Kind::Number(Range::FRACTION),
                default: Default::Number(0.9),
            },
            Parameter {
                name: "nesterov",
                about: "Look ahead",
                kind: Kind::Switch,
                default: Default::Switch(false),
            },
            Parameter {
                name: "warm_up",
                about: "Steps",
                kind: Kind::Whole(0, 10),
                default: Default::Whole(0),
            },
        ],
    };
    const MLP: Descriptor = Descriptor {
        name: "mlp",
        aliases: &[],
        about: "Perceptron",
        source: "",
        parameters: &[
            Parameter {
                name: "widths",
                about: "Hidden layers",
                kind: Kind::List(1, 100, 3),
                default: Default::List(&[64, 64]),
            },
            Parameter {
                name: "norm",
                about: "Normalize",
                kind: Kind::Switch,
                default: Default::Switch(false),
            },
            Parameter {
                name: "dropout",
                about: "Share dropped",
                kind: Kind::Number(Range::FRACTION),
                default: Default::If {
                    switch: "norm",
                    on: &Default::Number(0.0),
                    off: &Default::Number(0.5),
                },
            },
            Parameter {
                name: "ghost",
                about: "Examples normalized over",
                kind: Kind::Whole(1, 64),
                default: Default::If {
                    switch: "norm",
                    on: &Default::Whole(32),
                    off: &Default::Excluded,
                },
            },
            Parameter {
                name: "smoothing",
                about: "Of labels",
                kind: Kind::Number(Range::FRACTION),
                default: Default::Number(0.0),
            },
        ],
    };
    const THINGS: Registry<Descriptor> = Registry {
        what: "thing",
        all: &[&SGD, &MLP],
    };

    fn read(text: &str) -> Result<String, ChoiceError> {
        THINGS.read(text).map(|(_, choice)| choice.to_string())
    }

    fn shortest(text: &str) -> String {
        let (of, choice) = THINGS.read(text).unwrap();
        of.shortest(&choice)
    }

    #[test]
    fn what_is_not_said_takes_its_default() {
        assert_eq!(
            read("sgd").unwrap(),
            "sgd(momentum=0.9,nesterov=off,warm_up=0)"
        );
        assert_eq!(
            read("momentum-sgd(0.5, nesterov, warm-up=3)").unwrap(),
            "sgd(momentum=0.5,nesterov=on,warm_up=3)"
        );
        assert_eq!(
            read("mlp:8,9:smoothing=0.1").unwrap(),
            "mlp(8,9,norm=off,dropout=0.5,smoothing=0.1)"
        );
    }

    #[test]
    fn a_switch_decides_the_defaults_of_others() {
        assert_eq!(
            read("mlp(8,dropout=0.5,norm)").unwrap(),
            "mlp(8,norm=on,dropout=0.5,ghost=32,smoothing=0)"
        );
        let error = read("mlp(ghost=4)").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'ghost' does not apply to mlp without 'norm': leave it out, or turn 'norm' on"
        );
        assert_eq!(error.key(), Some("ghost"));
    }

    #[test]
    fn the_shortest_form_leaves_defaults_out_and_reads_back() {
        for (text, short) in [
            ("sgd(nesterov=off)", "sgd"),
            ("sgd(nesterov,momentum=0)", "sgd(momentum=0,nesterov)"),
            ("mlp", "mlp(64,64)"),
            ("mlp(8,dropout=0.5)", "mlp(8)"),
            (
                "mlp(8,dropout=0.5,norm,ghost=32)",
                "mlp(8,norm,dropout=0.5)",
            ),
            ("mlp(8,dropout=0,norm,ghost=4)", "mlp(8,norm,ghost=4)"),
            ("mlp(8,smoothing=0.5)", "mlp(8,smoothing=0.5)"),
        ] {
            assert_eq!(shortest(text), short);
            assert_eq!(shortest(short), short);
        }
    }

    #[test]
    fn errors_name_the_key_the_range_and_the_nearest_spelling() {
        for (text, says) in [
            (
                "sdg",
                "'sdg' is not a thing: choose sgd or mlp (did you mean sgd?)",
            ),
            (
                "sgd(momentum=1)",
                "momentum of sgd is '1': it must be a number in [0, 1)",
            ),
            ("sgd(momentun=0.3)", "did you mean momentum?"),
            ("sgd(beta=0.3)", "it takes momentum=X, nesterov, warm_up=N"),
            (
                "sgd(0.1,0.2)",
                "'0.2': it must be a whole number from 0 to 10",
            ),
            ("sgd(0.1,2,3)", "no setting '3'"),
            ("sgd(0.1,momentum=0.2)", "given twice"),
            ("mlp(1,2,3,4)", "at most 3 whole numbers from 1 to 100"),
            ("mlp(0)", "at most 3 whole numbers"),
            ("mlp(smoothing=nan)", "it must be a number in [0, 1)"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(says), "{text}: {message}");
        }
        assert_eq!(read("sgd(momentum=2)").unwrap_err().key(), Some("momentum"));
    }

    #[test]
    fn a_choice_is_one_flat_object_in_json() {
        let (of, choice) = THINGS.read("sgd").unwrap();
        let json = serde_json::to_string(&choice).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"sgd","momentum":0.9,"nesterov":false,"warm_up":0}"#
        );
        let back: Choice = serde_json::from_str(&json).unwrap();
        assert_eq!(of.check(&back).unwrap(), choice);
        // whole numbers stand for numbers, wherever somebody wrote them
        let short: Choice = serde_json::from_str(r#"{"momentum":0,"kind":"sgd"}"#).unwrap();
        assert_eq!(
            THINGS.check(&short).unwrap().1.number("momentum"),
            Some(0.0)
        );
        assert!(serde_json::from_str::<Choice>(r#"{"momentum":0}"#).is_err());
    }

    #[test]
    fn a_registry_says_what_is_wrong_with_it() {
        assert_eq!(THINGS.faults(), Vec::<String>::new());
        const TWICE: Registry<Descriptor> = Registry {
            what: "thing",
            all: &[&SGD, &SGD],
        };
        assert_eq!(TWICE.faults().len(), 2);
    }

    #[test]
    fn ranges_hold_their_ends_as_they_say() {
        for (range, inside, outside) in [
            (Range::FRACTION, [0.0, 0.999], [1.0, f64::NAN]),
            (Range::POSITIVE, [1e-300, 1e300], [0.0, f64::INFINITY]),
            (Range::NOT_NEGATIVE, [0.0, 1e300], [-1e-300, f64::INFINITY]),
        ] {
            assert!(inside.iter().all(|&x| range.contains(x)), "{range}");
            assert!(!outside.iter().any(|&x| range.contains(x)), "{range}");
        }
        assert_eq!(Range::POSITIVE.to_string(), "above 0");
    }
}
