//! What there is to choose from: a descriptor for each thing, beside its implementation.

use std::fmt;

use super::refusal::{any_of, nearest};
use super::{Call, Choice, ChoiceError, Value};

/// Describes one thing that is chosen by name: an optimizer, a rule, a model, a reader.
///
/// Flags, help, completion, checks, exports, documentation tables and contract tests iterate over
/// descriptors; nothing else lists the things there are.
#[derive(Debug)]
pub struct Descriptor {
    /// Its name, as it is written: lower case.
    pub name: &'static str,
    /// Other names that are read.
    pub aliases: &'static [&'static str],
    /// One line for help and tables, without a full stop.
    pub about: &'static str,
    /// Where it was published, or empty: authors, year, identifier.
    pub source: &'static str,
    /// Its parameters, in the order in which values without a key fill them.
    pub parameters: &'static [Parameter],
}

/// One parameter of a described thing.
#[derive(Debug)]
pub struct Parameter {
    /// Its name as a key, in snake case.
    pub name: &'static str,
    /// One line for help, without a full stop.
    pub about: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What it is when nothing is said.
    pub default: Default,
}

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A finite number in a range.
    Number(Range),
    /// A whole number from the first to the second, both included.
    Whole(u64, u64),
    /// On or off; its key alone switches it on.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text that the thing's builder reads; the string says how it is written: `FACTOR@LENGTH@…`.
    Text(&'static str),
    /// Whole numbers in a range, any number of them up to the third: the values without a key.
    List(u64, u64, usize),
}

/// What a parameter is when nothing is said of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// It must be said.
    Required,
    /// Absent: the builder decides, as the parameter's `about` says.
    Absent,
    /// A number.
    Number(f64),
    /// A whole number.
    Whole(u64),
    /// On or off.
    Switch(bool),
    /// A word or text.
    Text(&'static str),
    /// Whole numbers.
    List(&'static [u64]),
    /// One thing where a switch of the same descriptor is on, and another where it is off.
    If {
        /// The switch's name.
        switch: &'static str,
        /// What it is with the switch.
        on: &'static Default,
        /// What it is without.
        off: &'static Default,
    },
    /// It does not apply and is refused: one side of an [`Default::If`].
    Excluded,
}

/// An interval of numbers; either end may be open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower end, `-inf` for none.
    pub low: f64,
    /// The lower end itself is allowed.
    pub low_included: bool,
    /// Upper end, `inf` for none.
    pub high: f64,
    /// The upper end itself is allowed.
    pub high_included: bool,
}

impl Range {
    /// `[0, 1)`.
    pub const FRACTION: Self = Self::new(0.0, true, 1.0, false);
    /// `[0, 1]`.
    pub const UNIT: Self = Self::new(0.0, true, 1.0, true);
    /// `[0, ∞)`.
    pub const NOT_NEGATIVE: Self = Self::new(0.0, true, f64::INFINITY, false);
    /// `(0, ∞)`.
    pub const POSITIVE: Self = Self::new(0.0, false, f64::INFINITY, false);

    /// From `low` to `high`.
    pub const fn new(low: f64, low_included: bool, high: f64, high_included: bool) -> Self {
        Self {
            low,
            low_included,
            high,
            high_included,
        }
    }

    /// True for a finite number inside.
    pub fn contains(&self, x: f64) -> bool {
        let above = x > self.low || (self.low_included && x == self.low);
        let below = x < self.high || (self.high_included && x == self.high);
        x.is_finite() && above && below
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) => {
                let open = if self.low_included { '[' } else { '(' };
                let close = if self.high_included { ']' } else { ')' };
                write!(f, "in {open}{}, {}{close}", self.low, self.high)
            }
            (true, false) if self.low_included => write!(f, "at least {}", self.low),
            (true, false) => write!(f, "above {}", self.low),
            (false, true) if self.high_included => write!(f, "at most {}", self.high),
            (false, true) => write!(f, "below {}", self.high),
            (false, false) => f.write_str("that is finite"),
        }
    }
}

impl fmt::Display for Kind {
    /// What is allowed, as it follows "must be".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Number(range) => write!(f, "a number {range}"),
            Kind::Whole(low, high) => write!(f, "a whole number from {low} to {high}"),
            Kind::Switch => f.write_str("on or off"),
            Kind::Word(words) => f.write_str(&any_of(words.iter().copied())),
            Kind::Text(how) => f.write_str(how),
            Kind::List(low, high, most) => {
                write!(f, "at most {most} whole numbers from {low} to {high}")
            }
        }
    }
}

