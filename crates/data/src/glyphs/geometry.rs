//! Plane geometry of strokes. Only +, −, ×, ÷ and √ are used: they are exact to the last bit on every
//! machine, which transcendental functions are not, so the same glyphs are made everywhere.

/// `[x, y]`.
pub(super) type Point = [f32; 2];

/// Straight pieces into which one B-spline span is cut.
const PIECES: usize = 4;

/// `a + t·(b − a)`.
pub(super) fn mix(a: Point, b: Point, t: f32) -> Point {
    [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
}

/// The uniform quadratic B-spline of a polygon as a polyline: each inner point is the middle control
/// point of a Bézier arc between the midpoints of its sides. Open splines begin and end in the
/// polygon's own ends.
pub(super) fn spline(polygon: &[Point], closed: bool, out: &mut Vec<Point>) {
    let n = polygon.len();
    let corners = if closed { 0..n } else { 1..n - 1 };
    for i in corners {
        let (before, at, after) = (polygon[(i + n - 1) % n], polygon[i], polygon[(i + 1) % n]);
        let from = if !closed && i == 1 {
            before
        } else {
            mix(before, at, 0.5)
        };
        let to = if !closed && i == n - 2 {
            after
        } else {
            mix(at, after, 0.5)
        };
        if out.is_empty() {
            out.push(from);
        }
        for piece in 1..=PIECES {
            let t = piece as f32 / PIECES as f32;
            out.push(mix(mix(from, at, t), mix(at, to, t), t));
        }
    }
}

/// A polyline with points at most `1/PIECES` of a unit apart, so that distortion can bend it.
pub(super) fn subdivide(corners: &[Point], out: &mut Vec<Point>) {
    out.push(corners[0]);
    for side in corners.windows(2) {
        for piece in 1..=PIECES {
            out.push(mix(side[0], side[1], piece as f32 / PIECES as f32));
        }
    }
}

/// Squared distance of `p` from the segment `a b`.
pub(super) fn distance_squared(p: Point, a: Point, b: Point) -> f32 {
    let (along, off) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let t = if length > 0.0 {
        ((off[0] * along[0] + off[1] * along[1]) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let gap = [off[0] - t * along[0], off[1] - t * along[1]];
    gap[0] * gap[0] + gap[1] * gap[1]
}

/// A smooth random displacement: a grid of vectors, interpolated by quadratic B-splines.
pub(super) struct Elastic {
    pub(super) grid: [[Point; Self::SIDE]; Self::SIDE],
}

impl Elastic {
    /// Grid points along one side; the unit square lies within the inner spans.
    pub(super) const SIDE: usize = 5;

    /// The displacement at `p`, whose coordinates lie around `0..1`.
    pub(super) fn at(&self, p: Point) -> Point {
        let weights = |x: f32| {
            let u = x.clamp(0.0, 1.0) * (Self::SIDE - 3) as f32 + 1.0;
            let cell = ((u + 0.5) as usize).clamp(1, Self::SIDE - 2);
            let t = u - cell as f32;
            (
                cell - 1,
                [
                    0.5 * (0.5 - t) * (0.5 - t),
                    0.75 - t * t,
                    0.5 * (0.5 + t) * (0.5 + t),
                ],
            )
        };
        let ((column, across), (row, down)) = (weights(p[0]), weights(p[1]));
        let mut sum = [0.0; 2];
        for (j, wy) in down.iter().enumerate() {
            for (i, wx) in across.iter().enumerate() {
                let vector = self.grid[row + j][column + i];
                sum[0] += wx * wy * vector[0];
                sum[1] += wx * wy * vector[1];
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splines_keep_their_ends_and_close() {
        let polygon = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        spline(&polygon, false, &mut open);
        spline(&polygon, true, &mut closed);
        assert_eq!((open[0], *open.last().unwrap()), (polygon[0], polygon[3]));
        assert_eq!(closed.first(), closed.last());
        assert_eq!(open.len(), 2 * PIECES + 1);
    }

    #[test]
    fn distances_are_to_the_nearest_point_of_a_segment() {
        let d = |p| distance_squared(p, [0.0, 0.0], [2.0, 0.0]);
        assert_eq!(
            (d([1.0, 3.0]), d([-1.0, 0.0]), d([3.0, 0.0])),
            (9.0, 1.0, 1.0)
        );
        assert_eq!(distance_squared([1.0, 0.0], [0.0, 0.0], [0.0, 0.0]), 1.0);
    }

    #[test]
    fn a_constant_field_displaces_everything_alike() {
        let field = Elastic {
            grid: [[[0.25, -0.5]; Elastic::SIDE]; Elastic::SIDE],
        };
        for p in [[0.0, 0.0], [0.3, 0.9], [1.0, 1.0], [0.5, 0.5]] {
            let d = field.at(p);
            assert!(
                (d[0] - 0.25).abs() < 1e-6 && (d[1] + 0.5).abs() < 1e-6,
                "{p:?} {d:?}"
            );
        }
    }
}
