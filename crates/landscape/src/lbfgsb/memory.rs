//! The limited-memory matrix `B = θI − W·M·Wᵀ` in compact form (\[BLNZ\] section 3).

use std::collections::VecDeque;

use nalgebra::{DMatrix, DVector};

use crate::vector::dot;

/// The last `m` pairs, with `W = [Y, θS]` and `M = [[−D, Lᵀ], [L, θSᵀS]]⁻¹`, where `D` is the
/// diagonal and `L` the strictly lower part of `SᵀY`.
pub(super) struct Memory {
    dimension: usize,
    limit: usize,
    /// Oldest first.
    pub(super) s: VecDeque<Vec<f64>>,
    pub(super) y: VecDeque<Vec<f64>>,
    /// `SᵀY` and `SᵀS`.
    sy: DMatrix<f64>,
    ss: DMatrix<f64>,
    pub(super) theta: f64,
    /// `M`, symmetric, of twice as many rows as there are pairs.
    pub(super) middle: DMatrix<f64>,
}

impl Memory {
    pub(super) fn new(dimension: usize, limit: usize) -> Self {
        Self {
            dimension,
            limit,
            s: VecDeque::new(),
            y: VecDeque::new(),
            sy: DMatrix::zeros(0, 0),
            ss: DMatrix::zeros(0, 0),
            theta: 1.0,
            middle: DMatrix::zeros(0, 0),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.dimension, self.limit);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.s.is_empty()
    }

    /// Pairs held.
    pub(super) fn pairs(&self) -> usize {
        self.s.len()
    }

    /// Adds a pair with `curvature = sᵀy > 0`, forgetting the oldest when full. False when the
    /// middle matrix is no longer definite numerically; the memory is then to be cleared.
    pub(super) fn push(&mut self, s: Vec<f64>, y: Vec<f64>, curvature: f64) -> bool {
        let drop = self.s.len() == self.limit;
        if drop {
            self.s.pop_front();
            self.y.pop_front();
        }
        self.theta = dot(&y, &y) / curvature;
        self.s.push_back(s);
        self.y.push_back(y);
        let k = self.s.len();
        let new = k - 1;
        let offset = usize::from(drop);
        let keep = |old: &DMatrix<f64>| {
            let mut grown = DMatrix::zeros(k, k);
            grown
                .view_mut((0, 0), (new, new))
                .copy_from(&old.view((offset, offset), (new, new)));
            grown
        };
        let (mut sy, mut ss) = (keep(&self.sy), keep(&self.ss));
        for i in 0..k {
            sy[(new, i)] = dot(&self.s[new], &self.y[i]);
            sy[(i, new)] = dot(&self.s[i], &self.y[new]);
            ss[(new, i)] = dot(&self.s[new], &self.s[i]);
            ss[(i, new)] = ss[(new, i)];
        }
        sy[(new, new)] = curvature;
        (self.sy, self.ss) = (sy, ss);
        self.invert_middle()
    }

    /// `M` by block elimination: with `C = θSᵀS + L·D⁻¹·Lᵀ` (positive definite),
    /// `M·[v₁; v₂] = [D⁻¹(Lᵀp₂ − v₁); p₂]`, `C·p₂ = v₂ + L·D⁻¹·v₁`.
    fn invert_middle(&mut self) -> bool {
        let k = self.pairs();
        let inverse_d = DVector::from_fn(k, |i, _| 1.0 / self.sy[(i, i)]);
        let mut l = self.sy.lower_triangle();
        l.fill_diagonal(0.0);
        let scaled = DMatrix::from_fn(k, k, |i, j| l[(i, j)] * inverse_d[j]);
        let c = &self.ss * self.theta + &scaled * l.transpose();
        let Some(cholesky) = c.cholesky() else {
            return false;
        };
        let lower_right = cholesky.inverse();
        let lower_left = &lower_right * &scaled;
        let mut upper_left = scaled.transpose() * &lower_left;
        for i in 0..k {
            upper_left[(i, i)] -= inverse_d[i];
        }
        let mut middle = DMatrix::zeros(2 * k, 2 * k);
        middle.view_mut((0, 0), (k, k)).copy_from(&upper_left);
        middle.view_mut((k, 0), (k, k)).copy_from(&lower_left);
        middle
            .view_mut((0, k), (k, k))
            .copy_from(&lower_left.transpose());
        middle.view_mut((k, k), (k, k)).copy_from(&lower_right);
        self.middle = middle;
        self.middle.iter().all(|m| m.is_finite())
    }

    /// Row `i` of `W`.
    pub(super) fn row(&self, i: usize, row: &mut DVector<f64>) {
        let k = self.pairs();
        for j in 0..k {
            row[j] = self.y[j][i];
            row[k + j] = self.theta * self.s[j][i];
        }
    }

    /// `Wᵀv`.
    pub(super) fn project(&self, v: &[f64]) -> DVector<f64> {
        let k = self.pairs();
        DVector::from_fn(2 * k, |j, _| {
            if j < k {
                dot(&self.y[j], v)
            } else {
                self.theta * dot(&self.s[j - k], v)
            }
        })
    }

    /// `out ← out + W·c`.
    pub(super) fn expand(&self, c: &DVector<f64>, out: &mut [f64]) {
        let k = self.pairs();
        for j in 0..k {
            crate::vector::axpy(c[j], &self.y[j], out);
            crate::vector::axpy(self.theta * c[k + j], &self.s[j], out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compact form against the BFGS recurrence written out densely.
    #[test]
    fn the_compact_form_is_the_bfgs_matrix() {
        let n = 6;
        let mut memory = Memory::new(n, 3);
        let pair = |k: usize| {
            let s: Vec<f64> = (0..n).map(|i| ((3 * i + 5 * k) as f64).sin()).collect();
            let y: Vec<f64> = s
                .iter()
                .enumerate()
                .map(|(i, s)| (1.0 + i as f64) * s + 0.05 * ((i * k) as f64).cos())
                .collect();
            (s, y)
        };
        for k in 0..5 {
            let (s, y) = pair(k);
            let curvature = dot(&s, &y);
            assert!(memory.push(s, y, curvature));
        }
        let mut dense = DMatrix::identity(n, n) * memory.theta;
        for k in 2..5 {
            let (s, y) = pair(k);
            let (s, y) = (DVector::from_vec(s), DVector::from_vec(y));
            let bs = &dense * &s;
            dense += &y * y.transpose() / y.dot(&s) - &bs * bs.transpose() / s.dot(&bs);
        }
        for i in 0..n {
            let mut unit = vec![0.0; n];
            unit[i] = 1.0;
            let mut column = vec![0.0; n];
            column[i] = memory.theta;
            memory.expand(&-(&memory.middle * memory.project(&unit)), &mut column);
            for j in 0..n {
                assert!((column[j] - dense[(j, i)]).abs() < 1e-9, "{i} {j}");
            }
        }
    }
}
