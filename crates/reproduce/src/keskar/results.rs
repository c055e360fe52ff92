//! From what is stored to what is reported: pure, but for the reading.

use std::collections::BTreeMap;

use batchscope_core::{Estimate, EstimateState};
use serde::{Deserialize, Serialize};

use super::compare::{Claim, claims};
use super::plan::{Part, Plan, Setting};
use super::published::Published;
use super::record::{Ended, RunRecord, SharpnessRecord, SliceRecord};
use super::sharpness::iterations;
use super::task::{
    Method, Quantity, RunId, Shape, Space, StateId, Statistics, Task, run_file, sharpness_file,
    slice_file,
};
use crate::interval::{at_least, difference, mean, ratio};
use crate::{Folder, ReproduceError};

/// How two columns of the table are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contrast {
    /// Large over small, start by start, on the logarithm.
    Ratio,
    /// Small minus large, start by start.
    Difference,
}

/// What a row of the table measures: decides which of the paper's statements it is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// Test accuracy.
    Accuracy,
    /// Training loss; also the kind of a row whose file does not name one.
    #[default]
    Loss,
    /// Sharpness by any definition.
    Sharpness,
}

/// A row of the table: small against large batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    /// What kind of number it is.
    #[serde(default)]
    pub kind: RowKind,
    /// What: `test accuracy (%)`, `φ, full space, ε = 1e-3 (%)`.
    pub quantity: String,
    /// Its mean over the starts in small batches.
    pub small: Estimate,
    /// In large batches.
    pub large: Estimate,
    /// How they are compared.
    pub contrast: Contrast,
    /// Their comparison, paired over the starts.
    pub compared: Estimate,
    /// The published means, small and large, where there are any.
    pub published: Option<[f64; 2]>,
}

/// How far minima lie from where training began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// `‖x_S − x₀‖`.
    pub small: Estimate,
    /// `‖x_L − x₀‖`.
    pub large: Estimate,
    /// Small over large, start by start.
    pub ratio: Estimate,
}

/// The slices of a start, straight and curved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlicePair {
    /// The start.
    pub start: u32,
    /// Where batch norm's statistics come from.
    #[serde(default)]
    pub statistics: Statistics,
    /// The straight one.
    pub straight: Option<SliceRecord>,
    /// The curved one.
    pub curved: Option<SliceRecord>,
}

/// A minimum, or a state on the way to one: what it is worth and how sharp it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Minimum {
    /// Examples per step of its run.
    pub batch_size: u64,
    /// Number of its start.
    pub start: u32,
    /// Epochs done.
    pub epoch: u32,
    /// Training loss.
    pub train_loss: f64,
    /// Test accuracy, a fraction.
    pub test_accuracy: f64,
    /// φ in the full space at the first ε; its interval is over the starts of the maximization.
    pub phi: Estimate,
}

/// What came of a warm start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarmStart {
    /// Epochs of small batches before.
    pub after: u32,
    /// Where the large batches ended.
    pub minimum: Minimum,
}

/// What a method of training in large batches came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    /// The method; plain for the two that the others are compared with.
    pub method: Method,
    /// Examples per step.
    pub batch_size: u64,
    /// Test accuracy in per cent.
    pub test_accuracy: Estimate,
    /// Its gain over plain large batches in per cent, start by start.
    pub gain: Estimate,
    /// φ in the full space at the first ε.
    pub phi: Estimate,
    /// φ over that of plain large batches, start by start.
    pub phi_ratio: Estimate,
}

/// Everything the experiment has found so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Of what.
    pub setting: Setting,
    /// Small against large.
    pub table: Vec<TableRow>,
    /// How far from the start.
    pub distance: Option<Distance>,
    /// Between the minima.
    pub slices: Vec<SlicePair>,
    /// Against the batch size, by batch size and start.
    pub batch_sizes: Vec<Minimum>,
    /// Along training.
    pub trajectory: Vec<Minimum>,
    /// From small to large batches.
    pub warm_starts: Vec<WarmStart>,
    /// Against sharp minima.
    pub remedies: Vec<Remedy>,
    /// The paper's statements beside ours.
    pub claims: Vec<Claim>,
    /// What a reader must know: runs that reached their cap, diverged or were left out.
    pub notes: Vec<String>,
    /// Every run.
    pub runs: Vec<RunRecord>,
}

