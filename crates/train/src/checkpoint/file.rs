//! The file itself: the parts of a run among the tensors of a [`batchscope_files::tensors`] file.

use std::path::Path;

use batchscope_core::StateTensor;
use batchscope_files::tensors::{self, Content};

pub(super) use batchscope_files::tensors::read;

use crate::TrainError;

/// The prefixes of tensor names. The third is of versions up to 0.1.0, which saved an earlier state
/// beside the present one: it is read over.
const PREFIXES: [&str; 4] = ["network.", "rule.", "snapshot.", "source."];

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
    tensors::write(path, parts, state).map_err(failed)
}

/// What the bytes of a file hold.
pub(super) fn parse(bytes: &[u8]) -> Result<Contents, String> {
    let Content {
        state,
        tensors,
        checksum,
    } = tensors::parse(bytes)?;
    let mut parts = Parts::default();
    let mut replicas: Vec<Parts> = Vec::new();
    for mut tensor in tensors {
        let name = &tensor.name;
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
        tensor.name = rest.to_owned();
        let parts = match replica {
            None => &mut parts,
            Some(rank) => {
                replicas.resize_with(replicas.len().max(rank + 1), Parts::default);
                &mut replicas[rank]
            }
        };
        parts[part].push(tensor);
    }
    Ok(Contents {
        state,
        parts,
        replicas,
        checksum,
    })
}
