//! Depth images in color.

use super::{COLORS, MOST_SIDE, Picture, PictureError, mix};

/// Magma (van der Walt and Smith 2015, matplotlib 1.5, CC0) at nine evenly spaced places. Equal steps along it
/// look equally large, to the color-blind too, and its lightness alone tells near from far in a gray print.
const MAGMA: [[u8; 3]; 9] = [
    [0x00, 0x00, 0x04],
    [0x1d, 0x11, 0x47],
    [0x51, 0x12, 0x7c],
    [0x82, 0x26, 0x81],
    [0xb6, 0x36, 0x79],
    [0xe6, 0x51, 0x64],
    [0xfb, 0x88, 0x61],
    [0xfe, 0xc2, 0x87],
    [0xfc, 0xfd, 0xbf],
];

/// The color of a depth, along magma: light yellow at the eye, black at the limit and beyond, where what is no
/// number lies too. The place along it is the root of the share of the limit, since most of what is seen in a room is
/// near: a fourth of the limit has the color in the middle.
pub fn depth_color(depth: f32, limit: f32) -> [u8; 3] {
    let far = f64::from(depth) / f64::from(limit);
    // `min` and `max` would take no number for near.
    let near = match far < 1.0 {
        true => 1.0 - far.max(0.0).sqrt(),
        false => 0.0,
    };
    let place = near * (MAGMA.len() - 1) as f64;
    let below = (place as usize).min(MAGMA.len() - 2);
    mix(MAGMA[below], MAGMA[below + 1], place - below as f64)
}

/// How depth images are laid out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SheetSettings {
    /// Rows and columns of a depth image.
    pub resolution: usize,
    /// Images in a row of the sheet.
    pub columns: usize,
    /// Each pixel becomes a square of so many.
    pub enlarged: usize,
    /// The depth that is drawn darkest, in meters: that of the camera, or less to tell near ones better apart.
    pub limit: f32,
}

/// Pixels between images, and around them.
const GAP: usize = 2;

/// Depth images in a grid, row by row, in the colors of [`depth_color`]. Without an image it is a small blank.
pub fn contact_sheet(depths: &[&[f32]], settings: &SheetSettings) -> Result<Picture, PictureError> {
    let &SheetSettings {
        resolution,
        columns,
        enlarged,
        limit,
    } = settings;
    let positive = [
        ("resolution", resolution),
        ("columns", columns),
        ("enlarged", enlarged),
    ];
    if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
        return Err(PictureError::Zero(name));
    }
    let cell = resolution.saturating_mul(enlarged).saturating_add(GAP);
    let side = |cells: usize| cell.saturating_mul(cells).saturating_add(GAP);
    let columns = columns.min(depths.len());
    let rows = depths.len().div_ceil(columns.max(1));
    let [width, height] = checked([side(columns), side(rows)])?;
    let mut sheet = Picture::filled(width, height, COLORS.ground);
    for (i, depth) in depths.iter().enumerate() {
        check_length(i, depth, resolution)?;
        let corner = [i % columns, i / columns].map(|place| (GAP + place * cell) as u32);
        sheet.paste(&depth_picture(depth, resolution, enlarged, limit), corner);
    }
    Ok(sheet)
}

/// The sides of a picture, if they are small enough.
pub(super) fn checked([width, height]: [usize; 2]) -> Result<[u32; 2], PictureError> {
    match width.max(height) <= MOST_SIDE as usize {
        true => Ok([width as u32, height as u32]),
        false => Err(PictureError::TooLarge { width, height }),
    }
}

/// Refuses an image that is not as long as it has pixels.
pub(super) fn check_length(
    image: usize,
    depth: &[f32],
    resolution: usize,
) -> Result<(), PictureError> {
    let (expected, found) = (resolution * resolution, depth.len());
    match expected == found {
        true => Ok(()),
        false => Err(PictureError::Length {
            image,
            expected,
            found,
        }),
    }
}

/// A depth image, each pixel a square of so many. Its sides are checked before.
pub(super) fn depth_picture(
    depth: &[f32],
    resolution: usize,
    enlarged: usize,
    limit: f32,
) -> Picture {
    let side = resolution * enlarged;
    let mut rgb = Vec::with_capacity(3 * side * side);
    for row in depth.chunks(resolution) {
        let start = rgb.len();
        for &depth in row {
            let color = depth_color(depth, limit);
            (0..enlarged).for_each(|_| rgb.extend(color));
        }
        let end = rgb.len();
        (1..enlarged).for_each(|_| rgb.extend_from_within(start..end));
    }
    Picture {
        width: side as u32,
        height: side as u32,
        rgb,
    }
}
