//! What can go wrong at the command line, and the exit code it ends with.

use std::path::{Path, PathBuf};

use batchscope_core::{SettingError, TrainerError};
use batchscope_study::{Remedy, StoreError, StudyError};
use thiserror::Error;

/// Everything that ends a command early.
#[derive(Debug, Error)]
pub enum CliError {
    /// A flag's value makes no sense.
    #[error("--{flag}: {why}")]
    Flag {
        /// The flag, without dashes; also its key in `study.toml`.
        flag: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A name, path or word on the command line is none that there is.
    #[error("{0}")]
    Usage(String),
    /// A settings file holds what it should not.
    #[error("settings file {}: {why}", path.display())]
    SettingsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{what} {}: {why}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said; named so that it is not told twice, as a cause.
        why: std::io::Error,
    },
    /// There is no study where one was named.
    #[error("{} is not a study folder: it has no {missing}", path.display())]
    NoStudy {
        /// The folder.
        path: PathBuf,
        /// The file looked for.
        missing: &'static str,
    },
    /// A crate below refused or failed.
    #[error("{0}")]
    Failed(String),
    /// A process of this program's has failed, and has told why.
    #[error("{text}")]
    Told {
        /// Its words, as standard error shows them.
        text: String,
        /// Its exit code.
        code: u8,
    },
    /// Stopped by a signal; the work is saved.
    #[error("interrupted; {left}; resume with: {resume}")]
    Interrupted {
        /// The signal's number.
        signal: i32,
        /// What is saved, and what is left to do.
        left: &'static str,
        /// The command that resumes.
        resume: String,
    },
}

impl From<TrainerError> for CliError {
    fn from(error: TrainerError) -> Self {
        Self::trainer(error)
    }
}

impl CliError {
    /// A flag's value makes no sense.
    pub fn flag(flag: impl Into<String>, why: impl ToString) -> Self {
        Self::Flag {
            flag: flag.into(),
            why: why.to_string(),
        }
    }

    /// A file could not be read or written.
    pub fn file(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File {
            what,
            path: path.to_owned(),
            why: source,
        }
    }

    /// Data could not be read or fetched; a setting that does not go with them is its flag's fault,
    /// a path or name that does not exist a wrong use of the command.
    pub fn data(error: batchscope_data::DataError) -> Self {
        use batchscope_data::DataError::{NoSuchPath, NotFetched, Setting, UnknownName};
        match error {
            Setting { setting, why } => Self::flag(setting, why),
            NotFetched { name } => Self::Usage(format!(
                "{name}: there is no such file or folder; download it with `batchscope data fetch {name}` and give that folder"
            )),
            NoSuchPath { .. } | UnknownName { .. } => Self::Usage(error.to_string()),
            error => Self::failed(error),
        }
    }

    /// A trainer refused or failed; a setting that it cannot have is its flag's fault.
    pub fn trainer(error: impl Into<TrainerError>) -> Self {
        match error.into() {
            TrainerError::Setting(SettingError { key, why }) => Self::flag(key, why),
            error => Self::failed(error),
        }
    }

    /// A single run was stopped by a signal, and is saved or lost.
    pub fn run_interrupted(signal: i32, is_saved: bool) -> Self {
        let (left, resume) = match is_saved {
            true => ("the run is saved", "the same command"),
            false => (
                "the run was not saved",
                "nothing: it starts anew; with --checkpoint DIR it would be saved",
            ),
        };
        Self::Interrupted {
            signal,
            left,
            resume: resume.to_owned(),
        }
    }

    /// A settings file holds what it should not.
    pub fn settings(path: &Path, why: String) -> Self {
        Self::SettingsFile {
            path: path.to_owned(),
            why,
        }
    }

