//! A stop that a piece of work can ask for itself, beside the one from outside.

use std::sync::atomic::{AtomicBool, Ordering};

use batchscope_core::{Control, Flow};

/// Asks to stop after [`StopSignal::interrupt`], or when the outer control does.
pub(crate) struct StopSignal<'a> {
    outer: &'a dyn Control,
    interrupted: AtomicBool,
}

impl<'a> StopSignal<'a> {
    /// A signal that for now only passes on what `outer` asks for.
    pub(crate) fn new(outer: &'a dyn Control) -> Self {
        Self {
            outer,
            interrupted: AtomicBool::new(false),
        }
    }

    /// Asks to stop from now on.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Whether [`StopSignal::interrupt`] was called; a stop from outside does not count.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Control for StopSignal<'_> {
    fn flow(&self) -> Flow {
        if self.is_interrupted() {
            Flow::Interrupt
        } else {
            self.outer.flow()
        }
    }
}
