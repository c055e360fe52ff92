use std::{fs, path::Path};

use batchwise_core::StateTensor;

use super::{FORMAT, Identity, State, file};
use crate::TrainError;

/// Files larger than this are no checkpoints: 16 GiB.
const LARGEST: u64 = 16 << 30;

/// A checkpoint's network, for whoever looks at it without training on.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The run it belongs to.
    pub identity: Identity,
    /// Optimiser steps done.
    pub step: u64,
    /// The network's state, in the order of the tensors' names.
    pub network: Vec<StateTensor>,
    /// CRC-32 of the file's content, in hexadecimal digits: tells checkpoints apart.
    pub checksum: String,
}

impl Stored {
    /// Reads the checkpoint of a run.
    ///
    /// # Errors
    /// [`TrainError::Refused`] with what is wrong with the file and what to give instead.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        Self::read_sound(path).map_err(|why| {
            TrainError::Refused(format!(
                "{} cannot be read: {why}; give a checkpoint that `batchwise train --checkpoint DIR` wrote",
                path.display()
            ))
        })
    }

    fn read_sound(path: &Path) -> Result<Self, String> {
        // A FIFO may have no writer, a device no end.
        let metadata = fs::metadata(path).map_err(|e| e.to_string())?;
        if !metadata.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        let contents = file::read(path, LARGEST)?;
        let state: State = serde_json::from_str(&contents.state)
            .map_err(|e| format!("its state cannot be read: {e}"))?;
        if state.format != FORMAT {
            return Err(format!(
                "it has format {}, this version of batchwise reads {FORMAT}",
                state.format
            ));
        }
        let [network, ..] = contents.parts;
        Ok(Self {
            identity: state.identity,
            step: state.progress.step,
            network,
            checksum: contents.checksum,
        })
    }
}
