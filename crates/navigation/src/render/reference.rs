//! Ray casting in double precision, one ray for each pixel and every triangle: what the renderer is tested against.
//!
//! The intersection is that of Möller and Trumbore, "Fast, minimum storage ray/triangle intersection", Journal of
//! Graphics Tools 2(1), 1997, for visible sides only.

use super::{CameraSettings, View};
use crate::scene::Mesh;

/// The depth along the view axis where a ray first meets a visible side; the limit if that is farther.
///
/// The ray passes through column `x` and row `y` of the image, in pixels from its left and top edge: the center of the
/// first pixel is at 0.5.
pub fn cast(settings: &CameraSettings, mesh: &Mesh, view: &View, x: f64, y: f64) -> f64 {
    let half = settings.resolution as f64 / 2.0;
    let (sin, cos) = f64::from(view.heading).sin_cos();
    let [left, up] = [half - x, half - y].map(|at| at / half * settings.tangent());
    let ray = [cos - sin * left, sin + cos * left, up];
    let [px, py] = view.position.map(f64::from);
    let eye = [px, py, f64::from(settings.eye_height)];
    let depths = mesh
        .triangles
        .iter()
        .filter_map(|triangle| meet(triangle, eye, ray));
    depths.fold(f64::from(settings.limit), f64::min)
}

/// A whole image, row by row.
pub fn render(settings: &CameraSettings, mesh: &Mesh, view: &View) -> Vec<f64> {
    let n = settings.resolution;
    let pixels = (0..n * n).map(|i| ((i % n) as f64 + 0.5, (i / n) as f64 + 0.5));
    pixels
        .map(|(x, y)| cast(settings, mesh, view, x, y))
        .collect()
}

/// How many times the ray's direction leads to the triangle, if it meets its visible side.
fn meet(triangle: &[[f32; 3]; 3], eye: [f64; 3], ray: [f64; 3]) -> Option<f64> {
    let [a, b, c] = triangle.map(|corner| corner.map(f64::from));
    let [p, q, from] = [minus(b, a), minus(c, a), minus(eye, a)];
    let across = cross(ray, q);
    let determinant = dot(p, across);
    // Not positive if seen from behind.
    if determinant <= 0.0 {
        return None;
    }
    let u = dot(from, across);
    let along = cross(from, p);
    let v = dot(ray, along);
    let times = dot(q, along) / determinant;
    (u >= 0.0 && v >= 0.0 && u + v <= determinant && times > 0.0).then_some(times)
}

fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| a[i] - b[i])
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}
