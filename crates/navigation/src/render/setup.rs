//! From corners in meters to functions of the pixel: for 16 polygons at once.

use super::{
    camera::Pose,
    clusters::{Cluster, LANES, Lanes},
};

/// Planes nearer to the eye than this are not seen, in meters: edge-on, they cover no pixel.
const EDGE_ON: f32 = 1e-5;
/// How far rounding may move an edge function, relative to the edge's length times its distance: 8 roundings. The
/// functions of two polygons that meet along a part of an edge differ by that much, so each is moved out by it: about
/// 1/10,000 of a pixel.
const ROUNDING: f32 = 4.0 * f32::EPSILON;
/// How far out the bounds of a polygon are moved, in pixels: more than `ROUNDING` moves its edges.
const MARGIN: f32 = 0.02;

/// A function of the pixel for each polygon: `at[0] + at[1] X + at[2] Y`, with the ray along (1, X, Y).
pub(super) type Functions = [Lanes; 3];

/// What drawing the polygons of a cluster needs.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Setup {
    /// Not negative on the inner side of each edge.
    pub edges: [Functions; 4],
    /// One over the depth.
    pub inverse: Functions,
    /// The largest value of it within the polygon, as far as it can be seen.
    pub nearest: Lanes,
    /// The first column and row that the polygon may cover.
    pub first: [[u32; LANES]; 2],
    /// One after the last; not after the first if it cannot be seen.
    pub end: [[u32; LANES]; 2],
}

#[inline(always)]
fn lower(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn higher(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Prepares the polygons of a cluster, in plain loops that the compiler vectorizes.
///
/// With corners v₀, v₁, … in the camera's axes, the plane through the eye and the edge eᵢ = vᵢ₊₁ − vᵢ has the normal
/// vᵢ₊₁ × vᵢ = eᵢ × vᵢ, and a ray d passes on its inner side where (eᵢ × vᵢ) · d ≥ 0. The right-hand product, of an edge
/// subtracted before anything is rounded, is exact enough for short edges far away. The ray meets the polygon's plane, of normal n, at depth (n · v₀) / (n · d).
#[inline(always)]
pub(super) fn set_up(cluster: &Cluster, pose: &Pose, setup: &mut Setup) {
    set_up_planes(cluster, pose, setup);
    for k in 0..4 {
        let edge = &mut setup.edges[k];
        set_up_edge(
            &cluster.corners[k],
            &cluster.corners[(k + 1) % 4],
            pose,
            edge,
        );
    }
}

/// The functions of one edge of each polygon.
#[inline(always)]
fn set_up_edge(from: &[Lanes; 3], to: &[Lanes; 3], pose: &Pose, edge: &mut Functions) {
    let &Pose {
        eye,
        cos,
        sin,
        focal,
        tangent,
        ..
    } = pose;
    let tolerance = ROUNDING * focal * focal * (1.0 + tangent);
    for i in 0..LANES {
        let [x, y, z] = [
            from[0][i] - eye[0],
            from[1][i] - eye[1],
            from[2][i] - eye[2],
        ];
        let distance = x.abs() + y.abs() + z.abs();
        let v = [cos * x + sin * y, focal * (cos * y - sin * x), focal * z];
        let [x, y, z] = [
            to[0][i] - from[0][i],
            to[1][i] - from[1][i],
            to[2][i] - from[2][i],
        ];
        let length = x.abs() + y.abs() + z.abs();
        let e = [cos * x + sin * y, focal * (cos * y - sin * x), focal * z];
        edge[0][i] = e[1] * v[2] - e[2] * v[1] + tolerance * distance * length;
        edge[1][i] = e[2] * v[0] - e[0] * v[2];
        edge[2][i] = e[0] * v[1] - e[1] * v[0];
    }
}

/// One over the depth, and the bounds of what can be seen.
#[inline(always)]
fn set_up_planes(cluster: &Cluster, pose: &Pose, setup: &mut Setup) {
    let &Pose {
        eye,
        cos,
        sin,
        focal,
        half,
        tangent,
        limit,
    } = pose;
    // A ray is at most this long for one meter of depth. So nothing of a plane is seen at less depth than its distance
    // divided by it.
    let ray = (1.0 + 2.0 * tangent * tangent).sqrt() * 1.001;
    let (per_ray, per_focal) = (1.0 / ray, 1.0 / focal);
    for i in 0..LANES {
        let mut forward = [0.0f32; 4];
        let mut left = [0.0f32; 4];
        let mut up = [0.0f32; 4];
        let normal = [
            cluster.normal[0][i],
            cluster.normal[1][i],
            cluster.normal[2][i],
        ];
        let mut distance = 0.0;
        for k in 0..4 {
            let x = cluster.corners[k][0][i] - eye[0];
            let y = cluster.corners[k][1][i] - eye[1];
            let z = cluster.corners[k][2][i] - eye[2];
            if k == 0 {
                distance = -(normal[0] * x + normal[1] * y + normal[2] * z);
            }
            forward[k] = cos * x + sin * y;
            left[k] = focal * (cos * y - sin * x);
            up[k] = focal * z;
        }

        // Bounds of the part that is not nearer than anything that can be seen of the plane.
        let near = distance * per_ray;
        let mut depth = f32::INFINITY;
        let [mut low_x, mut high_x] = [f32::INFINITY, f32::NEG_INFINITY];
        let [mut low_y, mut high_y] = [f32::INFINITY, f32::NEG_INFINITY];
        let per_near = 1.0 / near;
        for k in 0..4 {
            let j = (k + 1) % 4;
            let inside = forward[k] >= near;
            let scale = 1.0 / forward[k];
            let (x, y) = (left[k] * scale, up[k] * scale);
            low_x = lower(if inside { x } else { low_x }, low_x);
            high_x = higher(if inside { x } else { high_x }, high_x);
            low_y = lower(if inside { y } else { low_y }, low_y);
            high_y = higher(if inside { y } else { high_y }, high_y);
            depth = lower(depth, forward[k]);

            let crosses = inside != (forward[j] >= near);
            let along = (near - forward[k]) / (forward[j] - forward[k]);
            let x = (left[k] + along * (left[j] - left[k])) * per_near;
            let y = (up[k] + along * (up[j] - up[k])) * per_near;
            low_x = lower(if crosses { x } else { low_x }, low_x);
            high_x = higher(if crosses { x } else { high_x }, high_x);
            low_y = lower(if crosses { y } else { low_y }, low_y);
            high_y = higher(if crosses { y } else { high_y }, high_y);
        }
        let nearest = higher(depth, near);
        let seen = (distance > EDGE_ON) & (nearest < limit);
        setup.nearest[i] = 1.0 / nearest;

        let per_distance = -1.0 / distance;
        setup.inverse[0][i] = (cos * normal[0] + sin * normal[1]) * per_distance;
        setup.inverse[1][i] = (cos * normal[1] - sin * normal[0]) * per_focal * per_distance;
        setup.inverse[2][i] = normal[2] * per_focal * per_distance;

        // Centers of columns lie at half − left, one half between them; rows likewise.
        let last = 2.0 * half;
        let end = if seen { last } else { 0.0 };
        for (axis, (low, high)) in [(low_x, high_x), (low_y, high_y)].into_iter().enumerate() {
            let first = higher(half - high + (0.5 - MARGIN), 0.0);
            let after = higher(half - low + (0.5 + MARGIN), 0.0);
            setup.first[axis][i] = lower(first, last) as u32;
            setup.end[axis][i] = lower(after, end) as u32;
        }
    }
}
