//! A training set shared out over replicas, each of which trains on a part of its own.
//!
//! [`Shards`] says which examples are whose, and [`Shard`] is one replica's part as a set of
//! [`Examples`]. All parts have the same size, so that an epoch is as long for every replica.
//!
//! *Even parts* are a uniform choice without replacement.
//!
//! *Parts that differ by class* follow T.-M. H. Hsu, H. Qi and M. Brown, "Measuring the effects of
//! non-identical data distribution for federated visual classification" (2019, arXiv 1909.06335):
//! with `p` the class frequencies of the whole set, each replica draws class proportions
//! `q ~ Dirichlet(α·p)` and then the class of each of its examples from `q`, without replacement. A
//! class of which nothing is left is struck out, and `q` is renormalized over the others.
//!
//! One replica after another draws its whole part. So the replicas are not alike in law: the first
//! one's part is as above, later ones miss what earlier ones used up, and the last one takes what is
//! left. Its class frequencies differ from the whole set's by chance even at a large `α`, about
//! `√(R − 1)` times as far as the others'. (Drawing in turn would treat the replicas alike, but
//! those with the same first class would then divide it and go on to other classes, so that no `α`
//! gives one class each.)
//!
//! Proportions are kept as logarithms. At a small `α` most of them are below the smallest `f64`, but
//! their ratios decide what a replica draws when its first class has run out.

mod dirichlet;
mod shard;

use std::sync::Arc;

use batchscope_core::{
    Batch, Examples, Labels, Purpose, SettingError, StreamKey, Task, order::shuffle,
    setting::above, statistics::NormalDraws,
};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use dirichlet::{ALPHAS, LogWeights, log_gamma};

pub use shard::Shard;

/// How a training set is shared out over replicas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Sharding {
    /// Every replica has a uniform choice of the examples.
    Even,
    /// Every replica has class proportions of its own (Hsu, Qi and Brown 2019, arXiv 1909.06335).
    Dirichlet {
        /// Concentration, a finite number above 0. The larger it is, the more alike are the parts. At
        /// 0.001 or below, a replica has one class, and others only where that one runs out.
        alpha: f64,
    },
}

/// Why a training set cannot be shared out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShardError {
    /// There are no replicas.
    #[error("0 replicas train nothing: choose at least 1")]
    NoReplicas,
    /// A replica would have no example.
    #[error(
        "{replicas} replicas cannot share {examples} examples: choose fewer replicas or more examples"
    )]
    TooManyReplicas {
        /// Replicas asked for.
        replicas: usize,
        /// Examples of the whole set.
        examples: u64,
    },
    /// There are more examples than can be numbered.
    #[error(
        "{examples} examples are too many to share out: choose at most {}",
        u32::MAX
    )]
    TooManyExamples {
        /// Examples of the whole set.
        examples: u64,
    },
    /// The concentration is none.
    #[error("alpha = {alpha} is no concentration: choose a finite number above 0, for example 0.1")]
    Alpha {
        /// What was asked for.
        alpha: f64,
    },
    /// The examples have no class each, and were to be shared out by class.
    #[error(
        "these examples have no class each, so that parts cannot differ by class: share them out evenly, or train on a classification"
    )]
    NoClasses,
    /// A text is one sequence and is not shared out.
    #[error(
        "a text is not shared out over replicas, because its windows continue each other: train on images or tables, or with synchronous replicas, which take the streams of one step together"
    )]
    Text,
}

impl ShardError {
    /// The setting that is to be changed: `method` or `examples`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::TooManyExamples { .. } => "examples",
            _ => "method",
        }
    }
}

impl From<ShardError> for SettingError {
    fn from(error: ShardError) -> Self {
        SettingError::new(error.key(), error.to_string())
    }
}

impl From<ShardError> for TrainError {
    fn from(error: ShardError) -> Self {
        Self::Setting(error.into())
    }
}

/// Which examples of a training set are which replica's.
///
/// Every replica has `⌊N/R⌋` of the `N` examples, no example is in two parts, and the up to `R − 1`
/// that are left over are nobody's. The parts are a function of the arguments alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    /// Ascending numbers of each replica's examples.
    indices: Vec<Arc<[u64]>>,
    /// Examples of the whole set.
    examples: u64,
}

