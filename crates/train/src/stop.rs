use std::sync::{Mutex, PoisonError};

use batchscope_core::{Control, Flow, Group, GroupError};

use crate::TrainError;

/// What member 0 of a group is told to do, on every member: all of them stop after the same step.
pub(crate) struct StopSignal<'a> {
    control: &'a dyn Control,
    group: &'a dyn Group,
    /// Why the members could not agree.
    failure: Mutex<Option<GroupError>>,
}

impl<'a> StopSignal<'a> {
    pub fn new(control: &'a dyn Control, group: &'a dyn Group) -> Self {
        Self {
            control,
            group,
            failure: Mutex::new(None),
        }
    }

    /// # Errors
    /// When the members could not agree; they are told to stop then.
    pub fn check(&self) -> Result<(), TrainError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match failure.take() {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    /// Member 0's number, on every member; `None` if one of them is lost.
    fn agreed(&self, number: impl FnOnce() -> u64) -> Option<u64> {
        if self.group.size() == 1 {
            return Some(number());
        }
        let number = number();
        // Groups exchange single precision, which holds 24 bits of a number exactly.
        let mut parts = [48, 24, 0].map(|shift| ((number >> shift) & 0xff_ffff) as f32);
        match self.group.broadcast(&mut parts, 0) {
            Ok(()) => Some(parts.iter().fold(0, |sum, &part| (sum << 24) | part as u64)),
            Err(error) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        }
    }
}

impl Control for StopSignal<'_> {
    fn flow(&self) -> Flow {
        match self.agreed(|| u64::from(self.control.flow() == Flow::Interrupt)) {
            Some(0) => Flow::Continue,
            _ => Flow::Interrupt,
        }
    }

    /// `u64::MAX` stands for no bound: no trial has as many steps.
    fn race_bound(&self) -> Option<u64> {
        self.agreed(|| self.control.race_bound().unwrap_or(u64::MAX))
            .filter(|&bound| bound != u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bound(Option<u64>);

    impl Control for Bound {
        fn flow(&self) -> Flow {
            match self.0 {
                None => Flow::Continue,
                Some(_) => Flow::Interrupt,
            }
        }

        fn race_bound(&self) -> Option<u64> {
            self.0
        }
    }

    #[test]
    fn every_member_hears_what_member_0_is_told() {
        for bound in [None, Some(1), Some((1 << 53) + 1), Some(u64::MAX - 1)] {
            let members = crate::testing::ThreadGroup::members(3);
            std::thread::scope(|scope| {
                for (rank, member) in members.iter().enumerate() {
                    scope.spawn(move || {
                        let told = Bound(if rank == 0 { bound } else { Some(7) });
                        let signal = StopSignal::new(&told, member);
                        assert_eq!(signal.race_bound(), bound, "member {rank}");
                        assert_eq!(signal.flow() == Flow::Interrupt, bound.is_some());
                        assert!(signal.check().is_ok());
                    });
                }
            });
        }
    }
}
