//! A trained policy that acts in one environment.

use std::path::Path;

use batchscope_core::{Purpose, StreamKey};
use batchscope_nn::{DeviceSpec, Observations, PolicyNetwork};

use crate::{
    NavigationError, checkpoint,
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

impl Policy {
    /// The policy of a checkpoint, at the beginning of an episode.
    ///
    /// # Errors
    /// When the file cannot be read, or its network is not that of the settings.
    pub fn read(path: &Path, settings: &NavigationSettings) -> Result<Self, NavigationError> {
        let (identity, weights) = checkpoint::policy(path)?;
        let key = StreamKey {
            study_seed: identity.spec.study_seed,
            trial: identity.spec.seed,
            purpose: Purpose::Actions,
        };
        let initial = key.with_purpose(Purpose::Initialization);
        let mut network = PolicyNetwork::new(settings.policy, initial, DeviceSpec::Cpu)?;
        network
            .import(&weights)
            .map_err(|error| NavigationError::Checkpoint {
                path: path.to_owned(),
                why: format!(
                    "{error}: give the workload that it was trained on ({})",
                    identity.workload
                ),
            })?;
        Ok(Self {
            state: vec![0.0; network.state_width()],
            network,
            key,
            previous: 0,
            step: 0,
        })
    }

    /// The workload that a checkpoint's run was of, as it was written.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn workload(path: &Path) -> Result<String, NavigationError> {
        Ok(checkpoint::policy(path)?.0.workload)
    }

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
