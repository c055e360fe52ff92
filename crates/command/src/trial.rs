//! One run of a program, led through its trial.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, Read},
    path::PathBuf,
    process::ChildStdout,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use batchscope_core::{Control, Event, Flow, NeverStop, Next, Outcome, Report, TrialDriver};

use crate::{
    Child, Exit, Lines, Names, Reading, Stopped, kills_for_memory,
    reading::Understood,
    sources::{Pattern, Source, output_line},
};

/// How often files are looked at, and whether to stop is asked.
const POLL: Duration = Duration::from_millis(50);
/// Chunks of output that wait to be read; a program that writes faster waits.
const WAITING: usize = 64;
/// How long a program that has ended is listened to.
const DRAINED: Duration = Duration::from_secs(1);
/// How often a trial is saved, so that a coordinator that is killed loses little of it.
const SAVED_EVERY: Duration = Duration::from_secs(2);
/// The number of standard output among the sources of a run; files follow.
const OUTPUT: usize = 0;
/// Reports that are kept while a program stops.
const MOST_LAST_REPORTS: usize = 10_000;
/// Longest tail of a program's words that is kept for messages.
const LAST_WORDS: usize = 4 << 10;

/// How one run is led.
pub(crate) struct Run<'a> {
    pub names: &'a Names,
    pub pattern: Option<&'a Pattern>,
    pub sources: Vec<Box<dyn Source>>,
    /// How long it has to end after SIGTERM.
    pub grace: Duration,
    /// How long it may take in all.
    pub timeout: Option<Duration>,
    /// A file whose presence asks the program to stop.
    pub stop_file: PathBuf,
    /// The program's own log, to which its standard error goes.
    pub log: PathBuf,
    /// Bytes of the log before this run's own.
    pub log_begins: u64,
    /// Keeps what is needed to go on.
    pub save: &'a dyn Fn(&TrialDriver<'_>),
    pub batch_size: u64,
    pub train_examples: Option<u64>,
    /// Seconds that earlier sessions of the trial trained.
    pub seconds_before: f64,
    /// Steps that the program had made before the trial: it goes on counting from there.
    pub steps_before: u64,
    /// This session goes on from a checkpoint of the program: it may report steps again.
    pub resumed: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ended {
    /// The trial has.
    Trial(Outcome),
    /// The program has, without an end of the trial: what its exit means, and its last words.
    Program(Exit, String),
    /// It was stopped from outside.
    Interrupted,
    /// It took longer than it may.
    TimedOut,
}

/// What a run left besides.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Remarks {
    /// Lines too long to be read.
    pub long_lines: u64,
    /// Reports of values without a step, before any.
    pub without_step: u64,
    /// Reports of values after no step.
    pub before_training: u64,
    /// Steps times batch size was compared with examples that the program reports.
    pub examples_checked: bool,
    /// What was wrong with them, the first time.
    pub examples_differ: Option<String>,
    /// A file of reports that could not be read.
    pub unreadable: Option<String>,
}

