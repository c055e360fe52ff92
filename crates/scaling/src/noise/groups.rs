//! One large sample cut into groups: the jackknife.
//!
//! Where there is but one step (a pass over the data at a checkpoint, a batch of everything), the
//! scatter comes from inside it. The sample is cut into `J` groups of equal size whose mean
//! gradients `g_j` are kept, and everything follows from their inner products `K_ij = g_iᵀg_j`.
//! Both pieces are U-statistics of the groups (W. Hoeffding 1948), means over pairs of
//!
//! ```text
//! |G|²:  h_ij = K_ij          tr Σ:  s_ij = b·(K_ii + K_jj − 2K_ij)/2
//! ```
//!
//! for groups of `b` examples. Using all pairs across the whole sample, they vary less than the
//! mean of as many separate steps, by up to a factor `√J` where noise dominates.
//!
//! Leaving out one group at a time gives their covariance `V_J` (Arvesen 1969). For kernels with
//! variance components `ζ₁, ζ₂` the truth is `2(2(J − 2)ζ₁ + ζ₂)/(J(J − 1))` and the jackknife
//! expects `4((J − 4)ζ₁ + ζ₂)/(J(J − 2))`: twice too much where `ζ₁` vanishes, which for `|G|²` is
//! where noise dominates. So `ζ₂` is taken from the scatter of `h_ij` itself and `V_J` of `|G|²`
//! corrected, by a factor between ½ and 1.

use super::ratio::{Covariance, FEW_GROUPS};
use super::replicates::{Moments, NoiseScale};
use super::{NoiseError, Pieces};
use batchscope_core::statistics::t_quantile;

/// The inner products of the mean gradients of equal groups of one sample.
///
/// ```
/// use batchscope_scaling::noise::Groups;
/// // four groups of 10 examples with mean gradients 2, 3, 1 and 2 (in one dimension)
/// let g = [2.0, 3.0, 1.0, 2.0];
/// let gram: Vec<f64> = g.iter().flat_map(|a| g.map(|b| a * b)).collect();
/// let groups = Groups::new(&gram, 10).unwrap();
/// let pieces = groups.pieces();
/// assert!((pieces.trace - 10.0 * 2.0 / 3.0).abs() < 1e-12);
/// assert!((pieces.squared_norm - (4.0 - 2.0 / 12.0)).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    gram: Vec<f64>,
    groups: usize,
    group_size: u64,
}

impl Groups {
    /// From the row-major matrix of inner products and the examples in each group.
    ///
    /// # Errors
    /// With fewer than two groups, a matrix that is not square, empty groups, or an entry that is
    /// not finite.
    pub fn new(gram: &[f64], group_size: u64) -> Result<Self, NoiseError> {
        let groups = (gram.len() as f64).sqrt().round() as usize;
        if groups * groups != gram.len() {
            return Err(NoiseError::Sizes(format!(
                "{} inner products do not make a square matrix",
                gram.len()
            )));
        }
        if groups < 2 || group_size == 0 {
            return Err(NoiseError::OneBatchSize {
                batch_size: group_size * groups as u64,
            });
        }
        if let Some(&bad) = gram.iter().find(|k| !k.is_finite()) {
            return Err(NoiseError::NonFinite(bad));
        }
        Ok(Self {
            gram: gram.to_vec(),
            groups,
            group_size,
        })
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups
    }

    /// Inner products that leave group `out` aside: their diagonal sum and total.
    fn sums(&self, out: Option<usize>) -> (f64, f64) {
        let kept = |i: usize| Some(i) != out;
        let (mut diagonal, mut total) = (0.0, 0.0);
        for i in (0..self.groups).filter(|&i| kept(i)) {
            diagonal += self.gram[i * self.groups + i];
            for j in (0..self.groups).filter(|&j| kept(j)) {
                total += self.gram[i * self.groups + j];
            }
        }
        (diagonal, total)
    }

    fn pieces_without(&self, out: Option<usize>) -> Pieces {
        let (diagonal, total) = self.sums(out);
        let j = (self.groups - usize::from(out.is_some())) as f64;
        let b = self.group_size as f64;
        Pieces {
            squared_norm: (total - diagonal) / (j * (j - 1.0)),
            trace: b * (diagonal - total / j) / (j - 1.0),
            batch_size: self.group_size * j as u64,
        }
    }

    /// The pieces of the whole sample.
    pub fn pieces(&self) -> Pieces {
        self.pieces_without(None)
    }

