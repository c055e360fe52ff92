//! The fit made linear about its maximum: a weighted regression of the batch sizes' mean `ln S` on
//! `(∂/∂a, ∂/∂b) = (1, g′)`, for what estimated weights do to intervals and for the scatter between
//! batch sizes.

use crate::deviations::Deviations;
use crate::profile::bisect;

/// One batch size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// `g′ = ∂ ln S/∂b = −B/(B + B_c)`.
    pub slope: f64,
    /// `ln B` less the center of the deviations.
    pub offset: f64,
    /// Mean `ln S` less the fitted.
    pub residual: f64,
    /// Variance of the mean by its seeds.
    pub variance: f64,
}

/// A combination of the parameters `a = ln E_min` and `b = ln B_c`.
pub(crate) type Combination = [f64; 2];

/// A symmetric 2×2 matrix: `[aa, ab, bb]`.
type Symmetric = [f64; 3];

/// The batch sizes that reached the target.
#[derive(Debug, Clone)]
pub(crate) struct Design {
    pub rows: Vec<Row>,
}

/// What estimated weights do to the interval of a combination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Correction {
    /// Its variance over the one that takes the weights for known, 1 to 2.
    pub inflation: f64,
    /// Degrees of freedom, at least 1.
    pub dof: f64,
}

impl Design {
    /// `Σ w·x^power·(1, g′)(1, g′)ᵀ` with `w` the inverse variances.
    fn moment(&self, power: i32) -> Symmetric {
        let mut sum = [0.0; 3];
        for row in &self.rows {
            let w = row.offset.powi(power) / row.variance;
            sum[0] += w;
            sum[1] += w * row.slope;
            sum[2] += w * row.slope * row.slope;
        }
        sum
    }

    /// Kenward & Roger's (1997, eqs. 5–7) correction for the slope `γ` of the deviations, whose
    /// sampling variance is `v`. With `Φ` the covariance, `P = ∂Φ⁻¹/∂γ`, and `M_k = Σ w·x^k·XXᵀ`:
    /// `Φ + 2·v·Φ(Q − PΦP − R/4)Φ`, where `P = −2·M₁`, `Q = R = 4·M₂`. The degrees of freedom are
    /// Satterthwaite's, as for means (`intervals.rs`), with `dof` of them behind `σ`.
    pub fn correction(&self, deviations: &Deviations, dof: f64, of: Combination) -> Correction {
        let Some(covariance) = inverse(self.moment(0)) else {
            return Correction {
                inflation: 1.0,
                dof,
            };
        };
        // u = Φc, so cᵀΦMΦc = uᵀMu
        let u = times(covariance, of);
        let first = times(self.moment(1), u);
        let known = quadratic(self.moment(0), u);
        let second = quadratic(self.moment(2), u);
        let projected = dot(first, times(covariance, first));
        let more = deviations.slope_variance * (6.0 * second - 8.0 * projected) / known;
        let center = dot(u, first) / known;
        Correction {
            inflation: first_order(more),
            dof: deviations.dof(dof, center).max(1.0),
        }
    }

    /// Variance of the scatter between batch sizes beyond their seeds': Paule & Mandel's (1982)
    /// `t` at which `Σ r²/(t + variance)` about the regression weighted so is what is expected of
    /// it, the batch sizes less two. 0 where there is no more scatter than that.
    pub fn scatter(&self) -> f64 {
        let expected = self.rows.len() as f64 - 2.0;
        let excess = |t: f64| self.chi_square(t) - expected;
        if expected <= 0.0 || excess(0.0) <= 0.0 {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, self.mean_variance());
        while excess(high) > 0.0 && high.is_finite() {
            (low, high) = (high, 4.0 * high);
        }
        bisect(low, high, |t| excess(t) > 0.0)
    }

