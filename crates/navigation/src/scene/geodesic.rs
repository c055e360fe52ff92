//! Exact shortest ways around the obstacles of a plan.
//!
//! A shortest way between two points runs straight from corner to corner of the obstacles (Lozano-Pérez and Wesley 1979). What a
//! corner is from every other is found once for a scene; from a goal, once for an episode ([`Geodesics::toward`]). A point's
//! distance is then the least over the corners that it sees, of which only those have to be looked at that could be the
//! nearest ([`Geodesics::distance`]): a few, as a rule one.

use super::Obstacles;

/// Shortest ways among the corners of a scene's obstacles.
#[derive(Debug, Clone, PartialEq)]
pub struct Geodesics {
    corners: Vec<[f64; 2]>,
    /// Length of the shortest way from each corner to each other, row by row; infinite where there is none.
    between: Vec<f64>,
}

impl Geodesics {
    /// The shortest ways of a free space.
    pub fn new(space: &Obstacles) -> Self {
        let all = space.rects().iter().flat_map(|rect| rect.corners());
        let mut corners: Vec<[f64; 2]> = all.filter(|&corner| space.is_free(corner)).collect();
        corners.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
        corners.dedup();
        let n = corners.len();
        let mut between = vec![f64::INFINITY; n * n];
        for (i, &a) in corners.iter().enumerate() {
            between[i * n + i] = 0.0;
            for (j, &b) in corners.iter().enumerate().skip(i + 1) {
                if space.sees(a, b) {
                    let length = length(a, b);
                    between[i * n + j] = length;
                    between[j * n + i] = length;
                }
            }
        }
        // Floyd and Warshall.
        for via in 0..n {
            for i in 0..n {
                let first = between[i * n + via];
                if first.is_finite() {
                    for j in 0..n {
                        let way = first + between[via * n + j];
                        if way < between[i * n + j] {
                            between[i * n + j] = way;
                        }
                    }
                }
            }
        }
        Self { corners, between }
    }

    /// Corners, the length of what [`Geodesics::toward`] fills.
    pub fn corners(&self) -> &[[f64; 2]] {
        &self.corners
    }

    /// Fills in how far every corner is from a goal; infinite where there is no way.
    ///
    /// # Panics
    /// When `from_corners` is not as long as [`Geodesics::corners`].
    pub fn toward(&self, space: &Obstacles, goal: [f64; 2], from_corners: &mut [f64]) {
        let n = self.corners.len();
        assert_eq!(from_corners.len(), n);
        from_corners.fill(f64::INFINITY);
        for (i, &corner) in self.corners.iter().enumerate() {
            if space.sees(goal, corner) {
                let first = length(goal, corner);
                let ways = &self.between[i * n..(i + 1) * n];
                for (sum, way) in from_corners.iter_mut().zip(ways) {
                    *sum = sum.min(first + way);
                }
            }
        }
    }

    /// Length of the shortest way from a free point to the goal that `from_corners` was filled for; infinite where there is
    /// none. `bounds` is memory of the same length.
    pub fn distance(
        &self,
        space: &Obstacles,
        from: [f64; 2],
        goal: [f64; 2],
        from_corners: &[f64],
        bounds: &mut [f64],
    ) -> f64 {
        if space.sees(from, goal) {
            return length(from, goal);
        }
        // A way over a corner is at least so long, whether the corner is seen or not.
        for ((bound, &corner), &rest) in bounds.iter_mut().zip(&self.corners).zip(from_corners) {
            *bound = length(from, corner) + rest;
        }
        loop {
            let (mut nearest, mut least) = (None, f64::INFINITY);
            for (i, &bound) in bounds.iter().enumerate() {
                if bound < least {
                    (nearest, least) = (Some(i), bound);
                }
            }
            let Some(i) = nearest else {
                return f64::INFINITY;
            };
            if space.sees(from, self.corners[i]) {
                return least;
            }
            bounds[i] = f64::INFINITY;
        }
    }
}

/// Distance as the crow flies.
pub fn length(a: [f64; 2], b: [f64; 2]) -> f64 {
    // Faster than `hypot`, whose care for overflows meters do not need.
    let [x, y] = [a[0] - b[0], a[1] - b[1]];
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Rect;

    /// The way around a block: two straight lines over its nearer corners.
    #[test]
    fn ways_around_a_block_are_those_of_geometry() {
        let block = Rect::new([1.0, 1.5, 3.0, 2.5]);
        let space = Obstacles::new(Rect::new([0.0, 0.0, 4.0, 4.0]), &[block], 0.0);
        let ways = Geodesics::new(&space);
        assert_eq!(ways.corners().len(), 4);
        let distance = |from, goal| {
            let mut from_corners = vec![0.0; 4];
            ways.toward(&space, goal, &mut from_corners);
            ways.distance(&space, from, goal, &from_corners, &mut [0.0; 4])
        };
        // From the middle below to the middle above: out to a corner, up along the side, back.
        let expected = 2.0 * (1.0f64 + 0.25).sqrt() + 1.0;
        assert!((distance([2.0, 1.0], [2.0, 3.0]) - expected).abs() < 1e-12);
        assert!((distance([2.0, 3.0], [2.0, 1.0]) - expected).abs() < 1e-12);
        assert_eq!(distance([0.5, 0.5], [3.5, 0.5]), 3.0);
    }

    #[test]
    fn behind_walls_without_a_door_there_is_no_way() {
        let wall = Rect::new([1.0, -1.0, 2.0, 5.0]);
        let space = Obstacles::new(Rect::new([0.0, 0.0, 4.0, 4.0]), &[wall], 0.1);
        let ways = Geodesics::new(&space);
        let mut from_corners = vec![0.0; ways.corners().len()];
        let goal = [3.0, 2.0];
        ways.toward(&space, goal, &mut from_corners);
        let mut bounds = from_corners.clone();
        let distance = ways.distance(&space, [0.5, 2.0], goal, &from_corners, &mut bounds);
        assert_eq!(distance, f64::INFINITY);
    }
}
