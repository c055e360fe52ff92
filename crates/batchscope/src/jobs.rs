//! How many trials to run at a time: one on all cores, or several with fewer threads each,
//! whichever takes more steps a second here. It changes no number of a study.

use std::{
    fmt,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use batchscope_core::{
    Control, EvaluationPlan, Schedule, Trainer, TrainerError, TrialPurpose, TrialSpec,
};
use batchscope_study::Plan;

/// Seconds each candidate is timed at each batch size.
const SECONDS: f64 = 0.12;

/// Seconds a step may take for its batch size to be timed: a few such steps are taken.
const LONGEST_STEP: f64 = 0.25;

/// What was chosen, and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Parallelism {
    /// Trials at a time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// Steps a second relative to one trial on all cores; `None` where there was nothing to choose.
    pub gain: Option<f64>,
}

impl Parallelism {
    /// So many trials on this many cores.
    pub fn fixed(jobs: usize, cores: usize) -> Self {
        Self {
            jobs,
            threads: (cores / jobs).max(1),
            gain: None,
        }
    }
}

impl fmt::Display for Parallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            jobs,
            threads,
            gain,
        } = *self;
        let trials = if jobs == 1 { "trial" } else { "trials" };
        let each = if threads == 1 { "thread" } else { "threads" };
        write!(f, "{jobs} {trials} at a time, {threads} {each} each")?;
        match gain {
            Some(gain) => write!(
                f,
                ": measured at {} times the steps a second of one trial on all cores",
                batchscope_report::format::number(gain)
            ),
            None => Ok(()),
        }
    }
}

/// Times a step of the plan's smallest, base and largest batch size with one trial on all cores,
/// with one trial on each core, and with each power of two between them, and takes the fastest;
/// once a size's steps take long, larger ones are left out. A size that cannot be timed is left out.
/// Leaves the trainer with some number of threads.
pub fn choose(
    plan: &Plan,
    cores: usize,
    control: &dyn Control,
    trainer: &dyn Trainer,
) -> Parallelism {
    let mut candidates: Vec<usize> = std::iter::successors(Some(1), |j| Some(2 * j))
        .take_while(|&jobs| jobs < cores)
        .collect();
    candidates.push(cores);
    let mut sizes: Vec<u64> = [plan.batch_sizes.iter().min(), plan.batch_sizes.iter().max()]
        .into_iter()
        .flatten()
        .copied()
        .chain([plan.base_batch])
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    // Logarithms of the steps a second, summed over the batch sizes.
    let mut rates = vec![0.0; candidates.len()];
    let mut known = 0;
    for batch_size in sizes {
        let spec = probe(plan, batch_size);
        let timed: Result<Vec<f64>, TrainerError> = candidates
            .iter()
            .map(|&jobs| {
                trainer.limit_threads(Some(Parallelism::fixed(jobs, cores).threads));
                steps_a_second(trainer, &spec, jobs, control)
            })
            .collect();
        let Ok(timed) = timed else { continue };
        if timed.iter().any(|rate| !(rate.is_finite() && *rate > 0.0)) {
            continue;
        }
        known += 1;
        for (sum, rate) in rates.iter_mut().zip(&timed) {
            *sum += rate.ln();
        }
        if timed[0] * LONGEST_STEP < 1.0 {
            break;
        }
    }
    let best = (0..rates.len())
        .reduce(|best, i| if rates[i] > rates[best] { i } else { best })
        .filter(|_| known > 0);
    match best {
        Some(best) => Parallelism {
            gain: Some(((rates[best] - rates[0]) / f64::from(known)).exp()),
            ..Parallelism::fixed(candidates[best], cores)
        },
        None => Parallelism::fixed(cores, cores),
    }
}

