//! A study's folder: where its files are, and what of them is not the store's.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

use batchscope_core::StepTiming;
use batchscope_report::{HowRun, format::plain};
use serde::{Deserialize, Serialize};

use crate::{
    error::CliError,
    files::{read_text, write_whole},
    machine,
    settings::StudySettings,
};

/// Most bytes of `run.json`: far more than settings, decisions and timings ever take.
const FACTS_LIMIT: u64 = 64 << 20;

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
    /// The folder that a relative `data` of `study.toml` starts from, relative to the study's own
    /// folder: see [`StudyFolder::settings`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_from: Option<String>,
    /// Price of a device per hour, as asked for.
    #[serde(default)]
    pub price_per_hour: Option<f64>,
    /// Watts of a device, as asked for.
    #[serde(default)]
    pub watts: Option<f64>,
    /// CRC-32 of the rest, in hexadecimal digits: step times that somebody altered are no measurements.
    /// Studies by 0.1.0 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

impl RunFacts {
    /// The checksum of everything else.
    fn checksum(&self) -> Result<String, CliError> {
        let facts = Self {
            checksum: None,
            ..self.clone()
        };
        let text = serde_json::to_string(&facts).map_err(CliError::failed)?;
        Ok(format!("{:08x}", crc32fast::hash(text.as_bytes())))
    }
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

    /// Logs and files of the runs of a program.
    pub fn trials(&self) -> PathBuf {
        self.0.join("trials")
    }

    /// The resolved settings.
    ///
    /// `study.toml` keeps `data` as it was typed, because the report shows it and a path of somebody's
    /// machine is nobody else's business. So that the study can be resumed from anywhere, `run.json`,
    /// which is not shown, remembers how to get from this folder to the one a relative path starts
    /// from; a study that is moved together with its data finds them still.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn settings(&self) -> Result<StudySettings, CliError> {
        let mut settings = StudySettings::read(&self.0.join("study.toml"))?;
        let from = self.facts()?.data_from;
        let from = from.map(|from| self.0.join(from));
        if !settings.branching.checkpoints.is_empty() {
            settings.branching.checkpoints_from.clone_from(&from);
        }
        settings.workload.data.data_from = from;
        Ok(settings)
    }

    /// The settings of a run in this folder, which need not exist: flags over a `--config` file over
    /// the folder's own `study.toml`.
    ///
    /// # Errors
    /// When a file cannot be read or holds what it should not.
    pub fn settings_under(
        &self,
        flags: StudySettings,
        config: Option<&Path>,
    ) -> Result<StudySettings, CliError> {
        flags.check_counts()?;
        let mut settings = flags;
        if let Some(path) = config {
            if !path.exists() {
                let why = format!("there is no file {}", path.display());
                return Err(CliError::flag("config", why));
            }
            settings = settings.over(StudySettings::read(path)?)?;
        }
        if self.0.join("study.toml").exists() {
            settings = settings.over(self.settings()?)?;
        }
        Ok(settings)
    }

    /// Remembers where relative paths of the settings start from: `data`, and checkpoints that are branched.
    ///
    /// # Errors
    /// When the system refuses, or the facts of earlier runs are damaged.
    pub fn remember_start(&self, settings: &StudySettings) -> Result<(), CliError> {
        let branching = &settings.branching;
        let checkpoints = || {
            let here = || PathBuf::from(".");
            let from = branching.checkpoints_from.clone();
            (!branching.checkpoints.is_empty()).then(|| from.unwrap_or_else(here))
        };
        let start = settings.workload.data.start().or_else(checkpoints);
        let from = start.and_then(|start| {
            let (start, own) = (start.canonicalize().ok()?, self.0.canonicalize().ok()?);
            let path = pathdiff::diff_paths(start, own)?;
            path.to_str().map(str::to_owned)
        });
        let mut facts = self.facts()?;
        if facts.data_from != from {
            facts.data_from = from;
            self.write_facts(&facts)?;
        }
        Ok(())
    }

    /// Writes the resolved settings, whole or not at all.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_settings(&self, settings: &StudySettings) -> Result<String, CliError> {
        let text = format!(
            "# A study by batchscope {}. `{}` resumes it.\n\
             # A relative `data` starts from the folder in which the study was begun, which run.json\n\
             # remembers; give --data again if the data have moved.\n\n{}",
            env!("CARGO_PKG_VERSION"),
            crate::commands::study::resume_command(settings.command(), &self.0),
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
        if !path.exists() {
            return Ok(RunFacts::default());
        }
        let text = read_text(&path, FACTS_LIMIT)?;
        let damaged = |why: String| {
            CliError::Failed(format!(
                "{} {why}: delete it and run the command again; step times and how the study ran are \
                 lost, its trials are not",
                path.display()
            ))
        };
        let facts: RunFacts =
            serde_json::from_str(&text).map_err(|e| damaged(format!("is damaged ({e})")))?;
        if let Some(checksum) = &facts.checksum
            && *checksum != facts.checksum()?
        {
            return Err(damaged("is not as it was written".to_owned()));
        }
        Ok(facts)
    }

    /// Writes the facts, whole or not at all.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_facts(&self, facts: &RunFacts) -> Result<(), CliError> {
        let facts = RunFacts {
            checksum: Some(facts.checksum()?),
            ..facts.clone()
        };
        let text = serde_json::to_string_pretty(&facts).map_err(CliError::failed)?;
        write_whole(&self.0.join("run.json"), text.as_bytes())
    }

    /// Removes what runs that were killed had left half written. Nobody else may be at work here.
    pub fn sweep(&self) {
        for folder in [self.0.clone(), self.checkpoints(), self.0.join("figures")] {
            batchscope_files::sweep(&folder);
        }
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
        let _ = writeln!(file, "{} {}", machine::now(), plain(text));
    }
}
