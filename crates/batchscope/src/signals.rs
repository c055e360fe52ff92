//! Ctrl-C and SIGTERM: the first asks for an orderly stop, the second ends the process at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI32, Ordering},
};

use batchscope_core::{Control, Flow};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::CliError;

/// The stop token of the process: raised by the first signal.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    raised: Arc<AtomicBool>,
    number: Arc<AtomicI32>,
}

impl Signals {
    /// Starts listening.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> Result<Self, CliError> {
        let signals = Self::default();
        for signal in [SIGINT, SIGTERM] {
            let (raised, number) = (signals.raised.clone(), signals.number.clone());
            // Only async-signal-safe work here: two atomics, or leaving.
            let handler = move || {
                let first = number.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
                if first.is_err() {
                    signal_hook::low_level::exit(128 + signal);
                }
                // After the number: whoever sees the flag reads it.
                raised.store(true, Ordering::SeqCst);
            };
            // SAFETY: the handler only touches atomics or calls `_exit`, both async-signal-safe.
            unsafe { signal_hook::low_level::register(signal, handler) }
                .map_err(|e| CliError::Failed(format!("cannot listen for signal {signal}: {e}")))?;
        }
        Ok(signals)
    }

    /// The signal that was raised, if any.
    pub fn raised(&self) -> Option<i32> {
        self.raised
            .load(Ordering::SeqCst)
            .then(|| self.number.load(Ordering::SeqCst))
    }

    /// The flag itself, for those who poll it.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.raised.clone()
    }
}

impl Control for Signals {
    fn flow(&self) -> Flow {
        if self.raised.load(Ordering::Relaxed) {
            Flow::Interrupt
        } else {
            Flow::Continue
        }
    }
}
