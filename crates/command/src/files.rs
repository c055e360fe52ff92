//! The files of a trial of a program.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use batchscope_core::{Progress, TrainerError, TrialDriver, TrialSpec};
use batchscope_files::write;
use batchscope_tensorboard::is_event_file;

/// The files of a trial.
pub(crate) struct Files {
    pub folder: PathBuf,
}

impl Files {
    pub fn log(&self) -> PathBuf {
        self.folder.join("output.log")
    }

    pub fn events(&self) -> PathBuf {
        self.folder.join("events.jsonl")
    }

    pub fn stop(&self) -> PathBuf {
        self.folder.join("stop")
    }

    fn progress(&self) -> PathBuf {
        self.folder.join("progress.json")
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.folder.join("checkpoint")
    }

    /// The folder of checkpoints, made where it is not there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn prepare(&self) -> Result<(), TrainerError> {
        let folder = self.checkpoint();
        fs::create_dir_all(&folder).map_err(|source| TrainerError::File {
            what: "cannot create the folder",
            path: folder,
            source,
        })
    }

    /// True where the program has saved something besides its reports: event files, and the CSV file `report`.
    pub fn has_checkpoint(&self, report: Option<&Path>) -> bool {
        holds_more(&self.checkpoint(), report)
    }

    /// Removes what the program has saved.
    pub fn clear(&self) {
        let _ = fs::remove_dir_all(self.checkpoint());
    }

    /// Removes everything but the log.
    pub fn forget(&self) {
        self.clear();
        for file in [self.events(), self.stop(), self.progress()] {
            let _ = fs::remove_file(file);
        }
    }

    /// Keeps what is needed to go on.
    pub fn save(&self, driver: &TrialDriver<'_>) {
        let saved = Saved {
            spec: driver.spec().clone(),
            progress: driver.progress().clone(),
        };
        if let Ok(bytes) = serde_json::to_vec(&saved) {
            // Without it the trial begins again: nothing finished is lost.
            let _ = write(&self.progress(), &bytes);
        }
    }

    /// What was kept of a trial, if it is this one.
    pub fn saved(&self, spec: &TrialSpec) -> Option<Progress> {
        let bytes = fs::read(self.progress()).ok()?;
        let saved: Saved = serde_json::from_slice(&bytes).ok()?;
        same(&saved.spec, spec).then_some(saved.progress)
    }

    /// The log, opened for the next run, under the words that run, and its length before that run's own.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open_log(&self, words: &[String]) -> Result<(File, u64), TrainerError> {
        let path = self.log();
        let cannot = |source| TrainerError::File {
            what: "cannot write",
            path: path.clone(),
            source,
        };
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = opened.map_err(cannot)?;
        // On a line of their own, so that the run can be repeated by hand.
        let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        writeln!(file, "$ {}", quoted.join(" ")).map_err(cannot)?;
        let begins = file.metadata().map_err(cannot)?.len();
        Ok((file, begins))
    }
}

/// True where a folder, or one within, has a file that is no report.
fn holds_more(folder: &Path, report: Option<&Path>) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => holds_more(&path, report),
            _ => !is_event_file(&path) && report.is_none_or(|report| !is_same(report, &path)),
        }
    })
}

fn is_same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    a == b || real(a).is_some_and(|a| real(b) == Some(a))
}

/// What is known of an interrupted trial.
#[derive(serde::Serialize, serde::Deserialize)]
struct Saved {
    /// The trial, by its settings.
    spec: TrialSpec,
    progress: Progress,
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The same trial, whatever its number.
fn same(a: &TrialSpec, b: &TrialSpec) -> bool {
    let plain = |spec: &TrialSpec| TrialSpec {
        id: 0,
        curves: Vec::new(),
        ..spec.clone()
    };
    plain(a) == plain(b)
}
