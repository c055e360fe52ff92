//! The generalized Cauchy point (\[BLNZ\] algorithm CP).

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use nalgebra::DVector;

use super::{Bounds, Memory};
use crate::vector::dot;

/// The generalized Cauchy point and the variables held at a bound there.
pub(super) struct Cauchy {
    pub(super) point: Vec<f64>,
    pub(super) fixed: Vec<bool>,
    /// `Wᵀ(point − x)`.
    pub(super) c: DVector<f64>,
}

impl Cauchy {
    /// `x` itself with every variable free.
    pub(super) fn at(x: &[f64], memory: &Memory) -> Self {
        Self {
            point: x.to_vec(),
            fixed: vec![false; x.len()],
            c: DVector::zeros(2 * memory.pairs()),
        }
    }
}

/// A time at which the projected path meets a bound; the heap gives the earliest, and the lowest
/// variable among equals.
#[derive(PartialEq)]
struct Breakpoint {
    time: f64,
    variable: usize,
}

impl Eq for Breakpoint {}

impl Ord for Breakpoint {
    fn cmp(&self, other: &Self) -> Ordering {
        let time = other.time.total_cmp(&self.time);
        time.then(other.variable.cmp(&self.variable))
    }
}

impl PartialOrd for Breakpoint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `−g`, but 0 for variables at a bound and not moving inside, which become fixed; and where each of
/// the others meets its bound.
fn directions(
    x: &[f64],
    g: &[f64],
    bounds: &Bounds,
    fixed: &mut [bool],
) -> (Vec<f64>, Vec<Breakpoint>) {
    let mut d: Vec<f64> = g.iter().map(|g| -g).collect();
    let mut breakpoints = Vec::new();
    for i in 0..x.len() {
        let room = if d[i] < 0.0 {
            x[i] - bounds.lower()[i]
        } else {
            bounds.upper()[i] - x[i]
        };
        let held = room <= 0.0
            || (d[i] == 0.0 && (x[i] <= bounds.lower()[i] || x[i] >= bounds.upper()[i]));
        if held {
            fixed[i] = true;
            d[i] = 0.0;
        } else if d[i] != 0.0 && room.is_finite() {
            breakpoints.push(Breakpoint {
                time: room / d[i].abs(),
                variable: i,
            });
        }
    }
    (d, breakpoints)
}

/// Follows `P(x − t·g)` from one breakpoint to the next, with the first and second derivative of
/// the quadratic model along it, until the derivative changes sign.
pub(super) fn cauchy_point(x: &[f64], g: &[f64], bounds: &Bounds, memory: &Memory) -> Cauchy {
    let mut cauchy = Cauchy::at(x, memory);
    let (mut d, breakpoints) = directions(x, g, bounds, &mut cauchy.fixed);
    let mut moving = d.iter().filter(|d| **d != 0.0).count();
    if moving == 0 {
        return cauchy;
    }
    let theta = memory.theta;
    let mut p = memory.project(&d);
    let mut row = DVector::zeros(p.len());
    let squared = dot(&d, &d);
    let mut slope = -squared;
    let mut curvature = theta * squared - p.dot(&(&memory.middle * &p));
    // rounding must not turn the model concave along the path
    let least_curvature = f64::EPSILON * curvature.abs().max(f64::MIN_POSITIVE);
    let mut until_minimum = -slope / curvature.max(least_curvature);
    let mut breakpoints = BinaryHeap::from(breakpoints);
    let mut time = 0.0;
    while let Some(Breakpoint {
        time: next,
        variable: i,
    }) = breakpoints.pop()
    {
        let elapsed = next - time;
        if until_minimum < elapsed {
            break;
        }
        let gradient = g[i];
        let bound = if d[i] > 0.0 {
            bounds.upper()[i]
        } else {
            bounds.lower()[i]
        };
        cauchy.point[i] = bound;
        cauchy.fixed[i] = true;
        d[i] = 0.0;
        time = next;
        moving -= 1;
        cauchy.c.axpy(elapsed, &p, 1.0);
        if moving == 0 {
            until_minimum = 0.0;
            break;
        }
        let z = bound - x[i];
        memory.row(i, &mut row);
        let weighted = &memory.middle * &row;
        slope += elapsed * curvature + gradient * gradient + theta * gradient * z
            - gradient * weighted.dot(&cauchy.c);
        curvature -= theta * gradient * gradient
            + 2.0 * gradient * weighted.dot(&p)
            + gradient * gradient * weighted.dot(&row);
        curvature = curvature.max(least_curvature);
        p.axpy(gradient, &row, 1.0);
        until_minimum = -slope / curvature;
    }
    let remaining = until_minimum.max(0.0);
    time += remaining;
    for ((point, x), d) in cauchy.point.iter_mut().zip(x).zip(&d) {
        if *d != 0.0 {
            *point = x + time * d;
        }
    }
    bounds.project(&mut cauchy.point);
    cauchy.c.axpy(remaining, &p, 1.0);
    cauchy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without memory the model is ½‖z‖² + gᵀz, whose minimizer along the projected path is known:
    /// each free variable runs for t = 1.
    #[test]
    fn with_the_identity_each_variable_runs_its_gradient_or_to_its_bound() {
        let bounds = Bounds::new(vec![-0.5, f64::NEG_INFINITY, 0.0], vec![0.5, 0.25, 9.0]).unwrap();
        let memory = Memory::new(3, 5);
        let cauchy = cauchy_point(&[0.0, 0.0, 0.0], &[2.0, -0.1, 3.0], &bounds, &memory);
        assert_eq!((cauchy.point[0], cauchy.point[2]), (-0.5, 0.0));
        assert!((cauchy.point[1] - 0.1).abs() < 1e-12);
        assert_eq!(cauchy.fixed, [true, false, true]);
    }
}
