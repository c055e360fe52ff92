use std::{
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
};

use batchscope_core::SettingError;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::TrainError;

/// Starts the threads that computations share, where none has used them before: rayon would panic at
/// the first use where the system gives none. So many processes share the cores of this machine, each of which has
/// one thread at least; the variable `RAYON_NUM_THREADS` says another number.
///
/// # Errors
/// When the system gives none.
pub fn start_threads(processes: usize) -> Result<(), TrainError> {
    let mut builder = ThreadPoolBuilder::new();
    if processes > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none() {
        let ours = std::thread::available_parallelism().map_or(1, usize::from);
        // A launcher that binds processes to cores has shared them out already.
        let share = match ours < cores() {
            true => ours,
            false => ours / processes,
        };
        builder = builder.num_threads(share.max(1));
    }
    match builder.build_global() {
        // Only the system's refusals have a cause: threads that run already are none.
        Err(error) if error.source().is_some() => Err(TrainError::Refused(format!(
            "no threads can be started to compute in: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Cores of this machine, whoever may use them; 0 where they are not told.
fn cores() -> usize {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    told.lines()
        .filter(|line| line.starts_with("processor"))
        .count()
}

/// Threads that computations share here.
pub fn threads() -> usize {
    rayon::current_num_threads()
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

    /// Pools for so many replicas of one run, which share its threads: each has one at least.
    pub fn shares(&self, replicas: usize) -> Result<Vec<ThreadPool>, TrainError> {
        let all = self
            .state()
            .threads
            .unwrap_or_else(rayon::current_num_threads);
        (0..replicas)
            .map(|_| pool((all / replicas).max(1), "replica"))
            .collect()
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
            None => pool(threads, "trial")?,
        };
        let result = pool.install(job);
        let mut state = self.state();
        if state.threads == Some(threads) {
            state.idle.push(pool);
        }
        Ok(result)
    }
}

/// A pool of so many threads, at least one, for a `what`.
fn pool(threads: usize, what: &'static str) -> Result<ThreadPool, TrainError> {
    let built = ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(move |index| format!("{what}-{index}"))
        .build();
    built.map_err(|e| {
        let why = format!("no threads for a {what}: {e}; run fewer trials at a time");
        SettingError::new("jobs", why).into()
    })
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
