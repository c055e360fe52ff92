//! What a reader took a source to be, said in one line.

/// What was inferred rather than told, in the order it is said: `("train", "training_set (24)")`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inferred(Vec<(&'static str, String)>);

impl Inferred {
    /// Adds what `what` (train, validation, test, classes, header, separator, label …) was taken to be.
    pub(crate) fn took(&mut self, what: &'static str, value: impl Into<String>) {
        self.0.push((what, value.into()));
    }

    /// The line for the notes; `None` where nothing was inferred.
    pub(crate) fn line(&self) -> Option<String> {
        let said: Vec<String> = self
            .0
            .iter()
            .map(|(what, value)| format!("{what}: {value}"))
            .collect();
        (!said.is_empty()).then(|| format!("read as {}", said.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_taken_is_said_in_order() {
        let mut inferred = Inferred::default();
        assert_eq!(inferred.line(), None);
        inferred.took("header", "first line");
        inferred.took("label", "column 4, 'y' (the last)");
        let expected = "read as header: first line; label: column 4, 'y' (the last)";
        assert_eq!(inferred.line().as_deref(), Some(expected));
    }
}
