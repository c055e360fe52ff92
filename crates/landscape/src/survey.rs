//! A survey of a landscape at one point: which measurements there are, what each costs, and what
//! they found, as records that can be stored and reported.

use batchscope_core::Estimate;
use serde::{Deserialize, Serialize};

use crate::sharpness::{
    AverageCase, Keskar, Sharpness, Space, WorstCase, average_case, keskar, worst_case,
};
use crate::slices::Reading;
use crate::spectrum::{
    DensitySettings, EigenSettings, TraceEstimate, TraceSettings, extreme_eigenpairs,
    spectral_density, stable_learning_rate, trace,
};
use crate::{
    Blocks, GaussNewtonOperator, HessianOperator, LandscapeError, LinearOperator, Objective,
    Products, Restricted,
};

/// One measurement at a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Part {
    /// Keskar's `φ`.
    Keskar {
        /// Half-width of the box, ε.
        epsilon: f64,
        /// Dimension of the random subspace; `None` for the full space.
        subspace: Option<usize>,
    },
    /// Adaptive worst case in a box: Keskar's measure, made scale-aware.
    AdaptiveBox {
        /// Relative half-width of the box.
        radius: f64,
    },
    /// Adaptive worst case in an ellipsoid: ASAM's own.
    Asam {
        /// Its radius ρ.
        radius: f64,
    },
    /// Adaptive average case.
    Average {
        /// Deviation of the perturbation, relative to each parameter.
        radius: f64,
    },
    /// The largest eigenvalues of the Hessian.
    Top {
        /// How many.
        count: usize,
    },
    /// The largest eigenvalues of the Gauss–Newton matrix.
    GaussNewton {
        /// How many.
        count: usize,
    },
    /// The trace of the Hessian.
    Trace,
    /// The spectral density of the Hessian.
    Density,
    /// The largest eigenvalue of the Hessian's diagonal block of every layer.
    Layers,
}

/// What all measurements of a survey share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SurveySettings {
    /// Seed of starts, subspaces, probes and perturbations.
    pub seed: u64,
    /// Starts of each maximization.
    pub starts: u32,
    /// Iterations of each maximization: 10 in Keskar's paper.
    pub iterations: u64,
    /// Relative residual of eigenvalues.
    pub tolerance: f64,
    /// Level of the intervals.
    pub level: f64,
}

impl Default for SurveySettings {
    /// Keskar's five starts of ten iterations; eigenvalues to a relative residual of 1e-3.
    fn default() -> Self {
        Self {
            seed: 0,
            starts: 5,
            iterations: 10,
            tolerance: 1e-3,
            level: 0.95,
        }
    }
}

/// What a measurement found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "found")]
pub enum Found {
    /// A worst case.
    Sharpness(Sharpness),
    /// The average rise of the loss.
    Rise {
        /// In the units of the loss.
        rise: Estimate,
    },
    /// Eigenvalues, largest first.
    Eigenvalues {
        /// The eigenvalues with their residuals.
        values: Vec<Eigenvalue>,
        /// `2/λ_max`.
        stable_learning_rate: Estimate,
        /// Products with the Hessian.
        products: u64,
        /// Stated relative error of a product.
        relative_error: f64,
    },
    /// The trace.
    Trace(TraceEstimate),
    /// The density.
    Density {
        /// Places and densities there; the integral is 1.
        curve: Vec<(f64, Estimate)>,
        /// Part of the eigenvalues below minus a thousandth of the largest.
        negative: Estimate,
        /// Part of them within a thousandth of the largest about zero.
        flat: Estimate,
        /// Products with the Hessian.
        products: u64,
        /// Stated relative error of a product.
        relative_error: f64,
    },
    /// A value for every layer with parameters, in the order of the table.
    Layers {
        /// The layers.
        layers: Vec<Layer>,
    },
}

/// An eigenvalue with its error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Eigenvalue {
    /// The value, with an interval that is certain.
    pub value: Estimate,
    /// `‖A·v − λ·v‖`.
    pub residual: f64,
    /// Whether the residual is as small as asked for.
    pub converged: bool,
}

