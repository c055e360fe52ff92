//! A running program, with everything that it starts here, and its job where Slurm runs it.

use std::{
    ffi::OsStr,
    io,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::{orphans, slurm::Job};

/// How long a program may take to end after its own end has been asked for and SIGKILL sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program in a process group of its own. Dropped, it is killed with all that it has started.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    /// What its environment holds under [`orphans::MARK`], by which its descendants are known.
    mark: String,
    /// Its job, where the words begin with a client of Slurm.
    job: Option<Job>,
    ended: Option<ExitStatus>,
}

/// How a program that was told to stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// By itself, within its time.
    Gracefully(ExitStatus),
    /// It had to be killed.
    Killed,
}

impl Child {
    /// Starts a program, under its job's name where Slurm runs it: its words, what its environment holds besides, the folder it runs in. Its standard
    /// error goes to `log`; nothing is on its standard input.
    ///
    /// # Errors
    /// When there is no such program, or the system refuses.
    pub fn start(
        words: &[String],
        environment: &[(String, String)],
        folder: Option<&Path>,
        log: std::fs::File,
        mark: &str,
    ) -> io::Result<(Self, std::process::ChildStdout)> {
        let job = Job::of(words, Path::new(mark));
        let words = match &job {
            Some(job) => job.named(words.to_vec()),
            None => words.to_vec(),
        };
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::other("there is no program"))?;
        let mut command = Command::new(OsStr::new(program));
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env(orphans::MARK, mark)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(target_os = "linux")]
        die_with_parent(&mut command);
        let mut child = command.spawn()?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("its standard output is not to be had"))?;
        let child = Self {
            child,
            mark: mark.to_owned(),
            job,
            ended: None,
        };
        Ok((child, output))
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system refuses to say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Its job, where Slurm runs it.
    pub(crate) fn job(&self) -> Option<&Job> {
        self.job.as_ref()
    }

    /// Tells it to stop (SIGTERM to its group, or to its job), waits for `grace`, and kills it where it has not. `meanwhile` is
    /// called while it is waited for, so that its output is read on: a program that cannot write cannot end.
    pub fn stop(&mut self, grace: Duration, meanwhile: &mut dyn FnMut()) -> Stopped {
        if let Ok(Some(status)) = self.ended() {
            self.sweep();
            return Stopped::Gracefully(status);
        }
        match &self.job {
            // Slurm's client would end the job at once.
            Some(job) => job.terminate(),
            None => self.signal(Signal::Terminate),
        }
        let until = Instant::now() + grace;
        while Instant::now() < until {
            meanwhile();
            if let Ok(Some(status)) = self.ended() {
                self.sweep();
                return Stopped::Gracefully(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        Stopped::Killed
    }

    /// Kills what it has left behind. To be called once it has ended.
    pub fn sweep(&mut self) {
        self.signal(Signal::Kill);
        orphans::kill_marked(&self.mark);
        if let Some(job) = &self.job {
            job.kill();
        }
    }

    /// Kills it, and everything that it has started.
    fn kill(&mut self) {
        // Before its client is gone, which says how it ended.
        if let Some(job) = &self.job {
            job.kill();
        }
        self.signal(Signal::Kill);
        let _ = self.child.kill();
        let until = Instant::now() + PATIENCE;
        while self.ended().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.sweep();
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) {
        use rustix::process::{Pid, kill_process_group};
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, signal.rustix());
        }
    }

    #[cfg(not(unix))]
    fn signal(&mut self, _: Signal) {
        let _ = self.child.kill();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

/// The program is killed where this process is: a coordinator that dies leaves nobody training.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, set_parent_process_death_signal};
    let ask = || set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; this makes one, prctl.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, ask);
    }
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Terminate,
    Kill,
}

#[cfg(unix)]
impl Signal {
    fn rustix(self) -> rustix::process::Signal {
        match self {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        }
    }
}
