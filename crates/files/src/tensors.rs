//! Tensors with a text, in a safetensors file that is written whole and read with suspicion.
//!
//! | what | where |
//! | --- | --- |
//! | tensors of 32-bit floats | under their names |
//! | the text | bytes `state` (metadata up to 0.1.0) |
//! | CRC-32 of all the above | metadata `checksum` |

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use batchscope_core::StateTensor;
use safetensors::{Dtype, SafeTensors, View};
use serde::Serialize;

/// The tensor of bytes that holds the text.
const STATE: &str = "state";

/// What a file held.
pub struct Content {
    /// The text.
    pub state: String,
    /// The tensors, in the order of their names.
    pub tensors: Vec<StateTensor>,
    /// CRC-32 of both, in hexadecimal digits: tells files apart.
    pub checksum: String,
}

/// The first difference between the run that a file belongs to and the one that it should belong to; the fields of `spec` are
/// compared one by one.
pub fn difference<T: Serialize>(found: &T, expected: &T) -> String {
    let json = |identity: &T| serde_json::to_value(identity).unwrap_or_default();
    let (found, expected) = (json(found), json(expected));
    for (found, expected) in [(&found["spec"], &expected["spec"]), (&found, &expected)] {
        let names = expected.as_object().into_iter().flat_map(|map| map.keys());
        for name in names.filter(|name| *name != "spec") {
            if found[name] != expected[name] {
                let (found, expected) = (&found[name], &expected[name]);
                return format!("it belongs to a run with {name} {found}, this run has {expected}");
            }
        }
    }
    "it belongs to another run".to_owned()
}

/// Writes tensors, named `PREFIX` and their own name, and a text, so that at every moment either the old or the new file
/// stands whole. The folder is made where it is not there.
///
/// # Errors
/// When the system refuses.
pub fn write(
    path: &Path,
    parts: &[(impl AsRef<str>, impl AsRef<[StateTensor]>)],
    state: &str,
) -> io::Result<()> {
    let mut tensors: Vec<(String, Entry<'_>)> = Vec::new();
    for (prefix, part) in parts {
        let (prefix, part) = (prefix.as_ref(), part.as_ref());
        tensors.extend(
            part.iter()
                .map(|t| (format!("{prefix}{}", t.name), Entry::Numbers(t))),
        );
    }
    let checksum = checksum(
        state,
        tensors
            .iter()
            .map(|(name, entry)| (name.as_str(), entry.shape(), entry.data())),
    );
    // Not among the metadata: a header of more than 100 MB cannot be read back, and the measurements
    // of a long run are longer.
    tensors.push((STATE.to_owned(), Entry::Text(state, [state.len()])));
    let metadata = HashMap::from([("checksum".to_owned(), checksum)]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(io::Error::other)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    crate::write(path, &bytes)
}

/// Reads the bytes of a regular file, at most `most`.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    // A FIFO may have no writer, a device no end.
    let metadata = fs::metadata(path).map_err(|e| e.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!(
            "it is larger than any such checkpoint could be ({most} bytes)"
        ));
    }
    Ok(bytes)
}

