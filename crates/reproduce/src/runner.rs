//! Tasks side by side, each as soon as what it needs is done.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use batchscope_core::{Control, Flow};

use crate::{ReproduceError, stop_signal::StopSignal};

/// How the cores are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Tasks at a time, at least 1.
    pub jobs: usize,
    /// Threads of each, at least 1.
    pub threads: usize,
}

impl Side {
    /// The threads of one task.
    pub(crate) fn pool(self) -> Result<rayon::ThreadPool, ReproduceError> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads.max(1))
            .build()
            .map_err(|error| ReproduceError::Threads {
                jobs: self.jobs,
                why: error.to_string(),
            })
    }
}

/// What an experiment tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExperimentEvent<'a> {
    /// A task is done and stored; what it found, in a few words.
    Done(&'a str, &'a str),
    /// How far everything is, in [0, 1] of the work, and what is being done.
    Fraction(f64, &'a str),
}

/// A piece of work.
pub(crate) struct Task<T> {
    /// What it is.
    pub what: T,
    /// The name of the task, in words for progress and errors.
    pub name: String,
    /// Numbers of the tasks that must be done before, all of them lower than its own.
    pub needs: Vec<usize>,
    /// Its share of the work, in any unit.
    pub weight: f64,
}

/// What the workers share.
struct State {
    /// `None` before a task is begun, the part done while it runs, 1 after.
    parts: Vec<Option<f64>>,
    finished: Vec<bool>,
    error: Option<ReproduceError>,
}

/// Does a piece of work: is given what may stop it and a way to tell the part done, and says what it
/// found.
pub(crate) type Work<'a, T> =
    dyn Fn(&T, &dyn Control, &(dyn Fn(f64) + Sync)) -> Result<String, ReproduceError> + Sync + 'a;

/// Does the tasks that `known` does not hold, `side.jobs` at a time, each in a pool of its own of
/// `side.threads` threads; a lower-numbered one first where there is a choice.
///
/// # Errors
/// The first error of a task; [`ReproduceError::Interrupted`] when `control` asked to stop.
pub(crate) fn run<T: Sync>(
    tasks: &[Task<T>],
    known: &[bool],
    side: Side,
    control: &dyn Control,
    observe: &(dyn Fn(ExperimentEvent<'_>) + Sync),
    work: &Work<'_, T>,
) -> Result<(), ReproduceError> {
    let state = Mutex::new(State {
        parts: known.iter().map(|k| k.then_some(1.0)).collect(),
        finished: known.to_vec(),
        error: None,
    });
    let wake = Condvar::new();
    // Raised when a task has failed: what the others have done is kept as at any stop.
    let control = StopSignal::new(control);
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let tell = |guard: &MutexGuard<'_, State>| {
        let (fraction, message) = standing(tasks, &guard.parts, &guard.finished);
        observe(ExperimentEvent::Fraction(fraction, &message));
    };
    let worker = || -> Result<(), ReproduceError> {
        let pool = side.pool()?;
        loop {
            let mut guard = lock();
            let next = loop {
                if guard.error.is_some() {
                    return Ok(());
                }
                if control.flow() == Flow::Interrupt {
                    return Err(ReproduceError::Interrupted);
                }
                let ready = (0..tasks.len()).find(|&i| {
                    guard.parts[i].is_none() && tasks[i].needs.iter().all(|&n| guard.finished[n])
                });
                match ready {
                    Some(next) => break next,
                    None if guard.parts.iter().all(Option::is_some) => return Ok(()),
                    // Somebody is at work on what the rest waits for.
                    None => guard = wake.wait(guard).unwrap_or_else(PoisonError::into_inner),
                }
            };
            guard.parts[next] = Some(0.0);
            drop(guard);
            let task = &tasks[next];
            let part = |part: f64| {
                let mut guard = lock();
                guard.parts[next] = Some(part.clamp(0.0, 1.0));
                tell(&guard);
            };
            let found = pool.install(|| work(&task.what, &control, &part))?;
            observe(ExperimentEvent::Done(&task.name, &found));
            let mut guard = lock();
            guard.parts[next] = Some(1.0);
            guard.finished[next] = true;
            tell(&guard);
            drop(guard);
            wake.notify_all();
        }
    };
    std::thread::scope(|scope| {
        // more workers than tasks would only wait
        for index in 0..side.jobs.clamp(1, tasks.len().max(1)) {
            let spawned = std::thread::Builder::new().spawn_scoped(scope, || {
                let _alarm = Alarm(&state, &wake);
                if let Err(error) = worker() {
                    let mut guard = lock();
                    // those that a failure stopped do not hide it
                    if matches!(guard.error, None | Some(ReproduceError::Interrupted)) {
                        guard.error = Some(error);
                    }
                    control.interrupt();
                }
                wake.notify_all();
            });
            // Fewer workers do the same work.
            if let Err(error) = spawned {
                if index == 0 {
                    lock().error = Some(ReproduceError::Threads {
                        jobs: side.jobs,
                        why: error.to_string(),
                    });
                }
                break;
            }
        }
    });
    let end = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    end.error.map_or(Ok(()), Err)
}

/// Wakes the others when a worker panics, so that none waits for what will never be done.
struct Alarm<'a>(&'a Mutex<State>, &'a Condvar);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.error.get_or_insert(ReproduceError::Interrupted);
            self.1.notify_all();
        }
    }
}

