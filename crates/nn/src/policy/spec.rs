use std::fmt;

use batchscope_core::NetworkError;
use serde::{Deserialize, Serialize};

use crate::models::MAX_WIDTH;

/// Pixels of a block's side that becomes one pixel of many channels.
pub(super) const BLOCK: usize = 4;

/// Strides of the four residual blocks; each doubles the channels of the one before.
pub(super) const STRIDES: [usize; 4] = [1, 2, 2, 2];

/// Sizes of a [`PolicyNetwork`](super::PolicyNetwork).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicySpec {
    /// Channels of the first residual block; published 64.
    pub width: usize,
    /// Width of the visual encoding and of each recurrent layer; published 512.
    pub hidden: usize,
    /// Recurrent layers; published 2.
    pub layers: usize,
    /// Actions to choose from.
    pub actions: usize,
    /// Side of the square depth images, a multiple of 32; published 64.
    pub resolution: usize,
}

impl PolicySpec {
    /// The published sizes for so many actions.
    pub const fn published(actions: usize) -> Self {
        Self {
            width: 64,
            hidden: 512,
            layers: 2,
            actions,
            resolution: 64,
        }
    }

    /// Checked sizes.
    ///
    /// # Errors
    /// [`NetworkError::Unfit`] where a size is outside its range.
    pub fn new(
        width: usize,
        hidden: usize,
        layers: usize,
        actions: usize,
        resolution: usize,
    ) -> Result<Self, NetworkError> {
        let spec = Self {
            width,
            hidden,
            layers,
            actions,
            resolution,
        };
        spec.check().map(|()| spec)
    }

    /// Side of the image that the residual blocks leave.
    pub(super) fn last_side(&self) -> usize {
        self.resolution / (BLOCK * STRIDES.iter().product::<usize>())
    }

    /// Checks every size.
    pub(super) fn check(&self) -> Result<(), NetworkError> {
        let ranges = [
            ("width", self.width, 512),
            ("hidden", self.hidden, MAX_WIDTH as usize),
            ("layers", self.layers, 16),
            ("actions", self.actions, 1024),
            ("resolution", self.resolution, 1024),
        ];
        for (name, value, most) in ranges {
            if !(1..=most).contains(&value) {
                return Err(self.unfit(format!("{name} {value}: choose 1 to {most}")));
            }
        }
        let block = BLOCK * STRIDES.iter().product::<usize>();
        if !self.resolution.is_multiple_of(block) {
            let why = format!(
                "resolution {}: choose a multiple of {block}",
                self.resolution
            );
            return Err(self.unfit(why));
        }
        Ok(())
    }

    /// The refusal of something that does not fit these sizes.
    pub(super) fn unfit(&self, why: String) -> NetworkError {
        NetworkError::Unfit {
            model: self.to_string(),
            why,
        }
    }
}

impl fmt::Display for PolicySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            width,
            hidden,
            layers,
            actions,
            resolution,
        } = self;
        write!(
            f,
            "policy(width={width},hidden={hidden},layers={layers},actions={actions},resolution={resolution})"
        )
    }
}
