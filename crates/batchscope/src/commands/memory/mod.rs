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
    args::MemoryArgs, error::CliError, machine, progress::Display, signals::Signals,
    trainers::Trainers, values::Bytes,
};
use found::{Accumulation, Bound, Found, Tried};
use probe::{Answer, Hello, Request};
use prober::Prober;

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
    if args.compute.micro_batch.is_some() {
        let why = "is what this command looks for: leave it out, or bound it by --largest";
        return Err(CliError::flag("micro-batch", why));
    }
    let signals = Signals::listen()?;
    let display = Display::new(quiet);
    let folder = tempfile::tempdir().map_err(CliError::failed)?;
    let cap = match args.compute.max_memory {
        Some(Bytes(asked)) => asked,
        None => (PART * machine::available_bytes().ok_or_else(unknown_memory)? as f64) as u64,
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
    let within = Bytes(cap - head_room);
    let prober = Prober::new(folder.path(), Some(within), &signals);
    let mut search = Search {
        args,
        display: &display,
        prober,
        tried: Vec::new(),
    };
    let found = search.run(cap, within, folder.path(), &signals);
    display.finish();
    let found = found?;
    match args.json {
        true => print_json(&found),
        false => print(&found.text(width())),
    }
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
    prober: Prober<'a>,
    tried: Vec<Tried>,
}

impl<'a> Search<'a> {
    fn run(
        &mut self,
        cap: u64,
        within: Bytes,
        folder: &'a std::path::Path,
        signals: &'a Signals,
    ) -> Result<Found, CliError> {
        self.display.show(0.0, "reading the data");
        let (hello, is_limited) = self.begin(within, folder, signals)?;
        for note in &hello.notes {
            self.display.line(&format!("note: {note}"));
        }
        let known = hello.train_examples.unwrap_or(MOST);
        let most = self.args.largest.unwrap_or(known);
        let most = most.min(hello.train_examples.unwrap_or(u64::MAX));
        let mut search = MicroBatchSearch::new(hello.multiple, most);
        let slow = self.search(&mut search)?;
        self.confirm(&mut search)?;
        let largest = search.largest();
        let bound = match (largest, search.smallest_failure()) {
            (Some(_), None) if slow => Bound::Slow,
            (Some(_), None) => Bound::Tried,
            _ => Bound::Memory,
        };
        let timings = self.timings();
        let full = at_full_throughput(&timings);
        let accumulation = match (largest, full) {
            (Some(largest), Some(full)) if hello.accumulates => {
                self.accumulation(&hello, largest, full)?
            }
            _ => None,
        };
        let mut tried = std::mem::take(&mut self.tried);
        tried.sort_by_key(|t| t.micro_batch);
        Ok(Found {
            model: hello.model,
            data: hello.data,
            device: hello.device,
            cap,
            within: is_limited.then_some(within.0),
            chosen: self.args.compute.max_memory.is_some(),
            tried,
            largest,
            bound,
            counted: hello.counted,
            full_throughput: full.map(|t| t.micro_batch),
            accumulation,
        })
    }

    /// Starts the first process. Where a program, or a GPU, does not bear a limit of its address space that nobody has asked
    /// for, tries go on without.
    fn begin(
        &mut self,
        within: Bytes,
        folder: &'a std::path::Path,
        signals: &'a Signals,
    ) -> Result<(Hello, bool), CliError> {
        let nothing_fits = |why: String| {
            let why = format!(
                "not even what comes before the first step fits into {}: {why}",
                bytes(within.0)
            );
            CliError::flag("max-memory", why)
        };
        let hello = match self.prober.begin() {
            Ok(hello) => hello,
            Err(prober::Silence::NoMemory(why)) => return Err(nothing_fits(why)),
            Err(other) => return Err(other.into()),
        };
        let may_reserve = hello.train_examples.is_none() || !hello.device.starts_with("cpu");
        if self.args.compute.max_memory.is_some() || !may_reserve {
            return Ok((hello, true));
        }
        let first = Request {
            batch_size: 1,
            micro_batch: 1,
            saves: false,
        };
        if matches!(self.prober.ask(first)?, Answer::Ran { .. }) {
            return Ok((hello, true));
        }
        self.prober = Prober::new(folder, None, signals);
        let hello = self.prober.begin()?;
        self.display.line(&format!(
            "note: at one example it does not run within {} of address space, which GPUs reserve far more of than they use: \
             tries go on without that limit (--max-memory sets one)",
            bytes(within.0)
        ));
        Ok((hello, false))
    }

    /// Tries sizes until the largest is known. True where steps became too slow before.
    fn search(&mut self, search: &mut MicroBatchSearch) -> Result<bool, CliError> {
        while let Some(size) = search.next() {
            self.say(search, &format!("a micro-batch of {}", count(size)));
            let request = Request {
                batch_size: size,
                micro_batch: size,
                saves: false,
            };
            match self.prober.ask(request)? {
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
        let mut next = search.largest();
        while let Some(size) = next {
            self.say(
                search,
                &format!("a micro-batch of {} with a checkpoint", count(size)),
            );
            let request = Request {
                batch_size: size,
                micro_batch: size,
                saves: true,
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

    /// What a step costs in micro-batches at full throughput, and in one pass where that fits.
    fn accumulation(
        &mut self,
        hello: &Hello,
        largest: u64,
        full: StepTiming,
    ) -> Result<Option<Accumulation>, CliError> {
        let micro_batch = match full.micro_batch > hello.multiple {
            true => full.micro_batch / hello.multiple * hello.multiple,
            false => hello.multiple.min(largest),
        };
        let most = hello.train_examples.unwrap_or(u64::MAX);
        let asked = self.args.batch_size;
        let batch_size = asked.unwrap_or(ACCUMULATED * micro_batch).min(most);
        if batch_size <= micro_batch {
            return Ok(None);
        }
        self.display.show(
            0.95,
            &format!("steps of {} by {}", count(batch_size), count(micro_batch)),
        );
        let ways = [
            Some(micro_batch),
            (batch_size <= largest).then_some(batch_size),
        ];
        let mut seconds = [Vec::new(), Vec::new()];
        // In turns: what drifts weighs on both alike.
        for _ in 0..ROUNDS {
            for (way, seconds) in ways.iter().zip(&mut seconds) {
                let Some(micro_batch) = *way else { continue };
                let answer = self.prober.ask(Request {
                    batch_size,
                    micro_batch,
                    saves: false,
                })?;
                match answer {
                    Answer::Ran { seconds: more, .. } => seconds.extend(more),
                    Answer::DoesNotFit { .. } | Answer::Failed { .. } => return Ok(None),
                }
            }
        }
        let [accumulated, whole] = seconds;
        Ok(
            StepTiming::of(batch_size, micro_batch, accumulated).map(|accumulated| Accumulation {
                accumulated,
                in_one_pass: StepTiming::of(batch_size, batch_size, whole),
                asked: asked.is_some(),
            }),
        )
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
