//! Extreme eigenpairs by Lanczos' method, thick-restarted.
//!
//! * \[WS\] K. Wu, H. Simon, "Thick-Restart Lanczos Method for Large Symmetric Eigenvalue
//!   Problems", SIAM J. Matrix Anal. Appl. 22 (2000), 602–616.
//!
//! A Krylov basis is grown with full reorthogonalization (twice, classical Gram–Schmidt) up to a
//! limit; the Ritz pairs `(θ, Qs)` of `QᵀAQ` approximate eigenpairs, with residuals
//! `‖A·Qs − θ·Qs‖ = β·|s_last|` known at no cost. At the limit the basis is condensed to its best
//! Ritz vectors and grown on, so memory stays bounded. An invariant subspace met on the way is left
//! by a new random vector.
//!
//! A Krylov space holds but one vector of a repeated eigenvalue's space. So, on request, the method
//! is run again on the complement of what was found, and what comes up there (further copies, or
//! anything missed) is taken in until nothing better comes. What a run calls a residual is its part
//! on the complement; what couples the pair to the earlier, equally inexact ones is taken away at
//! the end by Rayleigh and Ritz's procedure over all that was found.

use batchscope_core::Estimate;
use nalgebra::{DMatrix, SymmetricEigen};

use crate::random::{Use, draws};
use crate::vector::{axpy, dot, norm, normalize, orthogonalize};
use crate::{LandscapeError, LinearOperator};

/// Which end of the spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Largest first.
    Largest,
    /// Smallest (most negative) first.
    Smallest,
    /// Largest absolute value first.
    LargestMagnitude,
}

impl Which {
    /// Larger is wanted more.
    fn key(self, value: f64) -> f64 {
        match self {
            Which::Largest => value,
            Which::Smallest => -value,
            Which::LargestMagnitude => value.abs(),
        }
    }
}

/// Settings of [`extreme_eigenpairs`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EigenSettings {
    /// Eigenpairs wanted.
    pub count: usize,
    /// From which end.
    pub which: Which,
    /// A pair has converged when its residual is at most this part of `|θ|` (or of the largest
    /// `|θ|` met, times 1e-3, where `θ` is nearly 0).
    pub tolerance: f64,
    /// Products with the operator at most, decoupling and verification aside.
    pub max_products: u64,
    /// Basis vectors kept at most, each as long as the parameters; raised to `count + 3` if lower.
    pub max_basis: usize,
    /// Look for repeated eigenvalues on the complement of what was found: at least one more run.
    pub find_repeated: bool,
    /// Seed of the start vectors.
    pub seed: u64,
}

impl EigenSettings {
    /// The `count` largest, to a relative residual of 1e-3, looking for repeated ones if more than
    /// one is wanted.
    pub fn largest(count: usize) -> Self {
        Self {
            count,
            which: Which::Largest,
            tolerance: 1e-3,
            max_products: 500,
            max_basis: (2 * count + 10).max(20),
            find_repeated: count > 1,
            seed: 0,
        }
    }
}

/// An eigenpair with its error.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigenpair {
    /// The eigenvalue. Its interval is certain, not statistical (level 1): a symmetric operator has
    /// an eigenvalue within the residual, widened by the stated error of the products.
    pub value: Estimate,
    /// The eigenvector, of length 1.
    pub vector: Vec<f64>,
    /// `‖A·v − λ·v‖`, measured by a product made for it.
    pub residual: f64,
    /// Whether the residual is within the tolerance.
    pub converged: bool,
}

/// Eigenpairs from one end of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigenpairs {
    /// The pairs, in the order asked for; as many as wanted, or the dimension if that is less.
    pub pairs: Vec<Eigenpair>,
    /// Products with the operator, verification included.
    pub products: u64,
    /// Whether every pair has converged.
    pub converged: bool,
}