impl Run<'_> {
    /// Leads a program that has just started to an end.
    ///
    /// # Errors
    /// When the system does not say how the program is.
    pub fn lead(
        mut self,
        child: &mut Child,
        output: ChildStdout,
        driver: &mut TrialDriver<'_>,
        (control, events): (&dyn Control, &mut (dyn FnMut(Event) + Send)),
    ) -> io::Result<(Ended, Remarks)> {
        let chunks = read_in_background(output)?;
        let begun = Instant::now();
        let kills = kills_for_memory();
        let mut state = State {
            run_begun: begun,
            seconds_before: self.seconds_before,
            resumed: self.resumed,
            steps: BTreeMap::new(),
            saved: begun,
            words: VecDeque::new(),
            remarks: Remarks::default(),
            end: None,
        };
        let mut lines = Lines::default();
        let mut sources = std::mem::take(&mut self.sources);
        let mut open = true;
        let mut looked = Instant::now();
        let ended = loop {
            let mut readings = Vec::new();
            open = open && self.listen(&chunks, &mut lines, &mut readings, &mut state);
            if !open {
                // It is about to end: its output has.
                std::thread::sleep(Duration::from_millis(2));
            }
            // Asked before the last look at its files: what it wrote before it ended is there by then.
            let status = match open {
                // A descendant may hold the output open after the program itself has ended.
                true if looked.elapsed() < POLL => None,
                _ => child.ended()?,
            };
            if status.is_some() || looked.elapsed() >= POLL {
                looked = Instant::now();
                for (number, source) in (1..).zip(&mut sources) {
                    let found = source.poll(&mut |reading| readings.push((number, reading)));
                    if let Err(error) = found {
                        state.remarks.unreadable.get_or_insert(error.to_string());
                    }
                }
            }
            self.take_all(&mut readings, &mut state, driver, (control, &mut *events));
            state.remarks.long_lines = lines.skipped();
            if let Some(outcome) = state.end.take() {
                break match outcome {
                    Outcome::Interrupted => {
                        let rest = (&mut lines, &mut sources[..], &mut state);
                        self.interrupt(child, &chunks, rest, driver, events)
                    }
                    outcome => {
                        self.stop(child, &chunks);
                        Ended::Trial(outcome)
                    }
                };
            }
            if let Some(status) = status {
                let said = state.last_words(&self.log, self.log_begins);
                let by_slurm = child.job().and_then(|job| job.end(status, &said));
                // Nobody writes on: what is still in its pipe is the end of it.
                child.sweep();
                let rest = (&mut lines, &mut sources[..], &mut state);
                self.hear_out(&chunks, rest, driver, (control, &mut *events));
                let words = state.last_words(&self.log, self.log_begins);
                let end = state.end.take();
                break match end.filter(|outcome| *outcome != Outcome::Interrupted) {
                    Some(outcome) => Ended::Trial(outcome),
                    None => {
                        let exit = by_slurm.unwrap_or_else(|| Exit::of(status, &words, kills));
                        Ended::Program(exit, words)
                    }
                };
            }
            if control.flow() == Flow::Interrupt {
                let rest = (&mut lines, &mut sources[..], &mut state);
                break self.interrupt(child, &chunks, rest, driver, events);
            }
            if self.timeout.is_some_and(|most| begun.elapsed() > most) {
                self.stop(child, &chunks);
                break Ended::TimedOut;
            }
        };
        Ok((ended, state.remarks))
    }

    /// Waits a moment for output; false once it has ended.
    fn listen(
        &self,
        chunks: &Receiver<Vec<u8>>,
        lines: &mut Lines,
        readings: &mut Vec<(usize, Reading)>,
        state: &mut State,
    ) -> bool {
        let mut take = |line: &str| readings.push((OUTPUT, output_line(line, self.pattern)));
        match chunks.recv_timeout(POLL) {
            Ok(chunk) => {
                state.remember(&chunk);
                lines.push(&chunk, &mut take);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                lines.finish(&mut take);
                return false;
            }
        }
        true
    }

    /// Takes what a program that has ended left in its pipe and files.
    fn hear_out(
        &self,
        chunks: &Receiver<Vec<u8>>,
        (lines, sources, state): (&mut Lines, &mut [Box<dyn Source>], &mut State),
        driver: &mut TrialDriver<'_>,
        (control, events): (&dyn Control, &mut (dyn FnMut(Event) + Send)),
    ) {
        let until = Instant::now() + DRAINED;
        let mut readings = Vec::new();
        // Its pipe ends once all that hold it are gone, which they are about to be.
        while self.listen(chunks, lines, &mut readings, state) && Instant::now() < until {
            self.take_all(&mut readings, state, driver, (control, &mut *events));
        }
        let mut take = |line: &str| readings.push((OUTPUT, output_line(line, self.pattern)));
        lines.finish(&mut take);
        for (number, source) in (1..).zip(sources) {
            source.finish(&mut |reading| readings.push((number, reading)));
        }
        self.take_all(&mut readings, state, driver, (control, events));
    }

    /// Takes a reading; a trial that it ends is left in the state.
    fn take(
        &self,
        (source, understood): (usize, Understood),
        state: &mut State,
        driver: &mut TrialDriver<'_>,
        (control, events): (&dyn Control, &mut (dyn FnMut(Event) + Send)),
    ) {
        if state.end.is_some() {
            return;
        }
        let Some(step) = self.step(&understood, state, source) else {
            if !understood.metrics.is_empty() {
                state.remarks.without_step += 1;
            }
            return;
        };
        if let Some(why) = miscounted(driver, &understood, step) {
            state.end = Some(Outcome::Failed { why });
            return;
        }
        self.compare_examples(&understood, step, &mut state.remarks);
        state.steps.insert(source, step);
        if step == 0 {
            state.remarks.before_training += u64::from(!understood.metrics.is_empty());
            return;
        }
        if understood.metrics.is_empty() && understood.step.is_none() {
            return;
        }
        if state.resumed && step <= driver.step() {
            driver.back_to(step);
        }
        state.resumed = false;
        let report = Report {
            step,
            metrics: understood.metrics,
            learning_rate: understood.learning_rate,
            seconds: state.seconds_before + state.run_begun.elapsed().as_secs_f64(),
        };
        match driver.reported(report, control, events) {
            Ok(Next::End(outcome)) => state.end = Some(outcome),
            Ok(Next::Interrupt) => state.end = Some(Outcome::Interrupted),
            // A report that says nothing new does no harm: another source was earlier.
            Ok(_) | Err(_) => {}
        }
    }

    /// The step that a reading speaks of: its own, or by its examples or epochs, or that of the reading before
    /// it.
    fn step(&self, understood: &Understood, state: &State, source: usize) -> Option<u64> {
        self.own_step(understood)
            .or_else(|| state.steps.get(&source).copied().filter(|&step| step > 0))
    }

    /// The step that a reading itself speaks of.
    fn own_step(&self, understood: &Understood) -> Option<u64> {
        let whole = |x: f64| (x.is_finite() && (0.0..1e15).contains(&x)).then(|| x.round() as u64);
        if let Some(step) = understood.step {
            return whole(step).map(|step| step.saturating_sub(self.steps_before));
        }
        // Examples since the beginning of a run whose earlier batch size is not known say nothing of its steps.
        if self.steps_before > 0 {
            return None;
        }
        let of_examples = |examples: f64| whole(examples / self.batch_size as f64);
        if let Some(examples) = understood.examples {
            return of_examples(examples);
        }
        let epochs = understood.epochs.zip(self.train_examples);
        epochs.and_then(|(epochs, examples)| of_examples(epochs * examples as f64))
    }

    /// Steps times batch size against the examples that the program reports, within a batch: a program that
    /// trains with another batch size than it was told is found out.
    fn compare_examples(&self, understood: &Understood, step: u64, remarks: &mut Remarks) {
        let (Some(_), Some(reported)) = (understood.step, understood.examples) else {
            return;
        };
        if self.steps_before > 0 {
            return;
        }
        remarks.examples_checked = true;
        let expected = step as f64 * self.batch_size as f64;
        if (reported - expected).abs() > self.batch_size as f64 {
            remarks.examples_differ.get_or_insert_with(|| {
                format!(
                    "it reports {reported} examples after {step} steps, which at batch size {} are {expected}",
                    self.batch_size
                )
            });
        }
    }

    /// Asks the program to stop, and sees to it that it does.
    fn stop(&self, child: &mut Child, chunks: &Receiver<Vec<u8>>) -> Stopped {
        let _ = std::fs::write(&self.stop_file, "stop\n");
        child.stop(self.grace, &mut || while chunks.try_recv().is_ok() {})
    }

    /// Stops the program for a while. What it still reports counts: it may have evaluated and saved itself.
    fn interrupt(
        &self,
        child: &mut Child,
        chunks: &Receiver<Vec<u8>>,
        (lines, sources, state): (&mut Lines, &mut [Box<dyn Source>], &mut State),
        driver: &mut TrialDriver<'_>,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Ended {
        let _ = std::fs::write(&self.stop_file, "stop\n");
        let mut readings = Vec::new();
        child.stop(self.grace, &mut || {
            while let Ok(chunk) = chunks.try_recv() {
                // More than this nobody reports while it stops; it is read on, so that it can end.
                if readings.len() < MOST_LAST_REPORTS {
                    lines.push(&chunk, &mut |line| {
                        readings.push((OUTPUT, output_line(line, self.pattern)))
                    });
                }
            }
        });
        for (number, source) in (1..).zip(sources) {
            let _ = source.poll(&mut |reading| readings.push((number, reading)));
        }
        self.take_all(&mut readings, state, driver, (&NeverStop, events));
        match state.end.take() {
            Some(outcome) if outcome != Outcome::Interrupted => Ended::Trial(outcome),
            _ => Ended::Interrupted,
        }
    }

    /// Takes readings in the order of their steps: output and files are looked at one after the other.
    fn take_all(
        &self,
        readings: &mut Vec<(usize, Reading)>,
        state: &mut State,
        driver: &mut TrialDriver<'_>,
        (control, events): (&dyn Control, &mut (dyn FnMut(Event) + Send)),
    ) {
        let mut ordered: Vec<(Option<u64>, usize, Understood)> = Vec::new();
        let mut seen = state.steps.clone();
        let mut backwards = None;
        for (source, reading) in readings.drain(..) {
            // One without a step belongs to the one before it.
            if reading.0.is_empty() {
                continue;
            }
            let understood = self.names.understand(&reading);
            let own = self.own_step(&understood);
            let before = seen.get(&source).copied();
            if let (Some(step), Some(last)) = (own, before)
                && step < last
                && !state.resumed
            {
                backwards = Some((step, last));
                break;
            }
            seen.extend(own.map(|step| (source, step)));
            ordered.push((own.or(before), source, understood));
        }
        ordered.sort_by_key(|(step, ..)| *step);
        let any = !ordered.is_empty();
        for (_, source, understood) in ordered {
            self.take((source, understood), state, driver, (control, &mut *events));
        }
        if let Some((step, last)) = backwards {
            state.end.get_or_insert_with(|| Outcome::Failed {
                why: format!("the program reported step {step} after step {last}: steps must not go backwards"),
            });
        }
        if any && state.saved.elapsed() > SAVED_EVERY && state.end.is_none() {
            state.saved = Instant::now();
            (self.save)(driver);
        }
    }
}

