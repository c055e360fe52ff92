//! A trained policy that acts in one environment.

use std::path::{Path, PathBuf};

use batchscope_core::{Purpose, StateTensor, StreamKey};
use batchscope_nn::{DeviceSpec, Observations, PolicyNetwork};

use crate::{
    NavigationError,
    checkpoint::{self, Identity},
    rollout::draw_actions,
    settings::NavigationSettings,
    simulator::{Action, GOAL},
};

/// A policy with what it remembers of an episode.
pub struct Policy {
    network: PolicyNetwork,
    key: StreamKey,
    previous: u32,
    state: Vec<f32>,
    step: u64,
}

/// The policy of a checkpoint, of whatever run.
pub struct StoredPolicy {
    path: PathBuf,
    identity: Identity,
    weights: Vec<StateTensor>,
}

impl StoredPolicy {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, NavigationError> {
        let (identity, weights) = checkpoint::policy(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity,
            weights,
        })
    }

    /// The workload that its run was of, as it was written.
    pub fn workload(&self) -> &str {
        &self.identity.workload
    }

    /// It at the beginning of an episode.
    ///
    /// # Errors
    /// When its network is not that of the settings.
    pub fn begin(&self, settings: &NavigationSettings) -> Result<Policy, NavigationError> {
        let key = self.identity.spec.key(Purpose::Actions);
        let initial = key.with_purpose(Purpose::Initialization);
        let mut network = PolicyNetwork::new(settings.policy, initial, DeviceSpec::Cpu)?;
        network
            .import(&self.weights)
            .map_err(|error| NavigationError::Checkpoint {
                path: self.path.clone(),
                why: format!(
                    "{error}: give the workload that it was trained on ({})",
                    self.workload()
                ),
            })?;
        Ok(Policy {
            state: vec![0.0; network.state_width()],
            network,
            key,
            previous: 0,
            step: 0,
        })
    }
}

impl Policy {
    /// What it does next, drawn from its probabilities; `depth` is in meters, up to `limit`.
    ///
    /// # Errors
    /// When the image is not of its resolution or the network fails.
    pub fn act(
        &mut self,
        goal: [f32; GOAL],
        depth: &[f32],
        limit: f32,
    ) -> Result<Action, NavigationError> {
        let depth: Vec<f32> = depth.iter().map(|depth| depth / limit).collect();
        let observations = Observations {
            depth: &depth,
            goal: &goal,
            previous: &[self.previous],
        };
        let fresh = [self.step == 0];
        let answers = self.network.act(&observations, &fresh, &mut self.state)?;
        let mut chosen = Action::Stop;
        draw_actions(&answers, self.key, self.step, |_, action, _| {
            chosen = action
        });
        self.previous = 1 + chosen as u32;
        self.step += 1;
        Ok(chosen)
    }
}