/// How many searches for the sharpest point met their convergence test, by quantity.
#[derive(Default)]
struct Searches {
    /// Converged, and all.
    counts: BTreeMap<String, [u64; 2]>,
}

impl Searches {
    fn add(&mut self, record: &SharpnessRecord) {
        if let Some(converged) = record.converged {
            let [sum, all] = self.counts.entry(record.quantity.to_string()).or_default();
            *sum += converged;
            *all += record.phi.n;
        }
    }

    /// A note for each quantity of which some did not.
    fn notes(&self) -> impl Iterator<Item = String> {
        let short = self.counts.iter().filter(|(_, [sum, all])| sum < all);
        short.map(|(quantity, [sum, all])| {
            format!("{quantity}: {sum} of {all} searches converged; the others are lower bounds")
        })
    }
}

/// Reads what the folder holds of a plan.
struct Reader<'a> {
    plan: &'a Plan,
    folder: &'a Folder,
}

/// A value of a start, and whether it is only a bound from below.
#[derive(Clone, Copy)]
struct Value {
    value: f64,
    bound: bool,
}

impl Reader<'_> {
    fn run(
        &self,
        batch_size: u64,
        start: u32,
        method: Method,
    ) -> Result<Option<RunRecord>, ReproduceError> {
        self.folder.read(&run_file(&RunId {
            batch_size,
            start,
            method,
            warm: None,
        }))
    }

    fn sharpness(
        &self,
        state: &StateId,
        quantity: &Quantity,
    ) -> Result<Option<SharpnessRecord>, ReproduceError> {
        self.folder.read(&sharpness_file(state, quantity))
    }

    /// φ in the full space at the first ε, which every part measures.
    fn first(&self) -> Quantity {
        Quantity::Phi {
            space: Space::Full,
            epsilon: self.plan.setting.sharpness.epsilons[0],
        }
    }

    /// A quantity of a run's minimum; `None` where it was not measured.
    fn value(
        &self,
        (batch_size, start, method): (u64, u32, Method),
        what: &What,
    ) -> Result<Option<Value>, ReproduceError> {
        let exact = |value: f64| {
            Some(Value {
                value,
                bound: false,
            })
        };
        let record = self.run(batch_size, start, method)?;
        let Some((record, last)) = record.and_then(|r| r.last.map(|last| (r, last))) else {
            return Ok(None);
        };
        Ok(match what {
            What::TestAccuracy => exact(100.0 * last.test_accuracy),
            What::TrainLoss => exact(last.train_loss),
            What::Distance => exact(record.distance),
            What::Sharpness(quantity) => {
                let found = self.sharpness(&StateId::last(record.run), quantity)?;
                found.and_then(|found| {
                    found.phi.value.map(|value| Value {
                        value,
                        bound: found.phi.state == EstimateState::AtLeast,
                    })
                })
            }
        })
    }

    /// The values of two kinds of runs at the starts that have both.
    fn pairs(
        &self,
        [a, b]: [(u64, Method); 2],
        starts: u32,
        what: &What,
    ) -> Result<Vec<(Value, Value)>, ReproduceError> {
        let mut pairs = Vec::new();
        for start in 0..starts {
            let of = |(batch_size, method)| self.value((batch_size, start, method), what);
            if let (Some(a), Some(b)) = (of(a)?, of(b)?) {
                pairs.push((a, b));
            }
        }
        Ok(pairs)
    }

    fn minimum(&self, state: &StateId) -> Result<Option<Minimum>, ReproduceError> {
        let Some(record): Option<RunRecord> = self.folder.read(&run_file(&state.run))? else {
            return Ok(None);
        };
        let worth = match state.epoch {
            None => record.last,
            Some(epoch) => record.kept.iter().find(|k| k.epoch == epoch).copied(),
        };
        let sharpness = self.sharpness(state, &self.first())?;
        Ok(worth.zip(sharpness).map(|(worth, sharpness)| Minimum {
            batch_size: state.run.batch_size,
            start: state.run.start,
            epoch: worth.epoch,
            train_loss: worth.train_loss,
            test_accuracy: worth.test_accuracy,
            phi: sharpness.phi,
        }))
    }
}

