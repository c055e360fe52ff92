/// Replicas of one training run that exchange vectors: the trait for threads and MPI.
///
/// Every member calls the same operations in the same order, with vectors of the same lengths.
/// Sums are made in rank order, so every member holds the same bits, and every run of a group of
/// this size gives them again, whatever carries the messages.
pub trait Group: Send + Sync {
    /// This member's number, in `0..size`.
    fn rank(&self) -> usize;

    /// Number of members.
    fn size(&self) -> usize;

    /// Replaces `values` on every member with the sum over members.
    ///
    /// # Errors
    /// When a member is lost or the lengths disagree.
    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<(), GroupError>;

    /// Every member's numbers, in rank order: `size · mine.len()` of them, to the bit.
    ///
    /// # Errors
    /// When a member is lost or the lengths disagree.
    fn all_gather(&self, mine: &[f64]) -> Result<Vec<f64>, GroupError>;

    /// Replaces `words` on every member with those of member `root`.
    ///
    /// # Errors
    /// When a member is lost, `root` is not a member, or the lengths disagree.
    fn broadcast(&self, words: &mut [u64], root: usize) -> Result<(), GroupError>;

    /// Every member's values, in rank order, on member `root`; nothing on the others.
    ///
    /// # Errors
    /// When a member is lost, `root` is not a member, or the lengths disagree.
    fn gather(&self, mine: &[f32], root: usize) -> Result<Vec<Vec<f32>>, GroupError>;

    /// Gives `values` to the members `to`, and returns those that the members `from` gave, in their
    /// order. Whoever stands in a member's `from` names it in `to`, and the other way round; no
    /// member names itself.
    ///
    /// # Errors
    /// When a member is lost, named that is none, or the lengths disagree.
    fn exchange(
        &self,
        values: &[f32],
        to: &[usize],
        from: &[usize],
    ) -> Result<Vec<Vec<f32>>, GroupError>;

    /// Leaves the group for a failure of this member alone. The others, who may be waiting for it, are
    /// told, and end with [`GroupError::Lost`] or with their processes.
    fn abandon(&self, why: &str);
}

/// Why a group operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// No such member.
    #[error("rank {rank} is not in a group of {size}")]
    NoSuchRank {
        /// The rank asked for.
        rank: usize,
        /// The group's size.
        size: usize,
    },
    /// Members came with vectors of different lengths.
    #[error("rank {rank} exchanges {found} numbers where this one has {expected}")]
    Length {
        /// Who has another length.
        rank: usize,
        /// Numbers it has.
        found: usize,
        /// Numbers this member has.
        expected: usize,
    },
    /// A member vanished.
    #[error("a member of the group was lost: {0}")]
    Lost(String),
}

impl GroupError {
    /// Refuses a rank outside of a group.
    ///
    /// # Errors
    /// [`GroupError::NoSuchRank`].
    pub fn check_rank(rank: usize, size: usize) -> Result<(), Self> {
        match rank < size {
            true => Ok(()),
            false => Err(Self::NoSuchRank { rank, size }),
        }
    }
}

/// The group of one: every exchange is the identity.
#[derive(Debug, Clone, Copy, Default)]
pub struct Solo;

impl Group for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce_sum(&self, _values: &mut [f32]) -> Result<(), GroupError> {
        Ok(())
    }

    fn all_gather(&self, mine: &[f64]) -> Result<Vec<f64>, GroupError> {
        Ok(mine.to_vec())
    }

    fn broadcast(&self, _words: &mut [u64], root: usize) -> Result<(), GroupError> {
        GroupError::check_rank(root, 1)
    }

    fn gather(&self, mine: &[f32], root: usize) -> Result<Vec<Vec<f32>>, GroupError> {
        GroupError::check_rank(root, 1)?;
        Ok(vec![mine.to_vec()])
    }

    fn exchange(
        &self,
        _values: &[f32],
        to: &[usize],
        from: &[usize],
    ) -> Result<Vec<Vec<f32>>, GroupError> {
        match to.iter().chain(from).next() {
            None => Ok(Vec::new()),
            Some(&rank) => Err(GroupError::NoSuchRank { rank, size: 1 }),
        }
    }

    fn abandon(&self, _why: &str) {}
}
