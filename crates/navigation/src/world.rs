//! The scenes of a workload, ready to act in and to be drawn.

use std::sync::Arc;

use batchscope_core::Split;
use rayon::prelude::*;

use crate::{
    NavigationError,
    render::{CameraSettings, Renderer},
    scene::{Mesh, Scene},
    settings::{NavigationSettings, RESOLUTION},
};

/// Scenes with what draws them.
pub struct SceneSet {
    /// The scenes.
    pub scenes: Arc<[Scene]>,
    /// Draws what is seen in them.
    pub renderer: Renderer,
}

impl SceneSet {
    /// Makes scenes ready.
    ///
    /// # Errors
    /// When they cannot be drawn.
    pub fn new(scenes: Vec<Scene>) -> Result<Self, NavigationError> {
        let camera = CameraSettings {
            resolution: RESOLUTION,
            ..CameraSettings::default()
        };
        let meshes: Vec<&Mesh> = scenes.iter().map(|scene| &scene.mesh).collect();
        Ok(Self {
            renderer: Renderer::new(camera, &meshes)?,
            scenes: scenes.into(),
        })
    }
}

/// Scenes to train in, to evaluate in and to test in: never the same.
pub struct World {
    /// To train in.
    pub train: SceneSet,
    /// To evaluate in.
    pub held_out: SceneSet,
    /// To test in, once at the end.
    pub test: SceneSet,
}

impl World {
    /// Draws the scenes of the settings.
    ///
    /// # Errors
    /// When they cannot be drawn.
    pub fn new(settings: &NavigationSettings) -> Result<Self, NavigationError> {
        let draw = |count: u64, split: Split| {
            let numbers = (0..count).into_par_iter();
            let seed = settings.scene_seed;
            let scenes = numbers.map(|number| Scene::draw(&settings.plan, seed, number, split));
            SceneSet::new(scenes.collect())
        };
        Ok(Self {
            train: draw(settings.scenes, Split::Train)?,
            held_out: draw(settings.held_out, Split::Val)?,
            test: draw(settings.held_out, Split::Test)?,
        })
    }
}
