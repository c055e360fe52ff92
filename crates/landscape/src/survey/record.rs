//! A survey as it is stored.

use serde::{Deserialize, Serialize};

use super::kind::{MeasurementKind, SurveySettings};
use super::measure::MeasurementResult;
use crate::slices::PointLoss;

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
pub struct Measurement {
    /// The quantity that was measured.
    #[serde(rename = "part")]
    pub kind: MeasurementKind,
    /// What came of it.
    pub result: MeasurementResult,
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
    /// Line, surface or path.
    pub kind: SliceKind,
    /// Fingerprint of the other solution, where there is one.
    pub to: String,
    /// Where batch norm's statistics come from; empty for models without.
    pub statistics: String,
    /// Coordinates of the points.
    pub coordinates: Vec<Vec<f64>>,
    /// On the training examples and, where there are any, the test examples.
    pub points: Vec<Option<(PointLoss, Option<PointLoss>)>>,
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
    /// The network and the loss that were measured.
    pub subject: SurveyInfo,
    /// Measurements made, in the order they were.
    pub measured: Vec<Measurement>,
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
    pub fn result_of(&self, kind: &MeasurementKind) -> Option<&MeasurementResult> {
        self.measured
            .iter()
            .find(|m| m.kind == *kind)
            .map(|m| &m.result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_stored_before_reads_back_and_is_written_with_the_same_keys() {
        let stored = r#"{"part":{"kind":"keskar","epsilon":0.001,"subspace":null},"result":{"found":"layers","layers":[]},"evaluations":7,"seconds":0.5}"#;
        let measured: Measurement = serde_json::from_str(stored).unwrap();
        assert_eq!(
            measured.kind,
            MeasurementKind::Keskar {
                epsilon: 1e-3,
                subspace: None
            }
        );
        assert_eq!(serde_json::to_string(&measured).unwrap(), stored);
    }
}
