use batchscope_core::{DataShape, Network, NetworkError, NetworkFactory, StreamKey};
use burn_tensor::Device;

use crate::{
    builder::{Builder, LayerOutput},
    device::{DeviceError, DeviceSpec},
    models::{MODELS, Model, ModelData, Unfit},
    network::ModelNetwork,
    spec::ModelSpec,
};

/// Makes networks of one model on one device.
#[derive(Debug, Clone)]
pub struct Factory {
    model: ModelSpec,
    device_spec: DeviceSpec,
    device: Device,
}

/// More scalars than this are refused rather than allocated: 8 GiB of parameters.
pub(crate) const MAX_PARAMETERS: usize = 1 << 31;

/// Numbers that matrix products pack their operands into: 8 MiB.
const PACKING: u64 = 1 << 21;

impl Factory {
    /// A factory of this model on this device.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] when the device is not compiled in.
    pub fn new(model: ModelSpec, device: DeviceSpec) -> Result<Self, DeviceError> {
        Ok(Self {
            model,
            device_spec: device,
            device: device.open()?,
        })
    }

    /// The model.
    pub fn model(&self) -> &ModelSpec {
        &self.model
    }

    /// Number of parameters of the model on such data.
    ///
    /// # Errors
    /// [`NetworkError::Unfit`] when the model cannot take such data.
    pub fn parameters(&self, shape: &DataShape) -> Result<u64, NetworkError> {
        let mut builder = Builder::measuring(self.kernels());
        self.construct(shape, &mut builder)?;
        Ok(builder.layout().parameters() as u64)
    }

    /// The layers with weights or windows of their own in the order of the computation, with the
    /// shapes of their outputs on such data.
    ///
    /// # Errors
    /// [`NetworkError::Unfit`] when the model cannot take such data.
    pub fn layers(&self, shape: &DataShape) -> Result<Vec<LayerOutput>, NetworkError> {
        let mut builder = Builder::measuring(self.kernels());
        self.construct(shape, &mut builder)?;
        Ok(builder.into_layers())
    }

    /// See [`NetworkFactory::build`].
    pub(crate) fn network(
        &self,
        shape: &DataShape,
        key: StreamKey,
    ) -> Result<ModelNetwork, NetworkError> {
        // Measure first: a model too large is refused before any weight is drawn.
        self.construct(shape, &mut Builder::measuring(self.kernels()))?;
        let mut builder = Builder::new(key, self.kernels());
        let model = self.construct(shape, &mut builder)?;
        Ok(ModelNetwork::new(
            &self.model,
            *shape,
            model,
            builder,
            self.device.clone(),
        ))
    }

    /// True where the CPU kernels compute.
    fn kernels(&self) -> bool {
        self.device_spec == DeviceSpec::Cpu
    }

    fn construct(&self, shape: &DataShape, builder: &mut Builder) -> Result<Model, NetworkError> {
        let unfit = |why: String| NetworkError::Unfit {
            model: self.name(),
            why,
        };
        let fits = |Unfit(why)| unfit(why);
        let kind = self.model.kind();
        let data = ModelData::new(*shape).map_err(fits)?;
        if data.labels_pixels() && !kind.labels_pixels {
            return Err(unfit(format!(
                "it answers for whole images: choose {} for masks",
                pixel_models().join(" or ")
            )));
        }
        let model = (kind.build)(self.model.settings(), &data, builder).map_err(fits)?;
        // The loss's gradient, and what its logarithms take.
        let scores = data.scores();
        builder.activations(scores);
        builder.composed(2 * scores);
        if builder.layout().parameters() > MAX_PARAMETERS {
            return Err(unfit(format!(
                "it would have more than {MAX_PARAMETERS} parameters: choose smaller widths"
            )));
        }
        Ok(model)
    }
}

/// Names of the models that score every pixel.
fn pixel_models() -> Vec<&'static str> {
    let models = MODELS.all.iter().filter(|kind| kind.labels_pixels);
    models.map(|kind| kind.descriptor.name).collect()
}

impl NetworkFactory for Factory {
    fn name(&self) -> String {
        self.model.to_string()
    }

    fn build(&self, shape: &DataShape, key: StreamKey) -> Result<Box<dyn Network>, NetworkError> {
        Ok(Box::new(self.network(shape, key)?))
    }

    fn memory(&self, shape: &DataShape, micro_batch: u64) -> u64 {
        let mut builder = Builder::measuring(self.kernels());
        if self.construct(shape, &mut builder).is_err() {
            return 0;
        }
        // Parameters, gradient window, gradient of the micro-batch, two moments of an optimizer.
        let fixed = (5 * builder.layout().parameters() + builder.scratch_floats()) as u64 + PACKING;
        // What the forward pass keeps, and as much again for the gradients of the backward pass.
        let example = (shape.input.len() + 2 * builder.activations_per_example()) as u64;
        4 * fixed.saturating_add(micro_batch.saturating_mul(example))
    }

    fn device(&self) -> String {
        self.device_spec.describe()
    }
}
