use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::TrainError;

/// Thread pools of one size, made when needed and used again: each running trial has one to
/// itself, so that trials side by side share the machine's cores instead of queueing for them.
#[derive(Debug)]
pub(crate) struct Pools {
    threads: Option<usize>,
    idle: Mutex<Vec<ThreadPool>>,
}

impl Pools {
    /// Pools of this many threads; `None` runs everything where it is called.
    pub fn new(threads: Option<usize>) -> Self {
        Self {
            threads,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Runs a job in a pool of its own.
    pub fn run<R: Send>(&self, job: impl FnOnce() -> R + Send) -> Result<R, TrainError> {
        let Some(threads) = self.threads else {
            return Ok(job());
        };
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let pool = match waiting {
            Some(pool) => pool,
            None => ThreadPoolBuilder::new()
                .num_threads(threads.max(1))
                .thread_name(|index| format!("trial-{index}"))
                .build()
                .map_err(|e| {
                    TrainError::Refused(format!("no threads for a trial: {e}; choose fewer --jobs"))
                })?,
        };
        let result = pool.install(job);
        idle().push(pool);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_see_their_own_number_of_threads_and_pools_are_used_again() {
        let pools = Pools::new(Some(3));
        for _ in 0..4 {
            assert_eq!(pools.run(rayon::current_num_threads).unwrap(), 3);
        }
        assert_eq!(pools.idle.lock().unwrap().len(), 1);
        assert_eq!(Pools::new(None).run(|| 7).unwrap(), 7);
    }
}
