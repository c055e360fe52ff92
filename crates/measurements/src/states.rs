//! How runs end, as others write it.

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It reached the target.
    Reached,
    /// It was stopped before: its length is a lower bound.
    Censored,
    /// It diverged.
    Diverged,
    /// It could not be run.
    Infeasible,
    /// It broke off, and says nothing.
    Failed,
}

/// Words for each end, in small letters and digits.
const WORDS: &[(End, &[&str])] = &[
    (
        End::Reached,
        &[
            "reached",
            "success",
            "succeeded",
            "done",
            "finished",
            "completed",
            "complete",
            "ok",
            "converged",
        ],
    ),
    (
        End::Censored,
        &[
            "censored",
            "notreached",
            "timeout",
            "capped",
            "stopped",
            "raced",
            "pruned",
        ],
    ),
    (End::Diverged, &["diverged", "divergence", "nan", "inf"]),
    (End::Infeasible, &["infeasible", "oom", "outofmemory"]),
    (
        End::Failed,
        &[
            "failed",
            "fail",
            "crashed",
            "killed",
            "error",
            "running",
            "interrupted",
            "aborted",
            "preempted",
            "scheduled",
            "pending",
        ],
    ),
];

impl End {
    /// Reads a word.
    ///
    /// # Errors
    /// What it is not.
    pub fn read(word: &str) -> Result<Self, String> {
        let known = batchscope_core::plain_name(word);
        let found = WORDS
            .iter()
            .find(|(_, words)| words.contains(&known.as_str()));
        found.map(|(end, _)| *end).ok_or_else(|| {
            let first: Vec<&str> = WORDS.iter().map(|(_, words)| words[0]).collect();
            format!("the end of a run: write one of {}", first.join(", "))
        })
    }

    /// The first word for it.
    pub fn name(self) -> &'static str {
        let found = WORDS.iter().find(|(end, _)| *end == self);
        found.map_or("", |(_, words)| words[0])
    }
}
