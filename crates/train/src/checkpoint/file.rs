//! The file itself: written to a temporary name and renamed, read with suspicion.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::Path,
};

use batchscope_core::StateTensor;
use safetensors::{Dtype, SafeTensors, View};

use crate::TrainError;

/// The prefixes of tensor names. The third is of versions up to 0.1.0, which saved an earlier state
/// beside the present one: it is read over.
const PREFIXES: [&str; 4] = ["network.", "rule.", "snapshot.", "source."];

/// The tensor of bytes that holds the state.
const STATE: &str = "state";

/// Replicas of which a file may hold tensors: a bound on what a damaged name can ask for.
const MOST_REPLICAS: usize = 1 << 16;

/// What the names of a replica's tensors begin with, before [`PREFIXES`].
pub(super) fn of_replica(rank: usize) -> String {
    format!("replica.{rank}.")
}

/// Tensors by [`PREFIXES`], prefix taken off, in the order of their names.
pub(super) type Parts = [Vec<StateTensor>; 4];

/// What a file held.
pub(super) struct Contents {
    pub state: String,
    /// The tensors of the run, or their averages over its replicas.
    pub parts: Parts,
    /// Those of each replica, where they hold parameters of their own.
    pub replicas: Vec<Parts>,
    pub checksum: String,
}

/// Writes all parts, so that at every moment either the old or the new file stands whole.
pub(super) fn write(
    path: &Path,
    parts: &[(impl AsRef<str>, impl AsRef<[StateTensor]>)],
    state: &str,
) -> Result<(), TrainError> {
    let failed = |source| TrainError::File {
        what: "cannot write checkpoint",
        path: path.to_owned(),
        source,
    };
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
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|e| TrainError::Bug(format!("a checkpoint cannot be laid out: {e}")))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    batchscope_files::write(path, &bytes).map_err(failed)
}

/// Reads the bytes of a regular file, at most `most`; the error says what is wrong with it.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    // A FIFO may have no writer, a device no end.
    let metadata = fs::metadata(path).map_err(|e| e.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(most + 1)
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
pub(super) fn parse(bytes: &[u8]) -> Result<Contents, String> {
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
    let mut parts = Parts::default();
    let mut replicas: Vec<Parts> = Vec::new();
    for (name, view) in tensors {
        let of_replica = name
            .strip_prefix("replica.")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(rank, own)| Some((rank.parse::<usize>().ok()?, own)))
            .filter(|(rank, _)| *rank < MOST_REPLICAS);
        let (replica, own) = match of_replica {
            Some((rank, own)) => (Some(rank), own),
            None => (None, name.as_str()),
        };
        let Some((part, rest)) = PREFIXES
            .iter()
            .enumerate()
            .find_map(|(i, p)| Some((i, own.strip_prefix(p)?)))
        else {
            return Err(format!(
                "it holds tensor {name}, which is no part of a checkpoint"
            ));
        };
        if view.dtype() != Dtype::F32 {
            return Err(format!(
                "tensor {name} is {:?} and should be F32",
                view.dtype()
            ));
        }
        let scalars = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let parts = match replica {
            None => &mut parts,
            Some(rank) => {
                replicas.resize_with(replicas.len().max(rank + 1), Parts::default);
                &mut replicas[rank]
            }
        };
        parts[part].push(StateTensor {
            name: rest.to_owned(),
            shape: view.shape().to_vec(),
            values: scalars.collect(),
        });
    }
    Ok(Contents {
        state,
        parts,
        replicas,
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
