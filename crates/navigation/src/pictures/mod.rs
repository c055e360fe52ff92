//! Pictures for people: floor plans, sheets of depth images, and animations of episodes.
//!
//! - `canvas`: drawing in meters, on what tiny-skia offers.
//! - `plan`: a floor plan from above, with ways, start, goal and agent.
//! - `depth`: depth images in color, alone or as a contact sheet.
//! - `animation`: an episode as an animated PNG.
//!
//! The same input gives the same bytes. No number leads to a panic: what is no number is not drawn, and what is too
//! large is made smaller or refused.

mod animation;
mod canvas;
mod depth;
mod plan;

pub use animation::{Animation, AnimationSettings, EpisodeFrame};
pub use depth::{SheetSettings, contact_sheet, depth_color};
pub use plan::{COLORS, Marks, PlanColors, PlanPictureSettings, PlanScale, Way, plan_picture};

use std::io::Write;

/// Pixels along a side of a picture at most.
pub const MOST_SIDE: u32 = 4000;

/// A picture in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Red, green and blue of every pixel, in sRGB, row by row from the top.
    pub rgb: Vec<u8>,
}

/// Why a picture was not made or written.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// A depth image that is not as long as it has pixels.
    #[error("depth image {image} has {found} numbers, but {expected} pixels")]
    Length {
        /// Position of the image in the list or in the animation.
        image: usize,
        /// Pixels of an image.
        expected: usize,
        /// Numbers that were given.
        found: usize,
    },
    /// A setting that is zero.
    #[error("`{0}` must be at least 1")]
    Zero(&'static str),
    /// A picture with more pixels along a side than [`MOST_SIDE`].
    #[error(
        "the picture would have {width} by {height} pixels, but sides have at most {MOST_SIDE}"
    )]
    TooLarge {
        /// Pixels from left to right.
        width: usize,
        /// Pixels from top to bottom.
        height: usize,
    },
    /// An animation of a number of frames other than announced.
    #[error("the animation was begun for {expected} frames, but got {found}")]
    Frames {
        /// Frames that were announced.
        expected: u32,
        /// Frames that were given.
        found: u32,
    },
    /// The picture could not be written.
    #[error("cannot write the PNG: {0}")]
    Png(#[from] png::EncodingError),
}

impl Picture {
    /// A picture of one color.
    fn filled(width: u32, height: u32, color: [u8; 3]) -> Self {
        let pixels = width as usize * height as usize;
        Self {
            width,
            height,
            rgb: color.repeat(pixels),
        }
    }

    /// The color of a pixel; `None` outside of the picture.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        let inside = x < self.width && y < self.height;
        let at = 3 * (y as usize * self.width as usize + x as usize);
        let color = self.rgb.get(at..at + 3).filter(|_| inside)?;
        color.try_into().ok()
    }

    /// Writes it as a PNG.
    pub fn write_png(&self, out: impl Write) -> Result<(), PictureError> {
        let mut writer = encoder(out, self.width, self.height).write_header()?;
        writer.write_image_data(&self.rgb)?;
        Ok(writer.finish()?)
    }

    /// Copies another picture into this one, its upper left corner at the pixel `[x, y]`; what would be outside is left
    /// out.
    fn paste(&mut self, other: &Self, [x, y]: [u32; 2]) {
        let columns = other.width.min(self.width.saturating_sub(x)) as usize;
        let (own, others) = (3 * self.width as usize, 3 * other.width as usize);
        if columns == 0 {
            return;
        }
        let to = self.rgb.chunks_exact_mut(own).skip(y as usize);
        let from = other.rgb.chunks_exact(others);
        for (to, from) in to.zip(from) {
            to[3 * x as usize..][..3 * columns].copy_from_slice(&from[..3 * columns]);
        }
    }
}

/// Writes pictures with eight bits for each of red, green and blue.
fn encoder<W: Write>(out: W, width: u32, height: u32) -> png::Encoder<'static, W> {
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder
}

/// The color that lies between two, at a share of 0 to 1 of the way.
fn mix(from: [u8; 3], to: [u8; 3], share: f64) -> [u8; 3] {
    std::array::from_fn(|i| {
        let [from, to] = [from[i], to[i]].map(f64::from);
        (from + (to - from) * share).round() as u8
    })
}
