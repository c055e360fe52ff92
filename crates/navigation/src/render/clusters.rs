//! A scene made ready to be drawn: polygons of up to four corners, in clusters of [`LANES`].
//!
//! Pairs of triangles that make up a flat convex quadrilateral become one polygon: half as much to set up, and bounds
//! without the empty half of a triangle's. The polygons of a cluster face about the same way and lie close together.
//! So one test leaves out all of them, and one vector operation prepares all of them.

use super::{RenderError, camera::FARTHEST_COORDINATE};
use crate::scene::Mesh;

/// Polygons of a cluster, and pixels of a block: the lanes of an AVX-512 vector.
pub(super) const LANES: usize = 16;
/// A value for each polygon of a cluster.
pub(super) type Lanes = [f32; LANES];

/// The most triangles of a scene: positions of clusters fit into 16 bits.
pub(super) const MOST_TRIANGLES: usize = 1_000_000;

/// How far from 1 the cosine between the normals of one polygon's halves may be: 5 µm aside for each meter.
const FLATNESS: f64 = 1e-11;

/// Up to 16 polygons. Empty lanes have a normal of zero, so that they face nobody.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Cluster {
    /// x, y and z of the four corners, counterclockwise as seen from the visible side. A triangle's last comes twice.
    pub corners: [[Lanes; 3]; 4],
    /// Unit normals, toward the visible side.
    pub normal: [Lanes; 3],
    /// Polygons in use.
    pub count: usize,
}

/// What the cull tests of 16 clusters read. Empty lanes face nobody.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Bounds {
    /// Center of the box around the cluster.
    pub center: [Lanes; 3],
    /// Half its extent.
    pub extent: [Lanes; 3],
    /// The normal that all polygons share; zero if they share none.
    pub normal: [Lanes; 3],
    /// The lowest of the polygons' planes along that normal: an eye below it sees only backs.
    pub lowest: Lanes,
}

/// A scene, ready to be drawn.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub clusters: Vec<Cluster>,
    pub bounds: Vec<Bounds>,
}

#[derive(Debug, Clone)]
struct Polygon {
    corners: [[f32; 3]; 4],
    normal: [f64; 3],
}

impl Prepared {
    /// Prepares a mesh; `scene` is its position, for errors.
    pub fn new(mesh: &Mesh, scene: usize) -> Result<Self, RenderError> {
        let triangles = mesh.triangles.len();
        if triangles > MOST_TRIANGLES {
            return Err(RenderError::Triangles {
                scene,
                triangles,
                most: MOST_TRIANGLES,
            });
        }
        let usable = |t: &[[f32; 3]; 3]| {
            t.as_flattened()
                .iter()
                .all(|x| x.abs() <= FARTHEST_COORDINATE)
        };
        if let Some(triangle) = mesh.triangles.iter().position(|t| !usable(t)) {
            return Err(RenderError::Corner { scene, triangle });
        }
        let mut facing: [Vec<Polygon>; 6] = Default::default();
        for polygon in polygons(&mesh.triangles) {
            facing[direction(&polygon.normal)].push(polygon);
        }
        let mut groups = Vec::new();
        for polygons in &mut facing {
            split(polygons, &mut groups);
        }
        Ok(Self {
            clusters: groups.iter().map(|group| Cluster::new(group)).collect(),
            bounds: groups.chunks(LANES).map(Bounds::new).collect(),
        })
    }
}

impl Cluster {
    fn new(polygons: &[Polygon]) -> Self {
        let mut cluster = Self {
            corners: [[[0.0; LANES]; 3]; 4],
            normal: [[0.0; LANES]; 3],
            count: polygons.len(),
        };
        for (lane, polygon) in polygons.iter().enumerate() {
            for axis in 0..3 {
                cluster.normal[axis][lane] = polygon.normal[axis] as f32;
                for (to, from) in cluster.corners.iter_mut().zip(&polygon.corners) {
                    to[axis][lane] = from[axis];
                }
            }
        }
        cluster
    }
}

