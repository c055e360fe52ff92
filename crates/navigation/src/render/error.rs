/// Why a renderer was not made, or did not draw. Nothing has been drawn when it happens.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RenderError {
    /// A resolution that the renderer has no layout for.
    #[error("the resolution is {0}, but must be a multiple of 8 from 8 to 256")]
    Resolution(usize),
    /// A setting of the camera outside its range.
    #[error("the camera's `{name}` is {value}, but must be {range}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: f32,
        /// What it must be.
        range: &'static str,
    },
    /// A corner that is not a number, or is too far away for single precision.
    #[error(
        "scene {scene}, triangle {triangle}: coordinates must be finite and within 100 km of 0"
    )]
    Corner {
        /// Position of the scene in the list.
        scene: usize,
        /// Position of the triangle in the scene.
        triangle: usize,
    },
    /// More triangles than a scene may have.
    #[error("scene {scene} has {triangles} triangles, but the renderer takes at most {most}")]
    Triangles {
        /// Position of the scene in the list.
        scene: usize,
        /// Its triangles.
        triangles: usize,
        /// The most there may be.
        most: usize,
    },
    /// No scene to look at.
    #[error("a renderer needs at least one scene")]
    NoScenes,
    /// A view of a scene that was not given.
    #[error("view {view} is of scene {scene}, but there are {scenes} scenes")]
    Scene {
        /// Position of the view in the list.
        view: usize,
        /// The scene that it names.
        scene: usize,
        /// How many there are.
        scenes: usize,
    },
    /// A position or heading that is not a number, or is too far away for single precision.
    #[error("view {0}: position and heading must be finite, and the position within 100 km of 0")]
    View(usize),
    /// A slice for the images that has another length than the images have pixels.
    #[error("the images have {expected} pixels, but the slice for them has {found} elements")]
    Length {
        /// Pixels of all views.
        expected: usize,
        /// Elements of the slice.
        found: usize,
    },
}