/// How far everything is, and what runs.
fn standing<T>(tasks: &[Task<T>], parts: &[Option<f64>], finished: &[bool]) -> (f64, String) {
    let all: f64 = tasks.iter().map(|t| t.weight).sum();
    let done: f64 = tasks
        .iter()
        .zip(parts)
        .map(|(task, part)| task.weight * part.unwrap_or(0.0))
        .sum();
    let mut running = BTreeMap::new();
    for ((task, part), finished) in tasks.iter().zip(parts).zip(finished) {
        if let (Some(part), false) = (part, finished) {
            running.insert(&task.name, part);
        }
    }
    let running: Vec<String> = running
        .into_iter()
        .map(|(name, part)| format!("{name} {:.0} %", 100.0 * part))
        .collect();
    let count = finished.iter().filter(|f| **f).count();
    let message = format!("{count} of {} tasks; {}", tasks.len(), running.join(", "));
    (if all > 0.0 { done / all } else { 1.0 }, message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use batchscope_core::NeverStop;

    use super::*;

    fn task(number: usize, needs: &[usize]) -> Task<usize> {
        Task {
            what: number,
            name: format!("t{number}"),
            needs: needs.to_vec(),
            weight: 1.0,
        }
    }

    const SIDE: Side = Side {
        jobs: 3,
        threads: 1,
    };

    #[test]
    fn needs_come_first_and_what_is_known_is_not_done_again() {
        let tasks = [task(0, &[]), task(1, &[0]), task(2, &[]), task(3, &[1, 2])];
        let done = Mutex::new(Vec::new());
        let work = |number: &usize, _: &dyn Control, part: &(dyn Fn(f64) + Sync)| {
            part(0.5);
            done.lock().unwrap().push(*number);
            Ok(String::new())
        };
        let known = [false, false, true, false];
        let last = Mutex::new(0.0);
        let observe = |happening: ExperimentEvent<'_>| {
            if let ExperimentEvent::Fraction(fraction, _) = happening {
                *last.lock().unwrap() = fraction;
            }
        };
        run(&tasks, &known, SIDE, &NeverStop, &observe, &work).unwrap();
        assert_eq!(*done.lock().unwrap(), [0, 1, 3]);
        assert_eq!(*last.lock().unwrap(), 1.0);
    }

    #[test]
    fn an_error_ends_everything_and_a_stop_is_obeyed() {
        struct Stop(AtomicBool);
        impl Control for Stop {
            fn flow(&self) -> Flow {
                match self.0.load(Ordering::Relaxed) {
                    true => Flow::Interrupt,
                    false => Flow::Continue,
                }
            }
        }
        let tasks = [task(0, &[]), task(1, &[0]), task(2, &[1])];
        let known = [false; 3];
        let fails = |number: &usize, _: &dyn Control, _: &(dyn Fn(f64) + Sync)| match number {
            1 => Err(ReproduceError::Setting {
                name: "starts",
                why: "none".to_owned(),
            }),
            _ => Ok(String::new()),
        };
        let error = run(&tasks, &known, SIDE, &NeverStop, &|_| {}, &fails).unwrap_err();
        assert!(matches!(error, ReproduceError::Setting { .. }));
        let stop = Stop(AtomicBool::new(false));
        let stops = |_: &usize, _: &dyn Control, _: &(dyn Fn(f64) + Sync)| {
            stop.0.store(true, Ordering::Relaxed);
            Ok(String::new())
        };
        let error = run(&tasks, &known, SIDE, &stop, &|_| {}, &stops).unwrap_err();
        assert!(matches!(error, ReproduceError::Interrupted));
    }

    #[test]
    fn a_failure_stops_what_runs_beside_it_and_is_what_is_told() {
        let tasks = [task(0, &[]), task(1, &[])];
        let work = |number: &usize, control: &dyn Control, _: &(dyn Fn(f64) + Sync)| {
            if *number == 1 {
                return Err(ReproduceError::Setting {
                    name: "starts",
                    why: "none".to_owned(),
                });
            }
            while control.flow() == Flow::Continue {
                std::thread::yield_now();
            }
            Err(ReproduceError::Interrupted)
        };
        let side = Side {
            jobs: 1_000_000,
            threads: 1,
        };
        let error = run(&tasks, &[false; 2], side, &NeverStop, &|_| {}, &work).unwrap_err();
        assert!(matches!(error, ReproduceError::Setting { .. }));
    }
}
