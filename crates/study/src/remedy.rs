use std::path::PathBuf;

/// What a person can do about an error. The program that shows the error puts it into words and
/// knows how its settings are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Wait until the process that holds the study ends, or stop it.
    EndHolder,
    /// Use the version that wrote the study, or a later one.
    LaterVersion,
    /// List, report and export the study as it is.
    OnlyRead,
    /// Study in another folder.
    OtherFolder,
    /// Move this file away; the study then starts from the beginning.
    MoveAway(PathBuf),
    /// Restore this file from a copy.
    RestoreCopy(PathBuf),
    /// Remove this file, which knows that something is missing, and go on with what is left.
    GoOnWithout(PathBuf),
    /// Free some space on the disk and run the study again: it resumes.
    FreeSpace,
    /// Remove the cause and run the study again: it resumes, and failed trials are tried again.
    RunAgain,
    /// Give a setting the value it had.
    KeepSetting {
        /// Its key.
        key: String,
        /// The value it had.
        value: String,
    },
    /// Choose another value for a setting.
    ChangeSetting {
        /// Its key.
        key: &'static str,
        /// Which: `an easier value`.
        to: String,
    },
    /// Report it: the fault is batchscope's own.
    Report,
}
