//! The words of a program, with placeholders for a trial's settings.

use std::collections::BTreeMap;

/// A setting that a program can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder {
    /// Its name, as it stands between braces.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
}

/// Every placeholder. The environment holds each as `BATCHSCOPE_` and its name in capitals.
pub static PLACEHOLDERS: &[Placeholder] = &[
    Placeholder {
        name: "batch_size",
        about: "examples per step over all devices",
    },
    Placeholder {
        name: "micro_batch",
        about: "examples per forward pass; the batch size, until memory runs out",
    },
    Placeholder {
        name: "learning_rate",
        about: "the full learning rate",
    },
    Placeholder {
        name: "warm_up",
        about: "steps of linear warm-up",
    },
    Placeholder {
        name: "momentum",
        about: "momentum, or 0",
    },
    Placeholder {
        name: "beta1",
        about: "Adam's first decay, or momentum",
    },
    Placeholder {
        name: "beta2",
        about: "Adam's second decay",
    },
    Placeholder {
        name: "weight_decay",
        about: "weight decay, or 0",
    },
    Placeholder {
        name: "seed",
        about: "the trial's seed, below 2^31",
    },
    Placeholder {
        name: "max_steps",
        about: "steps after which the trial ends: the program's horizon",
    },
    Placeholder {
        name: "device",
        about: "the device that the trial may use",
    },
    Placeholder {
        name: "checkpoint_dir",
        about: "a folder of the trial's own",
    },
    Placeholder {
        name: "resume_from",
        about: "that folder where an interrupted trial goes on, the checkpoint that a branch begins from, else nothing",
    },
];

/// Why a program's words make no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There are no words.
    #[error(
        "no program was named: write it after --, as in -- python train.py --bs {{batch_size}}"
    )]
    Empty,
    /// A placeholder is none.
    #[error(
        "there is no placeholder {{{name}}}: choose one of {}; braces that are meant as such are doubled",
        known()
    )]
    Unknown {
        /// What stands between the braces.
        name: String,
    },
    /// The batch size is not passed on.
    #[error(
        "the program is not given the batch size: pass it, as in --bs {{batch_size}}, or say that it reads BATCHSCOPE_BATCH_SIZE from its environment (--reads-environment)"
    )]
    NoBatchSize,
}

fn known() -> String {
    let names: Vec<&str> = PLACEHOLDERS.iter().map(|p| p.name).collect();
    names.join(", ")
}

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Setting(&'static str),
}

/// The words of a program: `["python", "train.py", "--bs", "{batch_size}"]`. There is no shell: a word is a
/// word, whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    words: Vec<Vec<Part>>,
    /// True if the program reads its settings from its environment too.
    reads_environment: bool,
}

impl Template {
    /// Reads words. A placeholder is a name of small letters, digits and `_` between braces; other braces are
    /// text, and `{{`, `}}` are single ones.
    ///
    /// # Errors
    /// When there are none, or a placeholder is not known.
    pub fn new<S: AsRef<str>>(words: &[S]) -> Result<Self, TemplateError> {
        if words.first().is_none_or(|word| word.as_ref().is_empty()) {
            return Err(TemplateError::Empty);
        }
        let words: Result<_, _> = words.iter().map(|word| parts(word.as_ref())).collect();
        Ok(Self {
            words: words?,
            reads_environment: false,
        })
    }

    /// Whether a setting is among the words.
    pub fn uses(&self, name: &str) -> bool {
        let mut parts = self.words.iter().flatten();
        parts.any(|part| matches!(part, Part::Setting(known) if *known == name))
    }

    /// The same words of a program that reads its settings from its environment, or does not.
    #[must_use]
    pub fn reading_environment(self, reads_environment: bool) -> Self {
        Self {
            reads_environment,
            ..self
        }
    }

    /// Whether the program is told a setting, by its words or in its environment.
    pub fn takes(&self, name: &str) -> bool {
        self.reads_environment || self.uses(name)
    }

