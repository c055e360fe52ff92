//! Minimization of the quadratic model over the free variables (\[BLNZ\] section 5.1, \[MN\]).

use nalgebra::{DMatrix, DVector};

use super::cauchy::Cauchy;
use super::{Bounds, Memory};
use crate::vector::dot;

/// The projected step must descend at least this part as steeply as the step to the Cauchy point.
///
/// \[MN\] ask only that it descends. But on a quadratic an exact line search leaves the gradient
/// orthogonal to the last step, and where the next projection meets the same corner of the box its
/// slope is −1e-16 or so, by rounding: no progress, and the end of the search (SciPy's too). Other
/// slopes as good as level are met as well; of random quadratics one step in 20,000 falls below this.
const DESCENT: f64 = 1e-3;

/// `[Y, S]ᵀ·Z·Zᵀ·[Y, S]`: the inner products of the memory's vectors over the free variables.
///
/// Kept from one iteration to the next: a new pair costs `O(m·n)`, a variable that becomes free or
/// bound `O(m²)`. When many change at once, or at the start, it is summed afresh, which also keeps
/// rounding from piling up.
pub(super) struct FreeGram {
    /// Of twice as many rows as there are pairs, `Y` first.
    gram: DMatrix<f64>,
    fixed: Vec<bool>,
}

impl FreeGram {
    pub(super) fn new() -> Self {
        Self {
            gram: DMatrix::zeros(0, 0),
            fixed: Vec::new(),
        }
    }

    /// Brings the products from the set it was made for to the variables free now.
    pub(super) fn update(&mut self, memory: &Memory, fixed: &[bool]) {
        let k = memory.pairs();
        let free = fixed.iter().filter(|f| !**f).count();
        let changed: Vec<usize> = if self.fixed.len() == fixed.len() && self.gram.nrows() == 2 * k {
            (0..fixed.len())
                .filter(|&i| fixed[i] != self.fixed[i])
                .collect()
        } else {
            (0..fixed.len()).collect()
        };
        if 2 * changed.len() >= free {
            self.fixed = fixed.to_vec();
            self.gram = DMatrix::zeros(2 * k, 2 * k);
            for a in 0..2 * k {
                self.fill_row(memory, a, a + 1);
            }
            return;
        }
        for i in changed {
            let sign = if fixed[i] { -1.0 } else { 1.0 };
            let value = |a: usize| Self::column(memory, a)[i];
            for a in 0..2 * k {
                for b in 0..=a {
                    self.gram[(a, b)] += sign * value(a) * value(b);
                }
            }
            self.fixed[i] = fixed[i];
        }
        self.gram.fill_upper_triangle_with_lower_triangle();
    }

    /// Follows the memory after a pair was pushed: the oldest products go, the new pair's come.
    pub(super) fn shift(&mut self, memory: &Memory) {
        let k = memory.pairs();
        let old = self.gram.nrows() / 2;
        if self.fixed.is_empty() || old + 1 < k {
            // nothing kept to follow; the next update sums afresh
            *self = Self::new();
            return;
        }
        let offset = old + 1 - k;
        let mut gram = DMatrix::zeros(2 * k, 2 * k);
        let kept = k - 1;
        for (to_row, from_row) in [(0, offset), (k, old + offset)] {
            for (to_column, from_column) in [(0, offset), (k, old + offset)] {
                gram.view_mut((to_row, to_column), (kept, kept))
                    .copy_from(&self.gram.view((from_row, from_column), (kept, kept)));
            }
        }
        self.gram = gram;
        for a in [k - 1, 2 * k - 1] {
            self.fill_row(memory, a, 2 * k);
        }
    }

    fn column(memory: &Memory, a: usize) -> &[f64] {
        let k = memory.pairs();
        if a < k {
            &memory.y[a]
        } else {
            &memory.s[a - k]
        }
    }

    /// Entries `(a, b)` and `(b, a)` for `b < end`, summed over the free variables.
    fn fill_row(&mut self, memory: &Memory, a: usize, end: usize) {
        let mut masked = Self::column(memory, a).to_vec();
        for (value, &fixed) in masked.iter_mut().zip(&self.fixed) {
            if fixed {
                *value = 0.0;
            }
        }
        for b in 0..end {
            let product = dot(&masked, Self::column(memory, b));
            self.gram[(a, b)] = product;
            self.gram[(b, a)] = product;
        }
    }

