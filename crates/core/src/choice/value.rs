//! The value of a setting.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A setting's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A whole number.
    Whole(u64),
    /// On or off.
    Switch(bool),
    /// A word or text.
    Text(String),
    /// Whole numbers.
    List(Vec<u64>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Small numbers as they have been stored in names of models.
            Value::Number(x) if x.abs() >= 1e16 => f.write_str(&crate::format::exact(*x)),
            Value::Number(x) => write!(f, "{x}"),
            Value::Whole(n) => write!(f, "{n}"),
            Value::Switch(true) => f.write_str("on"),
            Value::Switch(false) => f.write_str("off"),
            Value::Text(text) => f.write_str(text),
            Value::List(list) => {
                let list: Vec<String> = list.iter().map(u64::to_string).collect();
                f.write_str(&list.join(","))
            }
        }
    }
}

impl Value {
    /// Reads a switch: `on`, `true` or `yes`, and their opposites; `None` for anything else.
    pub fn read_switch(text: &str) -> Option<bool> {
        match text {
            "on" | "true" | "yes" => Some(true),
            "off" | "false" | "no" => Some(false),
            _ => None,
        }
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Number(x)
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Whole(n)
    }
}

impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Switch(on)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Number(x) => s.serialize_f64(*x),
            Value::Whole(n) => s.serialize_u64(*n),
            Value::Switch(on) => s.serialize_bool(*on),
            Value::Text(text) => s.serialize_str(text),
            Value::List(list) => list.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Switch(bool),
            Whole(u64),
            Number(f64),
            Text(String),
            List(Vec<u64>),
        }
        Ok(match Any::deserialize(d)? {
            Any::Switch(on) => Value::Switch(on),
            Any::Whole(n) => Value::Whole(n),
            Any::Number(x) => Value::Number(x),
            Any::Text(text) => Value::Text(text),
            Any::List(list) => Value::List(list),
        })
    }
}