/// The curvature of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name: `conv1.weight`.
    pub name: String,
    /// Its parameters.
    pub parameters: usize,
    /// Largest eigenvalue of its diagonal block.
    pub largest: Eigenvalue,
}

/// Products that the largest eigenvalue takes, as networks go.
const PRODUCTS_OF_THE_FIRST: u64 = 25;
/// Products that a further one takes.
const PRODUCTS_OF_ANOTHER: u64 = 15;
/// Products that a trace takes, as networks go.
const PRODUCTS_OF_TRACE: u64 = 60;
/// Evaluations of a maximization for each of its iterations.
const EVALUATIONS_PER_ITERATION: f64 = 1.3;
/// Places of a density's curve.
const CURVE: usize = 241;
/// Eigenvalues below this part of the largest count as zero.
const FLAT: f64 = 1e-3;

impl Part {
    /// What people call it.
    pub fn name(&self) -> String {
        match self {
            Part::Keskar {
                epsilon,
                subspace: None,
            } => format!("Keskar's sharpness, full space, ε = {epsilon}"),
            Part::Keskar {
                epsilon,
                subspace: Some(p),
            } => format!("Keskar's sharpness, {p} random dimensions, ε = {epsilon}"),
            Part::AdaptiveBox { radius } => format!("adaptive sharpness, box, ρ = {radius}"),
            Part::Asam { radius } => format!("adaptive sharpness, ball, ρ = {radius}"),
            Part::Average { radius } => format!("average-case sharpness, ρ = {radius}"),
            Part::Top { count: 1 } => "largest eigenvalue of the Hessian".to_owned(),
            Part::Top { count } => format!("{count} largest eigenvalues of the Hessian"),
            Part::GaussNewton { count: 1 } => {
                "largest eigenvalue of the Gauss–Newton matrix".to_owned()
            }
            Part::GaussNewton { count } => {
                format!("{count} largest eigenvalues of the Gauss–Newton matrix")
            }
            Part::Trace => "trace of the Hessian".to_owned(),
            Part::Density => "spectral density of the Hessian".to_owned(),
            Part::Layers => "largest eigenvalue of every layer".to_owned(),
        }
    }

    /// Evaluations of the gradient it takes, about: what networks have been seen to need. A loss
    /// alone counts as a third.
    pub fn gradients(&self, settings: &SurveySettings, blocks: &Blocks) -> u64 {
        let starts = u64::from(settings.starts);
        let search = (settings.iterations as f64 * EVALUATIONS_PER_ITERATION) as u64 + 1;
        let products = 2;
        match self {
            Part::Keskar { .. } | Part::AdaptiveBox { .. } => starts * search,
            Part::Asam { .. } => starts * 2 * search,
            Part::Average { radius } => u64::from(2 * AverageCase::adaptive(*radius).pairs / 3),
            Part::Top { count } | Part::GaussNewton { count } => {
                let others = (*count as u64).saturating_sub(1);
                products * (PRODUCTS_OF_THE_FIRST + PRODUCTS_OF_ANOTHER * others)
            }
            Part::Trace => products * PRODUCTS_OF_TRACE,
            Part::Density => {
                let DensitySettings { probes, steps, .. } = DensitySettings::default();
                products * probes * steps as u64
            }
            Part::Layers => products * PRODUCTS_OF_THE_FIRST * blocks.iter().count() as u64,
        }
    }

