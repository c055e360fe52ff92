//! A small plotting layer that emits clean SVG: one drawing for the page (wide and narrow), for a
//! file of its own, and for the raster image.

pub(crate) mod color;
pub(crate) mod figure;
pub(crate) mod panel;
#[cfg(feature = "png")]
pub(crate) mod raster;
#[cfg(not(feature = "png"))]
pub(crate) mod raster {
    use crate::ReportError;

    pub(crate) fn png(_svg: &str) -> Result<Vec<u8>, ReportError> {
        Err(ReportError::Lacks { feature: "png" })
    }
}
pub(crate) mod scale;
pub(crate) mod svg;
