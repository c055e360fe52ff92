//! One- and two-dimensional slices of a loss landscape.
//!
//! * \[K\] N. S. Keskar et al., "On Large-Batch Training for Deep Learning" (arXiv 1609.04836),
//!   figures 3 and 7: the loss on the line and on a curved path between two solutions.
//! * \[L\] H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, "Visualizing the Loss Landscape of
//!   Neural Nets" (arXiv 1712.09913): filter-normalized random directions.
//!
//! A [`Slice`] makes coordinates and points, and knows nothing of losses; [`evaluate`] measures
//! whatever is asked for at each of them, on several workers, taking up what is already known.
//!
//! Running statistics of batch norm are no parameters. [`Statistic::between`] interpolates them;
//! to estimate them anew, do so inside [`Measure::measure`].

mod directions;
mod evaluate;
mod point_loss;
mod statistic;

use crate::LandscapeError;
use crate::error::check_length;

pub use directions::filter_normalized;
pub use evaluate::{Measure, evaluate};
pub use point_loss::PointLoss;
pub use statistic::Statistic;

/// Points of the paper's slices.
pub const KESKAR_POINTS: usize = 25;
/// Ends of the paper's slices.
pub const KESKAR_ENDS: (f64, f64) = (-1.0, 2.0);

/// `count` numbers from `low` to `high`, evenly spaced, both ends exact.
///
/// ```
/// use batchscope_landscape::slices::steps;
/// assert_eq!(steps(4, -1.0, 2.0), [-1.0, 0.0, 1.0, 2.0]);
/// ```
pub fn steps(count: usize, low: f64, high: f64) -> Vec<f64> {
    let last = count.saturating_sub(1).max(1);
    (0..count)
        .map(|i| {
            if i == last {
                high
            } else {
                low + (high - low) * i as f64 / last as f64
            }
        })
        .collect()
}

/// How a path runs between two solutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// `α·x_L + (1 − α)·x_S`.
    Straight,
    /// `sin(απ/2)·x_L + cos(απ/2)·x_S`.
    Curved,
}

impl Path {
    /// Weights of (small-batch, large-batch) solution at α; exactly (1, 0) at 0 and (0, 1) at 1.
    pub fn weights(self, alpha: f64) -> (f64, f64) {
        match (self, alpha) {
            (_, 0.0) => (1.0, 0.0),
            (_, 1.0) => (0.0, 1.0),
            (Path::Straight, _) => (1.0 - alpha, alpha),
            (Path::Curved, _) => {
                let (sin, cos) = (alpha * std::f64::consts::FRAC_PI_2).sin_cos();
                (cos, sin)
            }
        }
    }
}

/// A set of points of the parameter space, indexed from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Slice {
    /// Along a path between two solutions.
    Between {
        /// Its shape.
        path: Path,
        /// Where α is 0: the small-batch solution.
        small: Vec<f64>,
        /// Where α is 1: the large-batch solution.
        large: Vec<f64>,
        /// The values of α.
        alphas: Vec<f64>,
    },
    /// `x + a·d`.
    Line {
        /// The point `x`.
        origin: Vec<f64>,
        /// The direction `d`.
        direction: Vec<f64>,
        /// The values of `a`.
        steps: Vec<f64>,
    },
    /// `x + a·d + b·e` on a square grid, `a` changing slowest.
    Surface {
        /// The point `x`.
        origin: Vec<f64>,
        /// The directions `d` and `e`.
        directions: [Vec<f64>; 2],
        /// The values of both `a` and `b`.
        steps: Vec<f64>,
    },
}

impl Slice {
    /// The paper's 25 points from −1 to 2 between two solutions.
    ///
    /// ```
    /// use batchscope_landscape::slices::{Path, Slice};
    /// let slice = Slice::between(Path::Straight, &[0.0, 1.0], &[2.0, 1.0]).unwrap();
    /// assert_eq!((slice.len(), slice.coordinates(8)), (25, vec![0.0]));
    /// let mut x = [0.0; 2];
    /// slice.point(24, &mut x);
    /// assert_eq!(x, [4.0, 1.0]);
    /// ```
    ///
    /// # Errors
    /// When the solutions have different lengths.
    pub fn between(path: Path, small: &[f64], large: &[f64]) -> Result<Self, LandscapeError> {
        check_length("the large-batch solution", small.len(), large.len())?;
        let (low, high) = KESKAR_ENDS;
        Ok(Self::Between {
            path,
            small: small.to_vec(),
            large: large.to_vec(),
            alphas: steps(KESKAR_POINTS, low, high),
        })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        match self {
            Slice::Between { alphas, .. } => alphas.len(),
            Slice::Line { steps, .. } => steps.len(),
            Slice::Surface { steps, .. } => steps.len() * steps.len(),
        }
    }

