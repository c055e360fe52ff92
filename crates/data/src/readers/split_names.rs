//! How the files and folders of the three splits are called.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// A split of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SplitName {
    Train,
    Validation,
    Test,
}

impl SplitName {
    /// The split a word stands for.
    pub(crate) fn of(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "train" | "training" | "trainset" | "trainval" | "trn" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" | "valset" => Some(Self::Validation),
            "test" | "testing" | "t10k" | "testset" | "tst" => Some(Self::Test),
            _ => None,
        }
    }

    /// The split named by one of the words of a file name, such as `emnist-balanced-train`.
    pub(crate) fn within(name: &str) -> Option<Self> {
        name.split(|c: char| !c.is_ascii_alphanumeric())
            .find_map(Self::of)
    }

    /// The split that a folder's name speaks of: `training_set`, `seg_train`, `TestData`, `val2017`.
    /// `None` where it speaks of none, or of two (`train_test`); train with validation is training.
    pub(crate) fn spoken_of(folder: &str) -> Option<Self> {
        let mut found: Vec<Self> = words(folder)
            .iter()
            .filter_map(|word| Self::of(word))
            .collect();
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [only] => Some(only),
            [Self::Train, Self::Validation] => Some(Self::Train),
            _ => None,
        }
    }

    /// Its name in settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The words of a name: runs of letters, cut before a capital that follows a small letter. `t10k`
/// stays whole.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for run in name.split(|c: char| !c.is_alphanumeric()) {
        if SplitName::of(run).is_some() {
            words.push(run.to_lowercase());
            continue;
        }
        let (mut word, mut last) = (String::new(), ' ');
        for c in run.chars() {
            let ends = c.is_numeric() || last.is_lowercase() && c.is_uppercase();
            if ends && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if !c.is_numeric() {
                word.extend(c.to_lowercase());
            }
            last = c;
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// One thing for each split that a source has.
#[derive(Debug, Clone)]
pub(crate) struct Splits<T> {
    pub(crate) train: Option<T>,
    pub(crate) validation: Option<T>,
    pub(crate) test: Option<T>,
}

impl<T> Default for Splits<T> {
    fn default() -> Self {
        Self {
            train: None,
            validation: None,
            test: None,
        }
    }
}

impl<T> Splits<T> {
    /// The place of a split.
    pub(crate) fn slot(&mut self, split: SplitName) -> &mut Option<T> {
        match split {
            SplitName::Train => &mut self.train,
            SplitName::Validation => &mut self.validation,
            SplitName::Test => &mut self.test,
        }
    }

    /// What is there, training first.
    pub(crate) fn present(&self) -> impl Iterator<Item = &T> {
        [&self.train, &self.validation, &self.test]
            .into_iter()
            .flatten()
    }

    /// What each split becomes.
    pub(crate) fn try_map<U, E>(
        self,
        mut f: impl FnMut(T) -> Result<U, E>,
    ) -> Result<Splits<U>, E> {
        Ok(Splits {
            train: self.train.map(&mut f).transpose()?,
            validation: self.validation.map(&mut f).transpose()?,
            test: self.test.map(&mut f).transpose()?,
        })
    }
}

impl Splits<PathBuf> {
    /// Takes a file for a split.
    ///
    /// # Errors
    /// When another is taken for it already.
    pub(crate) fn claim(&mut self, split: SplitName, file: &Path) -> Result<(), DataError> {
        match self.slot(split).replace(file.to_owned()) {
            None => Ok(()),
            Some(other) => Err(DataError::malformed(
                file,
                format!("and {} are both named as the same split", other.display()),
                "keep one of them",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_speak_of_their_split_in_many_ways() {
        let (train, validation, test) = (
            Some(SplitName::Train),
            Some(SplitName::Validation),
            Some(SplitName::Test),
        );
        for (folder, split) in [
            ("training_set", train),
            ("seg_train", train),
            ("train_images", train),
            ("images-train", train),
            ("train2017", train),
            ("TrainingData", train),
            ("train_val", train),
            ("trainval", train),
            ("val2017", validation),
            ("dev-clean", validation),
            ("Validation Set", validation),
            ("test_set", test),
            ("PublicTest", test),
            ("TEST", test),
            ("trn", train),
            ("tst_images", test),
            ("t10k", test),
            ("train_test", None),
            ("trains", None),
            ("contest", None),
            ("Testament", None),
            ("cats", None),
        ] {
            assert_eq!(SplitName::spoken_of(folder), split, "{folder}");
        }
    }
}
