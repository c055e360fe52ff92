//! Cameras: what they all have in common, and where each one is.

use super::RenderError;

/// Coordinates beyond this many meters are refused: single precision would place them to a few millimeters at best.
pub(super) const FARTHEST_COORDINATE: f32 = 1e5;

/// What all cameras of a renderer have in common: a pinhole camera that looks horizontally.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraSettings {
    /// Rows and columns of an image: a multiple of 8, at most 256.
    pub resolution: usize,
    /// Angle between the left and the right edge of the image, in radians; the vertical angle is the same.
    pub field_of_view: f32,
    /// Height of the eye above z = 0, in meters.
    pub eye_height: f32,
    /// The largest depth that is told apart, in meters. Pixels where nothing is nearer get it.
    pub limit: f32,
}

impl Default for CameraSettings {
    /// 64 × 64 pixels, 90°, an eye at 1.25 m that sees 10 m.
    fn default() -> Self {
        Self {
            resolution: 64,
            field_of_view: std::f32::consts::FRAC_PI_2,
            eye_height: 1.25,
            limit: 10.0,
        }
    }
}

impl CameraSettings {
    /// Pixels of one image.
    pub fn pixels(&self) -> usize {
        self.resolution * self.resolution
    }

    /// The tangent of half the field of view.
    pub(super) fn tangent(&self) -> f64 {
        (f64::from(self.field_of_view) / 2.0).tan()
    }

    /// The settings, if every one is within its range.
    pub(super) fn checked(self) -> Result<Self, RenderError> {
        if !(8..=256).contains(&self.resolution) || !self.resolution.is_multiple_of(8) {
            return Err(RenderError::Resolution(self.resolution));
        }
        let within = |name, value: f32, low, high, range| match value >= low && value <= high {
            true => Ok(()),
            false => Err(RenderError::Setting { name, value, range }),
        };
        within(
            "field_of_view",
            self.field_of_view,
            0.1,
            2.6,
            "from 0.1 to 2.6 radians",
        )?;
        within("eye_height", self.eye_height, -1e3, 1e3, "within 1 km of 0")?;
        within("limit", self.limit, 0.01, 1e4, "from 1 cm to 10 km")?;
        Ok(self)
    }
}

/// Where one camera is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct View {
    /// The scene that it looks at: a position in the renderer's list.
    pub scene: usize,
    /// Where it stands: x and y, in meters.
    pub position: [f32; 2],
    /// Where it looks: radians, counterclockwise from the x axis.
    pub heading: f32,
}

impl View {
    /// Whether the coordinates are usable.
    pub(super) fn is_valid(&self) -> bool {
        self.position.iter().all(|x| x.abs() <= FARTHEST_COORDINATE) && self.heading.is_finite()
    }
}

/// A camera in the form that the renderer computes with.
///
/// Its axes are forward, left and up, a right-handed system. Left and up are scaled by the focal length in pixels, so
/// that the ray through column c and row r of n runs along (1, n/2 − c − 1/2, n/2 − r − 1/2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    /// The eye: x, y and z.
    pub eye: [f32; 3],
    /// The cosine of the heading.
    pub cos: f32,
    /// The sine of the heading.
    pub sin: f32,
    /// The focal length, in pixels.
    pub focal: f32,
    /// Half the resolution.
    pub half: f32,
    /// The tangent of half the field of view.
    pub tangent: f32,
    /// The largest depth.
    pub limit: f32,
}

impl Pose {
    /// The pose of a view.
    pub fn new(settings: &CameraSettings, view: &View) -> Self {
        let (sin, cos) = f64::from(view.heading).sin_cos();
        let half = settings.resolution as f64 / 2.0;
        let tangent = settings.tangent();
        Self {
            eye: [view.position[0], view.position[1], settings.eye_height],
            cos: cos as f32,
            sin: sin as f32,
            focal: (half / tangent) as f32,
            half: half as f32,
            tangent: tangent as f32,
            limit: settings.limit,
        }
    }
}