/// What the bytes of a file hold.
///
/// # Errors
/// A sentence that says what is wrong with them.
pub fn parse(bytes: &[u8]) -> Result<Content, String> {
    let damaged = |e: safetensors::SafeTensorError| format!("it is no whole safetensors file: {e}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let entry = |name: &str| {
        let value = header
            .metadata()
            .as_ref()
            .and_then(|map| map.get(name))
            .cloned();
        value.ok_or_else(|| {
            format!("it is no checkpoint of batchscope: metadata '{name}' is missing")
        })
    };
    let expected = entry("checksum")?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut tensors = file.tensors();
    let state = match tensors.iter().position(|(name, _)| name == STATE) {
        Some(place) => {
            let (_, view) = tensors.swap_remove(place);
            String::from_utf8(view.data().to_vec())
                .map_err(|_| "its state is no text".to_owned())?
        }
        // As up to 0.1.0.
        None => entry("state")?,
    };
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let found = checksum(
        &state,
        tensors
            .iter()
            .map(|(name, v)| (name.as_str(), v.shape(), v.data().into())),
    );
    if found != expected {
        return Err(format!(
            "it is damaged: its checksum is {found} and should be {expected}"
        ));
    }
    let tensors = tensors.into_iter().map(|(name, view)| {
        if view.dtype() != Dtype::F32 {
            return Err(format!(
                "tensor {name} is {:?} and should be F32",
                view.dtype()
            ));
        }
        let (scalars, _) = view.data().as_chunks::<4>();
        Ok(StateTensor {
            name,
            shape: view.shape().to_vec(),
            values: scalars.iter().copied().map(f32::from_le_bytes).collect(),
        })
    });
    Ok(Content {
        state,
        tensors: tensors.collect::<Result<_, String>>()?,
        checksum: found,
    })
}

/// CRC-32 over the state and every tensor in the order of names, as hexadecimal digits.
fn checksum<'a>(
    state: &str,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], Cow<'a, [u8]>)>,
) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by(|a, b| a.0.cmp(b.0));
    let mut crc = crc32fast::Hasher::new();
    crc.update(state.as_bytes());
    for (name, shape, bytes) in tensors {
        crc.update(name.as_bytes());
        for &length in shape {
            crc.update(&(length as u64).to_le_bytes());
        }
        crc.update(&bytes);
    }
    format!("{:08x}", crc.finalize())
}

/// A part of the file as safetensors sees it.
enum Entry<'a> {
    /// Little-endian 32-bit floats.
    Numbers(&'a StateTensor),
    /// Bytes of UTF-8, and how many.
    Text(&'a str, [usize; 1]),
}

impl Entry<'_> {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Numbers(tensor) => &tensor.shape,
            Self::Text(_, length) => length,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Numbers(tensor) => tensor
                .values
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<u8>>()
                .into(),
            Self::Text(text, _) => text.as_bytes().into(),
        }
    }
}

impl View for Entry<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Numbers(_) => Dtype::F32,
            Self::Text(..) => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        Entry::shape(self)
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Entry::data(self)
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Numbers(tensor) => 4 * tensor.values.len(),
            Self::Text(text, _) => text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(values: &[f32]) -> StateTensor {
        StateTensor {
            name: "weight".to_owned(),
            shape: vec![values.len()],
            values: values.to_vec(),
        }
    }

    /// `train` wrote a state of 78 MB into the header, which no reader accepts: what is written is read.
    #[test]
    fn a_state_longer_than_a_header_may_be_is_read_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run.safetensors");
        let state = "ü9.5,".repeat(20 << 20);
        write(&path, &[("network.", [weight(&[1.5, -2.0])])], &state).unwrap();
        let content = parse(&read(&path, 1 << 30).unwrap()).unwrap();
        assert!(state.len() > 100_000_000 && content.state == state);
        assert_eq!(content.tensors[0].name, "network.weight");
        assert_eq!(content.tensors[0].values, [1.5, -2.0]);
        assert!(read(&path, 1 << 20).unwrap_err().contains("larger than"));
    }

    /// One changed byte anywhere, or a missing end, is noticed.
    #[test]
    fn damage_is_noticed_everywhere() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run.safetensors");
        write(&path, &[("a.", [weight(&[1.0, 2.0, 3.0])])], "the state").unwrap();
        let whole = read(&path, 1 << 20).unwrap();
        assert!(parse(&whole).is_ok());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let same = |content: Content| {
                content.state == "the state" && content.tensors[0].values == [1.0, 2.0, 3.0]
            };
            assert!(!parse(&bytes).is_ok_and(|c| !same(c)), "byte {at}");
            assert!(parse(&whole[..at]).is_err(), "cut at {at}");
        }
    }
}
