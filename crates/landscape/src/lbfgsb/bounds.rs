use crate::LandscapeError;
use crate::error::check_length;

/// A box: `lower ≤ x ≤ upper`, with infinite ends where a side is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    lower: Vec<f64>,
    upper: Vec<f64>,
    any: bool,
    all: bool,
}

impl Bounds {
    /// From both ends of every variable.
    ///
    /// # Errors
    /// When the lengths differ or `lower ≤ upper` fails somewhere.
    pub fn new(lower: Vec<f64>, upper: Vec<f64>) -> Result<Self, LandscapeError> {
        check_length("upper", lower.len(), upper.len())?;
        let pairs = || lower.iter().zip(&upper);
        let fits = |(l, u): (&f64, &f64)| l <= u && *l < f64::INFINITY && *u > f64::NEG_INFINITY;
        if let Some(i) = pairs().position(|p| !fits(p)) {
            return Err(LandscapeError::setting(
                "bounds",
                format!("variable {i} has no value in [{}, {}]", lower[i], upper[i]),
            ));
        }
        Ok(Self {
            any: pairs().any(|(l, u)| l.is_finite() || u.is_finite()),
            all: pairs().all(|(l, u)| l.is_finite() && u.is_finite()),
            lower,
            upper,
        })
    }

    /// No bounds on `n` variables.
    pub fn none(n: usize) -> Self {
        Self {
            lower: vec![f64::NEG_INFINITY; n],
            upper: vec![f64::INFINITY; n],
            any: false,
            all: n == 0,
        }
    }

    /// Number of variables.
    pub fn len(&self) -> usize {
        self.lower.len()
    }

    /// True without variables.
    pub fn is_empty(&self) -> bool {
        self.lower.is_empty()
    }

    /// Lower ends.
    pub fn lower(&self) -> &[f64] {
        &self.lower
    }

    /// Upper ends.
    pub fn upper(&self) -> &[f64] {
        &self.upper
    }

    /// True when some variable has a bound.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// True when every variable has both.
    pub(super) fn all(&self) -> bool {
        self.all
    }

    /// Moves `x` to the nearest point of the box; a value that is not a number stays.
    pub fn project(&self, x: &mut [f64]) {
        if self.any {
            for (i, x) in x.iter_mut().enumerate() {
                *x = self.clamp(i, *x);
            }
        }
    }

    pub(super) fn clamp(&self, i: usize, x: f64) -> f64 {
        x.max(self.lower[i]).min(self.upper[i])
    }

    /// `‖P(x − g) − x‖∞`, the measure of first-order optimality.
    pub fn projected_gradient(&self, x: &[f64], g: &[f64]) -> f64 {
        let entries = x.iter().zip(g).enumerate().map(|(i, (x, g))| {
            if *g < 0.0 {
                (x - self.upper[i]).max(*g).abs()
            } else {
                (x - self.lower[i]).min(*g).abs()
            }
        });
        entries.fold(0.0, f64::max)
    }

    /// The largest `t` with `x + t·d` inside the box.
    pub(super) fn longest_step(&self, x: &[f64], d: &[f64]) -> f64 {
        let mut longest = f64::INFINITY;
        for (i, (&x, &d)) in x.iter().zip(d).enumerate() {
            let room = if d < 0.0 {
                self.lower[i] - x
            } else {
                self.upper[i] - x
            };
            if d != 0.0 && room.is_finite() {
                longest = longest.min((room / d).max(0.0));
            }
        }
        longest
    }
}
