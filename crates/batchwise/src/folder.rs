//! A study's folder: where its files are, and what of them is not the store's.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

use batchwise_core::StepTiming;
use batchwise_report::HowRun;
use serde::{Deserialize, Serialize};

use crate::{error::CliError, machine, settings::StudySettings};

/// The folder.
#[derive(Debug, Clone)]
pub struct StudyFolder(pub PathBuf);

/// How and where a study ran, and the step times measured at its end: kept beside the store, so
/// that reports can be written again anywhere.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunFacts {
    /// For the report.
    pub how: HowRun,
    /// Step times, alone on the machine.
    #[serde(default)]
    pub timings: Vec<StepTiming>,
    /// Price of a device per hour, as asked for.
    #[serde(default)]
    pub price_per_hour: Option<f64>,
    /// Watts of a device, as asked for.
    #[serde(default)]
    pub watts: Option<f64>,
}

impl StudyFolder {
    /// The folder of a study that exists.
    ///
    /// # Errors
    /// [`CliError::NoStudy`].
    pub fn existing(path: &Path) -> Result<Self, CliError> {
        let folder = Self(path.to_owned());
        for missing in ["study.db", "study.toml"] {
            if !path.join(missing).is_file() {
                return Err(CliError::NoStudy {
                    path: path.to_owned(),
                    missing,
                });
            }
        }
        Ok(folder)
    }

    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(path: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(path)
            .map_err(|e| CliError::file("cannot create the study's folder", path, e))?;
        Ok(Self(path.to_owned()))
    }

    /// The trials.
    pub fn database(&self) -> PathBuf {
        self.0.join("study.db")
    }

    /// Checkpoints of unfinished trials.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// The resolved settings.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn settings(&self) -> Result<StudySettings, CliError> {
        StudySettings::read(&self.0.join("study.toml"))
    }

    /// Writes the resolved settings, whole or not at all.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_settings(&self, settings: &StudySettings) -> Result<String, CliError> {
        let text = format!(
            "# A study by batchwise {}. `batchwise study --dir {}` resumes it.\n\n{}",
            env!("CARGO_PKG_VERSION"),
            self.0.display(),
            settings.to_table()
        );
        write_whole(&self.0.join("study.toml"), text.as_bytes())?;
        Ok(text)
    }

    /// The facts of earlier runs; the default where there were none.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is damaged.
    pub fn facts(&self) -> Result<RunFacts, CliError> {
        let path = self.0.join("run.json");
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(RunFacts::default()),
            text => text.map_err(|e| CliError::file("cannot read", &path, e))?,
        };
        serde_json::from_str(&text).map_err(|e| {
            CliError::Failed(format!(
                "{} is damaged ({e}): delete it and run the command again; step times and how the \
                 study ran are lost, its trials are not",
                path.display()
            ))
        })
    }

    /// Writes the facts, whole or not at all.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_facts(&self, facts: &RunFacts) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(facts).map_err(CliError::failed)?;
        write_whole(&self.0.join("run.json"), text.as_bytes())
    }

    /// The log, opened for appending.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn log(&self) -> Result<Log, CliError> {
        let path = self.0.join("run.log");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| CliError::file("cannot write", &path, e))?;
        Ok(Log(Mutex::new(file)))
    }
}

/// `run.log`: what happened, a line each, with the time.
pub struct Log(Mutex<File>);

impl Log {
    /// Appends a line. A log that cannot be written must not end a study, which has its own store.
    pub fn line(&self, text: &str) {
        let mut file = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = writeln!(file, "{} {text}", machine::now());
    }
}

/// Writes a file to a temporary name, then renames it.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let temporary = path.with_extension("tmp");
    File::create(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|e| {
            let _ = fs::remove_file(&temporary);
            CliError::file("cannot write", path, e)
        })
}
