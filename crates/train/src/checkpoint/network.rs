//! The network alone out of a checkpoint: for what is measured of it after training.

use std::path::Path;

use batchwise_core::Network;

use super::{STATE_BYTES, file};
use crate::TrainError;

/// Brings a network to the state saved in a checkpoint, whatever run it belongs to.
///
/// # Errors
/// [`TrainError::Checkpoint`] when the file cannot be read, is damaged, or is of another network;
/// the network is unchanged then.
pub fn load_network(path: &Path, network: &mut dyn Network) -> Result<(), TrainError> {
    let wrong = |why: String| TrainError::Checkpoint {
        path: path.to_owned(),
        why,
    };
    let like = network.export()?;
    // Parameters, two moments of an optimiser, and all again at the last evaluation.
    let scalars: u64 = like.iter().map(|t| t.values.len() as u64).sum();
    let contents = file::read(path, 6 * 4 * scalars + STATE_BYTES).map_err(wrong)?;
    let [mut state, ..] = contents.parts;
    // Files hold tensors in the order of their names; the network has its own.
    let place = |name: &str| like.iter().position(|t| t.name == name);
    state.sort_by_cached_key(|t| place(&t.name).unwrap_or(like.len()));
    network
        .import(&state)
        .map_err(|error| wrong(format!("{error}: name the model it was trained with")))
}