/// What a row of the table is about.
enum What {
    TestAccuracy,
    TrainLoss,
    Distance,
    Sharpness(Quantity),
}

impl What {
    /// Where its values, and so its mean, can lie.
    fn range(&self) -> (f64, f64) {
        match self {
            What::TestAccuracy => (0.0, 100.0),
            What::TrainLoss | What::Distance | What::Sharpness(_) => (0.0, f64::INFINITY),
        }
    }

    /// The mean of values, as a bound where one of them is; its interval within the range.
    fn mean(&self, values: &[Value]) -> Estimate {
        let numbers: Vec<f64> = values.iter().map(|v| v.value).collect();
        let (low, high) = self.range();
        let found = mean(&numbers);
        let within = |end: Option<f64>| end.map(|end| end.clamp(low, high));
        let found = Estimate {
            low: within(found.low),
            high: within(found.high),
            ..found
        };
        match values.iter().any(|v| v.bound) {
            true => at_least(found, OVERFLOWED),
            false => found,
        }
    }
}

/// `a/b` of pairs, as a bound where a numerator is; a denominator that is one leaves nothing to say.
fn ratio_of(pairs: &[(Value, Value)]) -> Estimate {
    let numbers: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (a.value, b.value)).collect();
    let found = ratio(&numbers);
    if pairs.iter().any(|(_, b)| b.bound) {
        return Estimate::undefined(found.level, found.n, OVERFLOWED);
    }
    match pairs.iter().any(|(a, _)| a.bound) {
        true => at_least(found, OVERFLOWED),
        false => found,
    }
}

const OVERFLOWED: &str = "the loss overflowed inside the box";

/// What the folder holds of a plan, put together.
///
/// # Errors
/// When a stored result is damaged.
pub fn results(plan: &Plan, folder: &Folder) -> Result<Results, ReproduceError> {
    let reader = Reader { plan, folder };
    let (setting, scope) = (&plan.setting, &plan.scope);
    let mut runs = Vec::new();
    let mut notes = Vec::new();
    let mut searches = Searches::default();
    for task in plan.tasks() {
        match &task {
            Task::Train(run) => {
                if let Some(record) = folder.read::<RunRecord>(&run_file(run))? {
                    notes.extend(note(&record));
                    runs.push(record);
                }
            }
            Task::Sharpness { state, quantity } => {
                if let Some(record) = reader.sharpness(state, quantity)? {
                    searches.add(&record);
                }
            }
            Task::Slice { .. } => {}
        }
    }
    notes.extend(searches.notes());
    let has = |part: Part| scope.parts.contains(&part);
    let mut slices = Vec::new();
    if has(Part::Slices) {
        // What was drawn by an earlier call is shown too.
        for statistics in [Statistics::Interpolated, Statistics::Estimated] {
            let read = |shape: Shape| folder.read::<SliceRecord>(&slice_file(0, shape, statistics));
            let pair = SlicePair {
                start: 0,
                statistics,
                straight: read(Shape::Straight)?,
                curved: read(Shape::Curved)?,
            };
            if pair.straight.is_some() || pair.curved.is_some() {
                slices.push(pair);
            }
        }
    }
    let mut found = Results {
        setting: setting.clone(),
        table: table(&reader)?,
        distance: distance(&reader)?,
        slices,
        batch_sizes: match has(Part::BatchSizes) {
            true => batch_sizes(&reader)?,
            false => Vec::new(),
        },
        trajectory: match has(Part::Trajectory) {
            true => trajectory(&reader)?,
            false => Vec::new(),
        },
        warm_starts: match has(Part::WarmStarts) {
            true => warm_starts(&reader)?,
            false => Vec::new(),
        },
        remedies: match has(Part::Remedies) {
            true => remedies(&reader)?,
            false => Vec::new(),
        },
        claims: Vec::new(),
        notes,
        runs,
    };
    found.claims = claims(&found);
    Ok(found)
}

