//! Which array is which: by the usual names, or those of the settings.

use std::path::Path;

use crate::readers::split_names::SplitName;
use crate::table_options::TableOptions;

/// The names that inputs and labels go by.
pub(super) struct Names {
    inputs: Name,
    labels: Name,
}

/// A name without the split in it.
struct Name {
    base: String,
    /// Whether it was set: then the split may also stand before it.
    set: bool,
}

/// What an array is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) inputs: bool,
    pub(super) split: SplitName,
}

impl Names {
    pub(super) fn of(options: &TableOptions) -> Self {
        Self {
            inputs: Name::of(options.inputs_array.as_deref(), "x"),
            labels: Name::of(options.labels_array.as_deref(), "y"),
        }
    }

    /// What the array of this name is; one that names no split is of `otherwise`.
    pub(super) fn role(&self, name: &str, otherwise: SplitName) -> Option<Role> {
        let role = |inputs, split: Option<SplitName>| Role {
            inputs,
            split: split.unwrap_or(otherwise),
        };
        let name = name.to_ascii_lowercase();
        let inputs = self.inputs.split(&name).map(|split| role(true, split));
        inputs.or_else(|| self.labels.split(&name).map(|split| role(false, split)))
    }

    /// Whether an `.npy` file of this name holds inputs or labels.
    pub(super) fn is_of_file(&self, name: &str) -> bool {
        let name = name.strip_suffix(".npy");
        name.is_some_and(|name| self.role(name, SplitName::Train).is_some())
    }

    /// What to call the arrays, for errors.
    pub(super) fn wanted(&self) -> String {
        let (x, y) = (&self.inputs.base, &self.labels.base);
        format!("{x}_train and {y}_train, or {x} and {y}")
    }

    /// The name of the array of a role.
    pub(super) fn named(&self, role: Role) -> &str {
        if role.inputs {
            &self.inputs.base
        } else {
            &self.labels.base
        }
    }

    /// Whether any was set.
    pub(super) fn set(&self) -> bool {
        self.inputs.set || self.labels.set
    }
}

impl Name {
    /// `train_images` is set where `images` of all splits are meant.
    fn of(set: Option<&str>, usual: &str) -> Self {
        let name = set.unwrap_or(usual).to_ascii_lowercase();
        let name = name.strip_suffix(".npy").unwrap_or(&name);
        let after = name
            .rsplit_once('_')
            .filter(|(_, split)| SplitName::of(split).is_some());
        let before = name
            .split_once('_')
            .filter(|(split, _)| SplitName::of(split).is_some());
        let base = match (after, before) {
            (Some((base, _)), _) | (None, Some((_, base))) => base,
            (None, None) => name,
        };
        Self {
            base: base.to_owned(),
            set: set.is_some(),
        }
    }

    /// The split that an array's name says, or none; `None` for another array.
    #[expect(
        clippy::option_option,
        reason = "whether it is, and of which split if any"
    )]
    fn split(&self, name: &str) -> Option<Option<SplitName>> {
        if name == self.base {
            return Some(None);
        }
        let after = name
            .strip_prefix(&*self.base)
            .and_then(|rest| rest.strip_prefix('_'));
        let before = name
            .strip_suffix(&*self.base)
            .and_then(|rest| rest.strip_suffix('_'));
        let split = after.or(before.filter(|_| self.set))?;
        SplitName::of(split).map(Some)
    }
}

/// The split in the name of an archive.
pub(super) fn split_of_file(path: &Path) -> Option<SplitName> {
    SplitName::within(&crate::paths::file_name(path))
}
