//! The folder of a survey: one file of results, written anew after every measurement and, along a
//! slice, every few seconds.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use batchscope_files::Lock;
use batchscope_landscape::survey::{FORMAT, Measurement, SliceRecord, Survey, SurveyInfo};

use crate::{
    error::CliError,
    files::{read_text, work_alone, write_whole},
};

/// The file of results.
const FILE: &str = "landscape.json";

/// Most bytes of a survey: a quarter of a million points of a surface, and more.
const LIMIT: u64 = 256 << 20;

/// Time between two writes along a slice: a surface has so many points that a file for each would
/// be terabytes in all.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// The folder and what it holds.
pub struct SurveyFolder {
    _lock: Lock,
    path: PathBuf,
    /// When a slice's points are written next.
    next: Instant,
    /// All results so far.
    pub survey: Survey,
}

impl SurveyFolder {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// When it holds a survey of something else, or the system refuses.
    pub fn open(folder: &Path, subject: SurveyInfo) -> Result<Self, CliError> {
        let _lock = work_alone(folder, FILE)?;
        let path = folder.join(FILE);
        let next = Instant::now();
        if !path.exists() {
            let survey = Survey::new(subject);
            return Ok(Self {
                _lock,
                path,
                next,
                survey,
            });
        }
        let survey: Survey = serde_json::from_str(&read_text(&path, LIMIT)?).map_err(|e| {
            CliError::Failed(format!(
                "{} is damaged ({e}): delete it, or choose another folder with --dir",
                path.display()
            ))
        })?;
        if survey.format != FORMAT {
            return Err(CliError::Failed(format!(
                "{} has format {}, this version of batchscope reads {FORMAT}: choose another folder with --dir",
                path.display(),
                survey.format
            )));
        }
        if let Some(difference) = difference(&survey.subject, &subject) {
            return Err(CliError::flag(
                "dir",
                format!(
                    "{} holds measurements of something else ({difference}): choose another folder",
                    folder.display()
                ),
            ));
        }
        Ok(Self {
            _lock,
            path,
            next,
            survey,
        })
    }

    /// Keeps a measurement.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn add(&mut self, measured: Measurement) -> Result<(), CliError> {
        self.survey.measured.push(measured);
        self.save()
    }

    /// The stored slice like this one, or this one, kept from now on.
    pub fn slice(&mut self, like: SliceRecord) -> usize {
        let same = |stored: &SliceRecord| {
            (
                &stored.kind,
                &stored.to,
                &stored.statistics,
                &stored.coordinates,
            ) == (&like.kind, &like.to, &like.statistics, &like.coordinates)
        };
        match self.survey.slices.iter().position(same) {
            Some(index) => index,
            None => {
                self.survey.slices.push(like);
                self.survey.slices.len() - 1
            }
        }
    }

    /// Writes all of it if the last such write is some seconds past; the first is not waited for,
    /// so that a disk that fails is known of before the work.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn save_now_and_then(&mut self) -> Result<(), CliError> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.save()?;
        // counted from the end of the write, so that a slow disk is not all that works
        self.next = Instant::now() + SAVE_EVERY;
        Ok(())
    }

    /// Writes all of it, whole or not at all.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn save(&self) -> Result<(), CliError> {
        let text = serde_json::to_string(&self.survey).map_err(CliError::failed)?;
        write_whole(&self.path, text.as_bytes())
    }
}

/// The first field that differs, for the message.
fn difference(stored: &SurveyInfo, asked: &SurveyInfo) -> Option<String> {
    if stored == asked {
        return None;
    }
    let json = |subject| serde_json::to_value(subject).unwrap_or_default();
    let (stored, asked) = (json(stored), json(asked));
    let names = asked.as_object().into_iter().flat_map(|map| map.keys());
    let found = names
        .filter(|name| stored[*name] != asked[*name])
        .map(|name| format!("{name} {} there, {} here", stored[name], asked[name]))
        .next();
    Some(found.unwrap_or_else(|| "it differs".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use batchscope_landscape::survey::SurveySettings;

    use super::*;

    #[test]
    fn points_are_written_at_once_then_seconds_apart() {
        let dir = tempfile::tempdir().unwrap();
        let subject = SurveyInfo {
            model: "softmax".to_owned(),
            data: "glyphs".to_owned(),
            parameters: String::new(),
            dimension: 1,
            step: 0,
            batch_size: 1,
            learning_rate: 0.1,
            examples: 1,
            test_examples: 1,
            computed: String::new(),
            settings: SurveySettings::default(),
        };
        let mut folder = SurveyFolder::open(dir.path(), subject).unwrap();
        let file = dir.path().join("landscape.json");
        folder.save_now_and_then().unwrap();
        assert!(file.exists());
        fs::remove_file(&file).unwrap();
        // the machine would have to sleep for seconds here
        folder.save_now_and_then().unwrap();
        assert!(!file.exists());
        folder.next = Instant::now();
        folder.save_now_and_then().unwrap();
        assert!(file.exists());
    }
}