/// What a reader must know of a run.
fn note(record: &RunRecord) -> Option<String> {
    let run = &record.run;
    match &record.ended {
        Ended::Plateau => None,
        Ended::Cap => Some(format!(
            "{run} was still improving when the cap of {} epochs ended it",
            record.epochs.len()
        )),
        Ended::Diverged => Some(format!("{run} diverged: nothing is measured of it")),
        Ended::Skipped { why } => Some(format!("{run} was left out: {why}")),
    }
}

fn table(reader: &Reader<'_>) -> Result<Vec<TableRow>, ReproduceError> {
    let (setting, scope) = (&reader.plan.setting, &reader.plan.scope);
    let published = Published::of(&setting.network);
    let mut rows = Vec::new();
    let mut row = |quantity: String, what: What, published: Option<[f64; 2]>| {
        let ends = [
            (setting.small, Method::Plain),
            (setting.large, Method::Plain),
        ];
        let pairs = reader.pairs(ends, scope.starts, &what)?;
        if pairs.is_empty() {
            return Ok(());
        }
        let (small, large): (Vec<Value>, Vec<Value>) = pairs.iter().copied().unzip();
        let kind = match what {
            What::TestAccuracy => RowKind::Accuracy,
            What::Sharpness(_) => RowKind::Sharpness,
            _ => RowKind::Loss,
        };
        let (contrast, compared) = match what {
            What::TestAccuracy => {
                let pairs: Vec<_> = pairs.iter().map(|(s, l)| (s.value, l.value)).collect();
                (Contrast::Difference, difference(&pairs))
            }
            _ => {
                let turned: Vec<_> = pairs.iter().map(|(s, l)| (*l, *s)).collect();
                (Contrast::Ratio, ratio_of(&turned))
            }
        };
        rows.push(TableRow {
            kind,
            quantity,
            small: what.mean(&small),
            large: what.mean(&large),
            contrast,
            compared,
            published,
        });
        Ok::<(), ReproduceError>(())
    };
    row(
        "test accuracy (%)".to_owned(),
        What::TestAccuracy,
        published.map(|p| p.test_accuracy),
    )?;
    row("training loss".to_owned(), What::TrainLoss, None)?;
    for space in [Space::Full, Space::Random] {
        for &epsilon in &setting.sharpness.epsilons {
            let of = |p: &Published| match (space, epsilon) {
                (Space::Full, 1e-3) => Some(p.full),
                (Space::Full, 5e-4) => Some(p.full_half),
                (Space::Random, 1e-3) => Some(p.random),
                (Space::Random, 5e-4) => Some(p.random_half),
                _ => None,
            };
            let place = match space {
                Space::Full => "full space".to_owned(),
                Space::Random => format!("{} random dimensions", setting.sharpness.dimension),
            };
            row(
                format!("φ, {place}, ε = {epsilon:e} (%)"),
                What::Sharpness(Quantity::Phi { space, epsilon }),
                published.and_then(of),
            )?;
        }
    }
    for &epsilon in &setting.sharpness.epsilons {
        let quantity = Quantity::Converged { epsilon };
        // not every search converges by then: the row says what it is, the notes how many did
        let most = iterations(setting, &quantity);
        row(
            format!("φ, full space, ε = {epsilon:e}, up to {most} iterations (%)"),
            What::Sharpness(quantity),
            None,
        )?;
    }
    let radius = setting.sharpness.adaptive;
    row(
        format!("adaptive sharpness, each weight w within {radius}·(|w| + 0.01) (%)"),
        What::Sharpness(Quantity::Adaptive { radius }),
        None,
    )?;
    Ok(rows)
}