    /// The correction where each batch size has the scatter `t` of [`Design::scatter`] beside its seeds'
    /// variance `s_i`, so that a mean weighs `ω_i = 1/(t + s_i)`. As above, with `t` in the place of
    /// `γ`: `P = −Σ ω²·XXᵀ`, `Q = Σ ω³·XXᵀ`, `R = 0`, and `2/tr((Ω − ΩXΦXᵀΩ)²)` the sampling
    /// variance of `t` at known `s_i`. `t` is what the means leave over, so it falls by
    /// `Σ ω²·s/Σ ω²` as `ln σ²` rises, and by `2·Σ ω²·s·x/Σ ω²` as `γ` does.
    pub fn scattered(
        &self,
        t: f64,
        deviations: &Deviations,
        dof: f64,
        of: Combination,
    ) -> Correction {
        let omega = |row: &Row| 1.0 / (t + row.variance);
        let sum = |of: &dyn Fn(&Row) -> f64| self.rows.iter().map(of).sum::<f64>();
        let moment =
            |power: i32| [0, 1, 2].map(|i| sum(&|r| omega(r).powi(power) * r.slope.powi(i)));
        let Some(covariance) = inverse(moment(1)) else {
            return Correction {
                inflation: 1.0,
                dof,
            };
        };
        let u = times(covariance, of);
        let squares = sum(&|r| omega(r).powi(2));
        let leverage = sum(&|r| omega(r).powi(3) * quadratic(covariance, [1.0, r.slope]));
        let second = moment(2);
        let [x, y] = [[second[0], second[1]], [second[1], second[2]]].map(|c| times(covariance, c));
        let trace = squares - 2.0 * leverage + x[0] * x[0] + 2.0 * x[1] * y[0] + y[1] * y[1];
        let variance_of_t = 2.0 / trace;
        // Var(cᵀβ) = Σ a²·(t + s)
        let influence = |r: &Row| (omega(r) * (u[0] + u[1] * r.slope)).powi(2);
        let total = quadratic(moment(1), u);
        let by_t = sum(&influence);
        let by_sigma = sum(&|r| (influence(r) - by_t * omega(r).powi(2) / squares) * r.variance);
        let by_slope = 2.0
            * sum(&|r| (influence(r) - by_t * omega(r).powi(2) / squares) * r.variance * r.offset);
        let variance = by_t * by_t * variance_of_t
            + by_sigma * by_sigma * 2.0 / dof
            + by_slope * by_slope * deviations.slope_variance;
        let first = times(second, u);
        let more = quadratic(moment(3), u) - dot(first, times(covariance, first));
        Correction {
            inflation: first_order(2.0 * variance_of_t * more / total),
            dof: (2.0 * total * total / variance).max(1.0),
        }
    }

    fn mean_variance(&self) -> f64 {
        self.rows.iter().map(|r| r.variance).sum::<f64>() / self.rows.len() as f64
    }

    /// Weighted sum of squares about the regression, `t` added to every variance.
    fn chi_square(&self, t: f64) -> f64 {
        let rows = self.rows.iter().map(|r| Row {
            variance: r.variance + t,
            ..*r
        });
        let with = Self {
            rows: rows.collect(),
        };
        let (mut squares, mut score) = (0.0, [0.0; 2]);
        for row in &with.rows {
            let w = row.residual / row.variance;
            squares += w * row.residual;
            score[0] += w;
            score[1] += w * row.slope;
        }
        let explained = inverse(with.moment(0)).map_or(0.0, |m| quadratic(m, score));
        squares - explained
    }
}

/// `1 + more`; an expansion of first order says no more than a factor of 2.
fn first_order(more: f64) -> f64 {
    1.0 + more.clamp(0.0, 1.0)
}

fn inverse([aa, ab, bb]: Symmetric) -> Option<Symmetric> {
    let determinant = aa * bb - ab * ab;
    let usable = determinant.is_finite() && determinant > 1e-12 * aa * bb;
    usable.then(|| [bb / determinant, -ab / determinant, aa / determinant])
}

fn times([aa, ab, bb]: Symmetric, [x, y]: Combination) -> Combination {
    [aa * x + ab * y, ab * x + bb * y]
}

fn dot(a: Combination, b: Combination) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

fn quadratic(m: Symmetric, x: Combination) -> f64 {
    dot(x, times(m, x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(slope: f64, offset: f64, residual: f64, variance: f64) -> Row {
        Row {
            slope,
            offset,
            residual,
            variance,
        }
    }

    /// At equal weights and offsets about 0 the level's variance is `1 + 6·v·mean x²` times the known
    /// one, less `8·v·mean² x = 0`; a slope that is the offset itself is centered at 0 too.
    #[test]
    fn the_correction_of_a_level_is_a_closed_form() {
        let design = Design {
            rows: [-1.0, 0.0, 1.0].map(|x| row(x, x, 0.0, 0.5)).to_vec(),
        };
        let deviations = Deviations {
            slope_variance: 0.01,
            ..Deviations::EQUAL
        };
        let found = design.correction(&deviations, 10.0, [1.0, 0.0]);
        // M₁'s corner is Σ x² = 2 of 3: −8·v·(2/3) comes off, beside 6·v·(2/3)
        assert!((found.inflation - 1.0).abs() < 1e-12, "{found:?}");
        assert!((found.dof - 10.0).abs() < 1e-12);
        let flat = Design {
            rows: [-1.0, 1.0, -1.0, 1.0]
                .iter()
                .zip([-1.0, 1.0, 1.0, -1.0])
                .map(|(&x, slope)| row(slope, x, 0.0, 0.5))
                .collect(),
        };
        let found = flat.correction(&deviations, 10.0, [1.0, 0.0]);
        assert!((found.inflation - 1.06).abs() < 1e-12, "{found:?}");
    }

    /// Equal variances, residuals orthogonal to the design: `t = Σ r²/(k − 2) − variance`.
    #[test]
    fn the_scatter_of_equal_variances_is_a_closed_form() {
        let rows = |size: f64| Design {
            rows: [(-1.0, 1.0), (1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)]
                .map(|(slope, sign)| row(slope, 0.0, sign * size, 0.01))
                .to_vec(),
        };
        assert!((rows(0.3).scatter() - (4.0 * 0.09 / 2.0 - 0.01)).abs() < 1e-9);
        assert_eq!(rows(0.05).scatter(), 0.0);
    }
}
