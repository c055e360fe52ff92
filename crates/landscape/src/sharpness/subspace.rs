//! A random subspace of the parameters.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::maximize::Displacement;
use crate::LandscapeError;
use crate::random::{Use, draws};

/// Rows to a block: each has a random stream of its own, so any block can be made at any time.
const ROWS: usize = 1024;

/// A random `n × p` matrix `A` of independent standard normals (in single precision), the columns
/// of which span a subspace of the parameters.
///
/// Row blocks come from ChaCha streams of their own, so a matrix too large to keep is made again
/// block by block whenever it is needed: the numbers are the same either way, and for any number of
/// threads. A pass over `10⁶ × 100` entries costs seconds made anew and a memory read when kept
/// (400 MB).
///
/// ```
/// use batchscope_landscape::sharpness::Subspace;
/// let kept = Subspace::new(7, 0, 3000, 4, u64::MAX).unwrap();
/// let made = Subspace::new(7, 0, 3000, 4, 0).unwrap();
/// let x: Vec<f64> = (0..3000).map(|i| (i as f64).cos()).collect();
/// assert_eq!(kept.pseudo_inverse_times(&x).unwrap(), made.pseudo_inverse_times(&x).unwrap());
/// ```
pub struct Subspace {
    seed: u64,
    repetition: u32,
    rows: usize,
    columns: usize,
    /// All entries, row by row, where there is room.
    entries: Option<Vec<f32>>,
}

impl Subspace {
    /// The matrix of this seed and repetition. It is kept if it takes at most `memory_limit` bytes.
    ///
    /// # Errors
    /// When there are no columns, or more than rows.
    pub fn new(
        seed: u64,
        repetition: u32,
        rows: usize,
        columns: usize,
        memory_limit: u64,
    ) -> Result<Self, LandscapeError> {
        if columns == 0 || columns > rows {
            return Err(LandscapeError::setting(
                "dimension of the subspace",
                format!("choose 1 to {rows}, the number of parameters; it is {columns}"),
            ));
        }
        let mut subspace = Self {
            seed,
            repetition,
            rows,
            columns,
            entries: None,
        };
        if 4 * rows as u128 * columns as u128 <= u128::from(memory_limit) {
            let mut entries = vec![0.0; rows * columns];
            entries
                .par_chunks_mut(ROWS * columns)
                .enumerate()
                .for_each(|(block, entries)| subspace.make(block, entries));
            subspace.entries = Some(entries);
        }
        Ok(subspace)
    }

    /// Number of parameters, `n`.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Dimension of the subspace, `p`.
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn blocks(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    fn make(&self, block: usize, entries: &mut [f32]) {
        let repetition = u64::from(self.repetition);
        let mut draws = draws(self.seed, Use::Subspace, repetition, block as u64);
        entries.iter_mut().for_each(|e| *e = draws.normal() as f32);
    }

    /// Calls `f` with the entries of a block, row by row.
    fn with_block<T>(&self, block: usize, f: impl FnOnce(&[f32]) -> T) -> T {
        let width = ROWS * self.columns;
        let range = block * width..((block + 1) * width).min(self.rows * self.columns);
        match &self.entries {
            Some(entries) => f(&entries[range]),
            None => {
                let mut entries = vec![0.0; range.len()];
                self.make(block, &mut entries);
                f(&entries)
            }
        }
    }

    /// `AᵀA`, summed block by block in order.
    fn gram(&self) -> DMatrix<f64> {
        /// Blocks summed side by side: bounds the memory their partial sums take.
        const BATCH: usize = 16;
        let p = self.columns;
        let mut gram = vec![0.0; p * p];
        for first in (0..self.blocks()).step_by(BATCH) {
            let partial: Vec<Vec<f64>> = (first..(first + BATCH).min(self.blocks()))
                .into_par_iter()
                .map(|block| {
                    let mut sum = vec![0.0; p * p];
                    self.with_block(block, |entries| {
                        let mut row = vec![0.0; p];
                        for entries in entries.chunks_exact(p) {
                            row.iter_mut()
                                .zip(entries)
                                .for_each(|(r, &e)| *r = f64::from(e));
                            for i in 0..p {
                                let sums = &mut sum[i * p..=i * p + i];
                                sums.iter_mut()
                                    .zip(&row)
                                    .for_each(|(s, r)| *s += row[i] * r);
                            }
                        }
                    });
                    sum
                })
                .collect();
            for sum in partial {
                gram.iter_mut().zip(sum).for_each(|(g, s)| *g += s);
            }
        }
        DMatrix::from_fn(p, p, |i, j| gram[i.max(j) * p + i.min(j)])
    }

    /// `A·z`, a vector of the parameters.
    ///
    /// # Panics
    /// When `z` has another length than there are columns.
    pub fn times(&self, z: &[f64]) -> Vec<f64> {
        assert_eq!(z.len(), self.columns, "one coordinate per column");
        let origin = vec![0.0; self.rows];
        let mut out = vec![0.0; self.rows];
        self.displace(&origin, z, &mut out);
        out
    }

    /// `A⁺x = (AᵀA)⁻¹Aᵀx`: the coordinates of the point of the subspace nearest to `x`.
    ///
    /// # Errors
    /// When the columns are linearly dependent numerically.
    pub fn pseudo_inverse_times(&self, x: &[f64]) -> Result<Vec<f64>, LandscapeError> {
        crate::error::check_length("x", self.rows, x.len())?;
        let mut projected = vec![0.0; self.columns];
        self.pull_back(x, &mut projected);
        let Some(cholesky) = self.gram().cholesky() else {
            return Err(LandscapeError::setting(
                "dimension of the subspace",
                "its random columns are dependent: choose fewer",
            ));
        };
        let solved = cholesky.solve(&DVector::from_vec(projected));
        Ok(solved.as_slice().to_vec())
    }
}

impl Displacement for Subspace {
    fn displace(&self, x: &[f64], z: &[f64], out: &mut [f64]) {
        let p = self.columns;
        out.par_chunks_mut(ROWS)
            .zip(x.par_chunks(ROWS))
            .enumerate()
            .for_each(|(block, (out, x))| {
                self.with_block(block, |entries| {
                    for ((out, x), row) in out.iter_mut().zip(x).zip(entries.chunks_exact(p)) {
                        let along = row.iter().zip(z).map(|(&a, z)| f64::from(a) * z);
                        *out = x + along.sum::<f64>();
                    }
                });
            });
    }

