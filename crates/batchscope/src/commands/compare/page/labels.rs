//! What methods are called in a drawing, which has no room for whole names.

use batchscope_core::split_sum;

/// The parts of their names that all methods begin with.
pub(super) struct Labels<'a> {
    shared: Vec<&'a str>,
}

fn parts(name: &str) -> Vec<&str> {
    split_sum(name).unwrap_or_else(|_| vec![name])
}

impl<'a> Labels<'a> {
    /// Of these methods.
    pub(super) fn of(methods: &[&'a str]) -> Self {
        let mut names = methods.iter().map(|name| parts(name));
        let mut shared = names.next().unwrap_or_default();
        for name in names {
            let same = shared.iter().zip(&name).take_while(|(a, b)| a == b);
            shared.truncate(same.count());
        }
        Self { shared }
    }

    /// A method by what differs; its whole name where nothing does.
    pub(super) fn label(&self, method: &str) -> String {
        let all = parts(method);
        match all.get(self.shared.len()..) {
            Some(rest) if !rest.is_empty() => rest.join("+"),
            _ => method.to_owned(),
        }
    }

    /// What a caption says of it, after a sentence of its own.
    pub(super) fn note(&self) -> String {
        match self.shared.is_empty() {
            true => String::new(),
            false => format!(
                " All methods begin with {}; their names leave that out.",
                self.shared.join("+")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_by_what_differs() {
        let methods = [
            "sgd+tuned",
            "sgd+tuned+crop(2)+flip",
            "sgd+tuned+dmsgd(graph=ring)",
        ];
        let labels = Labels::of(&methods);
        assert_eq!(
            methods.map(|method| labels.label(method)),
            ["sgd+tuned", "crop(2)+flip", "dmsgd(graph=ring)"]
        );
        assert!(labels.note().contains("sgd+tuned"));
        let labels = Labels::of(&["sgd+tuned", "lars+tuned"]);
        assert_eq!(labels.label("lars+tuned"), "lars+tuned");
        assert_eq!(labels.note(), "");
    }
}