    /// Measures at `x`.
    ///
    /// ```
    /// use batchscope_landscape::problems::Quadratic;
    /// use batchscope_landscape::survey::{Found, Part, SurveySettings};
    /// let mut f = Quadratic::diagonal(&[8.0, 2.0], &[0.0; 2], 1.0);
    /// let found = Part::Top { count: 1 }.measure(&mut f, &[0.0; 2], &SurveySettings::default());
    /// let Found::Eigenvalues { values, stable_learning_rate, .. } = found.unwrap() else { panic!() };
    /// assert!((values[0].value.value.unwrap() - 8.0).abs() < 1e-6);
    /// assert!((stable_learning_rate.value.unwrap() - 0.25).abs() < 1e-6);
    /// ```
    ///
    /// # Errors
    /// When a setting is out of range or the objective fails.
    pub fn measure(
        &self,
        objective: &mut dyn Objective,
        x: &[f64],
        settings: &SurveySettings,
    ) -> Result<Found, LandscapeError> {
        let SurveySettings {
            seed,
            starts,
            iterations,
            level,
            ..
        } = *settings;
        let worst = |preset: WorstCase| WorstCase {
            starts,
            iterations,
            seed,
            level,
            ..preset
        };
        match *self {
            Part::Keskar { epsilon, subspace } => {
                let preset = Keskar::default();
                let keskar_settings = Keskar {
                    epsilon,
                    space: subspace.map_or(Space::Full, |dimension| Space::Random {
                        dimension: dimension.min(x.len()),
                        memory_limit: 1 << 30,
                    }),
                    starts,
                    search: crate::lbfgsb::Settings {
                        max_iterations: iterations,
                        ..preset.search
                    },
                    seed,
                    level,
                };
                keskar(objective, x, &keskar_settings).map(Found::Sharpness)
            }
            Part::AdaptiveBox { radius } => {
                let settings = worst(WorstCase::adaptive_box(radius));
                worst_case(objective, x, &settings).map(Found::Sharpness)
            }
            Part::Asam { radius } => {
                let preset = WorstCase::asam(radius);
                let iterations = preset.iterations.max(iterations);
                let settings = WorstCase {
                    iterations,
                    ..worst(preset)
                };
                worst_case(objective, x, &settings).map(Found::Sharpness)
            }
            Part::Average { radius } => {
                let settings = AverageCase {
                    seed,
                    level,
                    ..AverageCase::adaptive(radius)
                };
                average_case(objective, x, &settings).map(|rise| Found::Rise { rise })
            }
            Part::Top { count } => {
                let mut hessian = HessianOperator::new(objective, x, Products::Fast)?;
                eigenvalues(&mut hessian, count, settings)
            }
            Part::GaussNewton { count } => {
                let mut matrix = GaussNewtonOperator::new(objective, x)?;
                eigenvalues(&mut matrix, count, settings)
            }
            Part::Trace => {
                let mut hessian = HessianOperator::new(objective, x, Products::Fast)?;
                let settings = TraceSettings {
                    seed,
                    level,
                    ..TraceSettings::default()
                };
                trace(&mut hessian, &settings).map(Found::Trace)
            }
            Part::Density => {
                let mut hessian = HessianOperator::new(objective, x, Products::Fast)?;
                let settings = DensitySettings {
                    seed,
                    ..DensitySettings::default()
                };
                let density = spectral_density(&mut hessian, &settings)?;
                let (low, high) = density.range();
                let zero = FLAT * high.abs().max(low.abs());
                Ok(Found::Density {
                    curve: density.curve(CURVE, None, level),
                    negative: density.fraction(f64::NEG_INFINITY..-zero, level),
                    flat: density.fraction(-zero..zero, level),
                    products: density.products,
                    relative_error: density.relative_error,
                })
            }
            Part::Layers => {
                let settings = EigenSettings {
                    tolerance: settings.tolerance,
                    seed,
                    ..EigenSettings::largest(1)
                };
                let blocks = objective.blocks();
                let mut hessian = HessianOperator::new(objective, x, Products::Fast)?;
                let mut layers = Vec::new();
                for block in blocks.iter().filter(|block| !block.range.is_empty()) {
                    let mut own = Restricted::new(&mut hessian, block.range.clone())?;
                    let found = extreme_eigenpairs(&mut own, &settings)?;
                    if let Some(pair) = found.pairs.into_iter().next() {
                        layers.push(Layer {
                            name: block.name.clone(),
                            parameters: block.range.len(),
                            largest: Eigenvalue::of(pair),
                        });
                    }
                }
                Ok(Found::Layers { layers })
            }
        }
    }
}

