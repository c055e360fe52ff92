//! An episode as an animated PNG: what the agent sees, and where it is.

use std::io::Write;

use super::{
    COLORS, Marks, Picture, PictureError, PlanScale, Way,
    canvas::Canvas,
    depth::{check_length, checked, depth_picture},
    encoder,
    plan::{bare_plan, draw_marks},
};
use crate::{scene::Scene, simulator::EnvironmentState};

/// How an episode is animated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnimationSettings {
    /// Rows and columns of a depth image.
    pub resolution: usize,
    /// The depth that is drawn darkest, in meters.
    pub limit: f32,
    /// Height of the picture in pixels, within the borders: the depth image is enlarged by the largest whole number that
    /// fits, at least 1, and the plan is fit into the same height and at most twice the width.
    pub height: u32,
}

impl Default for AnimationSettings {
    /// For images of 64 × 64 pixels that see 10 m: 384 pixels high.
    fn default() -> Self {
        Self {
            resolution: 64,
            limit: 10.0,
            height: 384,
        }
    }
}

/// A moment of an episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpisodeFrame<'a> {
    /// What the agent sees.
    pub depth: &'a [f32],
    /// Where it is and where it has to go.
    pub state: EnvironmentState,
    /// Where it has been so far, its start first.
    pub way: &'a [[f64; 2]],
}

/// Pixels around the depth image and the plan.
const BORDER: u32 = 8;

/// Writes an animated PNG frame by frame: the depth image to the left, the plan with the way gone so far to the right.
/// Frames are shown for a tenth of a second, the last for a second, over and over.
///
/// A PNG tells the number of its frames first. So an episode is stepped to its end before, and its frames are kept or
/// stepped again.
pub struct Animation<W: Write> {
    settings: AnimationSettings,
    enlarged: usize,
    plan: Canvas,
    /// Size of the frames.
    size: [u32; 2],
    writer: png::Writer<W>,
    frames: u32,
    written: u32,
}

impl<W: Write> Animation<W> {
    /// Begins an animation of so many frames, at least one, on a scene.
    pub fn new(
        out: W,
        scene: &Scene,
        frames: u32,
        settings: &AnimationSettings,
    ) -> Result<Self, PictureError> {
        if frames == 0 {
            return Err(PictureError::Zero("frames"));
        }
        if settings.resolution == 0 {
            return Err(PictureError::Zero("resolution"));
        }
        // Three times as wide at most: checked before anything is fit into it.
        let tallest = settings.resolution.max(settings.height as usize);
        checked([
            tallest
                .saturating_mul(3)
                .saturating_add(3 * BORDER as usize),
            tallest,
        ])?;
        let enlarged = (settings.height as usize / settings.resolution).max(1);
        let side = (settings.resolution * enlarged) as u32;
        let scale = PlanScale::fitting(scene, [2 * side, side]);
        let size = [side + scale.width() + 3 * BORDER, side + 2 * BORDER];
        let mut encoder = encoder(out, size[0], size[1]);
        encoder.set_animated(frames, 0)?;
        encoder.set_frame_delay(1, 10)?;
        Ok(Self {
            settings: *settings,
            enlarged,
            plan: bare_plan(scene, scale),
            size,
            writer: encoder.write_header()?,
            frames,
            written: 0,
        })
    }

    /// Writes the next frame.
    pub fn add(&mut self, frame: &EpisodeFrame<'_>) -> Result<(), PictureError> {
        if self.written == self.frames {
            return Err(self.wrong_number(self.frames.saturating_add(1)));
        }
        let AnimationSettings {
            resolution, limit, ..
        } = self.settings;
        check_length(self.written as usize, frame.depth, resolution)?;
        let [width, height] = self.size;
        let mut picture = Picture::filled(width, height, COLORS.ground);
        let depth = depth_picture(frame.depth, resolution, self.enlarged, limit);
        picture.paste(&depth, [BORDER; 2]);
        let plan = self.plan_of(frame).picture();
        let above = height.saturating_sub(plan.height) / 2;
        picture.paste(&plan, [2 * BORDER + depth.width, above]);
        if self.written + 1 == self.frames {
            self.writer.set_frame_delay(1, 1)?;
        }
        self.writer.write_image_data(&picture.rgb)?;
        self.written += 1;
        Ok(())
    }

    /// Ends the animation. Without it the file may lack what was written last.
    pub fn finish(self) -> Result<(), PictureError> {
        if self.written < self.frames {
            return Err(self.wrong_number(self.written));
        }
        Ok(self.writer.finish()?)
    }

    fn plan_of(&self, frame: &EpisodeFrame<'_>) -> Canvas {
        let mut plan = self.plan.clone();
        let marks = Marks {
            ways: &[Way {
                points: frame.way,
                color: COLORS.way,
            }],
            start: frame.way.first().copied(),
            goal: Some(frame.state.goal),
            agent: Some((frame.state.position, frame.state.heading)),
        };
        draw_marks(&mut plan, &marks);
        plan
    }

    fn wrong_number(&self, found: u32) -> PictureError {
        PictureError::Frames {
            expected: self.frames,
            found,
        }
    }
}
