use std::sync::Once;

use batchscope_study::{Observer, Plan, StudyEvent};

use crate::{
    folder::{Log, StudyFolder},
    resolve,
    settings::StudySettings,
};

/// Saves a study's settings in its folder as soon as the store has accepted the plan, which the
/// first stage tells: a study that is killed can then be resumed by its folder alone.
pub struct SavedSettings<'a> {
    folder: &'a StudyFolder,
    settings: &'a StudySettings,
    plan: &'a Plan,
    log: &'a Log,
    once: Once,
}

impl<'a> SavedSettings<'a> {
    /// Of a study about to run; a failure to save goes to the log.
    pub fn new(
        folder: &'a StudyFolder,
        settings: &'a StudySettings,
        plan: &'a Plan,
        log: &'a Log,
    ) -> Self {
        Self {
            folder,
            settings,
            plan,
            log,
            once: Once::new(),
        }
    }

    fn save(&self) {
        let saved = self.folder.remember_start(self.settings).and_then(|()| {
            let resolved = resolve::resolved(self.settings, self.plan);
            self.folder.write_settings(&resolved)
        });
        if let Err(error) = saved {
            self.log.line(&error.to_string());
        }
    }
}

impl Observer for SavedSettings<'_> {
    fn observe(&self, event: &StudyEvent) {
        if matches!(event, StudyEvent::Stage { .. }) {
            self.once.call_once(|| self.save());
        }
    }
}
