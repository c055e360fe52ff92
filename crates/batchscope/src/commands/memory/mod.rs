//! `batchscope memory`: the largest micro-batch that really fits, found by trying, and how fast each is.
//!
//! Sizes are tried in processes whose address space is limited and which the kernel ends before any other, so that the machine
//! survives. A size is reported only if whole training steps ran with it: gradient, update and evaluation, and for the largest
//! a checkpoint too, in a process that had tried nothing before.

mod found;
mod probe;
mod prober;

use batchscope_core::StepTiming;
use batchscope_report::format::{bytes, count, duration};
use batchscope_scaling::{MicroBatchSearch, at_full_throughput};

use super::{print, print_json, width};
use crate::{
    args::MemoryArgs,
    error::CliError,
    machine,
    progress::Display,
    signals::Signals,
    trainers::{self, Trainers},
    values::Bytes,
};
use found::{Accumulation, Bound, Found, InOnePass, Tried};
use probe::{Answer, Hello, Request};
use prober::{Prober, Silence, Start};

/// The part of the available memory that is used where nothing is said.
const PART: f64 = 0.8;
/// The part of it that tries do not get: head-room for what a longer run does besides, and for memory that an allocator has
/// not given back yet when a run begins. The second is so many bytes at least.
const HEAD_ROOM: (f64, u64) = (0.05, 64 << 20);
/// The largest micro-batch that is tried where the training examples are not known.
const MOST: u64 = 65_536;
/// How often steps in micro-batches and in one pass are timed in turns.
const ROUNDS: usize = 3;
/// Micro-batches in the step that shows what accumulation costs, where its size is not said.
const ACCUMULATED: u64 = 4;

/// Runs the command.
pub fn run(args: &MemoryArgs, trainers: &Trainers, quiet: bool) -> Result<(), CliError> {
    if let Some(folder) = &args.probe {
        return probe::serve(args, folder, trainers);
    }
    if !cfg!(target_os = "linux") {
        let why = "a process's memory can be limited on Linux only, and without a limit trying is not safe";
        return Err(CliError::failed(why));
    }
    refuse_without_effect(args)?;
    let (cap, within) = limits(args)?;
    let signals = Signals::listen()?;
    let display = Display::new(quiet);
    let folder = tempfile::tempdir().map_err(CliError::failed)?;
    let start = Start {
        folder: folder.path(),
        within: Some(within),
        counted: Bytes(cap),
        grace: trainers::patience(&args.trainer).0,
    };
    let mut search = Search {
        args,
        display: &display,
        start,
        signals: &signals,
        prober: Prober::new(start, &signals),
        tried: Vec::new(),
    };
    let found = search.run(cap);
    display.finish();
    let found = found?;
    match args.json {
        true => print_json(&found),
        false => print(&found.text(width())),
    }
}

/// Refuses flags that mean nothing here.
fn refuse_without_effect(args: &MemoryArgs) -> Result<(), CliError> {
    if args.compute.ranks.is_some() {
        let why = "is of a run, and what is found here is one process's: leave it out";
        return Err(CliError::flag("ranks", why));
    }
    if batchscope_train::has_own_replicas(&args.step.methods()) {
        let why = "has several replicas, and what is found here is one network's: leave it out";
        return Err(CliError::flag("method", why));
    }
    if args.compute.micro_batch.is_some() {
        let why = "is what this command looks for: leave it out, or bound it by --largest";
        return Err(CliError::flag("micro-batch", why));
    }
    let alone = "has no effect: sizes are tried one at a time";
    if args.trainer.slots.is_some() {
        return Err(CliError::flag("slots", alone));
    }
    if args.trainer.time_steps.is_some() {
        return Err(CliError::flag("time-steps", alone));
    }
    Ok(())
}

/// Bytes that a run may take, and those of them that tries get.
fn limits(args: &MemoryArgs) -> Result<(u64, Bytes), CliError> {
    let already = probe::address_space();
    let cap = match args.compute.max_memory {
        Some(Bytes(asked)) if already.is_some_and(|most| asked > most) => {
            let why = format!(
                "{} is more than the {} of address space that this process may have (ulimit -v)",
                bytes(asked),
                bytes(already.unwrap_or(0))
            );
            return Err(CliError::flag("max-memory", why));
        }
        Some(Bytes(asked)) => asked,
        None => {
            let available = machine::available_bytes().ok_or_else(unknown_memory)?;
            ((PART * available as f64) as u64).min(already.unwrap_or(u64::MAX))
        }
    };
    let head_room = ((HEAD_ROOM.0 * cap as f64) as u64).max(HEAD_ROOM.1);
    if cap <= 2 * head_room {
        let why = format!(
            "{} is too little to try anything in: allow more than {}",
            bytes(cap),
            bytes(2 * head_room)
        );
        return Err(CliError::flag("max-memory", why));
    }
    Ok((cap, Bytes(cap - head_room)))
}

fn unknown_memory() -> CliError {
    CliError::flag(
        "max-memory",
        "the system does not tell how much memory is available: say how much to use",
    )
}

