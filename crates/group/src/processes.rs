//! Replicas on processes that MPI has started, on one machine or many.

use std::sync::{Mutex, MutexGuard, PoisonError};

use batchscope_core::{Group, GroupError};
use mpi::{
    Count, Rank, Threading,
    datatype::{Partition, PartitionMut},
    environment::Universe,
    request,
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Destination, Root, Source},
};

use crate::share;

/// The members of a group over MPI: one a process.
///
/// A process that dies takes the others with it: MPI's launcher ends them and says which one it was. A failed operation
/// ends all processes too, which is MPI's own way with errors.
pub struct MpiGroup {
    rank: usize,
    size: usize,
    world: Mutex<World>,
}

/// What MPI gives a process.
struct World {
    communicator: SimpleCommunicator,
    /// Ends MPI when it is dropped.
    _universe: Universe,
}

// SAFETY: MPI was asked for the threading level `Serialized` or better, under which any thread may
// call it as long as no two do at once; `MpiGroup` keeps it behind a mutex.
unsafe impl Send for World {}

/// Why processes could not be joined to a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MpiSetUp {
    /// It was begun before, or is over.
    #[error("MPI was started before in this process")]
    Started,
    /// Computing threads may not call it.
    #[error(
        "this MPI library lets one thread alone call it: use one that was built with MPI_THREAD_SERIALIZED"
    )]
    Threads,
}

impl MpiGroup {
    /// Joins the processes that were started together with this one.
    ///
    /// # Errors
    /// When MPI was started before, or may not be called by the threads that compute.
    pub fn join() -> Result<Self, MpiSetUp> {
        let (universe, threading) =
            mpi::initialize_with_threading(Threading::Serialized).ok_or(MpiSetUp::Started)?;
        if threading < Threading::Serialized {
            return Err(MpiSetUp::Threads);
        }
        let communicator = universe.world();
        Ok(Self {
            rank: communicator.rank() as usize,
            size: communicator.size() as usize,
            world: Mutex::new(World {
                communicator,
                _universe: universe,
            }),
        })
    }

    /// Members that share this machine, this one among them.
    pub fn members_here(&self) -> usize {
        self.world()
            .communicator
            .split_shared(self.rank as Rank)
            .size() as usize
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lengths and beginnings of every member's share.
    fn shares(&self, len: usize) -> (Vec<Count>, Vec<Count>) {
        let shares = (0..self.size).map(|rank| share(len, rank, self.size));
        shares
            .map(|share| (share.len() as Count, share.start as Count))
            .unzip()
    }

    /// Lengths and beginnings where every member has as many.
    fn equal(&self, each: usize) -> (Vec<Count>, Vec<Count>) {
        let starts = (0..self.size).map(|rank| (rank * each) as Count);
        (vec![each as Count; self.size], starts.collect())
    }

    /// Refuses what MPI cannot count.
    fn check(&self, len: usize) -> Result<(), GroupError> {
        match Count::try_from(len) {
            Ok(_) => Ok(()),
            Err(_) => Err(GroupError::Lost(format!(
                "MPI counts to {} in one message, and {len} numbers are to be sent",
                Count::MAX
            ))),
        }
    }
}

impl Group for MpiGroup {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    /// Each member is given its share of every vector, sums it, and gives the sum to all. MPI's own
    /// reduction may add in another order on another machine.
    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<(), GroupError> {
        let mine = share(values.len(), self.rank, self.size).len();
        self.check(values.len().max(mine * self.size))?;
        let world = self.world();
        let (counts, starts) = self.shares(values.len());
        let mut parts = vec![0.0f32; mine * self.size];
        {
            let given = Partition::new(&*values, &*counts, &*starts);
            let (equal, places) = self.equal(mine);
            let mut taken = PartitionMut::new(&mut parts[..], equal, places);
            world
                .communicator
                .all_to_all_varcount_into(&given, &mut taken);
        }
        let (sum, others) = parts.split_at_mut(mine);
        for part in others.chunks(mine.max(1)) {
            for (sum, x) in sum.iter_mut().zip(part) {
                *sum += x;
            }
        }
        let mut sums = PartitionMut::new(values, counts, starts);
        world
            .communicator
            .all_gather_varcount_into(&*sum, &mut sums);
        Ok(())
    }

    fn all_gather(&self, mine: &[f64]) -> Result<Vec<f64>, GroupError> {
        self.check(mine.len() * self.size)?;
        let mut all = vec![0.0; mine.len() * self.size];
        self.world()
            .communicator
            .all_gather_into(mine, &mut all[..]);
        Ok(all)
    }

    fn broadcast(&self, words: &mut [u64], root: usize) -> Result<(), GroupError> {
        GroupError::check_rank(root, self.size)?;
        self.check(words.len())?;
        let world = self.world();
        let root = world.communicator.process_at_rank(root as Rank);
        root.broadcast_into(words);
        Ok(())
    }

    fn gather(&self, mine: &[f32], root: usize) -> Result<Vec<Vec<f32>>, GroupError> {
        GroupError::check_rank(root, self.size)?;
        self.check(mine.len())?;
        let world = self.world();
        // One after the other: all at once may be more than MPI counts to.
        if self.rank != root {
            let root = world.communicator.process_at_rank(root as Rank);
            root.send(mine);
            return Ok(Vec::new());
        }
        let all = (0..self.size).map(|rank| {
            let mut values = mine.to_vec();
            if rank != root {
                let member = world.communicator.process_at_rank(rank as Rank);
                member.receive_into(&mut values[..]);
            }
            values
        });
        Ok(all.collect())
    }

    fn exchange(
        &self,
        values: &[f32],
        to: &[usize],
        from: &[usize],
    ) -> Result<Vec<Vec<f32>>, GroupError> {
        for &rank in to.iter().chain(from) {
            GroupError::check_rank(rank, self.size)?;
        }
        self.check(values.len())?;
        let world = self.world();
        let member = |&rank: &usize| world.communicator.process_at_rank(rank as Rank);
        let mut given = vec![vec![0.0f32; values.len()]; from.len()];
        request::scope(|scope| {
            let taken: Vec<_> = given
                .iter_mut()
                .zip(from)
                .map(|(values, rank)| member(rank).immediate_receive_into(scope, &mut values[..]))
                .collect();
            let sent: Vec<_> = to
                .iter()
                .map(|rank| member(rank).immediate_send(scope, values))
                .collect();
            taken.into_iter().for_each(|request| {
                request.wait();
            });
            sent.into_iter().for_each(|request| {
                request.wait();
            });
        });
        Ok(given)
    }

    /// Ends the processes of all members, after this one's last words on standard error: nothing is said after that.
    fn abandon(&self, why: &str) {
        eprintln!("process {} of {}: {why}", self.rank, self.size);
        self.world().communicator.abort(1);
    }
}
