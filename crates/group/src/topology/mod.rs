//! Topologies: graphs over which the replicas of decentralized training mix their parameters.
//!
//! At step k, member i replaces its vector by a weighted mean of its neighbors' vectors and its own:
//!
//! ```text
//! x_i ← Σ_j w_ij⁽ᵏ⁾ x_j
//! ```
//!
//! `W⁽ᵏ⁾` is the n × n mixing matrix of step k. Every row and every column sums to 1 and no weight is negative: `W⁽ᵏ⁾` is
//! doubly stochastic. So mixing keeps the mean over members. Repeated mixing leads every member to that mean, the faster,
//! the larger the [spectral gap](Topology::spectral_gap) is. Yuan et al. 2021 (DecentLaM, arXiv 2104.11981) and Ying et al.
//! 2021 (arXiv 2110.13363) train over such graphs.
//!
//! Symmetric graphs whose members differ in degree take Metropolis-Hastings weights, with d_i the number of neighbors of i:
//!
//! ```text
//! w_ij = 1 / (1 + max(d_i, d_j)) for neighbors i ≠ j,    w_ii = 1 − Σ_{j≠i} w_ij
//! ```
//!
//! That is the rule of Xiao, Boyd and Lall 2005 (IPSN, "A scheme for robust distributed sensor fusion based on average
//! consensus"). Xiao and Boyd 2004 (Systems & Control Letters 53) have it without the 1; the 1 keeps `w_ii` above 0.

mod edges;
mod error;
mod exponential;
mod file;
mod full;
mod graph;
mod grid;
mod matrix;
mod one_peer;
mod ring;
mod spectrum;
mod star;
mod symmetric_exponential;

use batchscope_core::{Choice, Described, Descriptor, Registry};

pub use error::{EdgeFileError, TopologyError};
use matrix::Matrix;

/// Most members that a topology has.
pub const MAX_MEMBERS: usize = 65_536;

/// Largest distance from 1 that the sum of a row or a column of a mixing matrix may have.
pub const TOLERANCE: f64 = 1e-12;

/// Most members for which [`Topology::spectral_gap`] decomposes a dense matrix. It takes about a second at this
/// size, and its time grows with the cube of the size.
pub const MAX_DENSE_MEMBERS: usize = 1024;

/// A topology that can be chosen.
pub struct TopologyKind {
    /// Name and parameters.
    pub descriptor: Descriptor,
    /// Makes the mixing matrices of one period. The choice is checked; the number of members is in `1..=MAX_MEMBERS`.
    build: fn(&Choice, usize) -> Result<Vec<Matrix>, TopologyError>,
    /// The spectral gap by the number of members, where a formula gives it and the matrix's shape alone does not.
    gap: Option<fn(usize) -> f64>,
}

impl Described for TopologyKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// Every topology there is.
pub static TOPOLOGIES: Registry<TopologyKind> = Registry {
    what: "topology",
    all: &[
        &ring::RING,
        &grid::GRID,
        &exponential::EXPONENTIAL,
        &symmetric_exponential::SYMMETRIC_EXPONENTIAL,
        &one_peer::ONE_PEER,
        &star::STAR,
        &full::FULL,
        &file::FILE,
    ],
};

/// Who mixes with whom at each step, and with what weights.
///
/// ```
/// use batchscope_group::topology::{TOPOLOGIES, Topology};
/// let (_, choice) = TOPOLOGIES.read("ring")?;
/// let ring = Topology::new(&choice, 4)?;
/// let third = 1.0 / 3.0;
/// assert_eq!(ring.weights(0, 0), [(0, third), (1, third), (3, third)]);
/// # Ok::<(), batchscope_group::topology::TopologyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Topology {
    members: usize,
    /// One for each step of a period, never empty.
    steps: Vec<Step>,
    is_symmetric: bool,
    gap: Option<fn(usize) -> f64>,
}

/// The mixing matrix of a step.
#[derive(Debug, Clone)]
struct Step {
    matrix: Matrix,
    /// Its transpose; `None` where it is the matrix itself.
    transpose: Option<Matrix>,
}

impl Topology {
    /// The topology of this choice for a group of `members`, in `1..=`[`MAX_MEMBERS`].
    ///
    /// Construction checks that every mixing matrix is doubly stochastic to [`TOLERANCE`]. It takes time and memory in
    /// proportion to the number of weights; `full` keeps a single row.
    ///
    /// # Errors
    /// When the choice is wrong, the number of members is out of range, or a file of edges is refused.
    pub fn new(choice: &Choice, members: usize) -> Result<Self, TopologyError> {
        let (kind, choice) = TOPOLOGIES.check(choice)?;
        if !(1..=MAX_MEMBERS).contains(&members) {
            return Err(TopologyError::Members { members });
        }
        Self::of((kind.build)(&choice, members)?, members, kind.gap)
    }

