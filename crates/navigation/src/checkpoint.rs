//! Checkpoints: a safetensors file that holds a run entirely, so that it resumes to the bit.
//!
//! Runs are saved between rollouts, of which then nothing is left to save.

use std::path::Path;

use batchscope_core::{Cadence, Progress, StateTensor, TrialSpec};
use batchscope_files::tensors;
use serde::{Deserialize, Serialize};

use crate::{NavigationError, ppo::ACTIONS, session::Session, tally::Tally};

/// Version of the files written; others are refused.
const FORMAT: u32 = 1;
/// Most bytes of a file: 4 GiB.
const LARGEST: u64 = 4 << 30;

/// What a checkpoint belongs to. A run takes up only checkpoints of the same identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// What was asked.
    pub spec: TrialSpec,
    /// The workload's settings, as they are written.
    pub workload: String,
    /// Frames in a pass.
    pub micro_batch: u64,
    /// When evaluations are made.
    pub cadence: Cadence,
}

/// The JSON beside the tensors.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    identity: Identity,
    progress: Progress,
    tally: Tally,
    /// The environments, as the bits of numbers.
    simulator: Vec<u64>,
}

/// The parts of a file, by what their tensors' names begin with.
const PARTS: [&str; 3] = ["network.", "optimizer.", "senses."];

fn tensor(name: &str, values: Vec<f32>) -> StateTensor {
    StateTensor {
        name: name.to_owned(),
        shape: vec![values.len()],
        values,
    }
}

/// Saves a run.
///
/// # Errors
/// When the system refuses or the device fails.
pub fn save(
    path: &Path,
    identity: &Identity,
    progress: &Progress,
    session: &Session<'_>,
) -> Result<(), NavigationError> {
    let failed = |source| NavigationError::File {
        what: "cannot write checkpoint",
        path: path.to_owned(),
        source,
    };
    let senses = &session.senses;
    let senses = [
        tensor("state", senses.state.clone()),
        tensor(
            "previous",
            senses.previous.iter().map(|&p| p as f32).collect(),
        ),
        tensor(
            "fresh",
            senses
                .fresh
                .iter()
                .map(|&f| f32::from(u8::from(f)))
                .collect(),
        ),
    ];
    let parts = [
        (PARTS[0], session.network.export()?),
        (PARTS[1], session.optimizer.state()),
        (PARTS[2], senses.to_vec()),
    ];
    let stored = Stored {
        format: FORMAT,
        identity: identity.clone(),
        progress: progress.clone(),
        tally: session.tally.clone(),
        simulator: session
            .simulator
            .save()
            .iter()
            .map(|x| x.to_bits())
            .collect(),
    };
    let json = serde_json::to_string(&stored).map_err(|e| failed(e.into()))?;
    tensors::write(path, &parts, &json).map_err(failed)
}

/// What a file says before its tensors are taken over.
struct Opened {
    stored: Stored,
    /// The tensors of [`PARTS`].
    parts: [Vec<StateTensor>; 3],
}

fn open(path: &Path) -> Result<Opened, String> {
    let content = tensors::parse(&tensors::read(path, LARGEST)?)?;
    let stored: Stored = serde_json::from_str(&content.state)
        .map_err(|error| format!("it is no checkpoint of a navigation run: {error}"))?;
    if stored.format != FORMAT {
        return Err(format!(
            "it has format {}, this version of batchscope reads {FORMAT}",
            stored.format
        ));
    }
    let mut parts = [const { Vec::new() }; 3];
    for mut tensor in content.tensors {
        let found = PARTS.iter().enumerate().find_map(|(part, prefix)| {
            let name = tensor.name.strip_prefix(prefix)?.to_owned();
            Some((part, name))
        });
        let Some((part, name)) = found else {
            return Err(format!(
                "it holds tensor {}, which is no part of a checkpoint",
                tensor.name
            ));
        };
        tensor.name = name;
        parts[part].push(tensor);
    }
    Ok(Opened { stored, parts })
}

