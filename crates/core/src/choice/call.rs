//! How a thing is asked for: one syntax for optimizers, rules, models, schedules, augmentations.
//!
//! ```text
//! list  = call { "," call }
//! call  = name [ "(" [ args ] ")" | ":" arg { ":" arg } ]
//! args  = arg { "," arg }
//! arg   = [ key "=" ] value
//! name  = key = one or more letters, digits, "_", "-" or "."
//! value = any text without a separator outside parentheses
//! ```
//!
//! The form with colons is for shells, where parentheses need quoting. A comma outside parentheses
//! always separates the items of a list; where a single thing is wanted and not a list, commas may
//! stand for colons (`mlp:512,512`), as they always could.

use std::{fmt, str::FromStr};

/// Longest text that is read: far above use, small enough to be safe.
pub const MAX_TEXT: usize = 4096;

/// A thing asked for by name, with arguments as they were typed.
///
/// ```
/// use batchscope_core::Call;
/// let call: Call = "lstm(layers=1, tied)".parse()?;
/// assert_eq!(call.name, "lstm");
/// assert_eq!(call.arguments[0].key.as_deref(), Some("layers"));
/// assert_eq!(call.to_string(), "lstm(layers=1,tied)");
/// assert_eq!("lstm:layers=1:tied".parse::<Call>()?, call);
/// # Ok::<(), batchscope_core::CallError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// The thing's name.
    pub name: String,
    /// What was said of it, in order.
    pub arguments: Vec<Argument>,
}

/// One argument of a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Argument {
    /// Its key, if it was named.
    pub key: Option<String>,
    /// Its value, never empty: parentheses balance.
    pub value: String,
}

/// Why a text is not a call or a list of calls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing stands where a name should.
    #[error("'{0}' names nothing: write NAME, NAME(VALUE, KEY=VALUE) or NAME:VALUE:KEY=VALUE")]
    Name(String),
    /// Parentheses do not balance, or text follows the last.
    #[error(
        "'{0}' has parentheses that do not match: close every '(' once, at the end of its arguments"
    )]
    Parentheses(String),
    /// An argument is empty, or its key is not a word.
    #[error("'{0}' has an empty or unreadable argument: write VALUE or KEY=VALUE")]
    Argument(String),
    /// Longer than [`MAX_TEXT`].
    #[error("a text of {0} bytes is too long: {MAX_TEXT} are read at most")]
    Long(usize),
}

/// The items of a list, split at commas outside parentheses. Spaces around items are dropped; an
/// empty text is an empty list, an empty item is kept (and refused by what reads it).
///
/// # Errors
/// When parentheses do not balance or the text is too long.
///
/// ```
/// use batchscope_core::split_list;
/// assert_eq!(split_list("crop:4, mlp(512,512)")?, ["crop:4", "mlp(512,512)"]);
/// # Ok::<(), batchscope_core::CallError>(())
/// ```
pub fn split_list(text: &str) -> Result<Vec<&str>, CallError> {
    match text.trim().is_empty() && text.len() <= MAX_TEXT {
        true => Ok(Vec::new()),
        false => split_at(text, ','),
    }
}

/// The parts of a name that joins several by plus signs; one inside parentheses separates nothing.
///
/// ```
/// use batchscope_core::split_sum;
/// assert_eq!(split_sum("sgd + tuned+crop(1e+0)")?, ["sgd", "tuned", "crop(1e+0)"]);
/// # Ok::<(), batchscope_core::CallError>(())
/// ```
///
/// # Errors
/// For text longer than [`MAX_TEXT`] or with unbalanced parentheses.
pub fn split_sum(text: &str) -> Result<Vec<&str>, CallError> {
    split_at(text, '+')
}

/// The parts of a text of bearable length, without the space around them.
fn split_at(text: &str, separator: char) -> Result<Vec<&str>, CallError> {
    if text.len() > MAX_TEXT {
        return Err(CallError::Long(text.len()));
    }
    let items =
        split(text, |c| c == separator).ok_or_else(|| CallError::Parentheses(shown(text)))?;
    Ok(items.into_iter().map(str::trim).collect())
}

/// The parts of a text between separators outside parentheses; `None` if those do not balance.
fn split(text: &str, separates: impl Fn(char) -> bool) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            c if depth == 0 && separates(c) => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (depth == 0).then_some(parts)
}