/// The largest eigenvalues of an operator.
fn eigenvalues(
    operator: &mut dyn LinearOperator,
    count: usize,
    settings: &SurveySettings,
) -> Result<Found, LandscapeError> {
    let settings = EigenSettings {
        tolerance: settings.tolerance,
        seed: settings.seed,
        ..EigenSettings::largest(count)
    };
    let found = extreme_eigenpairs(operator, &settings)?;
    let values: Vec<Eigenvalue> = found.pairs.into_iter().map(Eigenvalue::of).collect();
    let undefined = || Estimate::undefined(1.0, 0, "no eigenvalue was found");
    let largest = values.first().map_or_else(undefined, |v| v.value.clone());
    Ok(Found::Eigenvalues {
        stable_learning_rate: stable_learning_rate(&largest),
        values,
        products: found.products,
        relative_error: operator.relative_error(),
    })
}

impl Eigenvalue {
    fn of(pair: crate::spectrum::Eigenpair) -> Self {
        Self {
            value: pair.value,
            residual: pair.residual,
            converged: pair.converged,
        }
    }
}

/// What was surveyed: enough to tell whether a stored survey is one of the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurveyInfo {
    /// The model with its settings.
    pub model: String,
    /// The data with their settings.
    pub data: String,
    /// Fingerprint of the parameters.
    pub parameters: String,
    /// Their number.
    pub dimension: usize,
    /// Step of the checkpoint.
    pub step: u64,
    /// Batch size it was trained with.
    pub batch_size: u64,
    /// Learning rate in use at that step.
    pub learning_rate: f64,
    /// Training examples that the loss is the mean over.
    pub examples: u64,
    /// Test examples of the slices.
    pub test_examples: u64,
    /// Batch norm's mode, precision: how the loss was computed.
    pub computed: String,
    /// The settings.
    pub settings: SurveySettings,
}

/// A measurement that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Which.
    pub part: Part,
    /// What came of it.
    pub result: Found,
    /// Evaluations of the loss, with or without its gradient.
    pub evaluations: u64,
    /// Seconds it took on the machine it ran on.
    pub seconds: f64,
}

/// Which slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SliceKind {
    /// On the straight line to another solution.
    Straight {
        /// Name of the other solution.
        to: String,
    },
    /// On the curved path to another solution.
    Curved {
        /// Name of the other solution.
        to: String,
    },
    /// Along a filter-normalized random direction.
    Line,
    /// On the plane of two filter-normalized random directions.
    Surface,
}

/// A slice with its points, as far as they are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceRecord {
    /// Which.
    pub kind: SliceKind,
    /// Fingerprint of the other solution, where there is one.
    pub to: String,
    /// Where batch norm's statistics come from; empty for models without.
    pub statistics: String,
    /// Coordinates of the points.
    pub coordinates: Vec<Vec<f64>>,
    /// On the training examples and, where there are any, the test examples.
    pub points: Vec<Option<(Reading, Option<Reading>)>>,
}

impl SliceRecord {
    /// Points still to be measured.
    pub fn missing(&self) -> usize {
        self.points.iter().filter(|p| p.is_none()).count()
    }
}

/// A survey, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// Version of the record.
    pub format: u32,
    /// Of what.
    pub subject: SurveyInfo,
    /// Measurements made, in the order they were.
    pub measured: Vec<Measured>,
    /// Slices, whole or in part.
    pub slices: Vec<SliceRecord>,
}

/// Version of the records written.
pub const FORMAT: u32 = 1;

impl Survey {
    /// Nothing measured yet.
    pub fn new(subject: SurveyInfo) -> Self {
        Self {
            format: FORMAT,
            subject,
            measured: Vec::new(),
            slices: Vec::new(),
        }
    }

    /// What a measurement found, if it was made.
    pub fn found(&self, part: &Part) -> Option<&Found> {
        self.measured
            .iter()
            .find(|m| m.part == *part)
            .map(|m| &m.result)
    }
}