    /// True if the first word, the program's name, holds no placeholder.
    pub fn begins_with_text(&self) -> bool {
        let mut parts = self.words.iter().take(1).flatten();
        parts.all(|part| matches!(part, Part::Text(_)))
    }

    /// The words with the settings filled in; a word that is nothing but a placeholder without a value is left
    /// out, and with it the flag before it (`--resume {resume_from}`).
    pub fn fill(&self, settings: &BTreeMap<&'static str, String>) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for parts in &self.words {
            let missing = |part: &Part| matches!(part, Part::Setting(name) if settings.get(name).is_none_or(String::is_empty));
            if parts.iter().any(missing) {
                let alone = parts.len() == 1;
                if alone && words.last().is_some_and(|before| before.starts_with('-')) {
                    words.pop();
                }
                continue;
            }
            let filled = parts.iter().map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Setting(name) => settings.get(name).map_or("", String::as_str),
            });
            words.push(filled.collect());
        }
        words
    }

    /// The words in one line, placeholders as they were written.
    pub fn program(&self) -> String {
        self.words().join(" ")
    }

    /// The words, placeholders as they were written.
    pub fn words(&self) -> Vec<String> {
        let word = |parts: &Vec<Part>| -> String {
            let parts = parts.iter().map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Setting(name) => format!("{{{name}}}"),
            });
            parts.collect()
        };
        self.words.iter().map(word).collect()
    }
}

fn parts(word: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            text.push(next);
            rest = after;
        } else if let Some((name, after)) = placeholder(rest) {
            let found = PLACEHOLDERS.iter().find(|p| p.name == name);
            let found = found.ok_or_else(|| TemplateError::Unknown {
                name: name.to_owned(),
            })?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Setting(found.name));
            rest = after;
        } else {
            text.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    if !text.is_empty() || parts.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// The name of a placeholder at the start of a text, and what follows it.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letters);
    is_name.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(words: &[&str], settings: &[(&'static str, &str)]) -> Vec<String> {
        let settings = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Template::new(words).unwrap().fill(&settings.collect())
    }

    #[test]
    fn settings_stand_for_placeholders() {
        let words = filled(
            &[
                "python",
                "train.py",
                "--bs={batch_size}",
                "--tag",
                "b{batch_size}-s{seed}",
            ],
            &[("batch_size", "64"), ("seed", "7")],
        );
        assert_eq!(words, ["python", "train.py", "--bs=64", "--tag", "b64-s7"]);
    }

    #[test]
    fn a_setting_without_a_value_takes_its_flag_along() {
        let words = [
            "train",
            "--bs",
            "{batch_size}",
            "--resume",
            "{resume_from}",
            "--last",
        ];
        let given = filled(&words, &[("batch_size", "8"), ("resume_from", "/c")]);
        assert_eq!(given, ["train", "--bs", "8", "--resume", "/c", "--last"]);
        let without = filled(&words, &[("batch_size", "8"), ("resume_from", "")]);
        assert_eq!(without, ["train", "--bs", "8", "--last"]);
        let joined = filled(&["train", "x", "--resume={resume_from}"], &[]);
        assert_eq!(joined, ["train", "x"]);
    }

    #[test]
    fn braces_that_are_no_placeholders_are_text() {
        let json = r#"{"lr": 0.1}"#;
        assert_eq!(
            filled(&["train", json, "{{seed}}", "{}", "{", "}"], &[]),
            ["train", json, "{seed}", "{}", "{", "}"]
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        let error = Template::new(&["train", "{batchsize}"]).unwrap_err();
        assert!(
            error.to_string().contains("{batchsize}") && error.to_string().contains("batch_size"),
            "{error}"
        );
        assert_eq!(Template::new::<&str>(&[]), Err(TemplateError::Empty));
        assert_eq!(Template::new(&[""]), Err(TemplateError::Empty));
    }

    #[test]
    fn the_words_are_shown_as_typed() {
        let words = ["python", "train.py", "--bs={batch_size}"];
        assert_eq!(Template::new(&words).unwrap().program(), words.join(" "));
    }
}
