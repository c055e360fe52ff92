use std::sync::{Arc, Barrier, Mutex, PoisonError};

use batchscope_core::{Group, GroupError};

/// Replicas on threads of one process, reducing in rank order.
pub struct ThreadGroup {
    rank: usize,
    shared: Arc<Shared>,
}

struct Shared {
    barrier: Barrier,
    slots: Vec<Mutex<Vec<f32>>>,
}

impl ThreadGroup {
    /// The members of a group of this size, one for each thread.
    pub fn members(size: usize) -> Vec<Self> {
        let slots = (0..size).map(|_| Mutex::new(Vec::new())).collect();
        let shared = Arc::new(Shared {
            barrier: Barrier::new(size),
            slots,
        });
        (0..size)
            .map(|rank| Self {
                rank,
                shared: Arc::clone(&shared),
            })
            .collect()
    }

    /// Shows every member's values to every member.
    fn exchange(&self, values: &mut [f32], take: impl Fn(&mut [f32], &[Vec<f32>])) {
        let lock =
            |slot: &Mutex<Vec<f32>>| slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *self.shared.slots[self.rank]
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = values.to_vec();
        self.shared.barrier.wait();
        let all: Vec<Vec<f32>> = self.shared.slots.iter().map(lock).collect();
        take(values, &all);
        self.shared.barrier.wait();
    }
}

impl Group for ThreadGroup {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.slots.len()
    }

    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<(), GroupError> {
        self.exchange(values, |values, all| {
            for (index, value) in values.iter_mut().enumerate() {
                *value = all.iter().map(|member| member[index]).sum();
            }
        });
        Ok(())
    }

    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<(), GroupError> {
        if root >= self.size() {
            return Err(GroupError::NoSuchRank {
                rank: root,
                size: self.size(),
            });
        }
        self.exchange(values, |values, all| values.copy_from_slice(&all[root]));
        Ok(())
    }
}
