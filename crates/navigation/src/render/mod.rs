//! Depth images of many cameras at once, on the CPU.
//!
//! A rasterizer in homogeneous coordinates: M. Olano and T. Greer, "Triangle scan conversion using 2D homogeneous
//! coordinates", Graphics Hardware 1997. The edges of a polygon are planes through the eye, so that nothing needs to be
//! clipped, and one over the depth is linear in the image. What differs from the paper: polygons have up to four
//! corners, pixels keep the largest of one over the depth, and edges count as inside, so that neighbors overlap by a
//! rounding error and leave no gaps.
//!
//! - `clusters`: a scene made ready, once: 16 polygons each that face the same way.
//! - `cull`: which clusters a camera may see, nearest first.
//! - `setup`: corners to functions of the pixel, 16 polygons at a time.
//! - `raster`: pixels, 16 at a time, and what the pixels drawn so far hide.
//!
//! A pixel's bits depend neither on the number of threads nor on the instruction set: all arithmetic is single
//! operations in a stated order.

mod camera;
mod clusters;
mod cull;
mod error;
mod raster;
#[doc(hidden)]
pub mod reference;
mod setup;

use std::cell::RefCell;

use rayon::prelude::*;

use crate::scene::Mesh;
use camera::Pose;
pub use camera::{CameraSettings, View};
use clusters::Prepared;
use cull::Visible;
pub use error::RenderError;
use raster::Draw;

thread_local! {
    /// The list of visible clusters, kept from image to image.
    static VISIBLE: RefCell<Vec<Visible>> = const { RefCell::new(Vec::new()) };
}

/// Draws depth images of prepared scenes.
///
/// ```
/// use batchscope_navigation::{Box3, CameraSettings, Mesh, Renderer, View};
/// let mut mesh = Mesh::default();
/// mesh.add_box(Box3 { low: [2.0, -1.0, 0.0], high: [3.0, 1.0, 2.5] }, true, false);
/// let renderer = Renderer::new(CameraSettings::default(), &[&mesh])?;
/// let views = [View { scene: 0, position: [0.0, 0.0], heading: 0.0 }];
/// let mut depth = vec![0.0; renderer.camera().pixels()];
/// renderer.render(&views, &mut depth)?;
/// assert!((depth[32 * 64 + 32] - 2.0).abs() < 1e-5 && depth[32 * 64] == 10.0);
/// # Ok::<(), batchscope_navigation::RenderError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Renderer {
    camera: CameraSettings,
    scenes: Vec<Prepared>,
    arch: pulp::Arch,
}

impl Renderer {
    /// Prepares scenes for cameras.
    pub fn new(camera: CameraSettings, meshes: &[&Mesh]) -> Result<Self, RenderError> {
        let camera = camera.checked()?;
        if meshes.is_empty() {
            return Err(RenderError::NoScenes);
        }
        let scenes = meshes.iter().enumerate();
        Ok(Self {
            camera,
            scenes: scenes
                .map(|(i, mesh)| Prepared::new(mesh, i))
                .collect::<Result<_, _>>()?,
            arch: pulp::Arch::new(),
        })
    }

    /// What all cameras have in common.
    pub fn camera(&self) -> &CameraSettings {
        &self.camera
    }

    /// Draws all views, on the threads of the current rayon pool, one image after the other into `depth`.
    ///
    /// Depths are meters along the view axis, from 0 to the limit; rows run from the top, columns from the left. Only
    /// visible sides are seen. There is no near plane, but a surface whose plane is within 10 µm of the eye is not seen.
    pub fn render(&self, views: &[View], depth: &mut [f32]) -> Result<(), RenderError> {
        let pixels = self.camera.pixels();
        let (expected, found) = (views.len() * pixels, depth.len());
        if expected != found {
            return Err(RenderError::Length { expected, found });
        }
        for (i, view) in views.iter().enumerate() {
            if view.scene >= self.scenes.len() {
                return Err(RenderError::Scene {
                    view: i,
                    scene: view.scene,
                    scenes: self.scenes.len(),
                });
            }
            if !view.is_valid() {
                return Err(RenderError::View(i));
            }
        }
        let images = depth.par_chunks_exact_mut(pixels);
        images
            .zip(views)
            .for_each(|(image, view)| self.draw(view, image));
        Ok(())
    }

    fn draw(&self, view: &View, image: &mut [f32]) {
        VISIBLE.with_borrow_mut(|visible| {
            self.arch.dispatch(Draw {
                scene: &self.scenes[view.scene],
                pose: Pose::new(&self.camera, view),
                visible,
                image,
            });
        });
    }
}

#[cfg(test)]
mod tests;
