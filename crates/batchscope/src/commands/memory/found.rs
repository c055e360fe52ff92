//! What was found, and the words for it.

use batchscope_core::StepTiming;
use batchscope_report::{
    TextColumn,
    format::{bytes, count, duration, number, percent},
    text_table,
};
use serde::Serialize;

use crate::commands::folded;

/// The largest micro-batch that fits, and how fast each is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The model, or the program.
    pub model: String,
    /// The data.
    pub data: String,
    /// Where it computes.
    pub device: String,
    /// Bytes that a run may take.
    pub cap: u64,
    /// Bytes of address space that tries had, which is less; `null` where they were not limited.
    pub within: Option<u64>,
    /// The cap was asked for.
    pub chosen: bool,
    /// What was tried, the smallest first.
    pub tried: Vec<Tried>,
    /// The largest micro-batch that fits; `null` where none does.
    pub largest: Option<u64>,
    /// Why it is not larger.
    pub bound: Bound,
    /// The largest by counting tensors, as `--max-memory` of the other commands does; `null` where nobody can count.
    pub counted: Option<u64>,
    /// The smallest micro-batch whose throughput is within 5 % of the highest.
    pub full_throughput: Option<u64>,
    /// What accumulation costs.
    pub accumulation: Option<Accumulation>,
    /// Why that is not known of the batch size that was asked for.
    pub not_accumulated: Option<String>,
}

/// A micro-batch that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// Examples at a time, which were the whole batch.
    pub micro_batch: u64,
    /// Whether it fits; `null` where it failed for another reason.
    pub fits: Option<bool>,
    /// Time of a step in one pass.
    pub timing: Option<StepTiming>,
    /// The most bytes that were resident.
    pub peak: Option<u64>,
    /// Why it failed.
    pub why: Option<String>,
}

/// Why the largest micro-batch is not larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Memory runs out.
    Memory,
    /// No larger one was to be tried.
    Tried,
    /// Steps were too slow to try a larger one.
    Slow,
}

/// A step in several micro-batches beside the same in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accumulation {
    /// In the smallest micro-batches at full throughput.
    pub accumulated: StepTiming,
    /// In one pass.
    pub in_one_pass: InOnePass,
    /// The batch size was asked for.
    pub asked: bool,
}

/// A step in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InOnePass {
    /// Its time.
    Timed(StepTiming),
    /// Memory runs out.
    DoesNotFit,
    /// It is larger than what was tried.
    NotTried,
}

impl Tried {
    /// Whole steps were made.
    pub fn ran(micro_batch: u64, timing: Option<StepTiming>, peak: Option<u64>) -> Self {
        Self {
            micro_batch,
            fits: Some(true),
            timing,
            peak,
            why: None,
        }
    }

    /// None were, for want of memory or for another reason.
    pub fn failed(micro_batch: u64, of_memory: bool, why: String) -> Self {
        Self {
            micro_batch,
            fits: of_memory.then_some(false),
            timing: None,
            peak: None,
            why: Some(why),
        }
    }
}

impl Found {
    /// A table and sentences, in lines of at most `width` columns.
    pub fn text(&self, width: usize) -> String {
        let mut text = folded(
            &format!("{} on {}, {}", self.model, self.data, self.device),
            width,
            2,
        );
        text += "\n";
        text += &text_table(&self.columns(), width);
        text += "\n";
        for sentence in self.sentences() {
            text += &folded(&sentence, width, 2);
        }
        text
    }

    fn columns(&self) -> Vec<TextColumn> {
        let column = |title, rank, cell: &dyn Fn(&Tried) -> String| TextColumn {
            title,
            right: true,
            rank,
            cells: self.tried.iter().map(cell).collect(),
        };
        let of_step = |t: &Tried, show: &dyn Fn(StepTiming) -> String| {
            t.timing.map_or_else(|| "-".to_owned(), show)
        };
        let fits = |t: &Tried| match t.fits {
            Some(true) => "yes",
            Some(false) => "no",
            None => "failed",
        };
        vec![
            column("micro-batch", 0, &|t| count(t.micro_batch)),
            column("fits", 0, &|t| fits(t).to_owned()),
            column("a step", 1, &|t| of_step(t, &|s| duration(s.seconds))),
            column("examples/s", 0, &|t| {
                of_step(t, &|s| number(s.batch_size as f64 / s.seconds))
            }),
            column("memory", 2, &|t| {
                t.peak.map_or_else(|| "-".to_owned(), bytes)
            }),
        ]
    }

    fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![self.largest_sentence()];
        if let (Some(counted), Some(largest)) = (self.counted, self.largest) {
            let by_counting = "By counting tensors, as --max-memory of the other commands does,";
            sentences.push(match self.bound {
                _ if counted == 0 => format!("{by_counting} not even one example fits."),
                Bound::Memory => format!(
                    "{by_counting} it would be {}, {} times what was found.",
                    count(counted),
                    number(counted as f64 / largest as f64)
                ),
                Bound::Tried | Bound::Slow => format!(
                    "{by_counting} {} of the training examples fit.",
                    count(counted)
                ),
            });
        }
        if let Some(full) = self.full_throughput {
            sentences.push(format!(
                "The smallest micro-batch at full throughput, within 5 % of the highest, is {}.",
                count(full)
            ));
        }
        sentences.extend(self.accumulation.as_ref().map(Accumulation::sentence));
        let not_accumulated = self.not_accumulated.as_ref();
        sentences.extend(not_accumulated.map(|why| {
            format!("What a step of --batch-size costs in micro-batches is not known: {why}.")
        }));
        let reason = |t: &Tried| {
            let why = t.why.as_ref()?;
            let size = count(t.micro_batch);
            Some(match t.fits {
                Some(_) => format!("At {size} memory ran out: {why}"),
                None => format!("{size} failed for another reason: {why}"),
            })
        };
        // The smallest of those that do not fit stands for the others.
        let mut failures = self.tried.iter().filter(|t| t.fits == Some(false));
        let others = self.tried.iter().filter(|t| t.fits.is_none());
        sentences.extend(others.chain(failures.next()).filter_map(reason));
        sentences
    }

    fn largest_sentence(&self) -> String {
        let within = match (self.within, self.chosen) {
            (Some(within), true) => format!(
                "within {} of the {} of address space that --max-memory allows",
                bytes(within),
                bytes(self.cap)
            ),
            (Some(within), false) => format!(
                "within {} of the {} of address space which are 80 % of the memory that is available",
                bytes(within),
                bytes(self.cap)
            ),
            (None, _) => "without a limit of its address space".to_owned(),
        };
        let Some(largest) = self.largest else {
            return format!("Not even one example fits {within}.");
        };
        let fits = format!(
            "The largest micro-batch that fits is {}: whole training steps ran with it {within}",
            count(largest)
        );
        match self.bound {
            Bound::Memory => format!("{fits}."),
            Bound::Tried => {
                format!("{fits}, and no larger one was to be tried: at least so many fit.")
            }
            Bound::Slow => format!(
                "{fits}. Larger ones were not tried, since its step took longer than --longest-step: at least so many fit."
            ),
        }
    }
}

impl Accumulation {
    fn sentence(&self) -> String {
        let StepTiming {
            batch_size,
            micro_batch,
            seconds,
            ..
        } = self.accumulated;
        let one = "in one pass";
        let example = if self.asked { "" } else { ", for example," };
        let step = format!(
            "A step of {}{example} takes {} in micro-batches of {}",
            count(batch_size),
            duration(seconds),
            count(micro_batch)
        );
        match self.in_one_pass {
            InOnePass::DoesNotFit => format!("{step}; {one} it does not fit."),
            InOnePass::NotTried => format!("{step}; {one} it was not tried."),
            InOnePass::Timed(whole) => {
                let more = seconds / whole.seconds - 1.0;
                let than = format!("than {one}, {}", duration(whole.seconds));
                match more >= 0.0 {
                    true => format!("{step}: accumulation costs {} more {than}.", percent(more)),
                    false => format!("{step}: accumulation saves {}, {than}.", percent(-more)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(batch_size: u64, micro_batch: u64, seconds: f64) -> StepTiming {
        StepTiming {
            batch_size,
            micro_batch,
            seconds,
            low: 0.98 * seconds,
            high: 1.03 * seconds,
            n: 30,
        }
    }

    fn found() -> Found {
        let ran = |size: u64, seconds: f64, mebibytes: u64| {
            Tried::ran(
                size,
                Some(timing(size, size, seconds)),
                Some(mebibytes << 20),
            )
        };
        Found {
            model: "c1".to_owned(),
            data: "glyphs: 4000 train".to_owned(),
            device: "cpu (flex)".to_owned(),
            cap: 2 << 30,
            within: Some(1945 << 20),
            chosen: true,
            tried: vec![
                ran(1, 0.0045, 161),
                ran(32, 0.0318, 192),
                ran(256, 0.21, 405),
                ran(1728, 1.45, 1618),
                Tried::failed(1760, true, "memory allocation failed".to_owned()),
            ],
            largest: Some(1728),
            bound: Bound::Memory,
            counted: Some(1532),
            full_throughput: Some(256),
            accumulation: Some(Accumulation {
                accumulated: timing(1024, 256, 0.86),
                in_one_pass: InOnePass::Timed(timing(1024, 1024, 0.84)),
                asked: false,
            }),
            not_accumulated: None,
        }
    }

    #[test]
    fn it_is_told_in_a_table_and_sentences() {
        insta::assert_snapshot!(found().text(80));
    }

    #[test]
    fn a_bound_that_is_not_memorys_says_so() {
        let mut found = Found {
            chosen: false,
            bound: Bound::Slow,
            counted: Some(0),
            accumulation: None,
            ..found()
        };
        let slow = found.text(80);
        found.bound = Bound::Tried;
        found.within = None;
        found.counted = Some(4000);
        found.accumulation = Some(Accumulation {
            accumulated: timing(4096, 256, 3.4),
            in_one_pass: InOnePass::DoesNotFit,
            asked: true,
        });
        let tried = found.text(80);
        found.largest = None;
        found.bound = Bound::Memory;
        insta::assert_snapshot!([slow, tried, found.text(80)].join("\n---\n"));
    }
}