/// True for a name or key: a word of letters, digits, `_`, `-` and `.`.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// The start of a text, for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for Call {
    type Err = CallError;

    fn from_str(text: &str) -> Result<Self, CallError> {
        if text.len() > MAX_TEXT {
            return Err(CallError::Long(text.len()));
        }
        let parentheses = || CallError::Parentheses(shown(text));
        let trimmed = text.trim();
        let end = trimmed.find(['(', ':']).unwrap_or(trimmed.len());
        let (name, rest) = trimmed.split_at(end);
        let name = name.trim();
        if !is_word(name) {
            return Err(CallError::Name(shown(text)));
        }
        let parts = if let Some(inside) = rest.strip_prefix('(') {
            let inside = inside.strip_suffix(')').ok_or_else(parentheses)?;
            if inside.trim().is_empty() {
                Vec::new()
            } else {
                split(inside, |c| c == ',').ok_or_else(parentheses)?
            }
        } else if let Some(after) = rest.strip_prefix(':') {
            split(after, |c| c == ':' || c == ',').ok_or_else(parentheses)?
        } else {
            Vec::new()
        };
        let arguments = parts.into_iter().map(Argument::read);
        let arguments: Option<Vec<Argument>> = arguments.collect();
        Ok(Self {
            name: name.to_owned(),
            arguments: arguments.ok_or_else(|| CallError::Argument(shown(text)))?,
        })
    }
}

impl Argument {
    /// Reads `VALUE` or `KEY=VALUE`. An `=` inside parentheses belongs to the value.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let at = text
            .find(['=', '('])
            .filter(|&at| text[at..].starts_with('='));
        let (key, value) = match at {
            None => (None, text),
            Some(at) => {
                let key = text[..at].trim();
                if !is_word(key) {
                    return None;
                }
                (Some(key.to_owned()), text[at + 1..].trim())
            }
        };
        (!value.is_empty()).then(|| Self {
            key,
            value: value.to_owned(),
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.arguments.is_empty() {
            return Ok(());
        }
        let arguments: Vec<String> = self.arguments.iter().map(Argument::to_string).collect();
        write!(f, "({})", arguments.join(","))
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            None => f.write_str(&self.value),
            Some(key) => write!(f, "{key}={}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(text: &str) -> Call {
        text.parse().unwrap()
    }

    #[test]
    fn the_spellings_that_always_worked_are_read() {
        for (text, same) in [
            ("mlp(512,512)", "mlp(512,512)"),
            ("mlp:512, 512, smoothing=0.1", "mlp(512,512,smoothing=0.1)"),
            (" lstm( ) ", "lstm"),
            ("step:0.1@30ep@60ep", "step(0.1@30ep@60ep)"),
            ("cosine:90ep:0.01", "cosine(90ep,0.01)"),
            ("drn-d-22(ghost=4)", "drn-d-22(ghost=4)"),
            ("outer(inner(a=1,b),c)", "outer(inner(a=1,b),c)"),
            ("adam(betas=of(0.9,0.99))", "adam(betas=of(0.9,0.99))"),
        ] {
            assert_eq!(call(text).to_string(), same);
        }
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for text in [
            "", "()", ":3", "mlp(", "mlp(512", "mlp)", "mlp(1)2", "mlp(,)", "a(=3)", "a(b=)", "a:",
            "a(b c=3)", "grün",
        ] {
            assert!(text.parse::<Call>().is_err(), "{text}");
        }
        assert_eq!(
            "x".repeat(MAX_TEXT + 1).parse::<Call>(),
            Err(CallError::Long(MAX_TEXT + 1))
        );
    }

    #[test]
    fn a_list_is_split_outside_parentheses_only() {
        assert_eq!(split_list("").unwrap(), Vec::<&str>::new());
        assert_eq!(
            split_list("crop:4,flip, rotate(10, fill=0)").unwrap(),
            ["crop:4", "flip", "rotate(10, fill=0)"]
        );
        assert_eq!(split_list("a,,b").unwrap(), ["a", "", "b"]);
        assert!(split_list("a(b").is_err() && split_list("a)b(").is_err());
    }

    /// Words and values without separators, and values that are calls themselves.
    fn calls() -> impl Strategy<Value = Call> {
        let word = "[a-z0-9][a-z0-9_.-]{0,8}";
        let value = prop_oneof!["[A-Za-z0-9@+.-]{1,8}", "[a-z]{1,5}\\([a-z0-9=,:]{0,6}\\)",];
        let argument =
            (proptest::option::of(word), value).prop_map(|(key, value)| Argument { key, value });
        (word, proptest::collection::vec(argument, 0..5))
            .prop_map(|(name, arguments)| Call { name, arguments })
    }

    proptest! {
        #[test]
        fn a_call_reads_back_as_written(call in calls()) {
            prop_assert_eq!(call.to_string().parse::<Call>().unwrap(), call.clone());
            // and in a list, whatever stands beside it
            let list = format!("{call}, other,{call}");
            let items = split_list(&list).unwrap();
            prop_assert_eq!(items.len(), 3);
            prop_assert_eq!(items[2].parse::<Call>().unwrap(), call);
        }

        #[test]
        fn colons_say_the_same_as_parentheses(call in calls()) {
            let arguments: Vec<String> = call.arguments.iter().map(Argument::to_string).collect();
            prop_assume!(!arguments.is_empty());
            let colons = format!("{}:{}", call.name, arguments.join(":"));
            prop_assert_eq!(colons.parse::<Call>().unwrap(), call);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            if let Ok(call) = text.parse::<Call>() {
                prop_assert_eq!(call.to_string().parse::<Call>().unwrap(), call);
            }
            let _ = split_list(&text);
        }
    }
}