/// Steps a second of `jobs` trials side by side, all together. Not a number where the trainer cannot
/// tell, or there are no threads for so many.
fn steps_a_second(
    trainer: &dyn Trainer,
    spec: &TrialSpec,
    jobs: usize,
    control: &dyn Control,
) -> Result<f64, TrainerError> {
    // Told whether all are there, for they begin together or not at all.
    let begin = (Mutex::new(None), Condvar::new());
    let timed = || {
        let begin_at = begin.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = begin.1.wait_while(begin_at, |told| told.is_none());
        let all_there = *told.unwrap_or_else(PoisonError::into_inner);
        match all_there {
            Some(true) => trainer.time(spec, SECONDS, control),
            _ => Ok(None),
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, timed).ok())
            .collect();
        let all_there = threads.len() == jobs;
        *begin.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(all_there);
        begin.1.notify_all();
        let rates = threads.into_iter().map(|thread| match thread.join() {
            Ok(timing) => Ok(timing?.map_or(f64::NAN, |t| 1.0 / t.seconds)),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let sum: Result<f64, TrainerError> = rates.sum();
        sum.map(|sum| if all_there { sum } else { f64::NAN })
    })
}

/// A trial that only serves to be timed.
pub fn probe(plan: &Plan, batch_size: u64) -> TrialSpec {
    TrialSpec {
        max_examples: None,
        start: None,
        id: 0,
        purpose: TrialPurpose::Single,
        curves: Vec::new(),
        batch_size,
        micro_batch: plan.micro_batch,
        learning_rate: plan.learning_rates.low,
        schedule: Schedule::constant(),
        optimizer: plan.optimizer.clone(),
        methods: plan.methods.clone(),
        controller: None,
        clip: plan.clip,
        decay: plan.decay,
        study_seed: plan.study_seed,
        seed: 0,
        cap: u64::MAX,
        target: None,
        evaluation: EvaluationPlan { ..plan.evaluation },
        diagnostics: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use batchscope_core::{Event, NeverStop, StepTiming, TrainerInfo, TrialRecord};

    use super::*;

    /// A trainer whose steps take as long as it is told, on so many threads.
    struct Clock<F> {
        seconds: F,
        threads: AtomicUsize,
    }

    impl<F: Fn(usize) -> Option<f64> + Send + Sync> Trainer for Clock<F> {
        fn info(&self) -> TrainerInfo {
            unreachable!("only timed")
        }

        fn run(
            &self,
            _: &TrialSpec,
            _: &dyn Control,
            _: &mut (dyn FnMut(Event) + Send),
        ) -> Result<TrialRecord, TrainerError> {
            unreachable!("only timed")
        }

        fn limit_threads(&self, each: Option<usize>) {
            self.threads.store(each.unwrap_or(0), Ordering::Relaxed);
        }

        fn time(
            &self,
            spec: &TrialSpec,
            _: f64,
            _: &dyn Control,
        ) -> Result<Option<StepTiming>, TrainerError> {
            let seconds = (self.seconds)(self.threads.load(Ordering::Relaxed));
            Ok(seconds.map(|seconds| StepTiming {
                batch_size: spec.batch_size,
                micro_batch: spec.batch_size,
                seconds,
                low: seconds,
                high: seconds,
                n: 5,
            }))
        }
    }

    /// The choice where a step on so many threads takes so many seconds.
    fn chosen(cores: usize, seconds: impl Fn(usize) -> Option<f64> + Send + Sync) -> Parallelism {
        let trainer = Clock {
            seconds,
            threads: AtomicUsize::new(0),
        };
        choose(&Plan::default(), cores, &NeverStop, &trainer)
    }

    #[test]
    fn threads_that_do_not_help_a_step_run_other_trials() {
        let choice = chosen(8, |_| Some(0.01));
        assert_eq!((choice.jobs, choice.threads), (8, 1));
        assert!((choice.gain.unwrap() - 8.0).abs() < 1e-9);
        assert!(
            choice
                .to_string()
                .starts_with("8 trials at a time, 1 thread each")
        );
    }

    #[test]
    fn a_step_that_gains_more_than_its_threads_has_the_machine_to_itself() {
        // As where several trials together overflow the caches.
        let choice = chosen(4, |threads| Some(0.01 / (threads as f64).powf(1.5)));
        assert_eq!((choice.jobs, choice.threads), (1, 4));
        assert_eq!(choice.gain, Some(1.0));
    }

    #[test]
    fn between_the_extremes() {
        // Four threads help fully, more not at all.
        let choice = chosen(16, |threads| Some(0.01 / threads.min(4) as f64));
        assert!(choice.jobs >= 4 && choice.threads <= 4);
    }

    #[test]
    fn without_a_clock_every_core_has_a_trial() {
        assert_eq!(chosen(6, |_| None), Parallelism::fixed(6, 6));
    }
}
