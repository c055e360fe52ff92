//! What a person sees while something runs: a live line on a terminal, plain lines elsewhere.
//! Always on standard error; standard output is for data.

use std::{
    io::{IsTerminal, Write},
    sync::Mutex,
    time::{Duration, Instant},
};

use batchscope_report::format::{duration, plain};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Seconds between plain lines when standard error is no terminal.
const PLAIN_SECONDS: u64 = 15;

/// A progress display: a bar that counts `done` of `total` work, with an ETA and a message.
pub struct Display {
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
    quiet: bool,
}

struct Plain {
    started: Instant,
    next: Instant,
}

impl Display {
    /// A display for work measured in thousandths; silent when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let live = !quiet && std::io::stderr().is_terminal() && !crate::commands::dumb();
        let bar = live.then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template(
                "{bar:24} {percent:>3} %  {elapsed} (left {eta})  {wide_msg}",
            )
            .expect("the template is a constant")
            .progress_chars("━╸─");
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let now = Instant::now();
        Self {
            bar,
            plain: Mutex::new(Plain {
                started: now,
                next: now + Duration::from_secs(PLAIN_SECONDS),
            }),
            quiet,
        }
    }

    /// Shows how far the work is, in [0, 1], and what is being done.
    pub fn show(&self, fraction: f64, message: &str) {
        if self.quiet {
            return;
        }
        if let Some(bar) = &self.bar {
            // The total may grow while a study learns what it has to do: a bar never runs back.
            bar.set_position(
                bar.position()
                    .max((fraction.clamp(0.0, 1.0) * 1000.0) as u64),
            );
            bar.set_message(message.to_owned());
            return;
        }
        let mut plain = self
            .plain
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if now >= plain.next {
            plain.next = now + Duration::from_secs(PLAIN_SECONDS);
            let elapsed = now.duration_since(plain.started).as_secs_f64();
            let left = if fraction > 0.01 {
                elapsed * (1.0 - fraction) / fraction
            } else {
                f64::NAN
            };
            let left = if left.is_finite() {
                format!(", about {} left", duration(left))
            } else {
                String::new()
            };
            say(&format!(
                "{:3.0} %  {}{left}  {message}",
                fraction * 100.0,
                duration(elapsed)
            ));
        }
    }

    /// Prints a line that stays, above the live line if there is one; between words, it is broken
    /// where the terminal ends.
    pub fn line(&self, text: &str) {
        let text = match width() {
            Some(width) => batchscope_report::wrap(text, width, 2).join("\n"),
            None => text.to_owned(),
        };
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| say(&text)),
            None => say(&text),
        }
    }

    /// Takes the live line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Display {
    /// An error must not leave half a bar before its message.
    fn drop(&mut self) {
        self.finish();
    }
}

/// Columns for what goes to standard error: `COLUMNS` where it is set, else the terminal's; none in a
/// log, which is searched by line.
fn width() -> Option<usize> {
    let terminal = terminal_size::terminal_size_of(std::io::stderr());
    crate::commands::columns().or(terminal.map(|(width, _)| usize::from(width.0)))
}

/// Writes a line to standard error. One that went away (`2>&1 | head`) must not end a study, which
/// `eprintln!` would.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", plain(text));
}