/// Why a report of a branch is not of one of its steps: its program counts otherwise than it is said to.
fn miscounted(driver: &TrialDriver<'_>, understood: &Understood, step: u64) -> Option<String> {
    let spec = driver.spec();
    let start = spec.start.as_ref()?;
    let said = understood.step? as u64;
    if !start.counts_anew && (1..start.step).contains(&said) {
        return Some(format!(
            "it reported step {said}, and its checkpoint had made {}: a program that counts from 0 again is told so by --counts-anew",
            start.step
        ));
    }
    // What follows shows by the first report alone.
    if driver.step() > 0 {
        return None;
    }
    if !start.counts_anew {
        return (step > spec.cap).then(|| {
            let last = start.step.saturating_add(spec.cap);
            format!("its first report is of step {said}, beyond the branch's end at {last}")
        });
    }
    (step > start.step.min(spec.cap)).then(|| {
        format!(
            "its first report is of step {said}, and the checkpoint had made {}: whether it counts from 0 again cannot be told; leave out --counts-anew if it counts on, or report sooner",
            start.step
        )
    })
}

/// What is known while a run goes on.
struct State {
    run_begun: Instant,
    seconds_before: f64,
    resumed: bool,
    /// The step of the last reading, by where it came from.
    steps: BTreeMap<usize, u64>,
    /// When the trial was last saved.
    saved: Instant,
    /// The end of the standard output.
    words: VecDeque<u8>,
    remarks: Remarks,
    end: Option<Outcome>,
}

