//! The triangles of a scene.

/// An axis-aligned box, in meters: x and y lie in the floor, z points up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Box3 {
    /// The corner with the smallest coordinates.
    pub low: [f32; 3],
    /// The corner with the largest.
    pub high: [f32; 3],
}

/// The triangles of a scene, in groups that lie close together, for renderers to leave out at once.
///
/// A triangle's corners run counterclockwise as seen from its visible side. The other side is never seen: it is within
/// furniture or walls, or outside of the building.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mesh {
    /// Corners, in meters.
    pub triangles: Vec<[[f32; 3]; 3]>,
    /// Groups of consecutive triangles: the number of them, and a box around them.
    pub groups: Vec<(usize, Box3)>,
}

impl Mesh {
    /// Adds triangles as a group of their own; nothing for no triangles.
    pub fn add(&mut self, triangles: &[[[f32; 3]; 3]]) {
        let mut corners = triangles.iter().flatten();
        let Some(&first) = corners.next() else { return };
        let around = Box3 {
            low: first,
            high: first,
        };
        let around = corners.fold(around, |around, corner| Box3 {
            low: std::array::from_fn(|i| around.low[i].min(corner[i])),
            high: std::array::from_fn(|i| around.high[i].max(corner[i])),
        });
        self.triangles.extend(triangles);
        self.groups.push((triangles.len(), around));
    }

    /// Adds the four sides of a box and, where asked, its top and bottom.
    pub fn add_box(&mut self, at: Box3, top: bool, bottom: bool) {
        let Box3 {
            low: [x0, y0, z0],
            high: [x1, y1, z1],
        } = at;
        let mut triangles = Vec::with_capacity(12);
        let mut face = |a: [f32; 3], b: [f32; 3], c: [f32; 3], d: [f32; 3]| {
            triangles.extend([[a, b, c], [a, c, d]]);
        };
        face([x0, y0, z0], [x1, y0, z0], [x1, y0, z1], [x0, y0, z1]);
        face([x1, y1, z0], [x0, y1, z0], [x0, y1, z1], [x1, y1, z1]);
        face([x1, y0, z0], [x1, y1, z0], [x1, y1, z1], [x1, y0, z1]);
        face([x0, y1, z0], [x0, y0, z0], [x0, y0, z1], [x0, y1, z1]);
        if top {
            face([x0, y0, z1], [x1, y0, z1], [x1, y1, z1], [x0, y1, z1]);
        }
        if bottom {
            face([x0, y1, z0], [x1, y1, z0], [x1, y0, z0], [x0, y0, z0]);
        }
        self.add(&triangles);
    }

    /// Adds the four sides of a box as they are seen from within.
    pub fn add_room(&mut self, at: Box3) {
        let mut outside = Mesh::default();
        outside.add_box(at, false, false);
        for triangle in &mut outside.triangles {
            triangle.swap(1, 2);
        }
        for wall in outside.triangles.chunks(2) {
            self.add(wall);
        }
    }

    /// Adds a level rectangle from (x0, y0) to (x1, y1) at height z, seen from above, or from below.
    pub fn add_level(&mut self, [x0, y0, x1, y1]: [f32; 4], z: f32, from_above: bool) {
        let [a, b, c, d] = [[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]];
        match from_above {
            true => self.add(&[[a, b, c], [a, c, d]]),
            false => self.add(&[[a, c, b], [a, d, c]]),
        }
    }
}
