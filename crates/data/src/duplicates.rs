//! Examples that are there more than once, counted by content: within the parts, and between them.

use std::hash::{DefaultHasher, Hash, Hasher};

use rayon::prelude::*;

use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};

/// Notes on copies; why a test part of which more than half are training examples is refused. Takes 16
/// bytes of memory for each example; two different ones count as copies by a chance of n²/2⁶⁵.
pub(crate) fn count(arrays: &Arrays, notes: &mut Vec<String>) -> Option<String> {
    let train = Part::of("training", arrays, &arrays.train);
    if train.copies() > 0 {
        let held_out = match arrays.validation {
            Some(_) => "",
            None => "; one may be held out for validation while the other is trained on",
        };
        notes.push(train.note_of_copies() + held_out);
    }
    let part = |name, part: &Option<ArrayPart>| Some(Part::of(name, arrays, part.as_ref()?));
    let validation = part("validation", &arrays.validation);
    let test = part("test", &arrays.test);
    let mut refused = None;
    for part in [&validation, &test].into_iter().flatten() {
        if part.copies() > 0 {
            notes.push(part.note_of_copies());
        }
        let (known, contradicted) = part.known(&train);
        let said = format!(
            "{known} of {} {} examples are training examples too",
            part.all(),
            part.name
        );
        if part.name == "test" {
            refused = (known > part.all() / 2).then(|| worthless(&said));
        }
        if known > 0 && refused.is_none() {
            notes.push(said);
        }
        if contradicted > 0 {
            notes.push(format!(
                "{contradicted} of {} {} examples have the inputs of training examples, and other answers",
                part.all(), part.name
            ));
        }
    }
    if let (Some(validation), Some(test)) = (&validation, &test) {
        let (known, _) = test.known(validation);
        if known > 0 {
            notes.push(format!(
                "{known} of {} test examples are validation examples too",
                test.all()
            ));
        }
    }
    refused
}

/// Why a test part is refused of which more than half is in the training part, as `said`.
pub(crate) fn worthless(said: &str) -> String {
    format!(
        "{said}, so that the test part tells nothing about new ones: give another test part, or take \
         the copies out"
    )
}

/// The digests of a part.
struct Part {
    name: &'static str,
    /// Of each example, copies included, by its inputs and then by all of it, in order.
    examples: Vec<(u64, u64)>,
}

impl Part {
    fn of(name: &'static str, arrays: &Arrays, part: &ArrayPart) -> Self {
        let mut examples = digests(arrays, part);
        examples.par_sort_unstable();
        Self { name, examples }
    }

    /// Its examples, copies included.
    fn all(&self) -> usize {
        self.examples.len()
    }

    /// Examples that are there before.
    fn copies(&self) -> usize {
        self.examples.windows(2).filter(|w| w[0] == w[1]).count()
    }

    fn note_of_copies(&self) -> String {
        format!(
            "{} of {} {} examples are copies of others",
            self.copies(),
            self.all(),
            self.name
        )
    }

    /// How many examples another part has too, and of how many it has the inputs with other answers alone.
    fn known(&self, other: &Part) -> (usize, usize) {
        let found = |example: &(u64, u64)| {
            let at = other.examples.partition_point(|e| e < example);
            let before = at.checked_sub(1).and_then(|at| other.examples.get(at));
            let mut near = other.examples.get(at).into_iter().chain(before);
            match other.examples.get(at) == Some(example) {
                true => (1, 0),
                false => (0, usize::from(near.any(|e| e.0 == example.0))),
            }
        };
        let add = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        self.examples.par_iter().map(found).reduce(|| (0, 0), add)
    }
}

/// Digests of each example: of its inputs, and with the answer.
fn digests(arrays: &Arrays, part: &ArrayPart) -> Vec<(u64, u64)> {
    let examples = arrays.count(part);
    let width = arrays.input.len();
    let outputs = match &part.answers {
        Answers::Classes(_) => 1,
        Answers::Values(values) => values.len() / examples.max(1),
        Answers::Masks(masks) => masks.len() / examples.max(1),
    };
    let sequences = match &part.inputs {
        InputRows::Windows(windows) => windows.digests(),
        _ => Vec::new(),
    };
    let digest = |example: usize| {
        let mut hash = DefaultHasher::new();
        match &part.inputs {
            InputRows::Bytes(bytes) => hash.write(&bytes[example * width..][..width]),
            InputRows::Floats(values) => floats(&values[example * width..][..width], &mut hash),
            InputRows::Shifted(shifted) => {
                floats(&shifted.values[example * width..][..width], &mut hash);
            }
            InputRows::Windows(_) => sequences[example].hash(&mut hash),
        }
        let inputs = hash.finish();
        match &part.answers {
            Answers::Classes(classes) => hash.write_u32(classes[example]),
            Answers::Values(values) => floats(&values[example * outputs..][..outputs], &mut hash),
            Answers::Masks(masks) => hash.write(&masks[example * outputs..][..outputs]),
        }
        (inputs, hash.finish())
    };
    (0..examples).into_par_iter().map(digest).collect()
}

/// Hashes numbers by their bits, a block at a time.
pub(crate) fn floats(values: &[f32], hash: &mut DefaultHasher) {
    let mut block = [0; 256];
    for chunk in values.chunks(block.len() / 4) {
        for (bytes, value) in block.chunks_exact_mut(4).zip(chunk) {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
        hash.write(&block[..4 * chunk.len()]);
    }
}