    /// A crate below failed.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// What to do about it, where the message does not say so itself.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::SettingsFile { .. } => {
                Some("its keys are the long flags of `batchscope study --help`, without dashes")
            }
            Self::NoStudy { .. } => Some("name the folder that `batchscope study --dir DIR` wrote"),
            Self::Flag { .. }
            | Self::Usage(_)
            | Self::File { .. }
            | Self::Failed(_)
            | Self::Told { .. }
            | Self::Interrupted { .. } => None,
        }
    }

    /// What standard error shows: the message, and under it the help where there is some.
    pub fn text(&self) -> String {
        match self.help() {
            _ if matches!(self, Self::Told { .. }) => self.to_string(),
            Some(help) => format!("error: {self}\n  help: {help}"),
            None => format!("error: {self}"),
        }
    }

    /// A study or its store failed: what happened, and what can be done about it.
    pub fn study(error: impl Into<StudyError>) -> Self {
        let error = match error.into() {
            StudyError::Plan(SettingError { key, why }) => return Self::flag(key, why),
            StudyError::Store(error @ StoreError::LongPath { .. }) => {
                return Self::flag("dir", error);
            }
            error => error,
        };
        let remedies: Vec<String> = error.remedies().iter().map(remedy).collect();
        Self::Failed(match &remedies[..] {
            [] => error.to_string(),
            remedies => format!("{error}: {}", remedies.join(", or ")),
        })
    }

    /// 1 failed, 2 usage, 128 + signal when interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Flag { .. }
            | Self::Usage(_)
            | Self::SettingsFile { .. }
            | Self::NoStudy { .. } => 2,
            Self::File { .. } | Self::Failed(_) => 1,
            Self::Told { code, .. } => *code,
            Self::Interrupted { signal, .. } => {
                128u8.saturating_add(u8::try_from(*signal).unwrap_or(0))
            }
        }
    }
}

/// A remedy as a request, with flags as they are typed.
fn remedy(remedy: &Remedy) -> String {
    match remedy {
        Remedy::EndHolder => "wait for it to end, or stop it".to_owned(),
        Remedy::LaterVersion => "use that version or a later one".to_owned(),
        Remedy::OnlyRead => "read it with `report`, `trials` and `export`".to_owned(),
        Remedy::OtherFolder => "choose another --dir".to_owned(),
        Remedy::MoveAway(path) => format!(
            "move {} away to start the study from the beginning",
            path.display()
        ),
        Remedy::RestoreCopy(path) => format!("restore {} from a copy", path.display()),
        Remedy::GoOnWithout(path) => {
            format!("remove {} to go on with what is left", path.display())
        }
        Remedy::FreeSpace => "free some space and run the same command again".to_owned(),
        Remedy::RunAgain => {
            "remove the cause and run the same command again; failed trials are tried again"
                .to_owned()
        }
        Remedy::KeepSetting { key, value } => format!("keep {key} at {value}"),
        Remedy::ChangeSetting { key, to } => format!("give --{key} {to}"),
        Remedy::Report => "please report it, as a fault of batchscope".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_its_message_and_its_help() {
        let plain = CliError::flag("seeds", "must be at least 1");
        assert_eq!(plain.text(), "error: --seeds: must be at least 1");
        let helped = CliError::NoStudy {
            path: "here".into(),
            missing: "study.db",
        };
        assert_eq!(
            helped.text(),
            "error: here is not a study folder: it has no study.db\n  \
             help: name the folder that `batchscope study --dir DIR` wrote"
        );
    }

    #[test]
    fn a_failed_study_says_what_to_do_in_flags() {
        let locked = StoreError::Locked {
            path: "s/study.db".into(),
            holder: Some(7),
        };
        assert_eq!(
            CliError::study(locked).to_string(),
            "s/study.db is in use by process 7: wait for it to end, or stop it, or choose another --dir"
        );
        let hard = StudyError::TargetNotReached {
            target: "val-error=0.1".parse().unwrap(),
            batch_size: 64,
            epochs: Some(10.0),
            best: Some(0.25),
        };
        let said = CliError::study(hard).to_string();
        for part in ["0.25", "--target", "--pilot-epochs", "--learning-rates"] {
            assert!(said.contains(part), "{said}");
        }
        let other = StudyError::Mismatch {
            key: "seed".to_owned(),
            stored: "1".to_owned(),
            given: "2".to_owned(),
        };
        assert_eq!(
            CliError::study(other).to_string(),
            "the stored study has seed = 1, not 2: keep seed at 1, or choose another --dir"
        );
    }
}