/// The eigenpairs at one end of a symmetric operator's spectrum.
///
/// ```
/// use batchscope_landscape::spectrum::{EigenSettings, extreme_eigenpairs};
/// use batchscope_landscape::{HessianOperator, Products, problems::Quadratic};
/// let mut f = Quadratic::with_spectrum(&[9.0, 4.0, 4.0, 1.0, 0.0, -2.0]);
/// let mut hessian = HessianOperator::new(&mut f, &[0.0; 6], Products::Fast).unwrap();
/// let top = extreme_eigenpairs(&mut hessian, &EigenSettings::largest(3)).unwrap();
/// assert!(top.converged);
/// for (pair, truth) in top.pairs.iter().zip([9.0, 4.0, 4.0]) {
///     assert!((pair.value.value.unwrap() - truth).abs() < 1e-6);
/// }
/// ```
///
/// # Errors
/// When a setting is out of range or the operator fails. Not converging is a flag, not an error.
pub fn extreme_eigenpairs(
    operator: &mut dyn LinearOperator,
    settings: &EigenSettings,
) -> Result<Eigenpairs, LandscapeError> {
    let n = operator.dimension();
    if settings.count == 0 || n == 0 {
        return Err(LandscapeError::setting(
            "count",
            "ask for one eigenpair or more",
        ));
    }
    if settings.tolerance.is_nan() || settings.tolerance <= 0.0 {
        return Err(LandscapeError::setting(
            "tolerance",
            "choose a number above 0",
        ));
    }
    let mut search = Search {
        operator,
        settings,
        products: 0,
        largest: 0.0,
    };
    let count = settings.count.min(n);
    let mut found = search.run(count, &[], 0)?;
    let mut taken_in = false;
    if settings.find_repeated {
        // every round takes in a better pair, or ends
        for round in 1..=2 * count as u64 {
            if found.len() >= n || search.products >= settings.max_products {
                break;
            }
            let locked: Vec<Vec<f64>> = found.iter().map(|pair| pair.1.clone()).collect();
            let Some(next) = search.run(1, &locked, round)?.pop() else {
                break;
            };
            let kept = &found[..found.len().min(count)];
            let worst = kept
                .last()
                .map_or(f64::NEG_INFINITY, |p| settings.which.key(p.0));
            let margin = settings.tolerance * search.largest;
            let better = settings.which.key(next.0) > worst + margin;
            if !better && found.len() >= count {
                break;
            }
            // even a pair pushed out stays: those after it may be coupled to it
            found.push(next);
            taken_in = true;
            sort(&mut found, settings.which);
        }
    }
    if taken_in {
        found = search.decouple(found)?;
        found.truncate(count);
    }
    let mut pairs = Vec::new();
    let mut product = vec![0.0; n];
    for (_, vector) in found {
        search.apply(&vector, &mut product)?;
        // the quotient of the verifying product is the best value for this vector
        let value = dot(&vector, &product);
        axpy(-value, &vector, &mut product);
        let residual = norm(&product);
        let converged = residual <= search.allowed(value);
        let radius = residual + search.operator.relative_error() * value.abs();
        let estimate = Estimate::estimated(value, value - radius, value + radius, 1.0, 1);
        pairs.push(Eigenpair {
            value: if converged {
                estimate
            } else {
                estimate.because(format!("not converged: the residual is {residual:.2e}"))
            },
            vector,
            residual,
            converged,
        });
    }
    pairs.sort_by(|a, b| {
        let key = |p: &Eigenpair| p.value.value.map_or(f64::NAN, |v| settings.which.key(v));
        key(b).total_cmp(&key(a))
    });
    Ok(Eigenpairs {
        converged: pairs.iter().all(|p| p.converged),
        products: search.products,
        pairs,
    })
}

fn sort(pairs: &mut [(f64, Vec<f64>)], which: Which) {
    pairs.sort_by(|a, b| which.key(b.0).total_cmp(&which.key(a.0)));
}

struct Search<'a> {
    operator: &'a mut dyn LinearOperator,
    settings: &'a EigenSettings,
    products: u64,
    /// Largest `|θ|` met: the scale of rounding.
    largest: f64,
}

