use std::collections::HashMap;

use crate::options::{TextLevel, TextOptions};

/// Stands for every token outside the vocabulary. Always token 0.
pub const UNKNOWN: &str = "<unk>";
/// Ends every line at word level. Token 1 there.
pub const END_OF_LINE: &str = "<eos>";

/// The tokens of a text: words between white space with [`END_OF_LINE`] after every line, empty lines
/// included (as is customary for PTB and WikiText), or single characters.
pub fn tokens(text: &str, level: TextLevel) -> Box<dyn Iterator<Item = &str> + '_> {
    match level {
        TextLevel::Word => Box::new(
            text.lines()
                .flat_map(|line| line.split_whitespace().chain([END_OF_LINE])),
        ),
        TextLevel::Character => Box::new(
            text.char_indices()
                .map(|(at, c)| &text[at..at + c.len_utf8()]),
        ),
    }
}

/// The distinct tokens of a training text, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    numbers: HashMap<String, u32>,
    /// How many distinct tokens the text had, before the cap.
    distinct: usize,
}

impl Vocabulary {
    /// The most frequent tokens of a text up to the cap of `options`, which counts the special ones;
    /// equally frequent ones in the order of their bytes.
    pub fn build<'a>(tokens: impl Iterator<Item = &'a str>, options: &TextOptions) -> Self {
        let special: &[&str] = match options.level {
            TextLevel::Word => &[UNKNOWN, END_OF_LINE],
            TextLevel::Character => &[UNKNOWN],
        };
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for token in tokens {
            *counts.entry(token).or_default() += 1;
        }
        for token in special {
            counts.remove(token);
        }
        let distinct = counts.len() + special.len();
        let mut ranked: Vec<(&str, u64)> = counts.into_iter().collect();
        ranked.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let ranked = ranked.into_iter().map(|(token, _)| token);
        let numbers = special
            .iter()
            .copied()
            .chain(ranked)
            .take(options.vocabulary as usize)
            .enumerate()
            .map(|(number, token)| (token.to_owned(), number as u32))
            .collect();
        Self { numbers, distinct }
    }

    /// Tokens in the vocabulary.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// True for a vocabulary without tokens, which [`Vocabulary::build`] never makes.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Distinct tokens of the training text, special ones included.
    pub fn distinct(&self) -> usize {
        self.distinct
    }

    /// The number of a token; 0 for unknown ones.
    pub fn number(&self, token: &str) -> u32 {
        self.numbers.get(token).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(level: TextLevel, vocabulary: u32) -> TextOptions {
        TextOptions {
            level,
            vocabulary,
            sequence: 1,
        }
    }

    #[test]
    fn words_end_their_lines_and_rank_by_frequency() {
        let text = "b a a\n\n <unk> c b a\r\nd";
        let words: Vec<_> = tokens(text, TextLevel::Word).collect();
        assert_eq!(
            words.join(" "),
            "b a a <eos> <eos> <unk> c b a <eos> d <eos>"
        );
        let all = Vocabulary::build(words.iter().copied(), &options(TextLevel::Word, 100));
        assert_eq!((all.len(), all.distinct()), (6, 6));
        assert_eq!(
            ["<unk>", "<eos>", "a", "b", "c", "d", "z"].map(|w| all.number(w)),
            [0, 1, 2, 3, 4, 5, 0]
        );
        let capped = Vocabulary::build(words.iter().copied(), &options(TextLevel::Word, 4));
        assert_eq!((capped.len(), capped.distinct()), (4, 6));
        assert_eq!(["a", "b", "c"].map(|w| capped.number(w)), [2, 3, 0]);
    }

    #[test]
    fn characters_are_scalar_values_with_line_ends() {
        assert_eq!(
            tokens("aé\n", TextLevel::Character).collect::<Vec<_>>(),
            ["a", "é", "\n"]
        );
        let vocabulary = Vocabulary::build(
            tokens("aab", TextLevel::Character),
            &options(TextLevel::Character, 3),
        );
        assert_eq!(["a", "b", "c"].map(|c| vocabulary.number(c)), [1, 2, 0]);
    }
}
