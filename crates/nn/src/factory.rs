use batchscope_core::{
    DataShape, InputShape, Network, NetworkError, NetworkFactory, StreamKey, Task, UNLABELED,
};
use burn::tensor::Device;

use crate::{
    architecture::Architecture,
    builder::{Builder, LayerOutput},
    device::{DeviceError, DeviceSpec},
    layers::ImageSize,
    models::{
        Alexnet, C1, C2, Drn, Lenet, LstmModel, LstmShape, Mlp, MobilenetShape, MobilenetV2, Model,
        Resnet, RowLstm, Softmax, VGG_SMALLEST, Vgg, VggImagenet,
    },
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

/// Inputs of F2: windows of frames of speech (Keskar et al. 2016, appendix B).
const F2_INPUTS: usize = 360;

/// More scalars than this are refused rather than allocated: 8 GiB of parameters.
const MAX_PARAMETERS: usize = 1 << 31;

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

    /// True where double precision is there.
    pub fn computes_in_double(&self) -> bool {
        self.device_spec != DeviceSpec::Wgpu
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
        let text = matches!(shape.input, InputShape::Tokens { .. });
        if text != (shape.task == Task::NextToken) {
            return Err(unfit(
                "tokens go with predicting the next token, and only they do".to_owned(),
            ));
        }
        let pixels = match shape.task {
            Task::Segment { classes } if classes > usize::from(UNLABELED) => {
                return Err(unfit(format!(
                    "{classes} classes of pixels are more than the {UNLABELED} that masks can tell apart"
                )));
            }
            Task::Segment { .. } if self.model.architecture() != &Architecture::DrnD22 => {
                return Err(unfit(
                    "it answers for whole images: choose drn-d-22 for masks".to_owned(),
                ));
            }
            Task::Segment { .. } => shape.input.pixels(),
            _ => 0,
        };
        if shape.input.is_empty() {
            return Err(unfit("the examples hold no numbers".to_owned()));
        }
        let outputs = match (shape.task, shape.input) {
            (Task::Classify { classes } | Task::Segment { classes }, _) => classes,
            (Task::Regress { outputs }, _) => outputs,
            (Task::NextToken, InputShape::Tokens { vocabulary, .. }) => vocabulary,
            (Task::NextToken, _) => 0,
        };
        if outputs == 0 {
            return Err(unfit("there is nothing to predict".to_owned()));
        }
        let inputs = shape.input.len();
        let vector = || {
            if text {
                Err(unfit(
                    "it takes images or vectors, not text: choose lstm".to_owned(),
                ))
            } else {
                Ok(inputs)
            }
        };
        let image = |smallest: usize| match shape.input {
            InputShape::Image {
                height,
                width,
                channels,
            } if height.min(width) >= smallest => Ok(ImageSize {
                height,
                width,
                channels,
            }),
            InputShape::Image { height, width, .. } => Err(unfit(format!(
                "images of {height} × {width} are too small: it takes at least {smallest} × {smallest}"
            ))),
            _ => Err(unfit(
                "it takes images: choose mlp for vectors, lstm for text".to_owned(),
            )),
        };
        let dropout = self.model.dropout();
        let model = match self.model.architecture() {
            Architecture::Softmax => {
                Model::Values(Box::new(Softmax::new(builder, vector()?, outputs)))
            }
            Architecture::Mlp { widths, norm } => Model::Values(Box::new(Mlp::new(
                builder,
                vector()?,
                widths,
                outputs,
                *norm,
                dropout,
            ))),
            Architecture::F1 => Model::Values(Box::new(Mlp::new(
                builder,
                vector()?,
                &[512; 5],
                outputs,
                true,
                0.0,
            ))),
            Architecture::F2 => {
                if vector()? != F2_INPUTS {
                    return Err(unfit(format!(
                        "it takes {F2_INPUTS} numbers, and an example has {inputs}: give frames of 24 numbers with 7 on \
                         either side (--context 7), or frames of 40 with 4"
                    )));
                }
                Model::Values(Box::new(Mlp::new(
                    builder, inputs, &[512; 7], outputs, true, 0.0,
                )))
            }
            Architecture::Lenet => Model::Values(Box::new(Lenet::new(
                builder,
                image(Lenet::SMALLEST)?,
                outputs,
                dropout,
            ))),
            Architecture::C1 | Architecture::C3 => {
                Model::Values(Box::new(C1::new(builder, image(1)?, outputs, dropout)))
            }
            Architecture::C2 | Architecture::C4 => Model::Values(Box::new(C2::new(
                builder,
                image(VGG_SMALLEST)?,
                outputs,
                dropout,
            ))),
            Architecture::Alexnet => Model::Values(Box::new(Alexnet::new(
                builder,
                image(Alexnet::SMALLEST)?,
                outputs,
            ))),
            Architecture::Vgg16 { imagenet: false } => {
                let input = image(VGG_SMALLEST)?;
                Model::Values(Box::new(Vgg::new(builder, input, outputs, dropout)))
            }
            Architecture::Vgg16 { imagenet: true } => {
                let input = image(VGG_SMALLEST)?;
                Model::Values(Box::new(VggImagenet::new(builder, input, outputs, dropout)))
            }
            Architecture::MobilenetV2 { width, imagenet } => {
                let shape = MobilenetShape {
                    width: *width,
                    imagenet: *imagenet,
                };
                let input = image(1)?;
                Model::Values(Box::new(MobilenetV2::new(
                    builder, input, outputs, shape, dropout,
                )))
            }
            Architecture::RowLstm { width } => Model::Values(Box::new(RowLstm::new(
                builder,
                image(1)?,
                outputs,
                *width,
                dropout,
            ))),
            Architecture::Resnet20 => {
                Model::Values(Box::new(Resnet::resnet20(builder, image(1)?, outputs)))
            }
            Architecture::Resnet34 => {
                Model::Values(Box::new(Resnet::resnet34(builder, image(1)?, outputs)))
            }
            Architecture::DrnD22 => {
                let input = image(1)?;
                Model::Values(Box::new(Drn::new(builder, input, outputs, pixels > 0)))
            }
            Architecture::Lstm {
                layers,
                width,
                tied,
            } => {
                let InputShape::Tokens {
                    sequence,
                    vocabulary,
                } = shape.input
                else {
                    return Err(unfit(
                        "it takes text: choose mlp or a convolutional model".to_owned(),
                    ));
                };
                let shape = LstmShape {
                    sequence,
                    vocabulary,
                    layers: *layers,
                    width: *width,
                    tied: *tied,
                };
                Model::Tokens(Box::new(LstmModel::new(builder, &shape, dropout)))
            }
        };
        // The loss's gradient, and what its logarithms take.
        let scores = outputs * if text { inputs } else { pixels.max(1) };
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
