//! How the files and folders of the three splits are called.

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
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Validation),
            "test" | "testing" | "t10k" => Some(Self::Test),
            _ => None,
        }
    }

    /// The split named by one of the words of a file name, such as `emnist-balanced-train`.
    pub(crate) fn within(name: &str) -> Option<Self> {
        name.split(|c: char| !c.is_ascii_alphanumeric())
            .find_map(Self::of)
    }
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