impl State {
    fn remember(&mut self, chunk: &[u8]) {
        self.words
            .extend(&chunk[chunk.len().saturating_sub(LAST_WORDS)..]);
        let surplus = self.words.len().saturating_sub(LAST_WORDS);
        self.words.drain(..surplus);
    }

    /// The end of what the program wrote: its standard output, and after it its standard error.
    fn last_words(&mut self, log: &std::path::Path, begins: u64) -> String {
        let output = String::from_utf8_lossy(self.words.make_contiguous()).into_owned();
        let error = tail(log, begins).unwrap_or_default();
        format!("{}\n{}", output.trim(), error.trim())
            .trim()
            .to_owned()
    }
}

/// The end of a file, from a place on.
fn tail(path: &std::path::Path, begins: u64) -> io::Result<String> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LAST_WORDS as u64).max(begins);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a pipe on a thread of its own, which ends with it.
fn read_in_background(mut output: ChildStdout) -> io::Result<Receiver<Vec<u8>>> {
    let (sender, receiver): (SyncSender<Vec<u8>>, _) = sync_channel(WAITING);
    std::thread::Builder::new()
        .name("program's output".to_owned())
        .spawn(move || {
            let mut buffer = vec![0; 16 << 10];
            loop {
                match output.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(n) => {
                        // Where nobody listens any more the pipe is emptied all the same, so that nobody blocks on it.
                        let _ = sender.send(buffer[..n].to_vec());
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })?;
    Ok(receiver)
}
