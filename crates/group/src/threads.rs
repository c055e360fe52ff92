//! Replicas on threads of one process.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use batchscope_core::{Group, GroupError};

use crate::share;

/// A member of a group of threads.
///
/// A member that is dropped leaves the group. Those who then wait for it end with
/// [`GroupError::Lost`] rather than waiting forever.
pub struct ThreadGroup {
    rank: usize,
    shared: Arc<Shared>,
}

struct Shared {
    meeting: Meeting,
    /// What each member shows to the others.
    floats: Vec<RwLock<Vec<f32>>>,
    numbers: Vec<RwLock<Vec<f64>>>,
    words: RwLock<Vec<u64>>,
    /// Each member's share of a sum.
    sums: Vec<RwLock<Vec<f32>>>,
}

impl ThreadGroup {
    /// The members of a group of this size, one for each thread.
    pub fn members(size: usize) -> Vec<Self> {
        fn slots<T>(size: usize) -> Vec<RwLock<Vec<T>>> {
            (0..size).map(|_| RwLock::new(Vec::new())).collect()
        }
        let shared = Arc::new(Shared {
            meeting: Meeting::new(size),
            floats: slots(size),
            numbers: slots(size),
            words: RwLock::new(Vec::new()),
            sums: slots(size),
        });
        (0..size)
            .map(|rank| Self {
                rank,
                shared: Arc::clone(&shared),
            })
            .collect()
    }

    fn meet(&self) -> Result<(), GroupError> {
        self.shared.meeting.wait()
    }

    /// Shows values to the others, who may look at them until they meet again.
    fn show<T: Copy>(&self, slots: &[RwLock<Vec<T>>], values: &[T]) -> Result<(), GroupError> {
        let mut slot = write(&slots[self.rank]);
        slot.clear();
        slot.extend_from_slice(values);
        drop(slot);
        self.meet()
    }

    /// What a member shows, of the length that is expected.
    fn shown<'a, T>(
        &self,
        slots: &'a [RwLock<Vec<T>>],
        rank: usize,
        expected: usize,
    ) -> Result<RwLockReadGuard<'a, Vec<T>>, GroupError> {
        let values = read(&slots[rank]);
        match values.len() {
            found if found == expected => Ok(values),
            found => {
                let error = GroupError::Length {
                    rank,
                    found,
                    expected,
                };
                drop(values);
                self.abandon(&error.to_string());
                Err(error)
            }
        }
    }
}

impl Group for ThreadGroup {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.floats.len()
    }

    /// Each member sums a share of the vector.
    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<(), GroupError> {
        let (size, len) = (self.size(), values.len());
        let Shared { floats, sums, .. } = &*self.shared;
        self.show(floats, values)?;
        {
            let mine = share(len, self.rank, size);
            let mut sum = write(&sums[self.rank]);
            sum.clear();
            sum.extend_from_slice(&self.shown(floats, 0, len)?[mine.clone()]);
            for rank in 1..size {
                let part = self.shown(floats, rank, len)?;
                for (sum, x) in sum.iter_mut().zip(&part[mine.clone()]) {
                    *sum += x;
                }
            }
        }
        self.meet()?;
        for (rank, sum) in sums.iter().enumerate() {
            values[share(len, rank, size)].copy_from_slice(&read(sum));
        }
        // The next sums are written after everybody has shown its next vector, when all have read these.
        Ok(())
    }

    fn all_gather(&self, mine: &[f64]) -> Result<Vec<f64>, GroupError> {
        let numbers = &self.shared.numbers;
        self.show(numbers, mine)?;
        let mut all = Vec::with_capacity(self.size() * mine.len());
        for rank in 0..self.size() {
            all.extend_from_slice(&self.shown(numbers, rank, mine.len())?);
        }
        self.meet()?;
        Ok(all)
    }

    fn broadcast(&self, words: &mut [u64], root: usize) -> Result<(), GroupError> {
        GroupError::check_rank(root, self.size())?;
        if self.rank == root {
            *write(&self.shared.words) = words.to_vec();
        }
        self.meet()?;
        {
            let shown = read(&self.shared.words);
            if shown.len() != words.len() {
                let error = GroupError::Length {
                    rank: root,
                    found: shown.len(),
                    expected: words.len(),
                };
                self.abandon(&error.to_string());
                return Err(error);
            }
            words.copy_from_slice(&shown);
        }
        self.meet()
    }

    fn gather(&self, mine: &[f32], root: usize) -> Result<Vec<Vec<f32>>, GroupError> {
        GroupError::check_rank(root, self.size())?;
        let floats = &self.shared.floats;
        self.show(floats, mine)?;
        let mut all = Vec::new();
        if self.rank == root {
            for rank in 0..self.size() {
                all.push(self.shown(floats, rank, mine.len())?.clone());
            }
        }
        self.meet()?;
        Ok(all)
    }

    fn exchange(
        &self,
        values: &[f32],
        to: &[usize],
        from: &[usize],
    ) -> Result<Vec<Vec<f32>>, GroupError> {
        for &rank in to.iter().chain(from) {
            GroupError::check_rank(rank, self.size())?;
        }
        let floats = &self.shared.floats;
        self.show(floats, values)?;
        let mut given = Vec::with_capacity(from.len());
        for &rank in from {
            given.push(self.shown(floats, rank, values.len())?.clone());
        }
        self.meet()?;
        Ok(given)
    }

    fn abandon(&self, why: &str) {
        self.shared.meeting.end(why.to_owned());
    }
}

impl Drop for ThreadGroup {
    fn drop(&mut self) {
        // Whoever is still at work finds nobody to meet.
        self.abandon(&format!("replica {} has ended", self.rank));
    }
}

/// Where members wait for each other, until one of them is gone.
struct Meeting {
    size: usize,
    state: Mutex<State>,
    all_there: Condvar,
}

#[derive(Default)]
struct State {
    waiting: usize,
    /// Meetings held.
    held: u64,
    /// Why there will be no other.
    ended: Option<String>,
}

impl Meeting {
    fn new(size: usize) -> Self {
        Self {
            size,
            state: Mutex::default(),
            all_there: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> Result<(), GroupError> {
        let mut state = self.state();
        if let Some(why) = &state.ended {
            return Err(GroupError::Lost(why.clone()));
        }
        state.waiting += 1;
        if state.waiting == self.size {
            state.waiting = 0;
            state.held += 1;
            self.all_there.notify_all();
            return Ok(());
        }
        let this = state.held;
        while state.held == this {
            if let Some(why) = &state.ended {
                return Err(GroupError::Lost(why.clone()));
            }
            state = self
                .all_there
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Ends all meetings; the first reason stands.
    fn end(&self, why: String) {
        self.state().ended.get_or_insert(why);
        self.all_there.notify_all();
    }
}

fn read<T>(slot: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    slot.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(slot: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    slot.write().unwrap_or_else(PoisonError::into_inner)
}