/// How far apart the class frequencies of the parts are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassSpread {
    /// Mean over the replicas of the total-variation distance `½·Σ_c |f_c − p_c|` between the class
    /// frequencies `f` of a replica and those of the whole set, `p`: 0 if all are alike, `1 − 1/C` if
    /// every replica has one of `C` equally frequent classes.
    pub mean_distance: f64,
    /// The largest of these distances.
    pub largest_distance: f64,
    /// Mean number of classes of which a replica has an example.
    pub mean_classes: f64,
}

/// The stream that shuffles; the replicas' own come after it.
const SHUFFLE: u64 = 0;

impl Shards {
    /// Shares a set out over so many replicas. `key` is any key of the run's; another trial has other
    /// parts. Parts that differ by class read the classes of the whole set.
    ///
    /// # Errors
    /// [`ShardError`]: no replicas or more than examples, a concentration that is none, a text, or
    /// classes that are missed.
    pub fn new(
        examples: &dyn Examples,
        replicas: usize,
        how: Sharding,
        key: StreamKey,
    ) -> Result<Self, ShardError> {
        if examples.shape().task == Task::NextToken {
            return Err(ShardError::Text);
        }
        share(examples.len(), replicas)?;
        match how {
            Sharding::Even => Self::even(examples.len(), replicas, key),
            Sharding::Dirichlet { alpha } => {
                Self::by_class(&class_labels(examples)?, replicas, alpha, key)
            }
        }
    }

    /// Shares `examples` examples out evenly.
    ///
    /// # Errors
    /// [`ShardError`]: no replicas, or more than examples.
    pub fn even(examples: u64, replicas: usize, key: StreamKey) -> Result<Self, ShardError> {
        let share = share(examples, replicas)?;
        let mut order: Vec<u64> = (0..examples).collect();
        shuffle(&mut order, &mut streams(key).stream(SHUFFLE));
        let parts = order.chunks_exact(share).take(replicas);
        Ok(Self {
            indices: parts.map(|part| ascending(part.to_vec()).into()).collect(),
            examples,
        })
    }

    /// Shares out examples of these classes in parts that differ by class, with concentration `alpha`
    /// (Hsu, Qi and Brown 2019). The labels may be any numbers. It takes a time that grows with the
    /// replicas times the classes, and with the examples.
    ///
    /// # Errors
    /// [`ShardError`]: no replicas or more than examples, or an `alpha` that is not finite and above 0.
    pub fn by_class(
        labels: &[u32],
        replicas: usize,
        alpha: f64,
        key: StreamKey,
    ) -> Result<Self, ShardError> {
        let (examples, key) = (labels.len() as u64, streams(key));
        let share = share(examples, replicas)?;
        if !above(alpha, 0.0) {
            return Err(ShardError::Alpha { alpha });
        }
        let alpha = alpha.clamp(ALPHAS[0], ALPHAS[1]);
        let mut left = members(labels);
        let shape = |class: &Vec<u64>| alpha * (class.len() as f64 / examples as f64);
        let shapes: Vec<f64> = left.iter().map(shape).collect();
        let mut shuffling = key.stream(SHUFFLE);
        left.iter_mut()
            .for_each(|class| shuffle(class, &mut shuffling));
        let part = |replica: usize| {
            let mut draws = NormalDraws::new(key.stream(SHUFFLE + 1 + replica as u64));
            let logs = left.iter().zip(&shapes).map(|(class, &shape)| {
                if class.is_empty() {
                    f64::NEG_INFINITY
                } else {
                    log_gamma(shape, &mut draws)
                }
            });
            let mut weights = LogWeights::new(logs);
            let mut own = Vec::with_capacity(share);
            while own.len() < share {
                let class = weights.draw(&mut draws);
                own.push(left[class].pop().expect("a class used up is struck out"));
                if left[class].is_empty() {
                    weights.strike_out(class);
                }
            }
            ascending(own).into()
        };
        let indices = (0..replicas).map(part).collect();
        Ok(Self { indices, examples })
    }

    /// Number of replicas.
    pub fn replicas(&self) -> usize {
        self.indices.len()
    }

    /// Examples of each replica, `⌊N/R⌋`.
    pub fn share(&self) -> u64 {
        self.indices[0].len() as u64
    }

    /// Examples that no replica has, `N mod R`.
    pub fn left_over(&self) -> u64 {
        self.examples - self.share() * self.replicas() as u64
    }

