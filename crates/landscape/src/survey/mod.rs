//! A survey of a landscape at one point: which measurements there are, what each costs, and what
//! they found, as records that can be stored and reported.

mod kind;
mod measure;
mod record;

pub use kind::{MeasurementKind, SurveySettings};
pub use measure::{Eigenvalue, Layer, MeasurementResult};
pub use record::{FORMAT, Measurement, SliceKind, SliceRecord, Survey, SurveyInfo};
