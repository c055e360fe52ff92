use std::ops::Range;

use batchscope_core::{
    Batch, DataShape, Examples, ExamplesError, InputShape, Inputs, Labels, Purpose, Sampler,
    StepBatch, StreamKey, Task,
};
use rand_core::Rng;

/// Gaussian-like blobs about one center per class, or a noisy linear map for regression; a
/// function of the seed.
#[derive(Debug, Clone)]
pub struct Blobs {
    shape: DataShape,
    inputs: Vec<f32>,
    classes: Vec<u32>,
    targets: Vec<f32>,
    len: u64,
}

impl Blobs {
    /// `len` examples with vector inputs of one of `classes` classes.
    pub fn classes(len: u64, features: usize, classes: usize, seed: u64) -> Self {
        let shape = DataShape {
            input: InputShape::Vector { features },
            task: Task::Classify { classes },
        };
        Self::new(len, shape, seed)
    }

    /// `len` examples of any shape but tokens. Splits of one data set have the same `seed / 1000`.
    pub fn new(len: u64, shape: DataShape, seed: u64) -> Self {
        let features = shape.input.len();
        let draws = |trial, index| {
            let key = StreamKey {
                study_seed: seed / 1000,
                trial,
                purpose: Purpose::Glyphs,
            };
            let mut stream = key.stream(index);
            move || {
                (0..4)
                    .map(|_| (stream.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
                    .sum::<f32>()
            }
        };
        let outputs = match shape.task {
            Task::Classify { classes } => classes,
            Task::Regress { outputs } => outputs,
            Task::NextToken | Task::Segment { .. } => 0,
        };
        let mut center = draws(u64::MAX, 0);
        let centers: Vec<f32> = (0..features * outputs).map(|_| 1.5 * center()).collect();
        let mut blobs = Self {
            shape,
            inputs: Vec::new(),
            classes: Vec::new(),
            targets: Vec::new(),
            len,
        };
        for example in 0..len {
            let mut draw = draws(seed % 1000, example);
            let class = (example as usize * 7 + example as usize / 5) % outputs.max(1);
            let noise: Vec<f32> = (0..features).map(|_| draw()).collect();
            match shape.task {
                Task::Classify { .. } => {
                    blobs.inputs.extend(
                        noise
                            .iter()
                            .enumerate()
                            .map(|(f, n)| centers[class * features + f] + n),
                    );
                    blobs.classes.push(class as u32);
                }
                _ => {
                    for output in 0..outputs {
                        let row = &centers[output * features..][..features];
                        let value: f32 = row.iter().zip(&noise).map(|(c, x)| c * x).sum();
                        blobs.targets.push(value + 0.1 * draw());
                    }
                    blobs.inputs.extend(noise);
                }
            }
        }
        blobs
    }

    fn fill(&self, indices: impl Iterator<Item = u64>, batch: &mut Batch) {
        let features = self.shape.input.len();
        let (Inputs::Values(inputs), labels) = (&mut batch.inputs, &mut batch.labels) else {
            return;
        };
        inputs.clear();
        match labels {
            Labels::Classes(classes) => classes.clear(),
            Labels::Values(values) => values.clear(),
            Labels::Tokens(tokens) => tokens.clear(),
            Labels::Pixels(pixels) => pixels.clear(),
        }
        batch.len = 0;
        for index in indices.map(|i| i as usize) {
            inputs.extend_from_slice(&self.inputs[index * features..][..features]);
            match labels {
                Labels::Classes(classes) => classes.push(self.classes[index]),
                Labels::Values(values) => {
                    let outputs = self.targets.len() / self.len as usize;
                    values.extend_from_slice(&self.targets[index * outputs..][..outputs]);
                }
                Labels::Tokens(_) | Labels::Pixels(_) => {}
            }
            batch.len += 1;
        }
    }
}

impl Examples for Blobs {
    fn shape(&self) -> DataShape {
        self.shape
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn sampler(
        &self,
        key: StreamKey,
        batch_size: u64,
    ) -> Result<Box<dyn Sampler + '_>, ExamplesError> {
        match batch_size {
            0 => Err(ExamplesError::BatchOfZero),
            b if b > self.len => Err(ExamplesError::BatchTooLarge {
                batch_size,
                examples: self.len,
            }),
            _ => Ok(Box::new(Shuffled {
                blobs: self,
                key,
                epochs: Vec::new(),
            })),
        }
    }

    fn fill_in_order(&self, range: Range<u64>, batch: &mut Batch) {
        self.fill(range.start..range.end.min(self.len), batch);
    }
}

/// A fresh permutation every epoch, windows straddling epochs.
struct Shuffled<'a> {
    blobs: &'a Blobs,
    key: StreamKey,
    /// The last permutations used, with their epochs.
    epochs: Vec<(u64, Vec<u64>)>,
}

impl Shuffled<'_> {
    fn index(&mut self, draw: u64) -> u64 {
        let (epoch, place) = (draw / self.blobs.len, draw % self.blobs.len);
        let known = self.epochs.iter().position(|(e, _)| *e == epoch);
        let at = known.unwrap_or_else(|| {
            let mut stream = self.key.stream(epoch);
            let mut order: Vec<u64> = (0..self.blobs.len).collect();
            for last in (1..order.len()).rev() {
                order.swap(last, (stream.next_u64() % (last as u64 + 1)) as usize);
            }
            if self.epochs.len() > 2 {
                self.epochs.clear();
            }
            self.epochs.push((epoch, order));
            self.epochs.len() - 1
        });
        self.epochs[at].1[place as usize]
    }
}

impl Sampler for Shuffled<'_> {
    fn fill(&mut self, step: StepBatch, positions: Range<u64>, batch: &mut Batch) {
        let first = step.first_draw;
        let indices: Vec<u64> = positions.clone().map(|p| self.index(first + p)).collect();
        self.blobs.fill(indices.into_iter(), batch);
        batch.first_position = positions.start;
        batch.first_draw = first + positions.start;
        batch.fresh_streams = false;
    }
}
