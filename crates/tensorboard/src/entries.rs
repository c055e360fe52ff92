//! What the events of a file say.

use prost::Message;

use crate::{
    RecordError, Records,
    messages::{AnyKind, Event, HparamsData, Tensor, Value},
};

/// A scalar, or the settings of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// One value of a curve.
    Scalar {
        /// Its name: `loss/val`.
        tag: String,
        /// The step it belongs to, as the program counts.
        step: i64,
        /// Seconds since 1970 when it was written.
        wall_time: f64,
        /// The value: the shortest decimal number that is written as the stored 32 bits. A program that logged
        /// 0.05 is taken to have meant 0.05, not 0.0500000007.
        value: f64,
    },
    /// The settings that a run was started with, as the HParams dashboard shows them.
    Settings(Vec<Setting>),
}

/// A setting of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name: `batch_size`.
    pub name: String,
    /// Its value as text: `256`, `adam`, `true`.
    pub value: String,
}

/// Takes a file apart into entries, from pieces of any size.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    records: Records,
    unreadable: u64,
}

impl Entries {
    /// Takes the next bytes of the file, and calls `take` with each entry that they complete.
    ///
    /// # Errors
    /// When a checksum is wrong.
    pub fn push(&mut self, bytes: &[u8], take: &mut dyn FnMut(Entry)) -> Result<(), RecordError> {
        let unreadable = &mut self.unreadable;
        self.records
            .push(bytes, &mut |record| match Event::decode(record) {
                Ok(event) => read(event, take),
                Err(_) => *unreadable += 1,
            })
    }

    /// True if the bytes so far end within a record: the program was writing it, or was cut short.
    pub fn is_within(&self) -> bool {
        self.records.is_within()
    }

    /// Records that hold no event, or were too long to be kept.
    pub fn left_out(&self) -> u64 {
        self.unreadable + self.records.skipped()
    }
}

fn read(event: Event, take: &mut dyn FnMut(Entry)) {
    for value in event.summary.into_iter().flat_map(|summary| summary.value) {
        if let Some(settings) = settings(&value) {
            take(Entry::Settings(settings));
        } else if let Some(number) = scalar(&value) {
            take(Entry::Scalar {
                tag: value.tag,
                step: event.step,
                wall_time: event.wall_time,
                value: number,
            });
        }
    }
}

/// The settings that a summary of the plugin `hparams` holds.
fn settings(value: &Value) -> Option<Vec<Setting>> {
    let plugin = value.metadata.as_ref()?.plugin_data.as_ref()?;
    if plugin.plugin_name != "hparams" {
        return None;
    }
    let start = HparamsData::decode(plugin.content.as_slice())
        .ok()?
        .session_start_info?;
    let settings = start.hparams.into_iter().filter_map(|(name, value)| {
        let value = match value.kind? {
            AnyKind::Number(x) => x.to_string(),
            AnyKind::Text(text) => text,
            AnyKind::Truth(truth) => truth.to_string(),
        };
        Some(Setting { name, value })
    });
    Some(settings.collect())
}

/// The number of a scalar summary.
fn scalar(value: &Value) -> Option<f64> {
    match (value.simple_value, &value.tensor) {
        (Some(x), _) => Some(as_meant(x)),
        (None, Some(tensor)) => element(tensor),
        (None, None) => None,
    }
}

/// The one element of a tensor; `None` for other tensors, and for what is no number.
fn element(tensor: &Tensor) -> Option<f64> {
    const FLOAT: i32 = 1;
    const DOUBLE: i32 = 2;
    const INT32: i32 = 3;
    const INT64: i32 = 9;
    let content = tensor.tensor_content.as_slice();
    match tensor.dtype {
        FLOAT => match (content.try_into(), tensor.float_val.as_slice()) {
            (Ok(bytes), []) => Some(as_meant(f32::from_le_bytes(bytes))),
            (_, &[x]) => Some(as_meant(x)),
            _ => None,
        },
        DOUBLE => match (content.try_into(), tensor.double_val.as_slice()) {
            (Ok(bytes), []) => Some(f64::from_le_bytes(bytes)),
            (_, &[x]) => Some(x),
            _ => None,
        },
        INT32 => match (content.try_into(), tensor.int_val.as_slice()) {
            (Ok(bytes), []) => Some(f64::from(i32::from_le_bytes(bytes))),
            (_, &[x]) => Some(f64::from(x)),
            _ => None,
        },
        INT64 => match (content.try_into(), tensor.int64_val.as_slice()) {
            (Ok(bytes), []) => Some(i64::from_le_bytes(bytes) as f64),
            (_, &[x]) => Some(x as f64),
            _ => None,
        },
        _ => None,
    }
}

/// The shortest decimal number that is stored as `x`.
fn as_meant(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| f64::from(x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::framed;

    #[test]
    fn numbers_are_as_they_were_meant() {
        assert_eq!(as_meant(0.05), 0.05);
        assert_eq!(as_meant(1e-30), 1e-30);
        assert_eq!(as_meant(16_777_216.0), 16_777_216.0);
        assert!(as_meant(f32::NAN).is_nan());
        assert_eq!(as_meant(f32::NEG_INFINITY), f64::NEG_INFINITY);
    }

    #[test]
    fn tensors_of_one_element_are_scalars() {
        let tensor = |dtype, content: &[u8]| Tensor {
            dtype,
            tensor_content: content.to_vec(),
            ..Tensor::default()
        };
        assert_eq!(element(&tensor(1, &0.25f32.to_le_bytes())), Some(0.25));
        assert_eq!(element(&tensor(2, &0.1f64.to_le_bytes())), Some(0.1));
        assert_eq!(element(&tensor(3, &7i32.to_le_bytes())), Some(7.0));
        assert_eq!(element(&tensor(9, &(-7i64).to_le_bytes())), Some(-7.0));
        let listed = Tensor {
            dtype: 1,
            float_val: vec![0.3],
            ..Tensor::default()
        };
        assert_eq!(element(&listed), Some(0.3));
        // Two elements, none, text.
        assert_eq!(element(&tensor(1, &[0; 8])), None);
        assert_eq!(element(&tensor(1, &[])), None);
        assert_eq!(element(&tensor(7, b"abcd")), None);
    }

    #[test]
    fn what_is_no_event_is_counted() {
        let mut entries = Entries::default();
        let mut found = Vec::new();
        let bytes = framed(&[0xff; 9]);
        entries
            .push(&bytes, &mut |entry| found.push(entry))
            .unwrap();
        assert_eq!((found.len(), entries.left_out()), (0, 1));
    }
}
