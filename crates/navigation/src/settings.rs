//! What is trained on what: the workload's settings, chosen by name.

use batchscope_core::{
    Choice, Descriptor, Kind, Parameter, ParameterDefault, Range, SettingError, format,
    setting::require,
};
use batchscope_nn::PolicySpec;

use crate::{
    ppo::{ACTIONS, Ppo},
    scene::PlanSettings,
    simulator::Difficulty,
};

/// How the workload is chosen: `navigation(rooms=3, width=16)`.
pub const NAVIGATION: Descriptor = Descriptor {
    name: "navigation",
    aliases: &[],
    about: "Trains an agent to find its way through rooms, from depth images, by policy optimization",
    source: "Shacklett et al. 2021, arXiv 2103.07013",
    parameters: &[
        whole(
            "rooms",
            "Rooms of a plan at most; it has one at least",
            1,
            PlanSettings::MOST_ROOMS as u64,
            3,
        ),
        whole(
            "triangles",
            "Triangles of a scene at most",
            PlanSettings::LEAST_TRIANGLES as u64,
            PlanSettings::MOST_TRIANGLES as u64,
            1000,
        ),
        Parameter {
            name: "nearest",
            about: "Least length of the shortest way to a goal, in meters",
            kind: Kind::Number(Range::new(Difficulty::NEAREST, true, 2.0, true)),
            default: ParameterDefault::Number(1.0),
        },
        Parameter {
            name: "farthest",
            about: "Largest length of the shortest way to a goal, in meters",
            kind: Kind::Number(Range::new(1.0, true, 100.0, true)),
            default: ParameterDefault::Number(5.0),
        },
        whole(
            "scenes",
            "Scenes to train in, shared by all environments",
            1,
            512,
            16,
        ),
        whole(
            "held_out",
            "Scenes to evaluate in, and as many to test in at the end",
            1,
            512,
            16,
        ),
        whole(
            "scene_seed",
            "Seed of the scenes, whatever the seed of the run",
            0,
            u32::MAX as u64,
            0,
        ),
        whole(
            "width",
            "Channels of the first block; 64 as published",
            4,
            64,
            16,
        ),
        whole(
            "hidden",
            "Width of the LSTM; 512 as published",
            8,
            1024,
            128,
        ),
        whole("layers", "Layers of the LSTM; 2 as published", 1, 4, 2),
        whole(
            "horizon",
            "Steps of every environment in a rollout, T",
            1,
            512,
            Ppo::PUBLISHED.steps as u64,
        ),
        whole(
            "mini_batches",
            "Mini-batches of a rollout, an update each",
            1,
            16,
            Ppo::PUBLISHED.mini_batches as u64,
        ),
        whole(
            "episodes",
            "Episodes of an evaluation, where evaluations do not say fewer examples",
            1,
            10_000,
            100,
        ),
    ],
};

const fn whole(
    name: &'static str,
    about: &'static str,
    least: u64,
    most: u64,
    default: u64,
) -> Parameter {
    Parameter {
        name,
        about,
        kind: Kind::Whole(least, most),
        default: ParameterDefault::Whole(default),
    }
}

/// The workload's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct NavigationSettings {
    /// What plans are drawn from.
    pub plan: PlanSettings,
    /// How far goals are.
    pub difficulty: Difficulty,
    /// Scenes to train in.
    pub scenes: u64,
    /// Scenes to evaluate in, and as many to test in.
    pub held_out: u64,
    /// Seed of all scenes.
    pub scene_seed: u64,
    /// The network.
    pub policy: PolicySpec,
    /// How it learns.
    pub ppo: Ppo,
    /// Episodes of an evaluation at most.
    pub episodes: u64,
}

impl NavigationSettings {
    /// The settings of a choice of [`NAVIGATION`], which its descriptor has checked.
    ///
    /// # Errors
    /// When two of them do not fit together, by the key.
    pub fn of(choice: &Choice) -> Result<Self, SettingError> {
        let whole = |key: &str| choice.whole(key).unwrap_or_default();
        let number = |key: &str| choice.number(key).unwrap_or_default();
        let difficulty = Difficulty {
            nearest: number("nearest"),
            farthest: number("farthest"),
        };
        require(
            difficulty.nearest * 1.5 <= difficulty.farthest,
            "farthest",
            "must be at least one and a half times nearest",
        )?;
        let spec = PolicySpec::new(
            whole("width") as usize,
            whole("hidden") as usize,
            whole("layers") as usize,
            ACTIONS,
            RESOLUTION,
        );
        Ok(Self {
            plan: PlanSettings {
                rooms: [1, whole("rooms") as u32],
                triangles: whole("triangles") as usize,
            },
            difficulty,
            scenes: whole("scenes"),
            held_out: whole("held_out"),
            scene_seed: whole("scene_seed"),
            policy: spec.map_err(|error| SettingError::new("width", error.to_string()))?,
            ppo: Ppo {
                steps: whole("horizon") as usize,
                mini_batches: whole("mini_batches") as usize,
                ..Ppo::PUBLISHED
            },
            episodes: whole("episodes"),
        })
    }

    /// The network in words.
    pub fn model(&self) -> String {
        let PolicySpec {
            width,
            hidden,
            layers,
            ..
        } = self.policy;
        format!("SE-ResNet9 of width {width} and {layers} LSTM layers of {hidden}")
    }

    /// The task in words.
    pub fn data(&self) -> String {
        let PlanSettings {
            rooms: [_, rooms],
            triangles,
        } = self.plan;
        let Difficulty { nearest, farthest } = self.difficulty;
        format!(
            "point-goal navigation in plans of 1 to {rooms} rooms, goals {nearest} to {farthest} m away, {} scenes of up to {triangles} \
             triangles (seed {}), {} held out",
            self.scenes, self.scene_seed, self.held_out
        )
    }

    /// Environments that fill updates of so many frames, `N = B·M/T`.
    ///
    /// # Errors
    /// When they are no whole number, or the images of their rollout would take more than [`MOST_BYTES`].
    pub fn environments(&self, batch_size: u64) -> Result<usize, SettingError> {
        let steps = self.ppo.steps as u64;
        require(
            batch_size >= steps && batch_size.is_multiple_of(steps),
            "batch-size",
            &format!(
                "must be a multiple of the horizon, {steps}: an update takes whole rollouts of environments"
            ),
        )?;
        let bytes = self.rollout_bytes(batch_size);
        let why = format!(
            "{batch_size} takes {} for the images of a rollout; more than {} are not tried",
            format::bytes(bytes),
            format::bytes(MOST_BYTES)
        );
        require(bytes <= MOST_BYTES, "batch-size", &why)?;
        Ok((batch_size / steps) as usize * self.ppo.mini_batches)
    }

    /// Bytes of the images of the rollout that updates of so many frames are cut from.
    pub fn rollout_bytes(&self, batch_size: u64) -> u64 {
        let image = (4 * RESOLUTION * RESOLUTION) as u64;
        let frames = batch_size.saturating_mul(self.ppo.mini_batches as u64);
        frames.saturating_mul(image)
    }
}

/// Bytes of a rollout's images at most: 16 GiB.
pub const MOST_BYTES: u64 = 16 << 30;

/// Rows and columns of depth images, as published.
pub const RESOLUTION: usize = 64;

/// The learning rate that Shacklett et al. 2021 scale with the frames of an update: `5·10⁻⁴·max(√(B/256), 1)`.
pub fn published_learning_rate(batch_size: u64) -> f64 {
    5e-4 * (batch_size as f64 / 256.0).sqrt().max(1.0)
}
