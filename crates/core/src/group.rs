/// Replicas of one training run that exchange vectors: the trait for threads, MPI and NCCL.
///
/// Every member calls the same operations in the same order. Reductions are in rank order, so
/// every run of the same group gives the same bits.
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
    /// Replaces `values` on every member with those of member `root`.
    ///
    /// # Errors
    /// When a member is lost, `root` is not a member, or the lengths disagree.
    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<(), GroupError>;
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
    /// A member vanished.
    #[error("a member of the group was lost: {0}")]
    Lost(String),
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

    fn broadcast(&self, _values: &mut [f32], root: usize) -> Result<(), GroupError> {
        if root == 0 {
            Ok(())
        } else {
            Err(GroupError::NoSuchRank {
                rank: root,
                size: 1,
            })
        }
    }
}
