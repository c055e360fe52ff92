use batchscope_core::{Control, Flow, Group, GroupError};

/// What member 0 of a group knows before a step, on every member: so all of them stop or save after the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StopSignal {
    flow: Flow,
    race_bound: Option<u64>,
    /// It is time to save the run.
    pub save_is_due: bool,
}

impl StopSignal {
    /// Asks on member 0, and hears on the others.
    ///
    /// # Errors
    /// When a member is lost.
    pub fn agreed(
        control: &dyn Control,
        save_is_due: bool,
        group: &dyn Group,
    ) -> Result<Self, GroupError> {
        // No trial has as many steps as stand for no bound.
        let mut words = [
            u64::from(control.flow() == Flow::Interrupt),
            control.race_bound().unwrap_or(u64::MAX),
            u64::from(save_is_due),
        ];
        if group.size() > 1 {
            group.broadcast(&mut words, 0)?;
        }
        let [interrupt, bound, save] = words;
        Ok(Self {
            flow: match interrupt {
                0 => Flow::Continue,
                _ => Flow::Interrupt,
            },
            race_bound: Some(bound).filter(|&bound| bound != u64::MAX),
            save_is_due: save != 0,
        })
    }
}

impl Control for StopSignal {
    fn flow(&self) -> Flow {
        self.flow
    }

    fn race_bound(&self) -> Option<u64> {
        self.race_bound
    }
}

#[cfg(test)]
mod tests {
    use batchscope_group::ThreadGroup;

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
            std::thread::scope(|scope| {
                for (rank, member) in ThreadGroup::members(3).into_iter().enumerate() {
                    scope.spawn(move || {
                        let told = Bound(if rank == 0 { bound } else { Some(7) });
                        let due = (rank == 0) == bound.is_some();
                        let signal = StopSignal::agreed(&told, due, &member).unwrap();
                        assert_eq!(signal.race_bound(), bound, "member {rank}");
                        assert_eq!(signal.flow() == Flow::Interrupt, bound.is_some());
                        assert_eq!(signal.save_is_due, bound.is_some());
                    });
                }
            });
        }
    }
}