impl Descriptor {
    /// True if the thing goes by this name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
            || self.aliases.iter().any(|a| a.eq_ignore_ascii_case(name))
    }

    /// The parameter of this name; dashes and underscores are the same.
    pub fn parameter(&self, key: &str) -> Option<&'static Parameter> {
        let key = key.replace('-', "_");
        self.parameters.iter().find(|p| p.name == key)
    }

    /// Its parameters, as messages and tables list them: `momentum=X, nesterov`; `none` without
    /// any.
    pub fn takes(&self) -> String {
        let parameters = self.parameters.iter().map(|p| match p.kind {
            Kind::Switch => p.name.to_owned(),
            Kind::Whole(..) => format!("{}=N", p.name),
            Kind::Number(_) => format!("{}=X", p.name),
            Kind::Word(words) => format!("{}={}", p.name, words.join("|")),
            Kind::Text(how) => format!("{}={how}", p.name),
            Kind::List(..) => format!("{} as numbers", p.name),
        });
        let parameters: Vec<String> = parameters.collect();
        if parameters.is_empty() {
            "none".to_owned()
        } else {
            parameters.join(", ")
        }
    }

    /// The thing with its defaults.
    ///
    /// # Errors
    /// When a parameter has none.
    pub fn defaults(&self) -> Result<Choice, ChoiceError> {
        self.fill(Vec::new())
    }

    /// Reads the arguments of a call: those without a key fill the parameters in order, switches
    /// aside; what is not said takes its default.
    ///
    /// # Errors
    /// When a key is unknown or given twice, a value is out of range, or one is missing.
    pub fn read(&self, call: &Call) -> Result<Choice, ChoiceError> {
        let mut values: Vec<(&'static str, Value)> = Vec::new();
        let mut set = |parameter: &'static Parameter, text: &str| {
            let value = self.value(parameter, text)?;
            let old = values.iter_mut().find(|(name, _)| *name == parameter.name);
            match (old, value) {
                (Some((_, Value::List(list))), Value::List(more)) => {
                    list.extend(more);
                    let Kind::List(_, _, most) = parameter.kind else {
                        return Ok(());
                    };
                    if list.len() > most {
                        return Err(self.refuse(parameter, text));
                    }
                }
                (Some(_), _) => {
                    return Err(ChoiceError::Twice {
                        name: self.name.to_owned(),
                        key: parameter.name.to_owned(),
                    });
                }
                (None, value) => values.push((parameter.name, value)),
            }
            Ok(())
        };
        let mut places = self
            .parameters
            .iter()
            .filter(|p| p.kind != Kind::Switch)
            .peekable();
        for argument in &call.arguments {
            if let Some(key) = &argument.key {
                let parameter = self.parameter(key).ok_or_else(|| self.unknown(key))?;
                set(parameter, &argument.value)?;
            } else if let Some(switch) = self
                .parameter(&argument.value)
                .filter(|p| p.kind == Kind::Switch)
            {
                set(switch, "on")?;
            } else {
                let unknown = || self.unknown(&argument.value);
                let place = places.peek().copied().ok_or_else(unknown)?;
                if !matches!(place.kind, Kind::List(..)) {
                    places.next();
                } else if !argument.value.starts_with(|c: char| c.is_ascii_digit()) {
                    return Err(unknown());
                }
                set(place, &argument.value)?;
            }
        }
        self.fill(values)
    }

    /// Checks a choice made elsewhere (a file, a program) and puts its values in order.
    ///
    /// # Errors
    /// As [`Descriptor::read`].
    pub fn check(&self, choice: &Choice) -> Result<Choice, ChoiceError> {
        let mut values = Vec::new();
        for (key, value) in choice.values() {
            let parameter = self.parameter(key).ok_or_else(|| self.unknown(key))?;
            values.push((parameter.name, self.typed(parameter, value)?));
        }
        self.fill(values)
    }

    /// A parameter's value from its text.
    ///
    /// # Errors
    /// When it is not what the parameter takes.
    pub fn value(&self, parameter: &'static Parameter, text: &str) -> Result<Value, ChoiceError> {
        let text = text.trim();
        let value = match parameter.kind {
            Kind::Number(_) => text.parse().ok().map(Value::Number),
            Kind::Whole(..) => text.parse().ok().map(Value::Whole),
            Kind::Switch => Value::read_switch(text).map(Value::Switch),
            Kind::Word(_) | Kind::Text(_) => Some(Value::Text(text.to_owned())),
            Kind::List(..) => text.parse().ok().map(|x| Value::List(vec![x])),
        };
        let value = value.ok_or_else(|| self.refuse(parameter, text))?;
        self.typed(parameter, &value)
    }

    /// A value as the parameter's kind has it, in range.
    fn typed(&self, parameter: &'static Parameter, value: &Value) -> Result<Value, ChoiceError> {
        let good = match (parameter.kind, value) {
            (Kind::Number(range), Value::Number(x)) if range.contains(*x) => Some(value.clone()),
            (Kind::Number(range), Value::Whole(n)) if range.contains(*n as f64) => {
                Some(Value::Number(*n as f64))
            }
            (Kind::Whole(low, high), Value::Whole(n)) if (low..=high).contains(n) => {
                Some(value.clone())
            }
            (Kind::Switch, Value::Switch(_)) | (Kind::Text(_), Value::Text(_)) => {
                Some(value.clone())
            }
            (Kind::Word(words), Value::Text(text)) if words.contains(&text.as_str()) => {
                Some(value.clone())
            }
            (Kind::List(low, high, most), Value::List(list))
                if list.len() <= most && list.iter().all(|n| (low..=high).contains(n)) =>
            {
                Some(value.clone())
            }
            _ => None,
        };
        good.ok_or_else(|| self.refuse(parameter, &value.to_string()))
    }

    fn refuse(&self, parameter: &Parameter, text: &str) -> ChoiceError {
        ChoiceError::Value {
            name: self.name.to_owned(),
            key: parameter.name.to_owned(),
            value: text.chars().take(80).collect(),
            range: parameter.kind.to_string(),
        }
    }

    fn unknown(&self, key: &str) -> ChoiceError {
        ChoiceError::Key {
            name: self.name.to_owned(),
            key: key.chars().take(80).collect(),
            takes: self.takes(),
            nearest: nearest(key, self.parameters.iter().map(|p| p.name)),
        }
    }

    /// A parameter's default beside the switches that are set, and the switch that decided it last.
    fn default_of(
        &self,
        parameter: &Parameter,
        is_on: impl Fn(&str) -> Option<bool>,
    ) -> (Default, Option<(&'static str, bool)>) {
        let (mut default, mut decided) = (parameter.default, None);
        while let Default::If { switch, on, off } = default {
            let of_switch = self.parameter(switch).map(|p| p.default);
            let is_on = is_on(switch).unwrap_or(of_switch == Some(Default::Switch(true)));
            default = if is_on { *on } else { *off };
            decided = Some((switch, is_on));
        }
        (default, decided)
    }

    /// The given values in the parameters' order, defaults between them.
    fn fill(&self, given: Vec<(&'static str, Value)>) -> Result<Choice, ChoiceError> {
        let mut values = Vec::new();
        for parameter in self.parameters {
            let mut named = given.iter().filter(|(name, _)| *name == parameter.name);
            let value = named.next().map(|(_, value)| value.clone());
            if named.next().is_some() {
                return Err(ChoiceError::Twice {
                    name: self.name.to_owned(),
                    key: parameter.name.to_owned(),
                });
            }
            let (default, decided) = self.default_of(parameter, |switch| {
                let on = given.iter().find(|(name, _)| *name == switch);
                on.map(|(_, value)| *value == Value::Switch(true))
            });
            let fallback = || match default {
                Default::Required => Err(ChoiceError::Missing {
                    name: self.name.to_owned(),
                    key: parameter.name,
                    about: parameter.about,
                }),
                Default::Absent | Default::Excluded | Default::If { .. } => Ok(None),
                Default::Number(x) => Ok(Some(Value::Number(x))),
                Default::Whole(n) => Ok(Some(Value::Whole(n))),
                Default::Switch(on) => Ok(Some(Value::Switch(on))),
                Default::Text(text) => Ok(Some(Value::Text(text.to_owned()))),
                Default::List(list) => Ok(Some(Value::List(list.to_vec()))),
            };
            let value = match (value, default, decided) {
                (Some(_), Default::Excluded, Some((switch, on))) => {
                    return Err(ChoiceError::Excluded {
                        name: self.name.to_owned(),
                        key: parameter.name,
                        switch,
                        on,
                    });
                }
                (Some(value), ..) => Some(value),
                (None, ..) => fallback()?,
            };
            values.extend(value.map(|value| (parameter.name.to_owned(), value)));
        }
        Ok(Choice::new(self.name, values))
    }

    /// A choice in its shortest form: parameters at their defaults are left out, except lists,
    /// which are most of what a thing is.
    pub fn shortest(&self, choice: &Choice) -> String {
        let mut arguments = Vec::new();
        for (key, value) in choice.values() {
            let default = self.parameter(key).map(|parameter| {
                let is_on = |switch: &str| Some(choice.is_on(switch));
                self.default_of(parameter, is_on).0
            });
            let same = match (default, value) {
                (Some(Default::Number(d)), Value::Number(x)) => d == *x,
                (Some(Default::Whole(d)), Value::Whole(n)) => d == *n,
                (Some(Default::Switch(d)), Value::Switch(on)) => d == *on,
                (Some(Default::Text(d)), Value::Text(text)) => d == text,
                _ => false,
            };
            match value {
                _ if same => {}
                Value::Switch(true) => arguments.push(key.to_owned()),
                Value::List(_) => arguments.push(value.to_string()),
                value => arguments.push(format!("{key}={value}")),
            }
        }
        if arguments.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}({})", self.name, arguments.join(","))
        }
    }
}