impl Search<'_> {
    fn apply(&mut self, v: &[f64], product: &mut [f64]) -> Result<(), LandscapeError> {
        self.products += 1;
        self.operator.apply(v, product)
    }

    /// Residual allowed at a Ritz value.
    fn allowed(&self, value: f64) -> f64 {
        self.within(self.settings.tolerance, value)
    }

    /// Residual at which a run ends. Half of what is allowed where pairs of several runs come
    /// together: decoupling may turn those of one value into each other, and their residuals add,
    /// of `k` such pairs to `√k` times the largest.
    fn aimed_at(&self, value: f64) -> f64 {
        let share = if self.settings.find_repeated {
            0.5
        } else {
            1.0
        };
        self.within(share * self.settings.tolerance, value)
    }

    fn within(&self, tolerance: f64, value: f64) -> f64 {
        let floor = f64::EPSILON * self.operator.dimension() as f64;
        tolerance * value.abs().max(1e-3 * self.largest) + floor * self.largest
    }

    /// The Ritz pairs of the span of pairs found one run after another, best first.
    fn decouple(
        &mut self,
        found: Vec<(f64, Vec<f64>)>,
    ) -> Result<Vec<(f64, Vec<f64>)>, LandscapeError> {
        let basis: Vec<Vec<f64>> = found.into_iter().map(|pair| pair.1).collect();
        let used = basis.len();
        let mut projected = DMatrix::zeros(used, used);
        let mut product = vec![0.0; self.operator.dimension()];
        for j in 0..used {
            self.apply(&basis[j], &mut product)?;
            for i in 0..=j {
                let entry = dot(&basis[i], &product);
                projected[(i, j)] = entry;
                projected[(j, i)] = entry;
            }
        }
        let ritz = Ritz::new(&projected, used, self.settings.which);
        Ok((0..used).map(|i| ritz.pair(&basis, i)).collect())
    }

    /// A random unit vector orthogonal to the locked ones and the basis; `None` when they span
    /// everything.
    fn fresh(
        &self,
        locked: &[Vec<f64>],
        basis: &[Vec<f64>],
        round: u64,
        draw: u64,
    ) -> Option<Vec<f64>> {
        let n = self.operator.dimension();
        if locked.len() + basis.len() >= n {
            return None;
        }
        let mut v = draws(self.settings.seed, Use::Lanczos, round, draw).normals(n);
        normalize(&mut v);
        orthogonalize(locked, &mut v);
        orthogonalize(basis, &mut v);
        normalize(&mut v);
        // once more: the first pass may have canceled nearly all of it
        orthogonalize(locked, &mut v);
        orthogonalize(basis, &mut v);
        (normalize(&mut v) > 0.5).then_some(v)
    }

    /// The best `count` Ritz pairs on the complement of `locked`.
    fn run(
        &mut self,
        count: usize,
        locked: &[Vec<f64>],
        round: u64,
    ) -> Result<Vec<(f64, Vec<f64>)>, LandscapeError> {
        let n = self.operator.dimension();
        let room = n - locked.len();
        let count = count.min(room);
        let limit = self.settings.max_basis.max(count + 3).min(room);
        let mut redraws = 0;
        let Some(mut next) = self.fresh(locked, &[], round, redraws) else {
            return Ok(Vec::new());
        };
        let mut basis: Vec<Vec<f64>> = Vec::new();
        // QᵀAQ
        let mut projected = DMatrix::<f64>::zeros(limit, limit);
        let mut product = vec![0.0; n];
        loop {
            let j = basis.len();
            self.apply(&next, &mut product)?;
            basis.push(next);
            for i in 0..=j {
                let entry = dot(&basis[i], &product);
                projected[(i, j)] = entry;
                projected[(j, i)] = entry;
            }
            orthogonalize(locked, &mut product);
            orthogonalize(&basis, &mut product);
            let mut beta = norm(&product);
            let used = basis.len();
            let ritz = Ritz::new(&projected, used, self.settings.which);
            self.largest = ritz.values.iter().fold(self.largest, |m, v| m.max(v.abs()));
            let invariant = beta <= 1e3 * f64::EPSILON * self.largest.max(f64::MIN_POSITIVE);
            if invariant {
                beta = 0.0;
            }
            let converged = used >= count
                && (0..count).all(|i| beta * ritz.last(i).abs() <= self.aimed_at(ritz.values[i]));
            let harvest = || -> Vec<(f64, Vec<f64>)> {
                (0..count.min(used)).map(|i| ritz.pair(&basis, i)).collect()
            };
            // an invariant space says nothing of what lies outside it: look one vector further
            let satisfied = converged && (!invariant || used > count);
            if satisfied || used >= room || self.products >= self.settings.max_products {
                return Ok(harvest());
            }
            next = if invariant {
                redraws += 1;
                match self.fresh(locked, &basis, round, redraws) {
                    Some(v) => v,
                    None => return Ok(harvest()),
                }
            } else {
                let mut v = std::mem::replace(&mut product, vec![0.0; n]);
                crate::vector::scale(1.0 / beta, &mut v);
                v
            };
            if basis.len() == limit {
                let keep = (count + (limit - count) / 2).min(limit - 2).max(1);
                basis = (0..keep).map(|i| ritz.vector(&basis, i)).collect();
                projected.fill(0.0);
                for i in 0..keep {
                    projected[(i, i)] = ritz.values[i];
                }
                // condensing rounds; keep the new vector orthogonal to what was kept
                orthogonalize(&basis, &mut next);
                normalize(&mut next);
            }
        }
    }
}

/// Ritz values in the order wanted, with their coordinates in the basis.
struct Ritz {
    values: Vec<f64>,
    coordinates: DMatrix<f64>,
    order: Vec<usize>,
}

impl Ritz {
    fn new(projected: &DMatrix<f64>, used: usize, which: Which) -> Self {
        let eigen = SymmetricEigen::new(projected.view((0, 0), (used, used)).into_owned());
        let mut order: Vec<usize> = (0..used).collect();
        let key = |i: usize| which.key(eigen.eigenvalues[i]);
        order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
        Self {
            values: order.iter().map(|&i| eigen.eigenvalues[i]).collect(),
            coordinates: eigen.eigenvectors,
            order,
        }
    }

    /// Coordinate of pair `i` along the last basis vector.
    fn last(&self, i: usize) -> f64 {
        self.coordinates[(self.coordinates.nrows() - 1, self.order[i])]
    }

    /// Value and vector of length 1.
    fn pair(&self, basis: &[Vec<f64>], i: usize) -> (f64, Vec<f64>) {
        let mut vector = self.vector(basis, i);
        normalize(&mut vector);
        (self.values[i], vector)
    }

    fn vector(&self, basis: &[Vec<f64>], i: usize) -> Vec<f64> {
        let mut vector = vec![0.0; basis[0].len()];
        for (q, &c) in basis
            .iter()
            .zip(self.coordinates.column(self.order[i]).iter())
        {
            axpy(c, q, &mut vector);
        }
        vector
    }
}
