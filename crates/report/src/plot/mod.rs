//! A small plotting layer that emits clean SVG: one drawing for the page (wide and narrow), for a
//! file of its own, and for the raster image.

pub(crate) mod color;
pub(crate) mod figure;
pub(crate) mod panel;
pub(crate) mod raster;
pub(crate) mod scale;
pub(crate) mod svg;
