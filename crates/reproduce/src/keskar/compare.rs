//! The paper's statements beside what was found: agreement and disagreement, said plainly.

use batchscope_core::Estimate;
use serde::{Deserialize, Serialize};

use super::published::DISTANCE_RATIO;
use super::record::{SlicePoint, SliceRecord};
use super::results::{Results, RowKind};
use super::task::{Method, Statistics};

/// Whether what was found goes the paper's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does, and the interval excludes the contrary.
    Agrees,
    /// It goes the other way, and the interval excludes the paper's.
    Disagrees,
    /// The interval holds both.
    Undecided,
}

impl Verdict {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Agrees => "agrees",
            Verdict::Disagrees => "disagrees",
            Verdict::Undecided => "undecided",
        }
    }

    /// Whether an estimate lies above a line, as the paper has it.
    fn above(estimate: &Estimate, line: f64) -> Self {
        match (estimate.low, estimate.high) {
            (Some(low), _) if low > line => Verdict::Agrees,
            (_, Some(high)) if high < line => Verdict::Disagrees,
            _ => Verdict::Undecided,
        }
    }
}

/// A statement of the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What it says.
    pub claim: String,
    /// The paper's number for it, where there is one.
    pub published: String,
    /// Ours.
    pub found: Estimate,
    /// What our number is.
    pub unit: String,
    /// Whether they go together.
    pub verdict: Verdict,
    /// Whether the paper makes it of this very quantity; else it is its statement of another.
    pub of_the_paper: bool,
}

/// Every statement that these results can be held against.
pub(crate) fn claims(results: &Results) -> Vec<Claim> {
    let mut claims = Vec::new();
    for row in &results.table {
        let (claim, unit, line) = match row.kind {
            RowKind::Loss => continue,
            RowKind::Accuracy => (
                "small batches generalize better".to_owned(),
                "test accuracy, small minus large, in per cent",
                0.0,
            ),
            RowKind::Sharpness => (
                format!("large batches find sharper minima: {}", row.quantity),
                "large over small",
                1.0,
            ),
        };
        let published = match row.published {
            Some([small, large]) if row.kind == RowKind::Accuracy => {
                format!("{:.2}", small - large)
            }
            Some([small, large]) => format!("{:.0}", large / small),
            None => "none".to_owned(),
        };
        claims.push(Claim {
            claim,
            published,
            verdict: Verdict::above(&row.compared, line),
            found: row.compared.clone(),
            unit: unit.to_owned(),
            of_the_paper: row.published.is_some(),
        });
    }
    if let Some(distance) = &results.distance {
        let [low, high] = DISTANCE_RATIO;
        claims.push(Claim {
            claim: "small batches go further from where they start".to_owned(),
            published: format!("{low} to {high}"),
            verdict: Verdict::above(&distance.ratio, 1.0),
            found: distance.ratio.clone(),
            unit: "distance, small over large".to_owned(),
            of_the_paper: true,
        });
    }
    let straight = results.slices.iter().filter_map(|s| s.straight.as_ref());
    claims.extend(straight.filter_map(steeper));
    for remedy in &results.remedies {
        if remedy.method == Method::Plain {
            continue;
        }
        let name = remedy.method.name();
        claims.push(Claim {
            claim: format!("{name} training improves large batches' accuracy"),
            published: "above 0".to_owned(),
            verdict: Verdict::above(&remedy.gain, 0.0),
            found: remedy.gain.clone(),
            unit: "test accuracy gained, in per cent".to_owned(),
            of_the_paper: true,
        });
    }
    claims
}

/// The rise of the training loss one step of the slice to either side of a minimum, of the large
/// batch over the small one.
fn steeper(slice: &SliceRecord) -> Option<Claim> {
    let rise = |alpha: f64| -> Option<f64> {
        let at = |alpha: f64| {
            let near = |p: &&SlicePoint| (p.alpha - alpha).abs() < 1e-9;
            slice.points.iter().flatten().find(near)?.train_loss
        };
        Some(0.5 * (at(alpha - STEP)? + at(alpha + STEP)?) - at(alpha)?)
    };
    let (small, large) = (rise(0.0)?, rise(1.0)?);
    let found = if small > 0.0 && large > 0.0 {
        let ratio = large / small;
        Estimate {
            low: None,
            high: None,
            ..Estimate::estimated(ratio, ratio, ratio, crate::interval::LEVEL, 1)
                .because("one start")
        }
    } else {
        Estimate::undefined(
            crate::interval::LEVEL,
            1,
            "the loss does not rise on both sides",
        )
    };
    Some(Claim {
        claim: "on the line between the minima the loss rises more steeply about the large one"
            .to_owned(),
        published: "strikingly (figure 3)".to_owned(),
        verdict: Verdict::above(&found, 1.0),
        found,
        of_the_paper: slice.statistics == Statistics::Interpolated,
        unit: match slice.statistics {
            Statistics::Interpolated => RISE.to_owned(),
            Statistics::Estimated => format!("{RISE}, batch-norm statistics estimated"),
        },
    })
}

/// What [`steeper`] compares.
const RISE: &str =
    "rise of the training loss an eighth of the distance between the minima away, large over small";

/// Distance of neighboring points of the paper's slices.
const STEP: f64 = 0.125;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_go_by_the_interval() {
        let e = |low: f64, high: f64| Estimate::estimated(low, low, high, 0.95, 5);
        assert_eq!(Verdict::above(&e(1.1, 4.0), 1.0), Verdict::Agrees);
        assert_eq!(Verdict::above(&e(0.1, 0.9), 1.0), Verdict::Disagrees);
        assert_eq!(Verdict::above(&e(0.9, 1.1), 1.0), Verdict::Undecided);
        let bound = Estimate::at_least(3.0, 0.95, 5, "overflow");
        assert_eq!(Verdict::above(&bound, 1.0), Verdict::Agrees);
        let nothing = Estimate::undefined(0.95, 0, "nothing");
        assert_eq!(Verdict::above(&nothing, 1.0), Verdict::Undecided);
    }
}