/// What is going on.
struct Search<'a> {
    args: &'a MemoryArgs,
    display: &'a Display,
    start: Start<'a>,
    signals: &'a Signals,
    prober: Prober<'a>,
    tried: Vec<Tried>,
}

impl Search<'_> {
    fn run(&mut self, cap: u64) -> Result<Found, CliError> {
        self.display.show(0.0, "reading the data");
        let hello = self.begin()?;
        for note in &hello.notes {
            self.display.line(&format!("note: {note}"));
        }
        let known = hello.train_examples.unwrap_or(MOST);
        let most = self.args.largest.unwrap_or(known);
        let most = most.min(hello.train_examples.unwrap_or(u64::MAX));
        let mut search = MicroBatchSearch::new(hello.multiple, most);
        let slow = self.search(&mut search)?;
        self.confirm(&mut search)?;
        let largest = self.largest(&search);
        let bound = match (largest, search.smallest_failure()) {
            (Some(_), None) if slow => Bound::Slow,
            (Some(_), None) => Bound::Tried,
            _ => Bound::Memory,
        };
        let full = at_full_throughput(&self.timings());
        let accumulation = match (largest, full) {
            (Some(largest), Some(full)) if hello.accumulates => {
                self.accumulation(&hello, &search, (largest, full))?
            }
            _ => Err(match hello.accumulates {
                true => "no step was timed".to_owned(),
                false => "the program is not told of micro-batches, {micro_batch}".to_owned(),
            }),
        };
        let mut tried = std::mem::take(&mut self.tried);
        tried.sort_by_key(|t| t.micro_batch);
        let (accumulation, not_accumulated) = match accumulation {
            Ok(accumulation) => (Some(accumulation), None),
            // Nobody has asked for it: then only what was found is told.
            Err(why) => (None, self.args.batch_size.map(|_| why)),
        };
        Ok(Found {
            model: hello.model,
            data: hello.data,
            device: hello.device,
            cap,
            within: self.start.within.map(|within| within.0),
            chosen: self.args.compute.max_memory.is_some(),
            tried,
            largest,
            bound,
            counted: hello.counted,
            full_throughput: full.map(|t| t.micro_batch),
            accumulation,
            not_accumulated,
        })
    }

    /// The largest size with which steps ran. One that failed for another reason is passed over in the search.
    fn largest(&self, search: &MicroBatchSearch) -> Option<u64> {
        let failed = |size: u64| {
            let of_size = self.tried.iter().find(|t| t.micro_batch == size);
            of_size.is_some_and(|t| t.fits != Some(true))
        };
        search.largest().filter(|&size| !failed(size))
    }

    /// Starts the first process. Where a program, or a GPU, does not bear a limit of its address space that nobody has asked
    /// for, and runs without, tries go on without.
    fn begin(&mut self) -> Result<Hello, CliError> {
        let within = self.start.within.map_or(0, |within| within.0);
        let hello = match self.prober.begin() {
            Ok(hello) => hello,
            Err(Silence::NoMemory(why)) => {
                let why = format!(
                    "not even what comes before the first step fits into {}: {why}",
                    bytes(within)
                );
                return Err(CliError::flag("max-memory", why));
            }
            Err(other) => return Err(other.into()),
        };
        let may_reserve = hello.is_a_program || !hello.device.starts_with("cpu");
        if self.args.compute.max_memory.is_some() || !may_reserve {
            return Ok(hello);
        }
        let first = Request::whole(1);
        let ran = |answer: &Answer| matches!(answer, Answer::Ran { .. });
        let limited = self.prober.ask(first)?;
        if ran(&limited) {
            return Ok(hello);
        }
        let without = Start {
            within: None,
            ..self.start
        };
        let mut prober = Prober::new(without, self.signals);
        if !ran(&prober.ask(first)?) {
            return Ok(hello);
        }
        let why = match limited {
            Answer::DoesNotFit { why } | Answer::Failed { why } => why,
            Answer::Ran { .. } => String::new(),
        };
        self.display.line(&format!(
            "note: one example does not run within {} of address space and runs without that limit, as programs do that reserve \
             far more than they use for a GPU: tries go on without (--max-memory sets a limit); it said: {why}",
            bytes(within)
        ));
        (self.start, self.prober) = (without, prober);
        Ok(hello)
    }

    /// Tries sizes until the largest is known. True where steps became too slow before.
    fn search(&mut self, search: &mut MicroBatchSearch) -> Result<bool, CliError> {
        while let Some(size) = search.next() {
            self.say(search, &format!("a micro-batch of {}", count(size)));
            match self.prober.ask(Request::whole(size))? {
                Answer::Ran { seconds, peak } => {
                    search.tried(size, true);
                    let timing = StepTiming::of(size, size, seconds);
                    let is_slow = timing.is_some_and(|t| t.seconds > self.args.longest_step);
                    self.tried.push(Tried::ran(size, timing, peak));
                    if is_slow && search.smallest_failure().is_none() {
                        return Ok(true);
                    }
                }
                Answer::DoesNotFit { why } => {
                    search.tried(size, false);
                    self.tried.push(Tried::failed(size, true, why));
                }
                // A single example may be too few for batch norm.
                Answer::Failed { why } if size == 1 => {
                    search.tried(size, true);
                    self.tried.push(Tried::failed(size, false, why));
                }
                Answer::Failed { why } => {
                    let small = self.tried.iter().find(|t| t.fits.is_none());
                    let why = match (size, small.and_then(|t| t.why.as_ref())) {
                        (2, Some(first)) => {
                            format!("one example at a time fails, and so do two: {first}; {why}")
                        }
                        _ => {
                            format!("a micro-batch of {size} fails, not for want of memory: {why}")
                        }
                    };
                    return Err(CliError::failed(why));
                }
            }
        }
        Ok(false)
    }

    /// Tries the largest once more, in a process that has tried nothing before and saves a checkpoint. Where that fails, the
    /// largest that can be saved is looked for below it.
    fn confirm(&mut self, search: &mut MicroBatchSearch) -> Result<(), CliError> {
        let mut next = self.largest(search);
        while let Some(size) = next {
            self.say(
                search,
                &format!("a micro-batch of {} with a checkpoint", count(size)),
            );
            let request = Request {
                saves: true,
                ..Request::whole(size)
            };
            let known = self.tried.iter().position(|t| t.micro_batch == size);
            match self.prober.ask_afresh(request)? {
                Answer::Ran { .. } => {
                    search.tried(size, true);
                    if known.is_none() {
                        self.tried.push(Tried::ran(size, None, None));
                    }
                }
                Answer::DoesNotFit { why } => {
                    search.tried(size, false);
                    self.tried
                        .retain(|t| t.micro_batch < size || t.fits == Some(false));
                    self.tried.push(Tried::failed(size, true, why));
                }
                Answer::Failed { why } => {
                    let why = format!("a micro-batch of {size} fails when it is saved: {why}");
                    return Err(CliError::failed(why));
                }
            }
            next = search
                .next()
                .filter(|_| search.smallest_failure().is_some());
        }
        Ok(())
    }

    /// What a step costs in micro-batches at full throughput, and in one pass where that fits; or why it is not known.
    fn accumulation(
        &mut self,
        hello: &Hello,
        search: &MicroBatchSearch,
        (largest, full): (u64, StepTiming),
    ) -> Result<Result<Accumulation, String>, CliError> {
        let micro_batch = match full.micro_batch > hello.multiple {
            true => full.micro_batch / hello.multiple * hello.multiple,
            false => hello.multiple.min(largest),
        };
        let most = hello.train_examples.unwrap_or(u64::MAX);
        let asked = self.args.batch_size;
        if let Some(asked) = asked.filter(|&asked| asked > most) {
            let why = format!("{asked} is larger than the training set ({most} examples)");
            return Err(CliError::flag("batch-size", why));
        }
        let batch_size = asked.unwrap_or(ACCUMULATED * micro_batch).min(most);
        if batch_size <= micro_batch {
            let why = format!(
                "it is no more than one micro-batch of {}",
                count(micro_batch)
            );
            return Ok(Err(why));
        }
        self.display.show(
            0.95,
            &format!("steps of {} by {}", count(batch_size), count(micro_batch)),
        );
        let fits = batch_size <= largest;
        let ways = [Some(micro_batch), fits.then_some(batch_size)];
        let mut seconds = [Vec::new(), Vec::new()];
        // In turns: what drifts weighs on both alike.
        for _ in 0..ROUNDS {
            for (way, seconds) in ways.iter().zip(&mut seconds) {
                let Some(micro_batch) = *way else { continue };
                let answer = self.prober.ask(Request {
                    micro_batch,
                    ..Request::whole(batch_size)
                })?;
                match answer {
                    Answer::Ran { seconds: more, .. } => seconds.extend(more),
                    Answer::DoesNotFit { why } | Answer::Failed { why } => return Ok(Err(why)),
                }
            }
        }
        let [accumulated, whole] = seconds;
        let Some(accumulated) = StepTiming::of(batch_size, micro_batch, accumulated) else {
            return Ok(Err("its steps were not reported one by one".to_owned()));
        };
        let does_not_fit = search.smallest_failure().is_some_and(|f| batch_size >= f);
        Ok(Ok(Accumulation {
            accumulated,
            in_one_pass: match StepTiming::of(batch_size, batch_size, whole) {
                Some(whole) => InOnePass::Timed(whole),
                None if does_not_fit => InOnePass::DoesNotFit,
                None => InOnePass::NotTried,
            },
            asked: asked.is_some(),
        }))
    }

    fn timings(&self) -> Vec<StepTiming> {
        self.tried.iter().filter_map(|t| t.timing).collect()
    }

    fn say(&self, search: &MicroBatchSearch, what: &str) {
        // A dozen doublings, and half a dozen halvings: roughly.
        let done = self.tried.len() as f64;
        let slowest = self
            .timings()
            .into_iter()
            .map(|t| t.seconds)
            .fold(0.0, f64::max);
        let fits = search.largest().map_or_else(String::new, |fits| {
            format!("; {} fit, a step takes {}", count(fits), duration(slowest))
        });
        self.display
            .show(done / (done + 6.0), &format!("{what}{fits}"));
    }
}
