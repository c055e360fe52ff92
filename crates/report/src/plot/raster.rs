//! SVG to PNG, with a font of our own so that a machine without fonts draws the same picture.

use std::sync::{Arc, LazyLock};

use resvg::{tiny_skia, usvg};

use crate::ReportError;

/// Pixels of the image per pixel of the drawing.
const SCALE: f32 = 2.0;

/// DejaVu Sans Condensed (Bitstream Vera license, permissive), regular and bold, and no other: the
/// machine's own fonts never change an image.
static FONTS: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans_condensed::regular().to_vec());
    fonts.load_font_data(dejavu::sans_condensed::bold().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// The drawing as a PNG at twice its size.
///
/// # Errors
/// When the SVG cannot be read or is too large: a fault of the report itself.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>, ReportError> {
    let bug = |why: String| ReportError::Drawing(why);
    let tree = tree(svg)?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(SCALE)
        .ok_or_else(|| bug("a drawing without a size".into()))?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).ok_or_else(|| {
        bug(format!(
            "a drawing of {} × {} pixels",
            size.width(),
            size.height()
        ))
    })?;
    resvg::render(
        &tree,
        tiny_skia::Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    pixels.encode_png().map_err(|e| bug(e.to_string()))
}

/// The drawing as resvg understands it.
pub(crate) fn tree(svg: &str) -> Result<usvg::Tree, ReportError> {
    let options = usvg::Options {
        fontdb: Arc::clone(&FONTS),
        font_family: "DejaVu Sans".to_owned(),
        ..usvg::Options::default()
    };
    usvg::Tree::from_str(svg, &options).map_err(|e| ReportError::Drawing(e.to_string()))
}