    /// The numbers of a replica's examples in the stored order of the whole set, ascending.
    ///
    /// # Panics
    /// Where there is no such replica.
    pub fn indices(&self, replica: usize) -> &[u64] {
        &self.indices[replica]
    }

    /// A replica's part of the set that was shared out.
    ///
    /// # Panics
    /// Where there is no such replica, or `whole` has another number of examples.
    pub fn shard<'a>(&self, whole: &'a dyn Examples, replica: usize) -> Shard<'a> {
        assert_eq!(whole.len(), self.examples, "the set that was shared out");
        Shard {
            whole,
            indices: Arc::clone(&self.indices[replica]),
            replica: replica as u64,
        }
    }

    /// How far apart the parts are by class, where `labels` are the classes of the whole set.
    ///
    /// # Panics
    /// Where there are not as many labels as examples.
    pub fn class_spread(&self, labels: &[u32]) -> ClassSpread {
        assert_eq!(labels.len() as u64, self.examples, "one label an example");
        let mut whole = labels.to_vec();
        whole.sort_unstable();
        let frequency = |class: u32| {
            let below = whole.partition_point(|&c| c < class);
            let count = whole[below..].partition_point(|&c| c == class);
            count as f64 / whole.len() as f64
        };
        let (mut distances, mut largest, mut classes) = (0.0, 0.0f64, 0u32);
        for part in &self.indices {
            let mut own: Vec<u32> = part.iter().map(|&index| labels[index as usize]).collect();
            own.sort_unstable();
            // Half the sum of all differences is the sum of the positive ones.
            let mut distance = 0.0;
            for class in own.chunk_by(|a, b| a == b) {
                let share = class.len() as f64 / own.len() as f64;
                distance += (share - frequency(class[0])).max(0.0);
                classes += 1;
            }
            distances += distance;
            largest = largest.max(distance);
        }
        let replicas = self.replicas() as f64;
        ClassSpread {
            mean_distance: distances / replicas,
            largest_distance: largest,
            mean_classes: f64::from(classes) / replicas,
        }
    }
}

/// The class of every example of a set, in stored order.
///
/// # Errors
/// [`ShardError::NoClasses`] and [`ShardError::Text`], where the task is no classification.
pub fn class_labels(examples: &dyn Examples) -> Result<Vec<u32>, ShardError> {
    /// Numbers of a batch: 16 MiB.
    const CHUNK: usize = 1 << 22;
    let shape = examples.shape();
    match shape.task {
        Task::Classify { .. } => {}
        Task::NextToken => return Err(ShardError::Text),
        Task::Regress { .. } | Task::Segment { .. } => return Err(ShardError::NoClasses),
    }
    let chunk = (CHUNK / shape.input.len().max(1)).clamp(1, 4096);
    let mut batch = Batch::empty(shape);
    let mut found = Vec::new();
    for start in (0..examples.len()).step_by(chunk) {
        let end = (start + chunk as u64).min(examples.len());
        examples.fill_in_order(start..end, &mut batch);
        match &batch.labels {
            Labels::Classes(classes) => found.extend_from_slice(classes),
            _ => return Err(ShardError::NoClasses),
        }
    }
    Ok(found)
}

/// Examples of each replica.
fn share(examples: u64, replicas: usize) -> Result<usize, ShardError> {
    if replicas == 0 {
        return Err(ShardError::NoReplicas);
    }
    if u32::try_from(examples).is_err() {
        return Err(ShardError::TooManyExamples { examples });
    }
    match examples as usize / replicas {
        0 => Err(ShardError::TooManyReplicas { replicas, examples }),
        share => Ok(share),
    }
}

/// The key of what is drawn here.
fn streams(key: StreamKey) -> StreamKey {
    key.with_purpose(Purpose::Shards)
}

/// The numbers of the examples of each class that has any, by ascending class.
fn members(labels: &[u32]) -> Vec<Vec<u64>> {
    let mut order: Vec<u64> = (0..labels.len() as u64).collect();
    let class = |index: &u64| labels[*index as usize];
    order.sort_by_key(class);
    let classes = order.chunk_by(|a, b| class(a) == class(b));
    classes.map(<[u64]>::to_vec).collect()
}

/// Stored order: what is read at once lies close together, and a set stored in random order keeps one.
fn ascending(mut part: Vec<u64>) -> Vec<u64> {
    part.sort_unstable();
    part
}
