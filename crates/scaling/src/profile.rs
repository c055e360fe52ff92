//! The likelihood of `ln S = ln(S_min + E_min/B) + σ·ε`, profiled over everything but `b = ln B_c`.
//!
//! With `a = ln E_min` the mean is `a + g_B(b)`, `g_B(b) = ln(1/B + e^{−b})`: linear in `a`, so for
//! a given `b` the rest is a Tobit mean (`tobit.rs`) and the search is over one number. Where the
//! deviation differs by batch size it is `σ/v`, with scales `v` that the caller sets.

use crate::sample::Sample;
use crate::tobit::{self, Censored, Group};

/// Octaves beyond the studied batch sizes in which a bend is looked for.
const MARGIN: f64 = 7.0;
/// Spacing of the search grid, in natural log of the batch size.
const SPACING: f64 = 0.45;

/// `g_B(b)` at `inverse = 1/B`; `b` may be infinite (straight line or constant).
pub(crate) fn shape(inverse: f64, b: f64) -> f64 {
    if b == f64::NEG_INFINITY {
        0.0
    } else if b < 0.0 {
        // ln(1/B + e^{−b}) = −b + ln(1 + e^b/B), without overflow
        -b + (b.exp() * inverse).ln_1p()
    } else {
        (inverse + (-b).exp()).ln()
    }
}

/// Where a condition that holds at `low` and not at `high` ceases to, by sixty halvings.
pub(crate) fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if holds(middle) {
            low = middle
        } else {
            high = middle
        }
    }
    0.5 * (low + high)
}

/// `∂g_B/∂b = −B/(B + B_c)`.
pub(crate) fn shape_slope(inverse: f64, b: f64) -> f64 {
    -1.0 / (1.0 + b.exp() * inverse)
}

/// One batch size in the likelihood.
#[derive(Debug, Clone)]
struct Cell {
    inverse: f64,
    scale: f64,
    n: f64,
    mean: f64,
    squares: f64,
    caps: Vec<(f64, f64)>,
}

impl Cell {
    fn weight(&self) -> f64 {
        self.n * self.scale * self.scale
    }
}

/// The profile likelihood of a set of samples.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    cells: Vec<Cell>,
    /// Search range of `b`.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Reached trials.
    pub n: f64,
    /// Sum of the reached trials' `v²`.
    weight: f64,
    within: f64,
}

/// The likelihood maximized at one `b`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    /// `ln B_c`.
    pub b: f64,
    /// `ln E_min`.
    pub a: f64,
    /// Maximum likelihood `σ` of a trial of scale 1.
    pub sigma: f64,
    /// Log likelihood.
    pub log_likelihood: f64,
    /// Curvature in `a`, `σ` maximized.
    pub information: f64,
}

impl Profile {
    /// Prepares the samples, each with its scale; those without reached or censored trials do not
    /// matter.
    pub fn new(samples: &[Sample], scale: impl Fn(&Sample) -> f64) -> Self {
        let mut cells = Vec::new();
        let (mut smallest, mut largest) = (f64::INFINITY, 0.0f64);
        for sample in samples {
            if sample.trials() == 0 || sample.batch_size == 0 {
                continue;
            }
            let n = sample.n_reached() as f64;
            let (mean, squares) = if n > 0.0 {
                sample.moments()
            } else {
                (0.0, 0.0)
            };
            let mut caps: Vec<(f64, f64)> = Vec::new();
            for &cap in &sample.ln_caps {
                match caps.iter_mut().find(|(c, _)| *c == cap) {
                    Some((_, count)) => *count += 1.0,
                    None => caps.push((cap, 1.0)),
                }
            }
            let b = sample.batch_size as f64;
            smallest = smallest.min(b);
            largest = largest.max(b);
            cells.push(Cell {
                inverse: 1.0 / b,
                scale: scale(sample),
                n,
                mean,
                squares,
                caps,
            });
        }
        let margin = MARGIN * std::f64::consts::LN_2;
        Self {
            low: smallest.ln() - margin,
            high: largest.ln() + margin,
            n: cells.iter().map(|c| c.n).sum(),
            weight: cells.iter().map(Cell::weight).sum(),
            within: cells.iter().map(|c| c.scale * c.scale * c.squares).sum(),
            cells,
        }
    }

    /// The likelihood at `b`, maximized over `E_min` and `σ`. Needs a reached trial.
    pub fn at(&self, b: f64) -> At {
        let mut sum = 0.0;
        let shapes = self.cells.iter().map(|c| shape(c.inverse, b));
        for (cell, g) in self.cells.iter().zip(shapes.clone()) {
            sum += cell.weight() * (cell.mean - g);
        }
        let center = sum / self.weight;
        let mut squares = self.within;
        let mut censored = Vec::new();
        for (cell, g) in self.cells.iter().zip(shapes) {
            squares += cell.weight() * (cell.mean - g - center).powi(2);
            censored.extend(cell.caps.iter().map(|&(cap, count)| Censored {
                cap: cap - g - center,
                count,
                scale: cell.scale,
            }));
        }
        let solution = tobit::solve(&[Group {
            n: self.n,
            weight: self.weight,
            center,
            squares,
            censored,
        }]);
        At {
            b,
            a: solution.locations[0],
            sigma: solution.sigma,
            log_likelihood: solution.log_likelihood,
            information: solution.information,
        }
    }

