//! What is done: the setting, which every number depends on (`setting.rs`), and the scope, which may grow.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::setting::Setting;
use super::task::{Method, Quantity, RunId, Shape, Space, StateId, Statistics, Task};
use crate::ReproduceError;

/// A part of the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Accuracy, loss, sharpness and distance from the start, small against large (tables 2 to 4).
    Table,
    /// Straight and curved slices between the minima (figures 3 and 7).
    Slices,
    /// Accuracy and sharpness against the batch size (figure 4).
    BatchSizes,
    /// Sharpness against the loss along training (figure 6).
    Trajectory,
    /// Large batches from where small ones have got to (figure 5).
    WarmStarts,
    /// Augmentation, conservative and adversarial training (section 4).
    Remedies,
}

impl Part {
    /// All parts, in the order in which they are done.
    pub const ALL: [Self; 6] = [
        Part::Table,
        Part::Slices,
        Part::Remedies,
        Part::BatchSizes,
        Part::Trajectory,
        Part::WarmStarts,
    ];

    /// Its name, as settings and files have it: `batch-sizes`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Table => "table",
            Part::Slices => "slices",
            Part::BatchSizes => "batch-sizes",
            Part::Trajectory => "trajectory",
            Part::WarmStarts => "warm-starts",
            Part::Remedies => "remedies",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Part {
    type Err = ReproduceError;

    fn from_str(text: &str) -> Result<Self, ReproduceError> {
        let known = Part::ALL.into_iter().find(|part| part.name() == text);
        known.ok_or_else(|| {
            let names = Part::ALL.map(Part::name);
            ReproduceError::Setting {
                name: "part",
                why: format!("'{text}' is no part: choose of {}", names.join(", ")),
            }
        })
    }
}

/// How much of the experiment is done: may grow from one call to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// Random starts of training; five in the paper.
    pub starts: u32,
    /// The parts.
    pub parts: BTreeSet<Part>,
    /// Batch sizes between the small and the large one.
    pub between: Vec<u64>,
    /// Starts of each of them.
    pub between_starts: u32,
    /// Epochs of small batches after which large ones take over.
    pub warm_epochs: Vec<u32>,
    /// Epochs whose sharpness is taken along training.
    pub snapshots: Vec<u32>,
    /// Starts of each remedy.
    pub remedy_starts: u32,
    /// Slices are drawn once with each of these batch-norm statistics.
    pub statistics: BTreeSet<Statistics>,
}

/// An experiment to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What every number depends on.
    pub setting: Setting,
    /// How much is done.
    pub scope: Scope,
}

impl Plan {
    /// The small and the large batch for so many examples: 256 and a tenth; with fewer than 25,600
    /// examples the small one is a tenth of the large one.
    ///
    /// ```
    /// use batchscope_reproduce::keskar::Plan;
    /// assert_eq!(Plan::batches(60_000), (256, 6000));
    /// assert_eq!(Plan::batches(10_000), (100, 1000));
    /// ```
    pub fn batches(examples: u64) -> (u64, u64) {
        let large = (examples / 10).max(1);
        ((large / 10).clamp(1, 256), large)
    }

    /// Two batch sizes between the small and the large one, evenly spaced by their logarithm.
    ///
    /// ```
    /// use batchscope_reproduce::keskar::Plan;
    /// assert_eq!(Plan::between(100, 1000), [215, 464]);
    /// ```
    pub fn between(small: u64, large: u64) -> Vec<u64> {
        let ratio = large as f64 / small.max(1) as f64;
        let mut between: Vec<u64> = [1.0, 2.0]
            .map(|i: f64| (small as f64 * ratio.powf(i / 3.0)).round() as u64)
            .into();
        between.retain(|b| *b > small && *b < large);
        between.dedup();
        between
    }

    /// Checks that it can be run and means something.
    ///
    /// # Errors
    /// [`ReproduceError::Setting`], naming the setting.
    pub fn check(&self) -> Result<(), ReproduceError> {
        let (setting, scope) = (&self.setting, &self.scope);
        let wrong = |name, why: &str| {
            Err(ReproduceError::Setting {
                name,
                why: why.to_owned(),
            })
        };
        if setting.small < 2 || setting.large < 10 * setting.small {
            return wrong(
                "examples",
                "too few: the small batch needs 2, the large one ten times as many, and the set ten times that: use 200 or more",
            );
        }
        if setting.large > setting.examples {
            return wrong("examples", "fewer than the large batch");
        }
        if !(setting.learning_rate > 0.0 && setting.learning_rate.is_finite()) {
            return wrong("learning-rate", "choose a number above 0");
        }
        if !(1..=100_000).contains(&setting.epochs) {
            return wrong("epochs", "choose 1 to 100000");
        }
        if !(1..=1000).contains(&scope.starts) {
            return wrong("starts", "choose 1 to 1000");
        }
        if scope.between_starts > scope.starts || scope.remedy_starts > scope.starts {
            return wrong("starts", "the other parts have more starts than the table");
        }
        if scope.parts.is_empty() {
            return wrong("part", "choose one or more");
        }
        let sharpness = &setting.sharpness;
        if sharpness.examples == 0 || sharpness.examples > setting.examples {
            return wrong(
                "sharpness-examples",
                "choose 1 or more, and no more than the training examples",
            );
        }
        if !(1..=1000).contains(&sharpness.starts) {
            return wrong("sharpness-starts", "choose 1 to 1000");
        }
        let epsilons = &sharpness.epsilons;
        if epsilons.is_empty() || epsilons.iter().any(|e| !(*e > 0.0 && e.is_finite())) {
            return wrong("epsilon", "choose numbers above 0");
        }
        Ok(())
    }

