//! The side that asks: starts the process that tries, and another one when it dies of it.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use batchscope_command::{kills_for_memory, out_of_memory};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use super::probe::{Answer, Hello, Request};
use crate::{error::CliError, signals::Signals, values::Bytes};

/// Bytes of a process's last words that are kept.
const WORDS: usize = 8192;
/// How long a process that is told to end may take beside what a program of somebody's is given.
const SLACK: Duration = Duration::from_secs(10);
/// Tells a process that it was started by this one.
const MARK: &str = "BATCHSCOPE_MEMORY_PROBE";

/// Starts processes and asks them.
pub struct Prober<'a> {
    start: Start<'a>,
    signals: &'a Signals,
    process: Option<Process>,
    /// Requests that the process has been asked.
    asked: u64,
}

/// How processes are started.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// Where they work.
    pub folder: &'a Path,
    /// The limit of their address space.
    pub within: Option<Bytes>,
    /// What they count within.
    pub counted: Bytes,
    /// How long a program has to end once it is told to.
    pub grace: Duration,
}

/// A process that answers.
struct Process {
    child: Child,
    /// `None` once it is told that there are no more.
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    words: Arc<Mutex<VecDeque<u8>>>,
    /// Processes that the kernel had killed for memory before.
    kills: Option<u64>,
    /// Its address space is limited.
    is_limited: bool,
    /// How long it may take to end.
    grace: Duration,
}

/// Why no answer came.
pub enum Silence {
    /// It died for want of memory.
    NoMemory(String),
    /// It ended by itself, with these words.
    Ended(String, ExitStatus),
    /// There is no process.
    NotStarted(std::io::Error),
    /// A signal was raised here.
    Interrupted(i32),
}

impl From<Silence> for CliError {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::NoMemory(words) => Self::failed(words),
            Silence::Ended(text, status) => Self::Told {
                text: match text.is_empty() {
                    true => format!("error: a try ended without a word: {status}"),
                    false => text,
                },
                code: status.code().unwrap_or(1).clamp(1, 255) as u8,
            },
            Silence::NotStarted(error) => {
                Self::failed(format!("no process can be started to try in: {error}"))
            }
            Silence::Interrupted(signal) => Self::Interrupted {
                signal,
                left: "no size is kept",
                resume: "the same command, which begins again".to_owned(),
            },
        }
    }
}

impl<'a> Prober<'a> {
    /// Of processes that are started so.
    pub fn new(start: Start<'a>, signals: &'a Signals) -> Self {
        Self {
            start,
            signals,
            process: None,
            asked: 0,
        }
    }

    /// Starts a process in place of the one there is, and hears what it knows.
    ///
    /// # Errors
    /// When it falls silent instead.
    pub fn begin(&mut self) -> Result<Hello, Silence> {
        self.process = None;
        let mut process = Process::start(self.start).map_err(Silence::NotStarted)?;
        let hello = process.hear(self.signals)?;
        (self.process, self.asked) = (Some(process), 0);
        Ok(hello)
    }

    /// What becomes of a size. Where a process does not bear it that has borne others before, a fresh one decides.
    ///
    /// # Errors
    /// When a process falls silent for another reason than memory.
    pub fn ask(&mut self, request: Request) -> Result<Answer, Silence> {
        let answer = self.ask_once(request)?;
        match answer {
            Answer::DoesNotFit { .. } if self.asked > 1 => self.ask_afresh(request),
            _ => Ok(answer),
        }
    }

    /// What becomes of a size in a process of its own.
    ///
    /// # Errors
    /// As [`Prober::ask`].
    pub fn ask_afresh(&mut self, request: Request) -> Result<Answer, Silence> {
        self.process = None;
        self.ask_once(request)
    }

    fn ask_once(&mut self, request: Request) -> Result<Answer, Silence> {
        if self.process.is_none() {
            self.begin()?;
        }
        self.asked += 1;
        let Some(process) = &mut self.process else {
            unreachable!("begun above")
        };
        process.tell(request);
        match process.hear(self.signals) {
            Ok(answer) => Ok(answer),
            Err(Silence::NoMemory(why)) => {
                self.process = None;
                Ok(Answer::DoesNotFit { why })
            }
            Err(other) => {
                self.process = None;
                Err(other)
            }
        }
    }
}

