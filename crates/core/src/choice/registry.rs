//! Everything of one kind, found by name.

use super::refusal::{any_of, nearest};
use super::{Argument, Call, Choice, ChoiceError, Default, Descriptor};

/// An entry of a [`Registry`].
pub trait Described: Sync {
    /// What describes it.
    fn descriptor(&self) -> &Descriptor;
}

impl Described for Descriptor {
    fn descriptor(&self) -> &Descriptor {
        self
    }
}

/// Everything of one kind: `OPTIMIZERS`, `RULES`, `MODELS`.
#[derive(Debug)]
pub struct Registry<T: ?Sized + 'static> {
    /// The kind of thing, as it follows "a": `optimizer`.
    pub what: &'static str,
    /// The entries, in the order in which they are listed.
    pub all: &'static [&'static T],
}

impl<T: Described + ?Sized> Registry<T> {
    /// The entry that goes by this name.
    ///
    /// # Errors
    /// [`ChoiceError::Unknown`], with the nearest name.
    pub fn find(&self, name: &str) -> Result<&'static T, ChoiceError> {
        let entry = self.all.iter().copied();
        let mut named = entry.filter(|entry| entry.descriptor().is_called(name.trim()));
        named.next().ok_or_else(|| ChoiceError::Unknown {
            what: self.what,
            name: name.chars().take(80).collect(),
            names: any_of(self.names()),
            nearest: nearest(name, self.names()),
        })
    }

    /// The names of all entries.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|entry| entry.descriptor().name)
    }

    /// Reads a choice: `sgd(momentum=0.9)`.
    ///
    /// # Errors
    /// When the text is no call, there is no such thing, or a setting is wrong.
    pub fn read(&self, text: &str) -> Result<(&'static T, Choice), ChoiceError> {
        let call: Call = text.parse()?;
        let entry = self.find(&call.name)?;
        let choice = entry.descriptor().read(&call)?;
        Ok((entry, choice))
    }

    /// Checks a choice made elsewhere.
    ///
    /// # Errors
    /// When there is no such thing, or a setting is wrong.
    pub fn check(&self, choice: &Choice) -> Result<(&'static T, Choice), ChoiceError> {
        let entry = self.find(choice.name())?;
        Ok((entry, entry.descriptor().check(choice)?))
    }

    /// A row for each entry: its name, the settings it takes, and what it is.
    pub fn table(&self) -> Vec<[String; 3]> {
        let rows = self.all.iter().map(|entry| {
            let of = entry.descriptor();
            [of.name.to_owned(), of.takes(), of.about.to_owned()]
        });
        rows.collect()
    }

    /// What makes the registry itself wrong, for its contract test: names that clash or are not
    /// words, defaults out of range, parameters without a word of help.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for entry in self.all {
            let of = entry.descriptor();
            for name in std::iter::once(&of.name).chain(of.aliases) {
                if names.contains(name) || *name != name.to_ascii_lowercase() {
                    faults.push(format!(
                        "{}: the name {name} is taken or not lower case",
                        self.what
                    ));
                }
                names.push(name);
            }
            if of.about.is_empty() || of.about.ends_with('.') {
                faults.push(format!(
                    "{}: its one line is empty or ends with a stop",
                    of.name
                ));
            }
            for (i, parameter) in of.parameters.iter().enumerate() {
                let name = format!("{} of {}", parameter.name, of.name);
                if of.parameters[..i].iter().any(|p| p.name == parameter.name) {
                    faults.push(format!("{name} stands twice"));
                }
                if parameter.about.is_empty() || parameter.name.contains('-') {
                    faults.push(format!("{name} lacks help, or is not in snake case"));
                }
                if let Default::If { switch, .. } = parameter.default {
                    let on = Call {
                        name: of.name.to_owned(),
                        arguments: vec![Argument {
                            key: Some(switch.to_owned()),
                            value: "on".to_owned(),
                        }],
                    };
                    let read = of.read(&on).and_then(|choice| of.check(&choice));
                    faults.extend(read.err().map(|error| format!("{name}: {error}")));
                }
            }
            match of.defaults() {
                Err(ChoiceError::Missing { .. }) => {}
                Err(error) => faults.push(error.to_string()),
                Ok(defaults) => match of.check(&defaults) {
                    Ok(same) if same == defaults => {}
                    other => {
                        faults.push(format!("{}: its defaults read back as {other:?}", of.name))
                    }
                },
            }
        }
        faults
    }
}
