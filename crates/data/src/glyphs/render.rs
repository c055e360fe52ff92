//! One glyph: a character's strokes, distorted, inked, partly covered and noisy.

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::geometry::{Elastic, Point, distance_squared, spline, subdivide};
use super::shapes::{ALPHABET, Shape, Stroke};

/// Rows and columns of a glyph.
pub(super) const SIDE: usize = 28;
/// Pixels of a glyph.
pub(super) const PIXELS: usize = SIDE * SIDE;

/// Width and height of an undistorted character, in pixels.
const SIZE: f32 = 17.0;
/// Largest tangent of half the rotation: 0.19 is 21.5 degrees.
const TURN: f32 = 0.19;
/// Largest shear, as a slope.
const SHEAR: f32 = 0.35;
/// Relative range of the sizes, each axis for itself.
const STRETCH: (f32, f32) = (0.68, 1.12);
/// Largest shift of the center, in pixels.
const SHIFT: f32 = 3.4;
/// Largest displacement of a grid point of the elastic field, in character sizes.
const ELASTIC: f32 = 0.16;
/// Half the pen's width, in pixels.
const PEN: (f32, f32) = (0.55, 1.5);
/// Ink of the pen, as a gray value.
const INK: (f32, f32) = (120.0, 255.0);
/// Chance of a bar across the glyph, and its half-width in pixels.
const BAR: (f32, f32) = (0.5, 1.4);
/// Standard deviation of the noise of a pixel, in gray values, at its most.
const NOISE: (f32, f32) = (8.0, 41.0);

/// Uniform in `from..to`, of 24 random bits.
fn uniform(rng: &mut ChaCha8Rng, (from, to): (f32, f32)) -> f32 {
    from + (to - from) * ((rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32)
}

/// Uniform in `−most..most`.
fn around(rng: &mut ChaCha8Rng, most: f32) -> f32 {
    uniform(rng, (-most, most))
}

/// Draws the character `class` into `out` ([`PIXELS`] bytes, white on black) with the numbers of `rng`.
pub(super) fn render(class: usize, rng: &mut ChaCha8Rng, out: &mut [u8]) {
    let mut ink = [0f32; PIXELS];
    let warp = Warp::draw(rng);
    let pen = uniform(rng, PEN);
    let gray = uniform(rng, INK);
    let mut points = Vec::with_capacity(64);
    for stroke in ALPHABET[class].strokes {
        points.clear();
        match stroke {
            Stroke::Line(corners) => subdivide(corners, &mut points),
            Stroke::Curve(polygon) => spline(polygon, false, &mut points),
            Stroke::Loop(polygon) => spline(polygon, true, &mut points),
        }
        for point in &mut points {
            *point = warp.apply(*point);
        }
        for segment in points.windows(2) {
            paint(&mut ink, segment[0], segment[1], pen, 1.0);
        }
    }
    cover(&mut ink, rng);
    let deviation = uniform(rng, NOISE);
    let mut bytes = [0u8; PIXELS * 2];
    rng.fill_bytes(&mut bytes);
    for ((out, &ink), noise) in out.iter_mut().zip(&ink).zip(bytes.chunks_exact(2)) {
        // The sum of two uniform bytes is triangular with standard deviation √((256² − 1)/6).
        let noise = (f32::from(noise[0]) + f32::from(noise[1]) - 255.0) / 104.511;
        *out = (ink * gray + deviation * noise).clamp(0.0, 255.0) as u8;
    }
}

/// Where a point of the unit square lands on the picture.
struct Warp {
    linear: [[f32; 2]; 2],
    center: Point,
    elastic: Elastic,
}

impl Warp {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        // With t = tan(angle/2): cos = (1 − t²)/(1 + t²), sin = 2t/(1 + t²).
        let t = around(rng, TURN);
        let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let shear = around(rng, SHEAR);
        let (wide, high) = (SIZE * uniform(rng, STRETCH), SIZE * uniform(rng, STRETCH));
        let linear = [
            [cos * wide, (cos * shear - sin) * high],
            [sin * wide, (sin * shear + cos) * high],
        ];
        let middle = (SIDE - 1) as f32 / 2.0;
        let center = [middle + around(rng, SHIFT), middle + around(rng, SHIFT)];
        let mut grid = [[[0.0; 2]; Elastic::SIDE]; Elastic::SIDE];
        for vector in grid.iter_mut().flatten() {
            *vector = [around(rng, ELASTIC), around(rng, ELASTIC)];
        }
        Self {
            linear,
            center,
            elastic: Elastic { grid },
        }
    }

    fn apply(&self, p: Point) -> Point {
        let bend = self.elastic.at(p);
        let (x, y) = (p[0] + bend[0] - 0.5, p[1] + bend[1] - 0.5);
        let [[xx, xy], [yx, yy]] = self.linear;
        [
            self.center[0] + xx * x + xy * y,
            self.center[1] + yx * x + yy * y,
        ]
    }
}

/// Paints a segment with round ends of half-width `pen`; edges fade over one pixel.
fn paint(ink: &mut [f32; PIXELS], a: Point, b: Point, pen: f32, level: f32) {
    let reach = pen + 0.5;
    let span = |i: usize| {
        let low = (a[i].min(b[i]) - reach).clamp(0.0, SIDE as f32) as usize;
        let high = (a[i].max(b[i]) + reach + 1.0).clamp(0.0, SIDE as f32) as usize;
        low..high
    };
    for y in span(1) {
        for x in span(0) {
            let distance = distance_squared([x as f32, y as f32], a, b);
            if distance < reach * reach {
                let cover = (reach - distance.sqrt()).min(1.0);
                let pixel = &mut ink[y * SIDE + x];
                *pixel = pixel.max(cover * level);
            }
        }
    }
}

/// Occlusion: now and then a bar of a random gray lies across the glyph.
fn cover(ink: &mut [f32; PIXELS], rng: &mut ChaCha8Rng) {
    if uniform(rng, (0.0, 1.0)) >= BAR.0 {
        return;
    }
    let edge = (SIDE - 1) as f32;
    let (from, to) = (uniform(rng, (0.0, edge)), uniform(rng, (0.0, edge)));
    let (a, b) = if rng.next_u32() & 1 == 0 {
        ([from, 0.0], [to, edge])
    } else {
        ([0.0, from], [edge, to])
    };
    let (half, gray) = (uniform(rng, (0.5, BAR.1)), uniform(rng, (0.0, 1.0)));
    for y in 0..SIDE {
        for x in 0..SIDE {
            if distance_squared([x as f32, y as f32], a, b) < half * half {
                ink[y * SIDE + x] = gray;
            }
        }
    }
}

/// The characters' names, by class.
pub(super) fn names() -> Vec<String> {
    ALPHABET
        .iter()
        .map(|Shape { name, .. }| (*name).to_owned())
        .collect()
}
