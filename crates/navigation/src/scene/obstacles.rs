//! Where an agent can be: within the walls of a building, outside of its obstacles.

/// A rectangle with sides along the axes, in meters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// The corner with the smallest coordinates.
    pub low: [f64; 2],
    /// The corner with the largest.
    pub high: [f64; 2],
}

impl Rect {
    /// From (x0, y0) to (x1, y1).
    pub const fn new([x0, y0, x1, y1]: [f64; 4]) -> Self {
        Self {
            low: [x0, y0],
            high: [x1, y1],
        }
    }

    /// Moved outward on every side by so much; inward where it is negative.
    #[must_use]
    pub fn grown(self, by: f64) -> Self {
        Self {
            low: self.low.map(|x| x - by),
            high: self.high.map(|x| x + by),
        }
    }

    /// True for a point strictly inside.
    pub fn contains(&self, point: [f64; 2]) -> bool {
        (0..2).all(|i| self.low[i] < point[i] && point[i] < self.high[i])
    }

    /// True where the two overlap by more than an edge.
    pub fn overlaps(&self, other: &Self) -> bool {
        (0..2).all(|i| self.low[i] < other.high[i] && other.low[i] < self.high[i])
    }

    /// Length along each axis.
    pub fn size(&self) -> [f64; 2] {
        [0, 1].map(|i| self.high[i] - self.low[i])
    }

    /// Its corners.
    pub fn corners(&self) -> [[f64; 2]; 4] {
        let ([x0, y0], [x1, y1]) = (self.low, self.high);
        [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    }

    /// The part of the segment from `from` by `along` that is strictly inside, as fractions of `along`, and the axis of the side
    /// through which it enters; `None` where there is none between 0 and 1.
    fn crossed(&self, from: [f64; 2], along: [f64; 2]) -> Option<(f64, f64, usize)> {
        let (mut enter, mut exit, mut axis) = (f64::NEG_INFINITY, f64::INFINITY, 0);
        for i in 0..2 {
            if along[i] == 0.0 {
                if from[i] <= self.low[i] || from[i] >= self.high[i] {
                    return None;
                }
                continue;
            }
            let [a, b] = [self.low[i], self.high[i]].map(|side| (side - from[i]) / along[i]);
            let (first, last) = if a < b { (a, b) } else { (b, a) };
            if first > enter {
                (enter, axis) = (first, i);
            }
            exit = exit.min(last);
        }
        (enter < exit && exit > 0.0 && enter < 1.0).then_some((enter.max(0.0), exit.min(1.0), axis))
    }
}

/// Lengths, in meters, that count as nothing where a line of sight passes a corner.
const TOUCH: f64 = 1e-9;

/// Where the middle of an agent can be: what bounds it from outside, and the obstacles, all moved by the agent's half width, so
/// that the agent is a point. Edges belong to the free space.
#[derive(Debug, Clone, PartialEq)]
pub struct Obstacles {
    within: Rect,
    rects: Vec<Rect>,
}

impl Obstacles {
    /// For an agent that is a square of `2 · half_width`, in a building of `within` with these obstacles.
    pub fn new(within: Rect, rects: &[Rect], half_width: f64) -> Self {
        let within = within.grown(-half_width);
        let grown = rects.iter().map(|rect| rect.grown(half_width));
        Self {
            within,
            rects: grown.filter(|rect| rect.overlaps(&within)).collect(),
        }
    }

    /// What bounds the free space from outside.
    pub fn within(&self) -> Rect {
        self.within
    }

    /// The obstacles, as they are for a point.
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// True for a point of the free space.
    pub fn is_free(&self, point: [f64; 2]) -> bool {
        let Rect { low, high } = self.within;
        (0..2).all(|i| low[i] <= point[i] && point[i] <= high[i])
            && !self.rects.iter().any(|rect| rect.contains(point))
    }

    /// True where the segment between two free points keeps to the free space; it may touch obstacles.
    pub fn sees(&self, from: [f64; 2], to: [f64; 2]) -> bool {
        let along = [to[0] - from[0], to[1] - from[1]];
        let length = along[0].hypot(along[1]);
        !(self.rects.iter()).any(|rect| {
            (rect.crossed(from, along))
                .is_some_and(|(enter, exit, _)| (exit - enter) * length > TOUCH)
        })
    }

