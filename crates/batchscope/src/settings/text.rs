//! How typed settings stand in `study.toml`: as the text that the flag takes.
//!
//! Reading also accepts a bare number or switch where the text of one would do: `warm-up = 200`.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes a setting as its text.
pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => s.collect_str(value),
        None => s.serialize_none(),
    }
}

/// Reads a setting from its text.
pub fn deserialize<'de, T, D>(d: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Text(String),
        Whole(i64),
        Number(f64),
        Switch(bool),
    }
    let text = match Scalar::deserialize(d)? {
        Scalar::Text(text) => text,
        Scalar::Whole(n) => n.to_string(),
        Scalar::Number(x) => x.to_string(),
        Scalar::Switch(on) => on.to_string(),
    };
    text.parse().map(Some).map_err(D::Error::custom)
}