    /// `WᵀZZᵀW` for `W = [Y, θS]`.
    fn scaled(&self, theta: f64) -> DMatrix<f64> {
        let k = self.gram.nrows() / 2;
        let factor = |a: usize| if a < k { 1.0 } else { theta };
        DMatrix::from_fn(2 * k, 2 * k, |a, b| {
            self.gram[(a, b)] * factor(a) * factor(b)
        })
    }
}

/// The minimizer over the free variables from the Cauchy point, brought back into the box; `None`
/// when the reduced system is singular.
///
/// With `r = −Zᵀ(g + θ(x^c − x) − W·M·c)` the unconstrained step is
/// `d = r/θ + ZᵀW·(I − M·WᵀZZᵀW/θ)⁻¹·M·WᵀZ·r/θ²` (\[BLNZ\] equation 5.11).
pub(super) fn minimize(
    x: &[f64],
    g: &[f64],
    bounds: &Bounds,
    memory: &Memory,
    gram: &FreeGram,
    cauchy: Cauchy,
) -> Option<Vec<f64>> {
    let theta = memory.theta;
    let Cauchy { point, fixed, c } = cauchy;
    let mut r: Vec<f64> = (0..x.len())
        .map(|i| -g[i] - theta * (point[i] - x[i]))
        .collect();
    memory.expand(&(&memory.middle * &c), &mut r);
    clear_fixed(&mut r, &fixed);
    let system = DMatrix::identity(c.len(), c.len()) - &memory.middle * gram.scaled(theta) / theta;
    let v: DVector<f64> = system.lu().solve(&(&memory.middle * memory.project(&r)))?;
    let mut d: Vec<f64> = r.iter().map(|r| r / theta).collect();
    memory.expand(&(v / (theta * theta)), &mut d);
    clear_fixed(&mut d, &fixed);
    if d.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let mut target: Vec<f64> = point.iter().zip(&d).map(|(p, d)| p + d).collect();
    if !bounds.any() {
        return Some(target);
    }
    bounds.project(&mut target);
    let slope = |to: &[f64]| -> f64 {
        let step: Vec<f64> = to.iter().zip(x).map(|(t, x)| t - x).collect();
        dot(&step, g)
    };
    if slope(&target) <= DESCENT * slope(&point) {
        return Some(target);
    }
    // projecting has turned the step uphill or level: go straight, as far as the first bound
    let reach = bounds.longest_step(&point, &d).min(1.0);
    let mut target: Vec<f64> = point.iter().zip(&d).map(|(p, d)| p + reach * d).collect();
    bounds.project(&mut target);
    Some(target)
}

fn clear_fixed(v: &mut [f64], fixed: &[bool]) {
    for (v, &fixed) in v.iter_mut().zip(fixed) {
        if fixed {
            *v = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(n: usize, k: usize) -> (Vec<f64>, Vec<f64>) {
        let s: Vec<f64> = (0..n).map(|i| ((7 * i + 3 * k) as f64).sin()).collect();
        let y = s
            .iter()
            .enumerate()
            .map(|(i, s)| (1.0 + i as f64 / 4.0) * s)
            .collect();
        (s, y)
    }

    /// Products followed through pushes and changes equal products summed afresh.
    #[test]
    fn followed_products_are_those_summed_afresh() {
        let n = 40;
        let mut memory = Memory::new(n, 3);
        let mut followed = FreeGram::new();
        for k in 0..8 {
            let (s, y) = pair(n, k);
            let curvature = dot(&s, &y);
            assert!(memory.push(s, y, curvature));
            followed.shift(&memory);
            let fixed: Vec<bool> = (0..n).map(|i| (i + k) % 13 == 0).collect();
            followed.update(&memory, &fixed);
            let mut fresh = FreeGram::new();
            fresh.update(&memory, &fixed);
            let difference = (&followed.gram - &fresh.gram).amax();
            assert!(difference < 1e-10, "{k}: {difference}");
        }
    }
}
