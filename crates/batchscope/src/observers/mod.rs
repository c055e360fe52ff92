//! What watches a running study, one file each.

mod progress_line;
mod run_log;
mod saved_settings;

pub use progress_line::ProgressLine;
pub use run_log::RunLog;
pub use saved_settings::SavedSettings;
