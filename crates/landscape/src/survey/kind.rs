//! Which measurements there are, and what each costs.

use serde::{Deserialize, Serialize};

use crate::Blocks;
use crate::sharpness::AverageCase;
use crate::spectrum::DensitySettings;

/// One measurement at a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum MeasurementKind {
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

/// Products that the largest eigenvalue takes, as networks go.
const PRODUCTS_OF_THE_FIRST: u64 = 25;
/// Products that a further one takes.
const PRODUCTS_OF_ANOTHER: u64 = 15;
/// Products that a trace takes, as networks go.
const PRODUCTS_OF_TRACE: u64 = 60;
/// Evaluations of a maximization for each of its iterations.
const EVALUATIONS_PER_ITERATION: f64 = 1.3;

impl MeasurementKind {
    /// What people call it.
    pub fn name(&self) -> String {
        match self {
            MeasurementKind::Keskar {
                epsilon,
                subspace: None,
            } => format!("Keskar's sharpness, full space, ε = {epsilon}"),
            MeasurementKind::Keskar {
                epsilon,
                subspace: Some(p),
            } => format!("Keskar's sharpness, {p} random dimensions, ε = {epsilon}"),
            MeasurementKind::AdaptiveBox { radius } => {
                format!("adaptive sharpness, box, ρ = {radius}")
            }
            MeasurementKind::Asam { radius } => format!("adaptive sharpness, ball, ρ = {radius}"),
            MeasurementKind::Average { radius } => format!("average-case sharpness, ρ = {radius}"),
            MeasurementKind::Top { count: 1 } => "largest eigenvalue of the Hessian".to_owned(),
            MeasurementKind::Top { count } => format!("{count} largest eigenvalues of the Hessian"),
            MeasurementKind::GaussNewton { count: 1 } => {
                "largest eigenvalue of the Gauss–Newton matrix".to_owned()
            }
            MeasurementKind::GaussNewton { count } => {
                format!("{count} largest eigenvalues of the Gauss–Newton matrix")
            }
            MeasurementKind::Trace => "trace of the Hessian".to_owned(),
            MeasurementKind::Density => "spectral density of the Hessian".to_owned(),
            MeasurementKind::Layers => "largest eigenvalue of every layer".to_owned(),
        }
    }

    /// Evaluations of the gradient it takes, about: what networks have been seen to need. A loss
    /// alone counts as a third.
    pub fn gradients(&self, settings: &SurveySettings, blocks: &Blocks) -> u64 {
        let starts = u64::from(settings.starts);
        let search = (settings.iterations as f64 * EVALUATIONS_PER_ITERATION) as u64 + 1;
        let products = 2;
        match self {
            MeasurementKind::Keskar { .. } | MeasurementKind::AdaptiveBox { .. } => starts * search,
            MeasurementKind::Asam { .. } => starts * 2 * search,
            MeasurementKind::Average { radius } => {
                u64::from(2 * AverageCase::adaptive(*radius).pairs / 3)
            }
            MeasurementKind::Top { count } | MeasurementKind::GaussNewton { count } => {
                let others = (*count as u64).saturating_sub(1);
                products * (PRODUCTS_OF_THE_FIRST + PRODUCTS_OF_ANOTHER * others)
            }
            MeasurementKind::Trace => products * PRODUCTS_OF_TRACE,
            MeasurementKind::Density => {
                let DensitySettings { probes, steps, .. } = DensitySettings::default();
                products * probes * steps as u64
            }
            MeasurementKind::Layers => {
                products * PRODUCTS_OF_THE_FIRST * blocks.iter().count() as u64
            }
        }
    }
}
