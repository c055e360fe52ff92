//! Which files of a source are its parts, where a setting says so.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::paths::{file_name, within};
use crate::readers::split_names::SplitName;

/// Files or folders of the parts, relative to the source (for a single file: to its folder). A part
/// that is named here is read from there and nowhere else; the others are inferred from names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartPaths {
    /// What is trained on.
    pub train: Option<String>,
    /// The validation part.
    pub validation: Option<String>,
    /// The test part.
    pub test: Option<String>,
}

/// The part that a path belongs to by the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// This part; the setting's path has so many components.
    Part(SplitName, usize),
    /// None, though the settings name the training part: it is left out.
    Outside,
    /// Nothing is said: names decide.
    Unsaid,
}

/// Where a file of its own belongs, such as a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// This part.
    Part(SplitName),
    /// None: it is left out.
    Outside,
    /// Neither the settings nor its name say.
    Unnamed,
}

impl PartPaths {
    /// True where nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The settings with their names and parts, training first.
    pub(crate) fn set(&self) -> impl Iterator<Item = (&'static str, SplitName, PathBuf)> {
        [
            ("train", SplitName::Train, &self.train),
            ("validation-part", SplitName::Validation, &self.validation),
            ("test", SplitName::Test, &self.test),
        ]
        .into_iter()
        .filter_map(|(name, split, path)| Some((name, split, plain(Path::new(path.as_ref()?)))))
    }

    /// What is said of a path within the source.
    pub(crate) fn told(&self, path: &Path) -> Told {
        let path = plain(path);
        let found = self
            .set()
            .filter(|(.., part)| path.starts_with(part))
            .map(|(_, split, part)| (split, part.components().count()))
            .max_by_key(|&(_, length)| length);
        match found {
            Some((split, length)) => Told::Part(split, length),
            None if self.train.is_some() => Told::Outside,
            None => Told::Unsaid,
        }
    }

    /// The part of each file of `source`: what is said of it, or else the split that its name holds. The
    /// only file of a source is trained on whatever its name.
    ///
    /// # Errors
    /// As [`PartPaths::expect_used`].
    pub(crate) fn places<'f>(
        &self,
        source: &Path,
        files: &'f [PathBuf],
    ) -> Result<Vec<(&'f PathBuf, Place)>, DataError> {
        self.expect_used(source, files.iter().map(|file| within(source, file)))?;
        let place = |file: &Path| match self.told(within(source, file)) {
            Told::Part(split, _) => Place::Part(split),
            Told::Outside => Place::Outside,
            Told::Unsaid if files.len() == 1 => Place::Part(SplitName::Train),
            Told::Unsaid => match SplitName::within(&file_name(file)) {
                Some(split) if self.names(split) => Place::Outside,
                Some(split) => Place::Part(split),
                None => Place::Unnamed,
            },
        };
        Ok(files.iter().map(|file| (file, place(file))).collect())
    }

    /// True if names may not decide that something is of this part.
    pub(crate) fn names(&self, split: SplitName) -> bool {
        self.set().any(|(_, set, _)| set == split)
    }

    /// Refuses a setting that names none of the paths that are read.
    pub(crate) fn expect_used<'a>(
        &self,
        source: &Path,
        paths: impl Iterator<Item = &'a Path> + Clone,
    ) -> Result<(), DataError> {
        for (name, split, part) in self.set() {
            let is_here =
                |path: &Path| matches!(self.told(path), Told::Part(found, _) if found == split);
            if !paths.clone().any(is_here) {
                return Err(DataError::setting(
                    name,
                    format!(
                        "'{}' names nothing in {} that is read: give a path relative to it",
                        part.display(),
                        source.display()
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// A path without `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_that_leads_to_a_file_tells_its_part() {
        let parts = PartPaths {
            train: Some("a".into()),
            test: Some("./a/held out/".into()),
            ..PartPaths::default()
        };
        let told = |path: &str| parts.told(Path::new(path));
        assert_eq!(told("a/cat/1.png"), Told::Part(SplitName::Train, 1));
        assert_eq!(told("./a/held out/1.png"), Told::Part(SplitName::Test, 2));
        assert_eq!(told("ab/1.png"), Told::Outside);
        let only_test = PartPaths {
            train: None,
            ..parts
        };
        assert_eq!(only_test.told(Path::new("b/1.png")), Told::Unsaid);
    }
}
