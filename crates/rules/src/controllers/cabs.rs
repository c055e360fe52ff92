//! CABS: the batch size that the variance of the gradient and the loss ask for.
//!
//! L. Balles, J. Romero, P. Hennig, "Coupling Adaptive Batch Sizes with Learning Rates", UAI 2017 (arXiv 1612.05086),
//! equation 17 and algorithm 1: `B = η·ξ/F`, with the learning rate `η`, the sum over coordinates of the variance of one
//! example's gradient `ξ = tr Σ`, averaged with a factor of 0.95, and the loss `F` of the step before. The rule was derived
//! for SGD without momentum and for losses whose least value is near 0.
//!
//! Here `ξ` is averaged over the steps whose noise is measured, which are not all; between them the batch size stays. Batch
//! sizes are whole multiples of the smallest, so that groups of batch norm stay whole.

use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault, Range, StepBatch};

use crate::{
    BatchSizes, Controller, ControllerKind, LearningRate, RulesError, StepSeen, StepSetting,
    controller::whole,
};

/// Chooses the batch size by the variance of the gradient.
pub(crate) static CABS: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "cabs",
        aliases: &[],
        about: "The batch size is the learning rate times the variance of the gradient, divided by the loss",
        source: "Balles et al. 2017, arXiv 1612.05086",
        parameters: &[
            Parameter {
                name: "smallest",
                about: "Smallest batch size; others are its multiples",
                kind: Kind::Whole(1, 1 << 20),
                default: ParameterDefault::Whole(16),
            },
            Parameter {
                name: "largest",
                about: "Largest batch size",
                kind: Kind::Whole(1, 1 << 24),
                default: ParameterDefault::Whole(2048),
            },
            Parameter {
                name: "average",
                about: "How much of its average the variance keeps at each measurement",
                kind: Kind::Number(Range::FRACTION),
                default: ParameterDefault::Number(0.95),
            },
        ],
    },
    finds_rate: false,
    build: |choice, course| {
        let smallest = choice.whole("smallest").unwrap_or(16);
        let largest = choice.whole("largest").unwrap_or(2048);
        if largest < smallest {
            return Err(RulesError::OutOfRange {
                key: "largest",
                value: largest as f64,
                range: "at least the smallest batch size",
            });
        }
        let largest = largest / smallest * smallest;
        let fits =
            |size: u64| (smallest..=largest).contains(&size) && size.is_multiple_of(smallest);
        if !fits(course.batch_size) {
            return Err(RulesError::OutOfRange {
                key: "batch size",
                value: course.batch_size as f64,
                range: "a multiple of the smallest of cabs, and at most its largest: it begins so",
            });
        }
        let first = StepBatch::constant(0, course.batch_size);
        Ok(Box::new(Cabs {
            rates: course.rates(course.schedule)?,
            begun_with: course.batch_size,
            smallest,
            largest,
            average: choice.number("average").unwrap_or(0.95),
            variance: None,
            last: first,
            next: first,
        }))
    },
};

struct Cabs {
    rates: LearningRate,
    begun_with: u64,
    smallest: u64,
    largest: u64,
    average: f64,
    /// `ξ`, once it was measured.
    variance: Option<f64>,
    last: StepBatch,
    next: StepBatch,
}

impl Cabs {
    fn rate(&self, batch: StepBatch) -> f64 {
        // The schedule counts examples, in steps of the first batch size.
        self.rates.at(batch.first_draw / self.begun_with.max(1))
    }
}

impl Controller for Cabs {
    fn at(&self, step: u64) -> StepSetting {
        let batch = match step < self.next.step {
            true => self.last,
            false => self.next,
        };
        StepSetting {
            learning_rate: self.rate(batch),
            batch,
        }
    }

    fn observe(&mut self, seen: &StepSeen<'_>) {
        let now = seen.setting.batch;
        let mut batch_size = now.batch_size;
        if let Some(noise) = seen.noise {
            let trace = noise.trace.max(0.0);
            let kept = |before: f64| self.average * before + (1.0 - self.average) * trace;
            let variance = self.variance.map_or(trace, kept);
            self.variance = Some(variance);
            let asked = seen.setting.learning_rate * variance / seen.loss;
            // A loss of 0 or less asks for no batch size.
            if seen.loss > 0.0 && asked.is_finite() {
                let units = (asked / self.smallest as f64).round() as u64;
                batch_size = units
                    .saturating_mul(self.smallest)
                    .clamp(self.smallest, self.largest);
            }
        }
        self.last = now;
        self.next = StepBatch {
            step: now.step + 1,
            first_draw: now.first_draw.saturating_add(now.batch_size),
            batch_size,
        };
    }

    fn warm_up_steps(&self) -> u64 {
        self.rates.warm_up_steps()
    }

    fn batch_sizes(&self) -> Option<BatchSizes> {
        Some(BatchSizes {
            smallest: self.smallest,
            largest: self.largest,
            divisor: self.smallest,
        })
    }

    fn watches_noise(&self) -> bool {
        true
    }

    fn state(&self) -> Vec<f64> {
        let numbers = |batch: StepBatch| [batch.step, batch.first_draw, batch.batch_size];
        let batches = [numbers(self.last), numbers(self.next)].concat();
        // Whole numbers of this size are exact: a run has no 2⁵³ examples.
        let batches = batches.into_iter().map(|n| n as f64);
        [self.variance.unwrap_or(f64::NEG_INFINITY)]
            .into_iter()
            .chain(batches)
            .collect()
    }

    fn load(&mut self, state: &[f64]) -> Result<(), RulesError> {
        let &[variance, a, b, c, d, e, f] = state else {
            return Err(RulesError::ForeignState);
        };
        let batch = |numbers: [f64; 3]| {
            let [step, first_draw, batch_size] = numbers.map(whole);
            let batch = StepBatch {
                step: step?,
                first_draw: first_draw?,
                batch_size: batch_size?,
            };
            (self.smallest..=self.largest)
                .contains(&batch.batch_size)
                .then_some(batch)
        };
        let (Some(last), Some(next)) = (batch([a, b, c]), batch([d, e, f])) else {
            return Err(RulesError::ForeignState);
        };
        if variance.is_nan() || variance == f64::INFINITY {
            return Err(RulesError::ForeignState);
        }
        self.variance = (variance >= 0.0).then_some(variance);
        (self.last, self.next) = (last, next);
        Ok(())
    }
}
