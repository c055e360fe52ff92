//! The files of a trial of a program.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
};

use batchscope_core::{Progress, TrainerError, TrialDriver, TrialSpec};
use batchscope_files::write;

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

    /// True where the program has saved something.
    pub fn has_checkpoint(&self) -> bool {
        fs::read_dir(self.checkpoint()).is_ok_and(|mut entries| entries.next().is_some())
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
        writeln!(file, "$ {}", words.join(" ")).map_err(cannot)?;
        let begins = file.metadata().map_err(cannot)?.len();
        Ok((file, begins))
    }
}

/// What is known of an interrupted trial.
#[derive(serde::Serialize, serde::Deserialize)]
struct Saved {
    /// The trial, by its settings.
    spec: TrialSpec,
    progress: Progress,
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
