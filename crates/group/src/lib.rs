//! Process groups: replicas of one training run that exchange vectors, on threads of one process
//! ([`ThreadGroup`]) or over MPI (`MpiGroup`, with the feature `mpi`), and the graphs over which they do
//! ([`topology`]).
//!
//! Both groups sum in rank order, each member a share of the vector: so a group of a size gives the same bits whatever
//! carries its messages, and every member moves `2(n − 1)/n` of a vector for a sum over `n` members, the least that is
//! possible (Patarasuk and Yuan 2009).

#[cfg(feature = "mpi")]
mod processes;
mod threads;
pub mod topology;

use std::ops::Range;

#[cfg(feature = "mpi")]
pub use processes::{MpiGroup, MpiSetUp};
pub use threads::ThreadGroup;

/// The share of a vector of `len` numbers that member `rank` among `size` sums; shares differ by one number at most.
fn share(len: usize, rank: usize, size: usize) -> Range<usize> {
    let cut = |r: usize| (len as u128 * r as u128 / size as u128) as usize;
    cut(rank)..cut(rank + 1)
}