/// Brings a run to where a checkpoint was saved; returns how far that was. `longer` allows another cap.
///
/// # Errors
/// When the file is damaged, foreign or of another run: the run is then as it was begun, or not to be used.
pub fn resume(
    path: &Path,
    identity: &Identity,
    longer: bool,
    session: &mut Session<'_>,
) -> Result<Progress, NavigationError> {
    let wrong = |why: String| NavigationError::Checkpoint {
        path: path.to_owned(),
        why,
    };
    let Opened {
        mut stored,
        parts: [network, optimizer, senses],
    } = open(path).map_err(wrong)?;
    if longer {
        stored.identity.spec.cap = identity.spec.cap;
    }
    if stored.identity != *identity {
        return Err(wrong(tensors::difference(&stored.identity, identity)));
    }
    if stored.progress.step > identity.spec.cap {
        return Err(wrong(format!(
            "it is at step {} already, beyond the cap of {} steps",
            stored.progress.step, identity.spec.cap
        )));
    }
    // Nothing is left of a rollout within which a run has ended: it can be told, not gone on with.
    let has_ended = stored.progress.ended.is_some() || stored.progress.step == identity.spec.cap;
    if !has_ended && !session.is_between_rollouts(stored.progress.step) {
        return Err(wrong(format!(
            "it ended within a rollout, after update {}: only runs that end between rollouts can be made longer",
            stored.progress.step
        )));
    }
    take_over(session, stored, [network, optimizer, senses]).map_err(wrong)
}

/// What a run was, and its policy's weights.
///
/// # Errors
/// When the file is damaged or foreign.
pub fn policy(path: &Path) -> Result<(Identity, Vec<StateTensor>), NavigationError> {
    let Opened {
        stored,
        parts: [network, ..],
    } = open(path).map_err(|why| NavigationError::Checkpoint {
        path: path.to_owned(),
        why,
    })?;
    Ok((stored.identity, network))
}

fn take_over(
    session: &mut Session<'_>,
    stored: Stored,
    [network, optimizer, senses]: [Vec<StateTensor>; 3],
) -> Result<Progress, String> {
    let numbers: Vec<f64> = stored
        .simulator
        .iter()
        .copied()
        .map(f64::from_bits)
        .collect();
    let environments = session.simulator.environments();
    let width = session.network.state_width();
    let sense = |name: &str, len: usize| {
        let tensor = senses.iter().find(|tensor| tensor.name == name);
        let values = tensor.map(|tensor| tensor.values.clone());
        values
            .filter(|values| values.len() == len)
            .ok_or_else(|| format!("its senses.{name} is not of this run"))
    };
    let state = sense("state", environments * width)?;
    let previous = sense("previous", environments)?;
    let fresh = sense("fresh", environments)?;
    let values_fit = state.iter().all(|x| x.is_finite())
        && previous
            .iter()
            .all(|p| (0..=ACTIONS).any(|action| action as f32 == *p))
        && fresh.iter().all(|f| [0.0, 1.0].contains(f));
    if !values_fit {
        return Err("its senses hold what no agent could remember".to_owned());
    }
    if stored.tally.environments() != environments || !session.simulator.load(&numbers) {
        return Err("its environments are not those of this run".to_owned());
    }
    session
        .network
        .import(&network)
        .map_err(|error| error.to_string())?;
    let expected = session.optimizer.state();
    let ordered = expected
        .iter()
        .filter_map(|own| optimizer.iter().find(|t| t.name == own.name));
    let ordered: Vec<StateTensor> = ordered.cloned().collect();
    session
        .optimizer
        .load(&ordered)
        .map_err(|error| error.to_string())?;
    session.tally = stored.tally;
    session.senses.state = state;
    session.senses.previous = previous.iter().map(|&p| p as u32).collect();
    session.senses.fresh = fresh.iter().map(|&f| f != 0.0).collect();
    Ok(stored.progress)
}
