//! What stops a piece of work from inside as well as from outside.

use std::sync::atomic::{AtomicBool, Ordering};

use batchscope_core::{Control, Flow};

/// Asks to stop once they are pulled, or when somebody outside wants everything to.
pub(crate) struct Reins<'a> {
    outer: &'a dyn Control,
    pulled: AtomicBool,
}

impl<'a> Reins<'a> {
    /// Slack.
    pub(crate) fn new(outer: &'a dyn Control) -> Self {
        Self {
            outer,
            pulled: AtomicBool::new(false),
        }
    }

    /// Asks to stop from now on.
    pub(crate) fn pull(&self) {
        self.pulled.store(true, Ordering::Relaxed);
    }

    /// Whether they were pulled.
    pub(crate) fn pulled(&self) -> bool {
        self.pulled.load(Ordering::Relaxed)
    }
}

impl Control for Reins<'_> {
    fn flow(&self) -> Flow {
        match self.pulled() {
            true => Flow::Interrupt,
            false => self.outer.flow(),
        }
    }
}