    /// The population's noise scale at confidence `level`, on one degree of freedom less than there
    /// are groups; with fewer than six groups the ends stay open. All examples must be distinct.
    pub fn estimate(&self, level: f64) -> NoiseScale {
        let whole = self.pieces();
        let covariance = self.jackknife().map(|plain| self.corrected(plain));
        let moments = Moments {
            trace: whole.trace,
            squared_norm: whole.squared_norm,
            one: covariance.unwrap_or(Covariance {
                ss: 0.0,
                sg: 0.0,
                gg: 0.0,
            }),
        };
        let j = self.groups;
        let t = covariance
            .map(|_| t_quantile(level, j as f64 - 1.0))
            .ok_or(FEW_GROUPS);
        moments.scale(t, 1.0, level, j)
    }

    /// Covariance of the whole sample's pieces by the jackknife; `None` with fewer than six groups,
    /// which say nothing of it.
    pub(super) fn jackknife(&self) -> Option<Covariance> {
        let j = self.groups as f64;
        if self.groups < 6 {
            return None;
        }
        let without: Vec<Pieces> = (0..self.groups)
            .map(|i| self.pieces_without(Some(i)))
            .collect();
        let s_mean = without.iter().map(|p| p.trace).sum::<f64>() / j;
        let g_mean = without.iter().map(|p| p.squared_norm).sum::<f64>() / j;
        let share = (j - 1.0) / j;
        let (mut ss, mut sg, mut gg) = (0.0, 0.0, 0.0);
        for p in &without {
            let (s, g) = (p.trace - s_mean, p.squared_norm - g_mean);
            ss += share * s * s;
            sg += share * s * g;
            gg += share * g * g;
        }
        Some(Covariance { ss, sg, gg })
    }

    /// The jackknife's covariance without its excess where noise dominates: `ζ₂` from the scatter of
    /// the kernel over pairs, then the variance it implies.
    fn corrected(&self, plain: Covariance) -> Covariance {
        let Covariance { ss, sg, gg } = plain;
        let j = self.groups as f64;
        let mean = self.pieces().squared_norm;
        let scatter: f64 = (0..self.groups)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|(a, b)| (self.gram[a * self.groups + b] - mean).powi(2))
            .sum();
        let zeta2 = scatter / (0.5 * j * (j - 1.0));
        let zeta1 = (0.25 * j * (j - 2.0) * gg - zeta2) / (j - 4.0);
        let corrected = 2.0 * (2.0 * (j - 2.0) * zeta1 + zeta2) / (j * (j - 1.0));
        let factor = if gg > 0.0 {
            (corrected / gg).clamp(0.5, 1.0)
        } else {
            1.0
        };
        Covariance {
            ss,
            sg: sg * factor.sqrt(),
            gg: gg * factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gram(vectors: &[[f64; 2]]) -> Vec<f64> {
        let dot = |a: &[f64; 2], b: &[f64; 2]| a[0] * b[0] + a[1] * b[1];
        vectors
            .iter()
            .flat_map(|a| vectors.iter().map(move |b| dot(a, b)))
            .collect()
    }

    #[test]
    fn groups_are_micro_batches_of_one_step() {
        let vectors = [
            [1.0, 2.0],
            [0.5, 3.0],
            [2.0, 1.0],
            [1.5, 2.5],
            [0.0, 1.0],
            [1.0, 1.0],
        ];
        let mean = [6.0 / 6.0, 10.5 / 6.0];
        let norms: Vec<_> = vectors
            .iter()
            .map(|v| (7, v[0] * v[0] + v[1] * v[1]))
            .collect();
        let step =
            Pieces::from_micro_batches(&norms, mean[0] * mean[0] + mean[1] * mean[1]).unwrap();
        let groups = Groups::new(&gram(&vectors), 7).unwrap().pieces();
        assert!((groups.trace - step.trace).abs() < 1e-12);
        assert!((groups.squared_norm - step.squared_norm).abs() < 1e-12);
        assert_eq!(groups.batch_size, step.batch_size);
    }

    /// Without noise there is no error, and few groups leave the ends open.
    #[test]
    fn equal_groups_have_no_error_and_few_no_interval() {
        let groups = Groups::new(&gram(&[[1.0, 2.0]; 8]), 3).unwrap();
        assert_eq!(groups.estimate(0.95).squared_norm.low, Some(5.0));
        let few = [[1.0, 2.0], [0.0, 1.0], [1.0, 0.5], [2.0, 2.0]];
        let few = Groups::new(&gram(&few), 3).unwrap().estimate(0.95);
        assert_eq!((few.trace.low, few.noise_scale.low), (None, None));
        assert!(few.trace.value.is_some());
        assert!(few.noise_scale.reason.unwrap().contains("six groups"));
        assert!(Groups::new(&[1.0; 5], 3).is_err());
        assert!(Groups::new(&[1.0], 3).is_err());
        assert!(Groups::new(&[f64::NAN; 4], 3).is_err());
    }
}