    /// The topology of a text of edges, as the choice `file` reads it, for a group of `members`, in `1..=`[`MAX_MEMBERS`].
    ///
    /// # Errors
    /// When the text is none of such a graph; the error's path is empty.
    pub fn from_edges(text: &[u8], members: usize) -> Result<Self, TopologyError> {
        if !(1..=MAX_MEMBERS).contains(&members) {
            return Err(TopologyError::Members { members });
        }
        let matrix = edges::matrix(text, members).map_err(|problem| TopologyError::File {
            path: String::new(),
            problem,
        })?;
        Self::of(vec![matrix], members, None)
    }

    /// The topology of these matrices, one for each step of a period.
    fn of(
        matrices: Vec<Matrix>,
        members: usize,
        gap: Option<fn(usize) -> f64>,
    ) -> Result<Self, TopologyError> {
        let mut steps = Vec::with_capacity(matrices.len());
        for (step, matrix) in matrices.into_iter().enumerate() {
            matrix.check(step)?;
            let transpose = (!matrix.is_symmetric()).then(|| matrix.transpose());
            steps.push(Step { matrix, transpose });
        }
        Ok(Self {
            members,
            is_symmetric: steps.iter().all(|step| step.transpose.is_none()),
            steps,
            gap,
        })
    }

    /// Number of members, n.
    pub fn members(&self) -> usize {
        self.members
    }

    /// Number of steps after which the mixing matrices repeat: 1 for a static graph, ⌈log₂ n⌉ for `one-peer` (1 for n = 1).
    pub fn period(&self) -> u64 {
        self.steps.len() as u64
    }

    /// Row `member` of the mixing matrix of `step`: whose vectors the member mixes, and with what weights.
    ///
    /// The row is a list of (j, w_ij) in the order of j. The member itself is in it, with weight 0 at least; every other
    /// weight is above 0. The row of a member that the group does not have is empty.
    pub fn weights(&self, step: u64, member: usize) -> &[(usize, f64)] {
        self.step(step).matrix.row(member)
    }

    /// Column `member` of the mixing matrix of `step`: who needs this member's vector, and with what weight.
    ///
    /// The column is a list of (i, w_ij), j being `member`, in the order of i. The member itself is in it, as in
    /// [`Topology::weights`]. The column of a member that the group does not have is empty.
    pub fn receivers(&self, step: u64, member: usize) -> &[(usize, f64)] {
        let Step { matrix, transpose } = self.step(step);
        transpose.as_ref().unwrap_or(matrix).row(member)
    }

    /// Whom a member sends its vector to at a step, and whose it gets: the others of [`Topology::receivers`] and of
    /// [`Topology::weights`], in order.
    pub fn peers(&self, step: u64, member: usize) -> (Vec<usize>, Vec<usize>) {
        let others = |places: &[(usize, f64)]| {
            let others = places.iter().map(|&(other, _)| other);
            others.filter(|&other| other != member).collect()
        };
        (
            others(self.receivers(step, member)),
            others(self.weights(step, member)),
        )
    }

    /// True where every mixing matrix is symmetric: each member sends to those that it receives from, with equal weights.
    pub fn is_symmetric(&self) -> bool {
        self.is_symmetric
    }

    /// The spectral gap 1 − ρ, in `[0, 1]`: ρ is the largest singular value of `W⁽ᵀ⁻¹⁾ ⋯ W⁽⁰⁾ − 11ᵀ/n`, T being the period.
    ///
    /// Over one period, mixing shrinks the distance of the members from their mean to ρ times what it was, or less. So the
    /// gap counts per period, not per step: the ρ of a single step of `one-peer` says nothing, but T of them average
    /// exactly where n is a power of two, and the gap is 1.
    ///
    /// A circulant graph takes the discrete Fourier transform of its first row. `star` and `full` have formulas. Any other
    /// graph needs a dense singular value decomposition.
    ///
    /// `None` says that the gap is not known: such a graph has more than [`MAX_DENSE_MEMBERS`], or the decomposition did
    /// not converge.
    pub fn spectral_gap(&self) -> Option<f64> {
        if let Some(gap) = self.gap {
            return Some(gap(self.members));
        }
        let matrices: Vec<&Matrix> = self.steps.iter().map(|step| &step.matrix).collect();
        spectrum::gap(&matrices)
    }

    fn step(&self, step: u64) -> &Step {
        &self.steps[(step % self.period()) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        assert_eq!(TOPOLOGIES.faults(), Vec::<String>::new());
    }

    /// The formulas of `star` and `full` against the decomposition that they stand for.
    #[test]
    fn formulas_of_gaps_agree_with_the_decomposition() {
        let mut compared = 0;
        for kind in TOPOLOGIES.all.iter().filter(|kind| kind.gap.is_some()) {
            for members in [1, 2, 3, 4, 7, 16, 33] {
                let choice = kind.descriptor.defaults().unwrap();
                let topology = Topology::new(&choice, members).unwrap();
                let gap = topology.spectral_gap().unwrap();
                let dense = spectrum::dense(&[&topology.steps[0].matrix]).unwrap();
                let name = kind.descriptor.name;
                assert!(
                    (gap - dense).abs() < 1e-12,
                    "{name} of {members}: {gap} {dense}"
                );
                compared += 1;
            }
        }
        assert_eq!(compared, 14);
    }
}