    fn pull_back(&self, g: &[f64], out: &mut [f64]) {
        let p = self.columns;
        let partial: Vec<Vec<f64>> = g
            .par_chunks(ROWS)
            .enumerate()
            .map(|(block, g)| {
                let mut sum = vec![0.0; p];
                self.with_block(block, |entries| {
                    for (g, row) in g.iter().zip(entries.chunks_exact(p)) {
                        sum.iter_mut()
                            .zip(row)
                            .for_each(|(s, &a)| *s += f64::from(a) * g);
                    }
                });
                sum
            })
            .collect();
        out.fill(0.0);
        for sum in partial {
            out.iter_mut().zip(sum).for_each(|(o, s)| *o += s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(subspace: &Subspace) -> DMatrix<f64> {
        let (n, p) = (subspace.rows(), subspace.columns());
        let mut dense = DMatrix::zeros(n, p);
        for j in 0..p {
            let mut unit = vec![0.0; p];
            unit[j] = 1.0;
            dense.set_column(j, &DVector::from_vec(subspace.times(&unit)));
        }
        dense
    }

    #[test]
    fn the_pseudo_inverse_is_that_of_the_singular_value_decomposition() {
        let subspace = Subspace::new(3, 1, 2500, 6, 0).unwrap();
        let a = dense(&subspace);
        let x: Vec<f64> = (0..2500).map(|i| (0.01 * i as f64).sin()).collect();
        let ours = subspace.pseudo_inverse_times(&x).unwrap();
        let theirs = a.clone().pseudo_inverse(1e-12).unwrap() * DVector::from_vec(x.clone());
        for (a, b) in ours.iter().zip(theirs.iter()) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
        let mut pulled = vec![0.0; 6];
        subspace.pull_back(&x, &mut pulled);
        let expected = a.transpose() * DVector::from_vec(x);
        assert!((DVector::from_vec(pulled) - expected).amax() < 1e-10);
        // normals: mean square 1
        assert!((a.norm_squared() / 15_000.0 - 1.0).abs() < 0.05);
    }

    #[test]
    fn kept_or_made_anew_on_any_number_of_threads_it_is_one_matrix() {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        let x: Vec<f64> = (0..5000).map(|i| (i as f64).cos()).collect();
        let pull = |limit: u64| {
            let subspace = Subspace::new(3, 0, 5000, 5, limit).unwrap();
            let mut out = vec![0.0; 5];
            subspace.pull_back(&x, &mut out);
            out.extend(subspace.pseudo_inverse_times(&x).unwrap());
            out
        };
        let alone = pull(0);
        assert_eq!(alone, pull(u64::MAX));
        assert_eq!(alone, pool.install(|| pull(0)));
        let other = Subspace::new(3, 1, 5000, 5, 0).unwrap();
        assert_ne!(alone[5..], other.pseudo_inverse_times(&x).unwrap());
        assert!(Subspace::new(3, 0, 4, 5, 0).is_err());
        assert!(Subspace::new(3, 0, 4, 0, 0).is_err());
    }
}