    /// Epochs whose states a run keeps.
    pub(crate) fn kept(&self, run: &RunId) -> BTreeSet<u32> {
        let mut kept = BTreeSet::new();
        if run.method == Method::Plain && run.start == 0 && run.warm.is_none() {
            let ends = [self.setting.small, self.setting.large];
            if self.has(Part::Trajectory) && ends.contains(&run.batch_size) {
                kept.extend(&self.scope.snapshots);
            }
            if self.has(Part::WarmStarts) && run.batch_size == self.setting.small {
                kept.extend(&self.scope.warm_epochs);
            }
        }
        kept
    }

    fn has(&self, part: Part) -> bool {
        self.scope.parts.contains(&part)
    }

    /// Every task, what it needs before it.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        let mut tasks = self.base_runs();
        for part in Part::ALL.into_iter().filter(|&part| self.has(part)) {
            tasks.extend(match part {
                Part::Table => self.of_table(),
                Part::Slices => self.of_slices(),
                Part::Remedies => self.of_remedies(),
                Part::BatchSizes => self.of_batch_sizes(),
                Part::Trajectory => self.of_trajectory(),
                Part::WarmStarts => self.of_warm_starts(),
            });
        }
        let mut names = BTreeSet::new();
        tasks.retain(|task| names.insert(task.name()));
        tasks
    }

    /// The batch sizes that the paper compares.
    fn ends(&self) -> [u64; 2] {
        [self.setting.small, self.setting.large]
    }

    /// The runs of the first parts: those that the others compare with.
    fn base_runs(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for start in 0..self.scope.starts {
            tasks.extend(
                self.ends()
                    .map(|size| Task::Train(RunId::plain(size, start))),
            );
        }
        tasks
    }

    /// φ in the full space at the first ε: what every part measures.
    fn first_phi(&self) -> Quantity {
        Quantity::Phi {
            space: Space::Full,
            epsilon: self.setting.sharpness.epsilons[0],
        }
    }

    /// A run and the sharpness of where it ends.
    fn trained(&self, run: RunId) -> [Task; 2] {
        [Task::Train(run.clone()), self.sharpness_at_end(run)]
    }

    fn sharpness_at_end(&self, run: RunId) -> Task {
        Task::Sharpness {
            state: StateId::last(run),
            quantity: self.first_phi(),
        }
    }

    fn of_table(&self) -> Vec<Task> {
        let epsilons = &self.setting.sharpness.epsilons;
        let phi = |space| {
            epsilons
                .iter()
                .map(move |&epsilon| Quantity::Phi { space, epsilon })
        };
        let mut quantities: Vec<Quantity> = phi(Space::Full).collect();
        quantities.extend(
            epsilons
                .iter()
                .map(|&epsilon| Quantity::Converged { epsilon }),
        );
        quantities.push(Quantity::Adaptive {
            radius: self.setting.sharpness.adaptive,
        });
        quantities.extend(phi(Space::Random));
        let mut tasks = Vec::new();
        for start in 0..self.scope.starts {
            for batch_size in self.ends() {
                let state = StateId::last(RunId::plain(batch_size, start));
                tasks.extend(quantities.iter().map(|&quantity| Task::Sharpness {
                    state: state.clone(),
                    quantity,
                }));
            }
        }
        tasks
    }

    fn of_slices(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for &statistics in &self.scope.statistics {
            tasks.extend([Shape::Straight, Shape::Curved].map(|shape| Task::Slice {
                start: 0,
                shape,
                statistics,
            }));
        }
        tasks
    }

    fn of_remedies(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for start in 0..self.scope.remedy_starts {
            for method in Method::REMEDIES {
                if method == Method::Augmented && self.setting.augment.is_empty() {
                    continue;
                }
                tasks.extend(self.trained(RunId {
                    method,
                    ..RunId::plain(self.setting.large, start)
                }));
            }
            let plain = self.ends().map(|size| RunId::plain(size, start));
            tasks.extend(plain.map(|run| self.sharpness_at_end(run)));
        }
        tasks
    }

    fn of_batch_sizes(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for start in 0..self.scope.between_starts {
            for &batch_size in self.scope.between.iter().chain(&self.ends()) {
                tasks.extend(self.trained(RunId::plain(batch_size, start)));
            }
        }
        tasks
    }

    fn of_trajectory(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for &epoch in &self.scope.snapshots {
            tasks.extend(self.ends().map(|batch_size| Task::Sharpness {
                state: StateId::after(RunId::plain(batch_size, 0), epoch),
                quantity: self.first_phi(),
            }));
        }
        tasks
    }

    fn of_warm_starts(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for &epoch in &self.scope.warm_epochs {
            tasks.extend(self.trained(RunId {
                warm: Some(epoch),
                ..RunId::plain(self.setting.large, 0)
            }));
        }
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_written() {
        for part in Part::ALL {
            assert_eq!(part.to_string().parse::<Part>().unwrap(), part);
        }
        assert!("tables".parse::<Part>().is_err());
    }
}
