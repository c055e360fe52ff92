use std::{fmt, str::FromStr};

use burn_tensor::Device;
use serde::{Deserialize, Serialize};

/// Where a network computes: `cpu`, `cuda`, `cuda:1`.
///
/// ```
/// use batchscope_nn::DeviceSpec;
/// assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
/// assert_eq!(DeviceSpec::Cuda(1).to_string(), "cuda:1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceSpec {
    /// The processor, through burn's `flex` backend and this crate's kernels.
    #[default]
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not the name of a device.
    #[error("'{0}' is not a device: write cpu, cuda or cuda:INDEX")]
    Unknown(String),
    /// A device that burn reaches, and on which the models here do not train.
    #[error("no model trains on {0} yet: choose cpu or cuda")]
    Untrained(&'static str),
    /// This program was built without support for the device.
    #[error("this program was built without {device}: build it with the feature {feature}")]
    NotBuilt {
        /// What was asked for.
        device: DeviceSpec,
        /// Feature that adds it.
        feature: &'static str,
    },
    /// The device is not there or does not answer.
    #[error("{device} does not work: {why}; choose another device or look at its driver")]
    Failed {
        /// What was asked for.
        device: DeviceSpec,
        /// What was said.
        why: String,
    },
}

impl DeviceSpec {
    /// burn's handle of the device.
    pub(crate) fn open(self) -> Result<Device, DeviceError> {
        match self {
            DeviceSpec::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            DeviceSpec::Cuda(index) => self.probe(|| Device::cuda(index)),
            #[cfg(not(feature = "cuda"))]
            DeviceSpec::Cuda(_) => Err(DeviceError::NotBuilt {
                device: self,
                feature: "cuda",
            }),
        }
    }

    /// The device if it can hold a number. burn connects to it only then, and panics where there
    /// is no driver or no such device.
    #[cfg(feature = "cuda")]
    fn probe(self, open: impl FnOnce() -> Device) -> Result<Device, DeviceError> {
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let device = open();
            let number = burn_tensor::Tensor::<1>::ones([1], &device).try_into_vec_as::<f32>();
            number.map(|_| device).map_err(|error| format!("{error:?}"))
        }));
        let failed = |why: String| DeviceError::Failed { device: self, why };
        match attempt {
            Ok(answer) => answer.map_err(failed),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text =
                    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Err(failed(
                    text.unwrap_or_else(|| "it could not be opened".to_owned()),
                ))
            }
        }
    }

    /// Name for records: `cpu (flex)`, `cuda:0`.
    pub(crate) fn describe(self) -> String {
        match self {
            DeviceSpec::Cpu => "cpu (flex)".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "cpu" => Ok(DeviceSpec::Cpu),
            "cuda" => Ok(DeviceSpec::Cuda(0)),
            "wgpu" => Err(DeviceError::Untrained("wgpu")),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .filter(|&index: &usize| index < 256)
                .map(DeviceSpec::Cuda)
                .ok_or_else(|| DeviceError::Unknown(text.to_owned())),
        }
    }
}

impl TryFrom<String> for DeviceSpec {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceSpec> for String {
    fn from(device: DeviceSpec) -> Self {
        device.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_back_as_written() {
        for text in ["cpu", "cuda:0", "cuda:7"] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn broken_devices_are_refused() {
        for text in [
            "",
            "gpu",
            "cuda:",
            "cuda:-1",
            "cuda:x",
            "cuda:99999999999999999999",
            "cpu:0",
        ] {
            assert_eq!(
                text.parse::<DeviceSpec>(),
                Err(DeviceError::Unknown(text.to_owned()))
            );
        }
    }

    /// It was built with its feature, and then panicked for every model.
    #[test]
    fn wgpu_is_refused_at_the_start() {
        let error = "wgpu".parse::<DeviceSpec>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "no model trains on wgpu yet: choose cpu or cuda"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_not_built_in_names_its_feature() {
        let error = DeviceSpec::Cuda(0).open().unwrap_err();
        assert_eq!(
            error.to_string(),
            "this program was built without cuda:0: build it with the feature cuda"
        );
    }
}
