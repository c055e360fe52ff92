//! Trials that begin at a checkpoint: its weights and its optimizer's memory, in a run of their own.

use std::path::Path;

use batchscope_core::{Group, Network, Start};

use super::stored::{Origin, Stored, unusable};
use crate::{Synchronous, TrainError, UpdateRule};

/// Brings a network to where the checkpoint of a run left it, and gives back its rule with the memory of that run. Hidden states of text streams stay as
/// they are: a batch of another size has other streams.
///
/// # Errors
/// [`TrainError::Stored`] when the file cannot be read, is not the one that was meant, or is of another model or optimizer.
pub(crate) fn begin_at(
    (start, path): (&Start, &Path),
    network: &mut dyn Network,
    mut rule: Synchronous,
    (model, optimizer): (&str, &str),
    group: &dyn Group,
) -> Result<Synchronous, TrainError> {
    let like = network.export()?;
    let mut stored = Stored::shared_like(path, &like, group)?;
    let wrong = |why: String| unusable(path, why);
    if let Some(checksum) = &start.checksum
        && *checksum != stored.checksum
    {
        return Err(wrong(format!(
            "its checksum is {}, that of the checkpoint which is meant is {checksum}",
            stored.checksum
        )));
    }
    let Origin::Run { identity, step, .. } = &stored.origin else {
        let why =
            "it holds a network's state, not a run: there is no optimizer's memory to go on with";
        return Err(wrong(why.to_owned()));
    };
    let its = identity.spec.optimizer.name();
    for (what, its, ours) in [
        ("model", identity.model.as_str(), model),
        ("optimizer", its, optimizer),
    ] {
        if its != ours {
            return Err(wrong(format!("its {what} is {its}, here it is {ours}")));
        }
    }
    stored.network.truncate(like.len());
    network
        .import(&stored.network)
        .map_err(|error| wrong(error.to_string()))?;
    rule.load(&stored.rule)
        .map_err(|error| wrong(error.to_string()))?;
    Ok(rule.after(*step))
}
