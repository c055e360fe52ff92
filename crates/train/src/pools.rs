use std::{
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
};

use batchscope_core::SettingError;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::TrainError;

/// Starts the threads that computations share, where none has used them before: rayon would panic at
/// the first use where the system gives none.
///
/// # Errors
/// When the system gives none.
pub fn start_threads() -> Result<(), TrainError> {
    match ThreadPoolBuilder::new().build_global() {
        // Only the system's refusals have a cause: threads that run already are none.
        Err(error) if error.source().is_some() => Err(TrainError::Refused(format!(
            "no threads can be started to compute in: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Thread pools of one size, made when needed and used again: each running trial has one to
/// itself, so that trials side by side share the machine's cores instead of queueing for them.
#[derive(Debug, Default)]
pub(crate) struct Pools(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Threads of each pool; `None` runs everything where it is called.
    threads: Option<usize>,
    /// Pools of so many threads that nothing runs in.
    idle: Vec<ThreadPool>,
}

impl Pools {
    /// Pools of this many threads from now on; `None` runs everything where it is called.
    pub fn resize(&self, threads: Option<usize>) {
        let mut state = self.state();
        if state.threads != threads {
            *state = State {
                threads,
                idle: Vec::new(),
            };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a job in a pool of its own.
    pub fn run<R: Send>(&self, job: impl FnOnce() -> R + Send) -> Result<R, TrainError> {
        let (threads, waiting) = {
            let mut state = self.state();
            (state.threads, state.idle.pop())
        };
        let Some(threads) = threads else {
            return Ok(job());
        };
        let pool = match waiting {
            Some(pool) => pool,
            None => ThreadPoolBuilder::new()
                .num_threads(threads.max(1))
                .thread_name(|index| format!("trial-{index}"))
                .build()
                .map_err(|e| {
                    let why = format!("no threads for a trial: {e}; run fewer trials at a time");
                    SettingError::new("jobs", why)
                })?,
        };
        let result = pool.install(job);
        let mut state = self.state();
        if state.threads == Some(threads) {
            state.idle.push(pool);
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_see_their_own_number_of_threads_and_pools_are_used_again() {
        let pools = Pools::default();
        assert_eq!(pools.run(|| 7).unwrap(), 7);
        pools.resize(Some(3));
        for _ in 0..4 {
            assert_eq!(pools.run(rayon::current_num_threads).unwrap(), 3);
        }
        assert_eq!(pools.state().idle.len(), 1);
        pools.resize(Some(2));
        assert_eq!(pools.run(rayon::current_num_threads).unwrap(), 2);
    }
}
