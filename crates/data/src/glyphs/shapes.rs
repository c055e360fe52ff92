//! The ten characters: strokes drawn for this project, in a unit square whose `y` points down.

use super::geometry::Point;

/// One movement of the pen.
pub(super) enum Stroke {
    /// Straight from point to point.
    Line(&'static [Point]),
    /// A uniform quadratic B-spline through the polygon, from its first to its last point.
    Curve(&'static [Point]),
    /// The closed B-spline of the polygon.
    Loop(&'static [Point]),
}

/// A character: its name and how it is drawn.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) strokes: &'static [Stroke],
}

use Stroke::{Curve, Line, Loop};

/// The alphabet. Several characters differ from another in one detail only (`ring` and `eye`, `high`
/// and `low`, `arch` and `post`, `cup` and `fork`, `wave` and `bolt`), so that a network must see the
/// detail wherever distortion has put it.
pub(super) const ALPHABET: [Shape; 10] = [
    Shape {
        name: "ring",
        strokes: &[Loop(&[
            [0.5, 0.02],
            [0.95, 0.1],
            [0.95, 0.9],
            [0.5, 0.98],
            [0.05, 0.9],
            [0.05, 0.1],
        ])],
    },
    Shape {
        name: "eye",
        strokes: &[Curve(&[
            [0.16, 0.52],
            [0.84, 0.52],
            [0.9, 0.08],
            [0.45, 0.02],
            [0.05, 0.12],
            [0.05, 0.9],
            [0.5, 0.98],
            [0.86, 0.84],
        ])],
    },
    Shape {
        name: "high",
        strokes: &[
            Line(&[[0.2, 0.04], [0.2, 0.98]]),
            Curve(&[
                [0.2, 0.1],
                [0.5, 0.0],
                [0.92, 0.05],
                [0.92, 0.55],
                [0.5, 0.6],
                [0.2, 0.52],
            ]),
        ],
    },
    Shape {
        name: "low",
        strokes: &[
            Line(&[[0.2, 0.02], [0.2, 0.96]]),
            Curve(&[
                [0.2, 0.48],
                [0.5, 0.4],
                [0.92, 0.45],
                [0.92, 0.95],
                [0.5, 1.0],
                [0.2, 0.9],
            ]),
        ],
    },
    Shape {
        name: "arch",
        strokes: &[
            Line(&[[0.15, 0.1], [0.15, 0.96]]),
            Curve(&[
                [0.15, 0.4],
                [0.3, 0.06],
                [0.85, 0.02],
                [0.85, 0.5],
                [0.85, 0.96],
            ]),
        ],
    },
    Shape {
        name: "post",
        strokes: &[
            Line(&[[0.18, 0.02], [0.18, 0.96]]),
            Curve(&[
                [0.18, 0.66],
                [0.3, 0.42],
                [0.84, 0.38],
                [0.84, 0.7],
                [0.84, 0.96],
            ]),
        ],
    },
    Shape {
        name: "cup",
        strokes: &[Curve(&[
            [0.14, 0.06],
            [0.14, 0.6],
            [0.2, 0.98],
            [0.8, 0.98],
            [0.86, 0.6],
            [0.86, 0.06],
        ])],
    },
    Shape {
        name: "fork",
        strokes: &[
            Curve(&[
                [0.14, 0.04],
                [0.14, 0.4],
                [0.25, 0.62],
                [0.75, 0.62],
                [0.86, 0.4],
                [0.86, 0.04],
            ]),
            Line(&[[0.5, 0.56], [0.5, 0.98]]),
        ],
    },
    Shape {
        name: "wave",
        strokes: &[Curve(&[
            [0.88, 0.16],
            [0.7, 0.0],
            [0.12, 0.0],
            [0.1, 0.42],
            [0.9, 0.56],
            [0.9, 1.0],
            [0.3, 1.0],
            [0.1, 0.84],
        ])],
    },
    Shape {
        name: "bolt",
        strokes: &[Line(&[
            [0.84, 0.08],
            [0.2, 0.08],
            [0.24, 0.46],
            [0.82, 0.52],
            [0.78, 0.94],
            [0.14, 0.94],
        ])],
    },
];
