//! Measuring at a point, and what comes of it.

use batchscope_core::Estimate;
use serde::{Deserialize, Serialize};

use super::kind::{MeasurementKind, SurveySettings};
use crate::sharpness::{
    AverageCase, Keskar, Sharpness, Space, WorstCase, average_case, keskar, worst_case,
};
use crate::spectrum::{
    DensitySettings, EigenSettings, Eigenpair, TraceEstimate, TraceSettings, extreme_eigenpairs,
    spectral_density, stable_learning_rate, trace,
};
use crate::{
    GaussNewtonOperator, HessianOperator, LandscapeError, LinearOperator, Objective, Products,
    Restricted,
};

/// What a measurement found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "found")]
pub enum MeasurementResult {
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

impl Eigenvalue {
    fn of(pair: Eigenpair) -> Self {
        Self {
            value: pair.value,
            residual: pair.residual,
            converged: pair.converged,
        }
    }
}

/// Places of a density's curve.
const CURVE: usize = 241;
/// Eigenvalues below this part of the largest count as zero.
const FLAT: f64 = 1e-3;

impl MeasurementKind {
    /// Measures at `x`.
    ///
    /// ```
    /// use batchscope_landscape::problems::Quadratic;
    /// use batchscope_landscape::survey::{MeasurementResult, MeasurementKind, SurveySettings};
    /// let mut f = Quadratic::diagonal(&[8.0, 2.0], &[0.0; 2], 1.0);
    /// let found = MeasurementKind::Top { count: 1 }.measure(&mut f, &[0.0; 2], &SurveySettings::default());
    /// let MeasurementResult::Eigenvalues { values, stable_learning_rate, .. } = found.unwrap() else { panic!() };
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
    ) -> Result<MeasurementResult, LandscapeError> {
        match *self {
            MeasurementKind::Keskar { epsilon, subspace } => {
                let settings = keskar_settings(epsilon, subspace, x.len(), settings);
                keskar(objective, x, &settings).map(MeasurementResult::Sharpness)
            }
            MeasurementKind::AdaptiveBox { radius } => {
                let settings = worst(WorstCase::adaptive_box(radius), settings);
                worst_case(objective, x, &settings).map(MeasurementResult::Sharpness)
            }
            MeasurementKind::Asam { radius } => {
                let preset = WorstCase::asam(radius);
                let iterations = preset.iterations.max(settings.iterations);
                let settings = WorstCase {
                    iterations,
                    ..worst(preset, settings)
                };
                worst_case(objective, x, &settings).map(MeasurementResult::Sharpness)
            }
            MeasurementKind::Average { radius } => {
                let settings = AverageCase {
                    seed: settings.seed,
                    level: settings.level,
                    ..AverageCase::adaptive(radius)
                };
                average_case(objective, x, &settings).map(|rise| MeasurementResult::Rise { rise })
            }
            MeasurementKind::Top { count } => {
                let mut hessian = HessianOperator::new(objective, x, Products::Fast)?;
                eigenvalues(&mut hessian, count, settings)
            }
            MeasurementKind::GaussNewton { count } => {
                let mut matrix = GaussNewtonOperator::new(objective, x)?;
                eigenvalues(&mut matrix, count, settings)
            }
            MeasurementKind::Trace => {
                let mut hessian = HessianOperator::new(objective, x, Products::Fast)?;
                let settings = TraceSettings {
                    seed: settings.seed,
                    level: settings.level,
                    ..TraceSettings::default()
                };
                trace(&mut hessian, &settings).map(MeasurementResult::Trace)
            }
            MeasurementKind::Density => density(objective, x, settings),
            MeasurementKind::Layers => layers(objective, x, settings),
        }
    }
}

/// Keskar's measure with the survey's starts and iterations.
fn keskar_settings(
    epsilon: f64,
    subspace: Option<usize>,
    parameters: usize,
    settings: &SurveySettings,
) -> Keskar {
    let preset = Keskar::default();
    Keskar {
        epsilon,
        space: subspace.map_or(Space::Full, |dimension| Space::Random {
            dimension: dimension.min(parameters),
            memory_limit: 1 << 30,
        }),
        starts: settings.starts,
        search: crate::lbfgsb::Settings {
            max_iterations: settings.iterations,
            ..preset.search
        },
        seed: settings.seed,
        level: settings.level,
    }
}

/// A worst case with the survey's starts and iterations.
fn worst(preset: WorstCase, settings: &SurveySettings) -> WorstCase {
    WorstCase {
        starts: settings.starts,
        iterations: settings.iterations,
        seed: settings.seed,
        level: settings.level,
        ..preset
    }
}

/// The spectral density of the Hessian.
fn density(
    objective: &mut dyn Objective,
    x: &[f64],
    settings: &SurveySettings,
) -> Result<MeasurementResult, LandscapeError> {
    let mut hessian = HessianOperator::new(objective, x, Products::Fast)?;
    let level = settings.level;
    let settings = DensitySettings {
        seed: settings.seed,
        ..DensitySettings::default()
    };
    let density = spectral_density(&mut hessian, &settings)?;
    let (low, high) = density.range();
    let zero = FLAT * high.abs().max(low.abs());
    Ok(MeasurementResult::Density {
        curve: density.curve(CURVE, None, level),
        negative: density.fraction(f64::NEG_INFINITY..-zero, level),
        flat: density.fraction(-zero..zero, level),
        products: density.products,
        relative_error: density.relative_error,
    })
}

/// The largest eigenvalue of every layer's diagonal block of the Hessian.
fn layers(
    objective: &mut dyn Objective,
    x: &[f64],
    settings: &SurveySettings,
) -> Result<MeasurementResult, LandscapeError> {
    let settings = EigenSettings {
        tolerance: settings.tolerance,
        seed: settings.seed,
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
    Ok(MeasurementResult::Layers { layers })
}

/// The largest eigenvalues of an operator.
fn eigenvalues(
    operator: &mut dyn LinearOperator,
    count: usize,
    settings: &SurveySettings,
) -> Result<MeasurementResult, LandscapeError> {
    let settings = EigenSettings {
        tolerance: settings.tolerance,
        seed: settings.seed,
        ..EigenSettings::largest(count)
    };
    let found = extreme_eigenpairs(operator, &settings)?;
    let values: Vec<Eigenvalue> = found.pairs.into_iter().map(Eigenvalue::of).collect();
    let undefined = || Estimate::undefined(1.0, 0, "no eigenvalue was found");
    let largest = values.first().map_or_else(undefined, |v| v.value.clone());
    Ok(MeasurementResult::Eigenvalues {
        stable_learning_rate: stable_learning_rate(&largest),
        values,
        products: found.products,
        relative_error: operator.relative_error(),
    })
}
