//! The state of a network alone, in a file of its own: what is measured after training.

use std::path::Path;

use batchwise_core::StateTensor;

use super::{STATE_BYTES, file};
use crate::TrainError;

/// Writes the state of a network, made by [`Network::export`](batchwise_core::Network::export), with
/// a note of what it is. The file is a checkpoint without anything to resume: safetensors, tensors
/// `network.NAME`, checked by a checksum, whole or not there at all.
///
/// # Errors
/// When the system refuses.
pub fn write_state(path: &Path, state: &[StateTensor], about: &str) -> Result<(), TrainError> {
    file::write(path, &[("network.", state)], about)
}

/// Reads a state written by [`write_state`] for a network whose own is `like`, and the note. Tensors
/// come in the order of `like`.
///
/// # Errors
/// [`TrainError::Checkpoint`] when the file cannot be read, is damaged, or is of another network.
pub fn read_state(
    path: &Path,
    like: &[StateTensor],
) -> Result<(Vec<StateTensor>, String), TrainError> {
    let wrong = |why: String| TrainError::Checkpoint {
        path: path.to_owned(),
        why,
    };
    let scalars: u64 = like.iter().map(|t| t.values.len() as u64).sum();
    let contents = file::read(path, 4 * scalars + STATE_BYTES).map_err(wrong)?;
    let [mut network, rest @ ..] = contents.parts;
    if rest.iter().any(|part| !part.is_empty()) {
        return Err(wrong("it is a checkpoint of a run, not a state".to_owned()));
    }
    let mut state = Vec::with_capacity(like.len());
    for expected in like {
        let Some(place) = network.iter().position(|t| t.name == expected.name) else {
            return Err(wrong(format!("tensor {} is missing", expected.name)));
        };
        let tensor = network.swap_remove(place);
        if tensor.shape != expected.shape {
            return Err(wrong(format!(
                "tensor {} has shape {:?}, the network's has {:?}",
                tensor.name, tensor.shape, expected.shape
            )));
        }
        state.push(tensor);
    }
    if let Some(foreign) = network.first() {
        return Err(wrong(format!("the network has no tensor {}", foreign.name)));
    }
    Ok((state, contents.state))
}
