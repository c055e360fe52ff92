//! Writing event files.

use std::io::{self, Write};

use prost::Message;

use crate::{
    Setting,
    messages::{
        AnyKind, AnyValue, Event, HparamsData, Metadata, PluginData, SessionStart, Summary, Value,
    },
    records::framed,
};

/// Writes an event file.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Begins a file. `wall_time` is in seconds since 1970.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn new(to: W, wall_time: f64) -> io::Result<Self> {
        let mut writer = Self { to };
        writer.write(&Event {
            wall_time,
            file_version: Some("brain.Event:2".to_owned()),
            ..Event::default()
        })?;
        Ok(writer)
    }

    /// Writes the settings of the run for the HParams dashboard: values that are numbers are shown as such.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn settings(&mut self, settings: &[Setting], wall_time: f64) -> io::Result<()> {
        let value = |text: &str| match text.parse::<f64>() {
            Ok(number) if number.is_finite() => AnyKind::Number(number),
            _ => AnyKind::Text(text.to_owned()),
        };
        let hparams = settings.iter().map(|setting| {
            let kind = Some(value(&setting.value));
            (setting.name.clone(), AnyValue { kind })
        });
        let data = HparamsData {
            version: 0,
            session_start_info: Some(SessionStart {
                hparams: hparams.collect(),
                group_name: String::new(),
                start_time_secs: wall_time,
            }),
        };
        let plugin = PluginData {
            plugin_name: "hparams".to_owned(),
            content: data.encode_to_vec(),
        };
        self.summary(
            Value {
                tag: "_hparams_/session_start_info".to_owned(),
                metadata: Some(Metadata {
                    plugin_data: Some(plugin),
                }),
                ..Value::default()
            },
            (0, wall_time),
        )
    }

    /// Writes a value of a curve, which an event file keeps in 32 bits.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn scalar(&mut self, tag: &str, value: f64, step: i64, wall_time: f64) -> io::Result<()> {
        self.summary(
            Value {
                tag: tag.to_owned(),
                simple_value: Some(value as f32),
                ..Value::default()
            },
            (step, wall_time),
        )
    }

    fn summary(&mut self, value: Value, (step, wall_time): (i64, f64)) -> io::Result<()> {
        self.write(&Event {
            wall_time,
            step,
            file_version: None,
            summary: Some(Summary { value: vec![value] }),
        })
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        self.to.write_all(&framed(&event.encode_to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entries, Entry};

    #[test]
    fn what_is_written_is_read() {
        let setting = |name: &str, value: &str| Setting {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let settings = vec![setting("batch_size", "256"), setting("optimizer", "sgd")];
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, 1e9).unwrap();
        writer.settings(&settings, 1e9).unwrap();
        writer.scalar("val/loss", 0.05, 100, 1e9 + 2.5).unwrap();
        writer.scalar("val/loss", f64::NAN, -1, 1e9 + 3.0).unwrap();
        let mut found = Vec::new();
        let mut entries = Entries::default();
        entries
            .push(&bytes, &mut |entry| found.push(entry))
            .unwrap();
        assert_eq!(found[0], Entry::Settings(settings));
        let scalar = Entry::Scalar {
            tag: "val/loss".to_owned(),
            step: 100,
            wall_time: 1e9 + 2.5,
            value: 0.05,
        };
        assert_eq!(found[1], scalar);
        assert!(matches!(&found[2], Entry::Scalar { step: -1, value, .. } if value.is_nan()));
        assert_eq!(
            (found.len(), entries.left_out(), entries.is_within()),
            (3, 0, false)
        );
    }
}