    /// The maximum, by a grid and then Brent's method around its best node.
    pub fn maximum(&self) -> At {
        let nodes = ((self.high - self.low) / SPACING).ceil().max(2.0);
        let node = |i: f64| self.low + (self.high - self.low) * i / nodes;
        let mut best = (0.0, f64::NEG_INFINITY);
        for i in 0..=nodes as usize {
            let value = self.at(node(i as f64)).log_likelihood;
            if value > best.1 {
                best = (i as f64, value);
            }
        }
        let (low, high) = (
            node((best.0 - 1.0).max(0.0)),
            node((best.0 + 1.0).min(nodes)),
        );
        self.at(brent_maximum(
            |b| self.at(b).log_likelihood,
            low,
            high,
            1e-7,
        ))
    }

    /// The farthest `b` on one side of the maximum whose profile stays above `floor`; `None` when
    /// it does so all the way to the limit (straight line or constant).
    pub fn end(&self, maximum: At, floor: f64, side: f64) -> Option<f64> {
        let limit = if side > 0.0 { self.high } else { self.low };
        let gap = |b: f64| self.at(b).log_likelihood - floor;
        if gap(side * f64::INFINITY) >= 0.0 {
            return None;
        }
        let (mut inside, mut step) = (maximum.b, 0.02);
        let outside = loop {
            let next = inside + side * step;
            if (limit - next) * side <= 0.0 {
                if gap(limit) >= 0.0 {
                    return None;
                }
                break limit;
            }
            if gap(next) < 0.0 {
                break next;
            }
            inside = next;
            step *= 1.6;
        };
        Some(crossing(gap, inside, outside))
    }
}

/// Root of `gap` between `inside` (not below 0) and `outside` (below 0): false position, Illinois'
/// variant, which keeps a bracket.
fn crossing(gap: impl Fn(f64) -> f64, inside: f64, outside: f64) -> f64 {
    let (mut a, mut b) = (inside, outside);
    let (mut fa, mut fb) = (gap(a), gap(b));
    let mut last = 0i8;
    for _ in 0..50 {
        if (b - a).abs() < 1e-6 {
            break;
        }
        let middle = if fa - fb > 0.0 {
            a + (b - a) * fa / (fa - fb)
        } else {
            0.5 * (a + b)
        };
        let value = gap(middle);
        if value >= 0.0 {
            (a, fa) = (middle, value);
            if last == 1 {
                fb *= 0.5;
            }
            last = 1;
        } else {
            (b, fb) = (middle, value);
            if last == -1 {
                fa *= 0.5;
            }
            last = -1;
        }
        if value.abs() < 1e-9 {
            return middle;
        }
    }
    0.5 * (a + b)
}

/// Maximum of a function with one peak in `[low, high]` (Brent 1973, chapter 5).
pub(crate) fn brent_maximum(f: impl Fn(f64) -> f64, low: f64, high: f64, tolerance: f64) -> f64 {
    const GOLDEN: f64 = 0.381_966_011_250_105_1;
    let (mut a, mut b) = (low, high);
    let mut x = a + GOLDEN * (b - a);
    let (mut w, mut v) = (x, x);
    let mut fx = -f(x);
    let (mut fw, mut fv) = (fx, fx);
    let (mut d, mut e) = (0.0f64, 0.0f64);
    for _ in 0..100 {
        let middle = 0.5 * (a + b);
        let tol = tolerance * (1.0 + x.abs());
        if (x - middle).abs() <= 2.0 * tol - 0.5 * (b - a) {
            break;
        }
        let mut golden = true;
        if e.abs() > tol {
            let r = (x - w) * (fx - fv);
            let q = (x - v) * (fx - fw);
            let p = (x - v) * q - (x - w) * r;
            let q2 = 2.0 * (q - r);
            let (p, q2) = if q2 > 0.0 { (-p, q2) } else { (p, -q2) };
            if p.abs() < (0.5 * q2 * e).abs() && p > q2 * (a - x) && p < q2 * (b - x) {
                e = d;
                d = p / q2;
                golden = false;
            }
        }
        if golden {
            e = if x < middle { b - x } else { a - x };
            d = GOLDEN * e;
        }
        let u = x + if d.abs() >= tol { d } else { tol * d.signum() };
        let fu = -f(u);
        if fu <= fx {
            if u < x {
                b = x
            } else {
                a = x
            }
            (v, fv, w, fw, x, fx) = (w, fw, x, fx, u, fu);
        } else {
            if u < x {
                a = u
            } else {
                b = u
            }
            if fu <= fw || w == x {
                (v, fv, w, fw) = (w, fw, u, fu);
            } else if fu <= fv || v == x || v == w {
                (v, fv) = (u, fu);
            }
        }
    }
    x
}
