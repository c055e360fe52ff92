//! The line protocol: one JSON object a line in the file `$BATCHSCOPE_EVENTS`, or on standard output.
//!
//! An object holds names and numbers, such as `{"step": 100, "val_loss": 0.43}`. A number that JSON does not
//! have may be written as the word `"nan"`, `"inf"` or `"-inf"`. Objects within objects are joined by `/`; what
//! is neither is not read. The file may begin with `{"batchscope": 1}`, the version of this protocol.

use std::{io, path::Path};

use batchscope_core::format::json_words;

use crate::{Lines, Reading, reading};

use super::{Source, Tail};

/// Version of the line protocol.
pub(crate) const PROTOCOL: u64 = 1;

/// The JSON schema of a line of the protocol.
pub fn protocol_schema() -> serde_json::Value {
    // A test reads it.
    serde_json::from_str(include_str!("protocol.json")).unwrap_or_default()
}

/// The file of events.
pub(crate) struct Events {
    tail: Tail,
    lines: Lines,
}

impl Events {
    pub fn new(path: &Path) -> Self {
        Self {
            tail: Tail::new(path),
            lines: Lines::default(),
        }
    }
}

impl Source for Events {
    fn poll(&mut self, take: &mut dyn FnMut(Reading)) -> io::Result<()> {
        let mut newer = None;
        loop {
            let bytes = self.tail.next()?;
            if bytes.is_empty() {
                break;
            }
            self.lines.push(&bytes, &mut |line| {
                newer = newer.or_else(|| version(line).filter(|v| *v > PROTOCOL));
                if let Some(reading) = object(line) {
                    take(reading);
                }
            });
        }
        match newer {
            Some(version) => Err(io::Error::other(format!(
                "the program reports by version {version} of the line protocol, and this batchscope reads version {PROTOCOL}: use a newer batchscope"
            ))),
            None => Ok(()),
        }
    }

    fn finish(&mut self, take: &mut dyn FnMut(Reading)) {
        let _ = self.poll(take);
        self.lines.finish(&mut |line| {
            if let Some(reading) = object(line) {
                take(reading);
            }
        });
    }
}

/// The version that a line declares.
fn version(line: &str) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.get("batchscope")?.as_u64()
}

/// The names and numbers of a JSON object; `None` for a line that is none.
pub(crate) fn object(line: &str) -> Option<Reading> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    let read = |text: &str| serde_json::from_str(text).ok();
    // Python writes numbers that JSON does not have.
    let value = read(line).or_else(|| read(&json_words(line)));
    let serde_json::Value::Object(object) = value? else {
        return None;
    };
    let mut reading = Reading::default();
    flatten("", &object, &mut reading);
    Some(reading)
}

fn flatten(
    prefix: &str,
    object: &serde_json::Map<String, serde_json::Value>,
    reading: &mut Reading,
) {
    use serde_json::Value;
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(word) => reading::number(word.trim()),
            Value::Object(inner) => {
                flatten(&format!("{name}/"), inner, reading);
                None
            }
            _ => None,
        };
        reading.0.extend(number.map(|number| (name, number)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_is_read_as_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut events = Events::new(&path);
        let poll = |events: &mut Events| {
            let mut found = Vec::new();
            events.poll(&mut |reading| found.push(reading)).unwrap();
            found
        };
        assert_eq!(poll(&mut events), [], "it is not there yet");
        let mut file = std::fs::File::create(&path).unwrap();
        let begun = "{\"batchscope\": 1}\n{\"step\": 1, \"val_loss\": 2}\ngarbage\n{\"step\": 2";
        write!(file, "{begun}").unwrap();
        assert_eq!(poll(&mut events).len(), 2);
        writeln!(file, ", \"val_loss\": \"nan\"}}").unwrap();
        let found = poll(&mut events);
        assert_eq!(found.len(), 1);
        let is_nan = |(name, value): &(String, f64)| name == "val_loss" && value.is_nan();
        assert!(found[0].0.iter().any(is_nan), "{found:?}");
    }

    #[test]
    fn the_schema_is_of_this_version_and_names_what_is_understood() {
        let schema = protocol_schema();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties["batchscope"]["const"], PROTOCOL);
        assert_eq!(schema["$id"], format!("batchscope.reports/{PROTOCOL}"));
        let names = crate::Names::default();
        for name in properties.keys().filter(|name| *name != "batchscope") {
            let understood = names.understand(&Reading(vec![(name.clone(), 1.0)]));
            assert_ne!(understood, Default::default(), "{name}");
        }
    }

    #[test]
    fn a_newer_protocol_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, "{\"batchscope\": 2}\n").unwrap();
        let error = Events::new(&path).poll(&mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