    /// Where a free point gets to that moves by `along` and slides along what stands in its way: the part of the movement toward
    /// an obstacle is lost, the rest goes on. The end is a free point again.
    pub fn slide(&self, from: [f64; 2], along: [f64; 2]) -> [f64; 2] {
        let (mut at, mut left) = (from, along);
        // Two sides, one along each axis, take all there is of a movement.
        for _ in 0..3 {
            let Some((fraction, axis, side)) = self.first_hit(at, left) else {
                let end = [at[0] + left[0], at[1] + left[1]];
                at = self.kept_within(end);
                break;
            };
            let other = 1 - axis;
            at[axis] = side;
            at[other] += fraction * left[other];
            left[other] *= 1.0 - fraction;
            left[axis] = 0.0;
            if left[other] == 0.0 {
                break;
            }
        }
        // Rounding may have put it inside by the last bit of a number.
        if self.is_free(at) { at } else { from }
    }

    /// The first side in the way: how much of `along` is left before it, the axis that it blocks, and where it is there.
    fn first_hit(&self, from: [f64; 2], along: [f64; 2]) -> Option<(f64, usize, f64)> {
        let mut first: Option<(f64, usize, f64)> = None;
        let mut consider = |fraction: f64, axis: usize, side: f64| {
            if first.is_none_or(|(least, ..)| fraction < least) {
                first = Some((fraction, axis, side));
            }
        };
        for rect in &self.rects {
            if let Some((enter, _, axis)) = rect.crossed(from, along) {
                let forward = along[axis] > 0.0;
                consider(
                    enter,
                    axis,
                    if forward {
                        rect.low[axis]
                    } else {
                        rect.high[axis]
                    },
                );
            }
        }
        for axis in 0..2 {
            let forward = along[axis] > 0.0;
            let side = if forward {
                self.within.high[axis]
            } else {
                self.within.low[axis]
            };
            if along[axis] != 0.0 {
                let fraction = (side - from[axis]) / along[axis];
                if fraction < 1.0 {
                    consider(fraction.max(0.0), axis, side);
                }
            }
        }
        first
    }

    fn kept_within(&self, point: [f64; 2]) -> [f64; 2] {
        let Rect { low, high } = self.within;
        [0, 1].map(|i| point[i].clamp(low[i], high[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room of 4 m by 4 m with a block of 2 m by 1 m in the middle, for a point.
    fn room() -> Obstacles {
        let block = Rect::new([1.0, 1.5, 3.0, 2.5]);
        Obstacles::new(Rect::new([0.0, 0.0, 4.0, 4.0]), &[block], 0.0)
    }

    #[test]
    fn a_free_way_is_gone_to_its_end() {
        assert_eq!(room().slide([0.5, 0.5], [1.0, 0.25]), [1.5, 0.75]);
    }

    #[test]
    fn a_side_takes_the_part_of_a_movement_toward_it() {
        // From below against the block: upward is lost.
        assert_eq!(room().slide([2.0, 1.0], [0.5, 1.0]), [2.5, 1.5]);
        // Along it nothing is.
        assert_eq!(room().slide([2.5, 1.5], [0.25, 0.0]), [2.75, 1.5]);
        // Past its corner the way goes on.
        assert_eq!(room().slide([2.75, 1.5], [0.5, 1.0]), [3.25, 1.5]);
        // Into a corner of the room.
        assert_eq!(room().slide([3.5, 3.5], [1.0, 2.0]), [4.0, 4.0]);
    }

    #[test]
    fn obstacles_grow_by_the_half_width_of_the_agent() {
        let block = Rect::new([1.0, 1.5, 3.0, 2.5]);
        let wide = Obstacles::new(Rect::new([0.0, 0.0, 4.0, 4.0]), &[block], 0.25);
        assert!(wide.is_free([2.0, 1.25]) && !wide.is_free([2.0, 1.26]));
        assert!(wide.is_free([0.25, 0.25]) && !wide.is_free([0.24, 0.25]));
    }

    #[test]
    fn lines_of_sight_may_touch() {
        let room = room();
        assert!(room.sees([0.0, 1.5], [4.0, 1.5]));
        assert!(room.sees([0.5, 1.0], [1.5, 0.0]));
        assert!(room.sees([0.0, 0.5], [1.0, 1.5]) && !room.sees([0.0, 0.5], [1.5, 2.0]));
        assert!(!room.sees([2.0, 1.0], [2.0, 3.0]));
    }
}
