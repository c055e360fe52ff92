//! L-BFGS-B: minimization within bounds, with limited memory.
//!
//! * \[BLNZ\] R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, "A limited memory algorithm for bound
//!   constrained optimization", SIAM J. Sci. Comput. 16 (1995), 1190–1208.
//! * \[MN\] J. L. Morales, J. Nocedal, "Remark on Algorithm 778", ACM TOMS 38 (2011), article 7.
//! * \[MT\] J. J. Moré, D. J. Thuente, "Line search algorithms with guaranteed sufficient
//!   decrease", ACM TOMS 20 (1994), 286–307.
//!
//! An iteration at `x` with gradient `g` and the quasi-Newton matrix `B = θI − W·M·Wᵀ`
//! ([`Memory`](self), \[BLNZ\] equation 3.2):
//!
//! 1. the generalized Cauchy point: the first local minimizer of the quadratic model along the
//!    projected path `P(x − t·g)` (\[BLNZ\] algorithm CP);
//! 2. the model is minimized over the variables left free there (direct primal method, \[BLNZ\]
//!    section 5.1), and the step is projected onto the box where that still clearly descends,
//!    otherwise truncated at the first bound (\[MN\], who take any descent, rounding's too);
//! 3. a line search for the strong Wolfe conditions (\[MT\]; decrease 1e-3, curvature 0.9);
//! 4. the pair `(s, y)` enters the memory of the last `m` unless `sᵀy ≤ ε·|gᵀs|`.
//!
//! Stopping tests, defaults and the length of the first step follow version 3.0 of the authors'
//! program as SciPy runs it, so that results, truncated ones too, can be held against SciPy's.
//!
//! Memory is `2m + 10` vectors and work `O(m·n)` an iteration, plus `O(m²)` for every variable that
//! meets a bound on the projected path or changes between free and bound.

mod bounds;
mod cauchy;
mod line_search;
mod memory;
mod subspace;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::error::check_length;
use crate::vector::{axpy, dot, norm};
use crate::{LandscapeError, Objective};

pub use bounds::Bounds;
use cauchy::cauchy_point;
use line_search::{Advice, LineSearch};
use memory::Memory;
use subspace::FreeGram;

/// When to stop, and how much to remember. The defaults are SciPy's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Pairs `(s, y)` remembered, `m`: 1 to 100.
    pub memory: usize,
    /// Converged when the largest entry of the projected gradient is at most this (`pgtol`).
    pub projected_gradient: f64,
    /// Converged when `(f_k − f_{k+1})/max(|f_k|, |f_{k+1}|, 1)` is at most this (`factr·ε`);
    /// 0 leaves the test to exact stagnation.
    pub reduction: f64,
    /// Iterations at most.
    pub max_iterations: u64,
    /// Evaluations of the objective at most (checked between iterations).
    pub max_evaluations: u64,
    /// Evaluations in one line search at most.
    pub max_line_search: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory: 10,
            projected_gradient: 1e-5,
            reduction: 1e7 * f64::EPSILON,
            max_iterations: 15_000,
            max_evaluations: 15_000,
            max_line_search: 20,
        }
    }
}

/// Why a minimization ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The projected gradient is small enough.
    ProjectedGradient,
    /// The last iteration hardly lowered the value.
    Reduction,
    /// The iterations allowed are used up.
    IterationLimit,
    /// The evaluations allowed are used up.
    EvaluationLimit,
    /// No acceptable step along steepest descent either: rounding, or a gradient that is wrong.
    LineSearchFailed,
    /// The objective is infinite or not a number at the start or wherever the search could go.
    NonFinite,
    /// The trace asked to stop.
    Stopped,
}

impl Status {
    /// True when a convergence test was met.
    pub fn converged(self) -> bool {
        matches!(self, Self::ProjectedGradient | Self::Reduction)
    }
}

/// What the trace sees after each iteration; iteration 0 is the start.
#[derive(Debug, Clone, Copy)]
pub struct Iteration<'a> {
    /// Iterations done.
    pub iteration: u64,
    /// Evaluations of the objective so far.
    pub evaluations: u64,
    /// The iterate.
    pub x: &'a [f64],
    /// Value of the objective there.
    pub value: f64,
    /// Largest entry of its projected gradient, in absolute value.
    pub projected_gradient: f64,
}

/// Where a minimization ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The last iterate; inside the bounds, and of all iterates the one of least value.
    pub x: Vec<f64>,
    /// Value of the objective there.
    pub value: f64,
    /// Largest entry of its projected gradient, in absolute value.
    pub projected_gradient: f64,
    /// Iterations done.
    pub iterations: u64,
    /// Evaluations of the objective.
    pub evaluations: u64,
    /// Why it ended.
    pub status: Status,
}