impl Bounds {
    fn new(groups: &[Vec<Polygon>]) -> Self {
        let mut bounds = Self {
            center: [[0.0; LANES]; 3],
            extent: [[0.0; LANES]; 3],
            normal: [[0.0; LANES]; 3],
            lowest: [f32::INFINITY; LANES],
        };
        for (lane, group) in groups.iter().enumerate() {
            let corners = || group.iter().flat_map(|polygon| polygon.corners);
            for axis in 0..3 {
                let low = corners().map(|c| c[axis]).fold(f32::INFINITY, f32::min);
                let high = corners().map(|c| c[axis]).fold(f32::NEG_INFINITY, f32::max);
                let center = (low + high) / 2.0;
                bounds.center[axis][lane] = center;
                // Rounded up, so that the box holds every corner.
                bounds.extent[axis][lane] = (high - center).max(center - low) * (1.0 + 1e-6);
            }
            let normal = group[0].normal;
            let shared = group.iter().all(|polygon| polygon.normal == normal);
            bounds.lowest[lane] = -1.0;
            if shared {
                let along = |c: [f32; 3]| dot(&normal, &c.map(f64::from));
                let lowest = corners().map(along).fold(f64::INFINITY, f64::min);
                bounds.lowest[lane] = (lowest - 1e-6 - lowest.abs() * 1e-6) as f32;
                for (to, from) in bounds.normal.iter_mut().zip(normal) {
                    to[lane] = from as f32;
                }
            }
        }
        bounds
    }
}

/// Triangles, or quadrilaterals where two in a row make up one. Triangles without area are never seen.
fn polygons(triangles: &[[[f32; 3]; 3]]) -> Vec<Polygon> {
    let mut polygons = Vec::with_capacity(triangles.len());
    let mut rest = triangles;
    while let [first, after @ ..] = rest {
        rest = after;
        let Some(normal) = normal(first) else {
            continue;
        };
        let joined = after
            .first()
            .and_then(|second| join(first, second, &normal));
        if joined.is_some() {
            rest = &after[1..];
        }
        let [a, b, c] = *first;
        let corners = joined.unwrap_or([a, b, c, c]);
        polygons.push(Polygon { corners, normal });
    }
    polygons
}

/// The quadrilateral of two triangles that share an edge, if it is flat and convex.
fn join(first: &[[f32; 3]; 3], second: &[[f32; 3]; 3], along: &[f64; 3]) -> Option<[[f32; 3]; 4]> {
    if dot(along, &normal(second)?) < 1.0 - FLATNESS {
        return None;
    }
    let turned = |t: &[[f32; 3]; 3], by: usize| [t[by], t[(by + 1) % 3], t[(by + 2) % 3]];
    let mut pairs = (0..9).map(|i| (turned(first, i / 3), turned(second, i % 3)));
    let (first, second) = pairs.find(|(a, b)| a[0] == b[1] && a[1] == b[0])?;
    let corners = [first[0], second[2], first[1], first[2]];
    let convex = (0..4).all(|i| {
        let at = [corners[i], corners[(i + 1) % 4], corners[(i + 2) % 4]];
        normal(&at).is_some_and(|normal| dot(&normal, along) > 0.0)
    });
    convex.then_some(corners)
}

/// Cuts polygons into halves along the longest side of their box until each part fits into a cluster. All parts but
/// one are full.
fn split(polygons: &mut [Polygon], groups: &mut Vec<Vec<Polygon>>) {
    if polygons.len() <= LANES {
        if !polygons.is_empty() {
            groups.push(polygons.to_vec());
        }
        return;
    }
    let middle = |polygon: &Polygon, axis: usize| {
        polygon
            .corners
            .iter()
            .map(|c| f64::from(c[axis]))
            .sum::<f64>()
    };
    let spread = |axis| {
        let middles = polygons.iter().map(|polygon| middle(polygon, axis));
        let (low, high) = middles.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        high - low
    };
    let axis = (0..3)
        .max_by(|&a, &b| spread(a).total_cmp(&spread(b)))
        .unwrap_or(0);
    polygons.sort_by(|a, b| middle(a, axis).total_cmp(&middle(b, axis)));
    let half = (polygons.len() / 2)
        .next_multiple_of(LANES)
        .min(polygons.len() - 1);
    let (low, high) = polygons.split_at_mut(half / LANES * LANES);
    split(low, groups);
    split(high, groups);
}

/// Which of the six directions along the axes a normal is closest to.
fn direction(normal: &[f64; 3]) -> usize {
    let axis = (0..3)
        .max_by(|&a, &b| normal[a].abs().total_cmp(&normal[b].abs()))
        .unwrap_or(0);
    2 * axis + usize::from(normal[axis] < 0.0)
}

/// The unit normal of a triangle, toward the side from which its corners run counterclockwise.
fn normal(triangle: &[[f32; 3]; 3]) -> Option<[f64; 3]> {
    let [a, b, c] = triangle.map(|corner| corner.map(f64::from));
    let [p, q] = [b, c].map(|x| [x[0] - a[0], x[1] - a[1], x[2] - a[2]]);
    let n = [
        p[1] * q[2] - p[2] * q[1],
        p[2] * q[0] - p[0] * q[2],
        p[0] * q[1] - p[1] * q[0],
    ];
    let length = dot(&n, &n).sqrt();
    (length > 0.0).then(|| n.map(|x| x / length))
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
