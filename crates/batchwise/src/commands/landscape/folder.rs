//! The folder of a survey: one file of results, written anew after every measurement and point.

use std::{
    fs,
    path::{Path, PathBuf},
};

use batchwise_landscape::survey::{FORMAT, Measured, SliceRecord, Subject, Survey};

use crate::{
    error::CliError,
    files::{read_text, write_whole},
};

/// Most bytes of a survey: a quarter of a million points of a surface, and more.
const LIMIT: u64 = 256 << 20;

/// The folder and what it holds.
pub struct SurveyFolder {
    path: PathBuf,
    /// All results so far.
    pub survey: Survey,
}

impl SurveyFolder {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// When it holds a survey of something else, or the system refuses.
    pub fn open(folder: &Path, subject: Subject) -> Result<Self, CliError> {
        fs::create_dir_all(folder)
            .map_err(|e| CliError::file("cannot create the folder", folder, e))?;
        let path = folder.join("landscape.json");
        if !path.exists() {
            let survey = Survey::new(subject);
            return Ok(Self { path, survey });
        }
        let survey: Survey = serde_json::from_str(&read_text(&path, LIMIT)?).map_err(|e| {
            CliError::Failed(format!(
                "{} is damaged ({e}): delete it, or choose another folder with --dir",
                path.display()
            ))
        })?;
        if survey.format != FORMAT {
            return Err(CliError::Failed(format!(
                "{} has format {}, this version of batchwise reads {FORMAT}: choose another folder with --dir",
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
        Ok(Self { path, survey })
    }

    /// Keeps a measurement.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn add(&mut self, measured: Measured) -> Result<(), CliError> {
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
fn difference(stored: &Subject, asked: &Subject) -> Option<String> {
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