/// A trace that looks at nothing and never stops.
pub fn untraced(_: &Iteration<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Minimizes `objective` within `bounds` from `start` (projected onto them first). `trace` sees
/// every iterate and may stop.
///
/// ```
/// use batchscope_landscape::{lbfgsb, problems::Rosenbrock};
///
/// // the valley's bottom, (1, 1), lies outside x ≤ 0.8
/// let bounds = lbfgsb::Bounds::new(vec![-2.0, -2.0], vec![0.8, 2.0]).unwrap();
/// let minimum = lbfgsb::minimize(
///     &mut Rosenbrock { dimension: 2 },
///     &[-1.2, 1.0],
///     &bounds,
///     &lbfgsb::Settings::default(),
///     &mut lbfgsb::untraced,
/// )
/// .unwrap();
/// assert!(minimum.status.converged());
/// assert!((minimum.x[0] - 0.8).abs() < 1e-6 && (minimum.x[1] - 0.64).abs() < 1e-4);
/// ```
///
/// # Errors
/// When the lengths differ, a setting is out of range, or the objective fails. Not converging is a
/// [`Status`], not an error.
pub fn minimize(
    objective: &mut dyn Objective,
    start: &[f64],
    bounds: &Bounds,
    settings: &Settings,
    trace: &mut dyn FnMut(&Iteration<'_>) -> ControlFlow<()>,
) -> Result<Minimum, LandscapeError> {
    let n = objective.dimension();
    check_length("start", n, start.len())?;
    check_length("bounds", n, bounds.len())?;
    settings.check()?;
    if start.iter().any(|x| !x.is_finite()) {
        return Err(LandscapeError::NonFinite {
            what: "the start of L-BFGS-B",
            remedy: "give finite parameters",
        });
    }
    let mut x = start.to_vec();
    bounds.project(&mut x);
    let mut state = State {
        g: vec![0.0; n],
        value: 0.0,
        x,
        memory: Memory::new(n, settings.memory),
        gram: FreeGram::new(),
        iterations: 0,
        evaluations: 0,
    };
    state.value = objective.value_and_gradient(&state.x, &mut state.g)?;
    state.evaluations = 1;
    let status = if state.value.is_finite() && dot(&state.g, &state.g).is_finite() {
        state.run(objective, bounds, settings, trace)?
    } else {
        Status::NonFinite
    };
    Ok(Minimum {
        projected_gradient: bounds.projected_gradient(&state.x, &state.g),
        x: state.x,
        value: state.value,
        iterations: state.iterations,
        evaluations: state.evaluations,
        status,
    })
}

impl Settings {
    fn check(&self) -> Result<(), LandscapeError> {
        if !(1..=100).contains(&self.memory) {
            return Err(LandscapeError::setting("memory", "choose 1 to 100 pairs"));
        }
        for (name, value) in [
            ("projected_gradient", self.projected_gradient),
            ("reduction", self.reduction),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(LandscapeError::setting(name, "choose 0 or a small number"));
            }
        }
        if self.max_line_search == 0 {
            return Err(LandscapeError::setting(
                "max_line_search",
                "choose 1 or more",
            ));
        }
        Ok(())
    }
}

/// The current iterate and what is known of the curvature there.
struct State {
    x: Vec<f64>,
    g: Vec<f64>,
    value: f64,
    memory: Memory,
    gram: FreeGram,
    iterations: u64,
    evaluations: u64,
}

/// How a line search ended.
enum Searched {
    /// At this step length.
    Accepted(f64),
    Failed,
    NonFinite,
}

impl State {
    fn run(
        &mut self,
        objective: &mut dyn Objective,
        bounds: &Bounds,
        settings: &Settings,
        trace: &mut dyn FnMut(&Iteration<'_>) -> ControlFlow<()>,
    ) -> Result<Status, LandscapeError> {
        loop {
            let projected_gradient = bounds.projected_gradient(&self.x, &self.g);
            let seen = trace(&Iteration {
                iteration: self.iterations,
                evaluations: self.evaluations,
                x: &self.x,
                value: self.value,
                projected_gradient,
            });
            if projected_gradient <= settings.projected_gradient {
                return Ok(Status::ProjectedGradient);
            }
            if seen.is_break() {
                return Ok(Status::Stopped);
            }
            if self.iterations >= settings.max_iterations {
                return Ok(Status::IterationLimit);
            }
            if self.evaluations >= settings.max_evaluations {
                return Ok(Status::EvaluationLimit);
            }
            let before = self.value;
            if let Some(status) = self.iterate(objective, bounds, settings)? {
                return Ok(status);
            }
            self.iterations += 1;
            let scale = before.abs().max(self.value.abs()).max(1.0);
            if before - self.value <= settings.reduction * scale {
                // the trace still sees the last iterate
                let projected_gradient = bounds.projected_gradient(&self.x, &self.g);
                let _ = trace(&Iteration {
                    iteration: self.iterations,
                    evaluations: self.evaluations,
                    x: &self.x,
                    value: self.value,
                    projected_gradient,
                });
                return Ok(if projected_gradient <= settings.projected_gradient {
                    Status::ProjectedGradient
                } else {
                    Status::Reduction
                });
            }
        }
    }

    /// One iteration; `Some` when no step could be taken.
    fn iterate(
        &mut self,
        objective: &mut dyn Objective,
        bounds: &Bounds,
        settings: &Settings,
    ) -> Result<Option<Status>, LandscapeError> {
        loop {
            let fresh = self.memory.is_empty();
            let Some(target) = self.model_minimum(bounds) else {
                // the curvature pairs have lost definiteness to rounding: begin again
                self.forget();
                continue;
            };
            let d: Vec<f64> = target.iter().zip(&self.x).map(|(t, x)| t - x).collect();
            let old_gradient = self.g.clone();
            match self.search(objective, bounds, settings, &target, &d)? {
                Searched::Accepted(step) => {
                    self.remember(step, d, &old_gradient);
                    return Ok(None);
                }
                Searched::Failed if fresh => return Ok(Some(Status::LineSearchFailed)),
                Searched::NonFinite if fresh => return Ok(Some(Status::NonFinite)),
                Searched::Failed | Searched::NonFinite => self.forget(),
            }
        }
    }

    /// Minimizer of the quadratic model over the box, as far as steps 1 and 2 go; `None` when the
    /// model is not positive definite numerically.
    fn model_minimum(&mut self, bounds: &Bounds) -> Option<Vec<f64>> {
        let cauchy = if bounds.any() || self.memory.is_empty() {
            cauchy_point(&self.x, &self.g, bounds, &self.memory)
        } else {
            // nothing bounds the path, so the subspace is the whole space
            cauchy::Cauchy::at(&self.x, &self.memory)
        };
        if self.memory.is_empty() || cauchy.fixed.iter().all(|&f| f) {
            return Some(cauchy.point);
        }
        self.gram.update(&self.memory, &cauchy.fixed);
        subspace::minimize(&self.x, &self.g, bounds, &self.memory, &self.gram, cauchy)
    }

    /// Searches along `d = target − x`; on success `x`, `g` and the value are the new ones,
    /// otherwise they are as before.
    fn search(
        &mut self,
        objective: &mut dyn Objective,
        bounds: &Bounds,
        settings: &Settings,
        target: &[f64],
        d: &[f64],
    ) -> Result<Searched, LandscapeError> {
        let slope = dot(&self.g, d);
        if slope >= 0.0 || slope.is_nan() {
            return Ok(Searched::Failed);
        }
        let mut limit = if !bounds.any() {
            1e10
        } else if self.iterations == 0 {
            1.0
        } else {
            bounds.longest_step(&self.x, d).min(1e10)
        };
        // without curvature the model's step has no scale, unless a box gives it one
        let mut step = if self.iterations == 0 && !bounds.all() {
            (1.0 / norm(d)).min(limit)
        } else {
            1.0
        };
        let mut search = LineSearch::new(self.value, slope, step, limit);
        let mut trial = vec![0.0; self.x.len()];
        let mut gradient = vec![0.0; self.x.len()];
        let mut finite = true;
        for _ in 0..settings.max_line_search {
            if step == 1.0 {
                trial.copy_from_slice(target);
            } else {
                trial.copy_from_slice(&self.x);
                axpy(step, d, &mut trial);
                bounds.project(&mut trial);
            }
            let value = objective.value_and_gradient(&trial, &mut gradient)?;
            self.evaluations += 1;
            let along = dot(&gradient, d);
            finite = value.is_finite() && along.is_finite();
            if !finite {
                // past a cliff: search again on the near half
                limit = step;
                step *= 0.5;
                search = LineSearch::new(self.value, slope, step, limit);
                continue;
            }
            match search.advise(step, value, along) {
                Advice::Try(next) => step = next,
                // nothing better than the start could be told apart from it
                Advice::Accept if step == 0.0 => return Ok(Searched::Failed),
                Advice::Accept => {
                    self.x = trial;
                    self.g = gradient;
                    self.value = value;
                    return Ok(Searched::Accepted(step));
                }
            }
        }
        Ok(if finite {
            Searched::Failed
        } else {
            Searched::NonFinite
        })
    }

    /// Takes the pair of an accepted step into the memory, if its curvature is positive.
    fn remember(&mut self, step: f64, mut s: Vec<f64>, old_gradient: &[f64]) {
        let mut y = self.g.clone();
        axpy(-1.0, old_gradient, &mut y);
        let descent = -dot(old_gradient, &s) * step;
        crate::vector::scale(step, &mut s);
        let curvature = dot(&s, &y);
        if curvature <= f64::EPSILON * descent {
            return;
        }
        if self.memory.push(s, y, curvature) {
            self.gram.shift(&self.memory);
        } else {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.memory.clear();
        self.gram = FreeGram::new();
    }
}