impl Process {
    fn start(how: Start<'_>) -> std::io::Result<Self> {
        // Of a program that has its command line from elsewhere, this one's words are none.
        if std::env::var_os(MARK).is_some() {
            let why = "a process that was started to try sizes was given no --probe";
            return Err(std::io::Error::other(why));
        }
        let mut words: Vec<_> = std::env::args_os().skip(1).collect();
        let place = words.iter().position(|word| word == "memory");
        let after = place.map_or(words.len(), |place| place + 1);
        let mut own: Vec<std::ffi::OsString> = vec!["--probe".into(), how.folder.into()];
        own.extend(["--counted".into(), how.counted.0.to_string().into()]);
        if let Some(within) = how.within {
            own.extend(["--within".into(), within.0.to_string().into()]);
        }
        words.splice(after..after, own);
        let kills = kills_for_memory();
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            .env(MARK, "1")
            // A Ctrl-C is this process's to pass on: a second signal would end the other at once.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (requests, output, errors) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (tell, answers) = channel();
        if let Some(output) = output {
            thread::Builder::new().spawn(move || {
                let mut output = BufReader::new(output);
                let mut line = Vec::new();
                while let Ok(1..) = output.read_until(b'\n', &mut line) {
                    if tell
                        .send(String::from_utf8_lossy(&line).into_owned())
                        .is_err()
                    {
                        break;
                    }
                    line.clear();
                }
            })?;
        }
        let said = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(errors) = errors {
            let said = said.clone();
            thread::Builder::new().spawn(move || keep_last(errors, &said))?;
        }
        Ok(Self {
            child,
            requests,
            answers,
            words: said,
            kills,
            is_limited: how.within.is_some(),
            grace: how.grace + SLACK,
        })
    }

    /// A process that is gone shows when it is heard.
    fn tell(&mut self, request: Request) {
        let line = serde_json::to_string(&request).unwrap_or_default();
        if let Some(requests) = &mut self.requests {
            let _ = writeln!(requests, "{line}").and_then(|()| requests.flush());
        }
    }

    fn hear<T: DeserializeOwned>(&mut self, signals: &Signals) -> Result<T, Silence> {
        loop {
            let heard = self.answers.recv_timeout(Duration::from_millis(100));
            if let Some(signal) = signals.raised() {
                return Err(Silence::Interrupted(signal));
            }
            match heard {
                // Whatever a library prints besides is no answer.
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(answer) => return Ok(answer),
                    Err(_) => continue,
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.silence()),
            }
        }
    }

    /// Why it is gone.
    fn silence(&mut self) -> Silence {
        self.requests = None;
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => return Silence::NotStarted(error),
        };
        // Its words may lag behind its end.
        thread::sleep(Duration::from_millis(50));
        let words: Vec<u8> = {
            let said = self.words.lock().unwrap_or_else(PoisonError::into_inner);
            said.iter().copied().collect()
        };
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        let killed = status.signal() == Some(Signal::KILL.as_raw())
            && self.kills.is_some()
            && kills_for_memory() > self.kills;
        // Stacks are memory too: a thread's when it is made, the first one's when it grows.
        let no_thread = self.is_limited && words.contains("Resource temporarily unavailable");
        let faults = [Signal::SEGV, Signal::BUS].map(Signal::as_raw);
        let no_stack = self.is_limited && status.signal().is_some_and(|s| faults.contains(&s));
        match out_of_memory(&words) {
            Some(line) => Silence::NoMemory(line.trim().to_owned()),
            None if killed => Silence::NoMemory("the kernel has killed it for memory".to_owned()),
            None if no_thread => Silence::NoMemory("no memory for a thread".to_owned()),
            None if no_stack => Silence::NoMemory("no memory for its stack".to_owned()),
            None => Silence::Ended(words, status),
        }
    }
}

/// Its program, if it runs one, is ended with it.
impl Drop for Process {
    fn drop(&mut self) {
        self.requests = None;
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let begun = Instant::now();
        let mut told = false;
        while let Ok(None) = self.child.try_wait() {
            // One that waits for a request has ended by now.
            if begun.elapsed() > Duration::from_millis(500) && !told {
                told = true;
                if let Some(pid) = pid {
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
            if begun.elapsed() > self.grace {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn keep_last(mut from: impl Read, into: &Mutex<VecDeque<u8>>) {
    let mut part = [0; 1024];
    while let Ok(n @ 1..) = from.read(&mut part) {
        let mut said = into.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(&part[..n]);
        let surplus = said.len().saturating_sub(WORDS);
        said.drain(..surplus);
    }
}
