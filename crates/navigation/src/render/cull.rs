//! Which clusters a camera may see, nearest first.

use super::{
    camera::Pose,
    clusters::{Bounds, LANES, Prepared},
};

/// Slack of the columns of a cluster, in pixels: more than rounding moves a corner.
const SLACK: f32 = 0.1;
/// Boxes nearer than this have no columns that can be told by projecting them, in meters.
const CLOSE: f32 = 0.05;

/// A cluster that may be seen. The order of these numbers is that of distance.
///
/// From the highest bits: the nearest depth of its box (the bits of a float that is not negative sort as it does), its
/// position, the first strip of its columns, and the last. A strip is four columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Visible(u64);

impl Visible {
    #[inline(always)]
    fn new(nearest: f32, cluster: usize, first: u32, last: u32) -> Self {
        let place = (cluster as u64) << 16 | u64::from(first) << 8 | u64::from(last);
        Self(u64::from(nearest.to_bits()) << 32 | place)
    }

    /// The nearest depth of the box around it; 0 if the box reaches behind the eye.
    #[inline(always)]
    pub fn nearest(self) -> f32 {
        f32::from_bits((self.0 >> 32) as u32)
    }

    /// Its position among the clusters of the scene.
    #[inline(always)]
    pub fn cluster(self) -> usize {
        (self.0 >> 16 & 0xffff) as usize
    }

    /// The strips that it may be seen in.
    #[inline(always)]
    pub fn strips(self) -> std::ops::RangeInclusive<usize> {
        (self.0 >> 8 & 0xff) as usize..=(self.0 & 0xff) as usize
    }
}

/// Fills `visible` with the clusters that may be seen, nearest first.
#[inline(always)]
pub(super) fn cull(scene: &Prepared, pose: &Pose, visible: &mut Vec<Visible>) {
    visible.clear();
    for (i, bounds) in scene.bounds.iter().enumerate() {
        let mut found = Tests::default();
        test(bounds, pose, &mut found);
        for lane in 0..LANES {
            if found.seen[lane] != 0 {
                let (first, last) = (found.first[lane], found.last[lane]);
                visible.push(Visible::new(
                    found.nearest[lane],
                    i * LANES + lane,
                    first,
                    last,
                ));
            }
        }
    }
    visible.sort_unstable();
}

#[derive(Default)]
#[repr(align(64))]
struct Tests {
    seen: [u32; LANES],
    nearest: [f32; LANES],
    first: [u32; LANES],
    last: [u32; LANES],
}

/// Tests 16 boxes against the planes of the view, one lane each: a plain loop that the compiler vectorizes.
#[inline(always)]
fn test(bounds: &Bounds, pose: &Pose, found: &mut Tests) {
    let &Pose {
        eye,
        cos,
        sin,
        focal,
        half,
        tangent,
        limit,
    } = pose;
    let [side, other] = [
        [tangent * cos + sin, tangent * sin - cos],
        [tangent * cos - sin, tangent * sin + cos],
    ];
    for i in 0..LANES {
        let [x, y, up]: [f32; 3] = [
            bounds.center[0][i] - eye[0],
            bounds.center[1][i] - eye[1],
            bounds.center[2][i] - eye[2],
        ];
        let [ex, ey, ez] = [
            bounds.extent[0][i],
            bounds.extent[1][i],
            bounds.extent[2][i],
        ];
        let forward = cos * x + sin * y;
        let left = cos * y - sin * x;
        let reach = cos.abs() * ex + sin.abs() * ey;
        let nearest = forward - reach;
        // The planes of the view: support of the box along their normals.
        let slack = 1e-5 * (1.0 + x.abs() + y.abs() + up.abs());
        let left_plane = tangent * forward - left + side[0].abs() * ex + side[1].abs() * ey;
        let right_plane = tangent * forward + left + other[0].abs() * ex + other[1].abs() * ey;
        let upright = tangent * (forward + reach) + ez - up.abs();
        let facing = bounds.normal[0][i] * eye[0]
            + bounds.normal[1][i] * eye[1]
            + bounds.normal[2][i] * eye[2];
        let seen = (facing > bounds.lowest[i])
            & (forward + reach + slack > 0.0)
            & (nearest < limit)
            & (left_plane + slack > 0.0)
            & (right_plane + slack > 0.0)
            & (upright + slack > 0.0);
        // Columns of the four upright edges of the box.
        let [mut low, mut high] = [f32::INFINITY, f32::NEG_INFINITY];
        for (sx, sy) in [(ex, ey), (ex, -ey), (-ex, ey), (-ex, -ey)] {
            let column =
                half - focal * (left + cos * sy - sin * sx) / (forward + cos * sx + sin * sy);
            low = if column < low { column } else { low };
            high = if column > high { column } else { high };
        }
        let whole = nearest <= CLOSE;
        let last = 2.0 * half - 1.0;
        let low = if whole {
            0.0
        } else {
            (low - SLACK).max(0.0).min(last)
        };
        let high = if whole {
            last
        } else {
            (high + SLACK).max(0.0).min(last)
        };
        found.seen[i] = u32::from(seen);
        found.nearest[i] = if nearest > 0.0 { nearest } else { 0.0 };
        found.first[i] = low as u32 / 4;
        found.last[i] = high as u32 / 4;
    }
}