fn distance(reader: &Reader<'_>) -> Result<Option<Distance>, ReproduceError> {
    let setting = &reader.plan.setting;
    let ends = [
        (setting.small, Method::Plain),
        (setting.large, Method::Plain),
    ];
    let pairs = reader.pairs(ends, reader.plan.scope.starts, &What::Distance)?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let (small, large): (Vec<Value>, Vec<Value>) = pairs.iter().copied().unzip();
    Ok(Some(Distance {
        small: What::Distance.mean(&small),
        large: What::Distance.mean(&large),
        ratio: ratio_of(&pairs),
    }))
}

fn batch_sizes(reader: &Reader<'_>) -> Result<Vec<Minimum>, ReproduceError> {
    let (setting, scope) = (&reader.plan.setting, &reader.plan.scope);
    let mut sizes: Vec<u64> = scope.between.clone();
    sizes.extend([setting.small, setting.large]);
    sizes.sort_unstable();
    sizes.dedup();
    let mut minima = Vec::new();
    for batch_size in sizes {
        for start in 0..scope.between_starts {
            let state = StateId::last(RunId::plain(batch_size, start));
            minima.extend(reader.minimum(&state)?);
        }
    }
    Ok(minima)
}

fn trajectory(reader: &Reader<'_>) -> Result<Vec<Minimum>, ReproduceError> {
    let (setting, scope) = (&reader.plan.setting, &reader.plan.scope);
    let mut states = Vec::new();
    for batch_size in [setting.small, setting.large] {
        let run = RunId::plain(batch_size, 0);
        let epochs = scope.snapshots.iter().copied().map(Some);
        for epoch in epochs.chain([None]) {
            states.extend(reader.minimum(&StateId {
                run: run.clone(),
                epoch,
            })?);
        }
    }
    Ok(states)
}

fn warm_starts(reader: &Reader<'_>) -> Result<Vec<WarmStart>, ReproduceError> {
    let mut found = Vec::new();
    for &after in &reader.plan.scope.warm_epochs {
        let run = RunId {
            warm: Some(after),
            ..RunId::plain(reader.plan.setting.large, 0)
        };
        let minimum = reader.minimum(&StateId::last(run))?;
        found.extend(minimum.map(|minimum| WarmStart { after, minimum }));
    }
    Ok(found)
}

fn remedies(reader: &Reader<'_>) -> Result<Vec<Remedy>, ReproduceError> {
    let (setting, scope) = (&reader.plan.setting, &reader.plan.scope);
    let plain = (setting.large, Method::Plain);
    let rows = [(setting.small, Method::Plain), plain]
        .into_iter()
        .chain(Method::REMEDIES.map(|method| (setting.large, method)));
    let mut found = Vec::new();
    for (batch_size, method) in rows {
        let kinds = [(batch_size, method), plain];
        let accuracies = reader.pairs(kinds, scope.remedy_starts, &What::TestAccuracy)?;
        if accuracies.is_empty() {
            continue;
        }
        let sharpness = What::Sharpness(reader.first());
        let phis = reader.pairs(kinds, scope.remedy_starts, &sharpness)?;
        let numbers: Vec<_> = accuracies.iter().map(|(a, b)| (a.value, b.value)).collect();
        let first = |pairs: &[(Value, Value)]| -> Vec<Value> {
            pairs.iter().map(|(value, _)| *value).collect()
        };
        // those that the others are compared with are not compared with themselves
        let itself = (batch_size, method) == plain;
        found.push(Remedy {
            method,
            batch_size,
            test_accuracy: What::TestAccuracy.mean(&first(&accuracies)),
            gain: match itself {
                true => Estimate::exact(0.0),
                false => difference(&numbers),
            },
            phi: sharpness.mean(&first(&phis)),
            phi_ratio: match itself {
                true => Estimate::exact(1.0),
                false => ratio_of(&phis),
            },
        });
    }
    Ok(found)
}