    /// True without points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of parameters.
    pub fn dimension(&self) -> usize {
        match self {
            Slice::Between { small, .. } => small.len(),
            Slice::Line { origin, .. } | Slice::Surface { origin, .. } => origin.len(),
        }
    }

    /// Coordinates of a point in the slice: α, or `a`, or `a` and `b`.
    ///
    /// # Panics
    /// When `index` is not below [`Slice::len`].
    pub fn coordinates(&self, index: usize) -> Vec<f64> {
        match self {
            Slice::Between { alphas, .. } => vec![alphas[index]],
            Slice::Line { steps, .. } => vec![steps[index]],
            Slice::Surface { steps, .. } => {
                vec![steps[index / steps.len()], steps[index % steps.len()]]
            }
        }
    }

    /// The point itself into `x`.
    ///
    /// # Panics
    /// When `index` is not below [`Slice::len`], or `x` has another length than the dimension.
    pub fn point(&self, index: usize, x: &mut [f64]) {
        assert_eq!(
            x.len(),
            self.dimension(),
            "a point has the slice's dimension"
        );
        let coordinates = self.coordinates(index);
        match self {
            Slice::Between {
                path, small, large, ..
            } => {
                let (s, l) = path.weights(coordinates[0]);
                for (i, x) in x.iter_mut().enumerate() {
                    *x = s * small[i] + l * large[i];
                }
            }
            Slice::Line {
                origin, direction, ..
            } => {
                for (i, x) in x.iter_mut().enumerate() {
                    *x = origin[i] + coordinates[0] * direction[i];
                }
            }
            Slice::Surface {
                origin, directions, ..
            } => {
                for (i, x) in x.iter_mut().enumerate() {
                    let along = coordinates[0] * directions[0][i];
                    *x = origin[i] + along + coordinates[1] * directions[1][i];
                }
            }
        }
    }

    /// `Err` unless all vectors have one length and all coordinates are finite.
    pub(crate) fn check(&self) -> Result<(), LandscapeError> {
        let (vectors, coordinates): (Vec<&Vec<f64>>, _) = match self {
            Slice::Between {
                small,
                large,
                alphas,
                ..
            } => (vec![small, large], alphas),
            Slice::Line {
                origin,
                direction,
                steps,
            } => (vec![origin, direction], steps),
            Slice::Surface {
                origin,
                directions: [d, e],
                steps,
            } => (vec![origin, d, e], steps),
        };
        for vector in &vectors {
            check_length("a vector of the slice", vectors[0].len(), vector.len())?;
        }
        if coordinates.iter().any(|c| !c.is_finite()) {
            return Err(LandscapeError::NonFinite {
                what: "a coordinate of the slice",
                remedy: "give finite steps",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_meet_both_solutions_exactly_and_curve_between() {
        let (small, large) = (vec![3.0, 0.0], vec![0.0, 4.0]);
        for path in [Path::Straight, Path::Curved] {
            let slice = Slice::between(path, &small, &large).unwrap();
            let mut x = [0.0; 2];
            slice.point(8, &mut x);
            assert_eq!(x, small[..]);
            slice.point(16, &mut x);
            assert_eq!(x, large[..]);
        }
        let (s, l) = Path::Curved.weights(0.5);
        assert!((s - 0.5f64.sqrt()).abs() < 1e-15 && (l - 0.5f64.sqrt()).abs() < 1e-15);
        let (s, l) = Path::Curved.weights(2.0);
        assert!((s + 1.0).abs() < 1e-15 && l.abs() < 1e-15);
    }

    #[test]
    fn surfaces_walk_the_grid_row_by_row() {
        let surface = Slice::Surface {
            origin: vec![1.0, 1.0],
            directions: [vec![1.0, 0.0], vec![0.0, 10.0]],
            steps: steps(3, -1.0, 1.0),
        };
        assert_eq!((surface.len(), surface.coordinates(5)), (9, vec![0.0, 1.0]));
        let mut x = [0.0; 2];
        surface.point(2, &mut x);
        assert_eq!(x, [0.0, 11.0]);
        assert_eq!(steps(1, 2.0, 3.0), [2.0]);
        assert!(Slice::between(Path::Straight, &[1.0], &[1.0, 2.0]).is_err());
    }
}
