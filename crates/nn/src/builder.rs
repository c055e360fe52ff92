use batchscope_core::{ParameterKind, ParameterLayout, ParameterTensor, Purpose, StreamKey};
use batchscope_kernels::outer_norm_work;
use burn_tensor::Device;

use crate::{
    init::Init,
    layers::{ImageSize, NormId, NormState},
    parameters::{ParameterId, Parameters},
    storage::Storage,
    streams::{StateId, Streams},
};

/// A sequence's products, of a few dozen rows, take so many times as long for a multiply-add as the
/// large ones of a pass: 3.4 measured (`cargo run --release -p batchscope --example noise_ways`).
const SHORT_PRODUCTS: u64 = 3;

/// Collects what a model is made of while its layers are constructed.
///
/// Without a key it only measures: no weights are drawn, so that parameters can be counted and
/// memory estimated for models of any size.
pub struct Builder {
    key: Option<StreamKey>,
    layout: ParameterLayout,
    values: Vec<Vec<f32>>,
    norms: Vec<(String, usize)>,
    streams: Streams,
    layers: Vec<LayerOutput>,
    activations: usize,
    /// Tensors whose layers tell the examples' gradients apart.
    per_example_grad_norms: usize,
    /// Multiply-adds of one example's forward pass, and of the norms of its gradient; those of
    /// sequences count more.
    work: [u64; 2],
    scratch: usize,
    /// The CPU kernels will compute.
    kernels: bool,
}

/// A row of a model's table of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerOutput {
    /// Dotted path of the layer, as in the names of its parameters.
    pub name: String,
    /// Shape of its output for one example: `[height, width, channels]` of an image, `[width]` of a
    /// vector, `[steps, width]` of a sequence.
    pub shape: Vec<usize>,
}

/// Shapes that the table of layers knows.
pub trait OutputShape {
    /// The sizes, outermost first.
    fn sizes(&self) -> Vec<usize>;
}

impl OutputShape for ImageSize {
    fn sizes(&self) -> Vec<usize> {
        vec![self.height, self.width, self.channels]
    }
}

impl<const D: usize> OutputShape for [usize; D] {
    fn sizes(&self) -> Vec<usize> {
        self.to_vec()
    }
}

/// What a finished [`Builder`] hands to the network.
pub(crate) struct Built {
    /// The parameters, on the device.
    pub parameters: Parameters,
    /// Running statistics of the batch-norm layers.
    pub norms: Vec<NormState>,
    /// Hidden states.
    pub streams: Streams,
}

impl Builder {
    /// A builder that draws initial weights from the key; `kernels` where the CPU kernels compute.
    pub(crate) fn new(key: StreamKey, kernels: bool) -> Self {
        Self {
            key: Some(key.with_purpose(Purpose::Initialization)),
            ..Self::measuring(kernels)
        }
    }

    /// A builder that only counts.
    pub(crate) fn measuring(kernels: bool) -> Self {
        Self {
            key: None,
            layout: ParameterLayout::default(),
            values: Vec::new(),
            norms: Vec::new(),
            streams: Streams::default(),
            layers: Vec::new(),
            activations: 0,
            per_example_grad_norms: 0,
            work: [0; 2],
            scratch: 0,
            kernels,
        }
    }

    /// Adds a parameter tensor, next in the table.
    pub fn parameter(
        &mut self,
        name: String,
        shape: &[usize],
        kind: ParameterKind,
        init: Init,
    ) -> ParameterId {
        let index = self.layout.tensors.len();
        let tensor = ParameterTensor {
            name,
            shape: shape.to_vec(),
            kind,
        };
        if let Some(key) = self.key {
            self.values.push(init.draw(key, index, tensor.len()));
        }
        self.layout.tensors.push(tensor);
        ParameterId(index)
    }

    /// Notes that a layer takes the squared norms of every example's gradient of its `tensors`.
    pub fn per_example_grad_norms(&mut self, tensors: usize) {
        self.per_example_grad_norms += tensors;
    }

    /// True where all parameters so far belong to such layers, and no batch norm mixes examples.
    pub(crate) fn measures_per_example_grad_norms(&self) -> bool {
        self.kernels
            && self.norms.is_empty()
            && self.per_example_grad_norms == self.layout.tensors.len()
    }

    /// Notes that a matrix of `inputs` by `outputs` weights meets `places` of each example.
    pub fn products(&mut self, places: usize, inputs: usize, outputs: usize) {
        let [forward, norms] = &mut self.work;
        let product = [places, inputs, outputs].map(|n| n as u64);
        let product = product.into_iter().fold(1, u64::saturating_mul);
        *forward = forward.saturating_add(product);
        *norms = norms.saturating_add(outer_norm_work(places, inputs, outputs));
    }

    /// The same of a matrix that meets the steps of a sequence, whose norms take scratch memory and
    /// count [`SHORT_PRODUCTS`] times.
    pub(crate) fn sequence_products(&mut self, steps: usize, inputs: usize, outputs: usize) {
        self.products(steps, inputs, outputs);
        let more = outer_norm_work(steps, inputs, outputs).saturating_mul(SHORT_PRODUCTS - 1);
        self.work[1] = self.work[1].saturating_add(more);
        let rows = steps.saturating_mul(inputs.saturating_add(outputs));
        let pairs = steps.saturating_mul(steps).saturating_mul(2);
        let sums = inputs.saturating_mul(outputs).min(pairs);
        let each = rows.saturating_add(sums);
        self.scratch(each.saturating_mul(rayon::current_num_threads()));
    }

    /// What the norms of the examples' gradients cost beside a pass forward and back without them,
    /// in multiply-adds of the products, of which there are three as large: of the forward pass, of
    /// the gradient of the inputs and of that of the weights.
    pub(crate) fn example_norms_cost(&self) -> f64 {
        let [forward, norms] = self.work.map(|work| work as f64);
        if forward == 0.0 {
            0.0
        } else {
            norms / (3.0 * forward)
        }
    }

    /// Adds the running statistics of a batch-norm layer.
    pub(crate) fn norm(&mut self, name: &str, channels: usize) -> NormId {
        self.norms.push((name.to_owned(), channels));
        NormId(self.norms.len() - 1)
    }

    /// Adds a hidden state of `width` numbers per text stream.
    pub(crate) fn state(&mut self, name: String, width: usize) -> StateId {
        self.streams.add(name, width)
    }

    /// Notes a layer and the shape of its output.
    pub fn layer(&mut self, name: &str, output: impl OutputShape) {
        self.layers.push(LayerOutput {
            name: name.to_owned(),
            shape: output.sizes(),
        });
    }

    /// The layers so far, in the order of the computation.
    pub(crate) fn into_layers(self) -> Vec<LayerOutput> {
        self.layers
    }

    /// Notes that a forward pass computes `floats` numbers per example and may keep them for the
    /// backward pass.
    pub fn activations(&mut self, floats: usize) {
        self.activations = self.activations.saturating_add(floats);
    }

    /// The same of what only burn's operations need, where no kernel computes the layer.
    pub fn composed(&mut self, floats: usize) {
        if !self.kernels {
            self.activations(floats);
        }
    }

    /// Numbers computed per example in a forward pass, as noted by the layers.
    pub(crate) fn activations_per_example(&self) -> usize {
        self.activations
    }

    /// Notes that a layer uses `floats` numbers of scratch memory, whatever the micro-batch; layers
    /// use it in turn.
    pub(crate) fn scratch(&mut self, floats: usize) {
        self.scratch = self.scratch.max(floats);
    }

    /// Scratch memory, in numbers.
    pub(crate) fn scratch_floats(&self) -> usize {
        self.scratch
    }

    /// The table of parameters so far.
    pub(crate) fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// Brings everything to the device.
    pub(crate) fn finish(self, device: &Device) -> Built {
        let values = self
            .values
            .into_iter()
            .zip(&self.layout.tensors)
            .map(|(values, tensor)| Storage::from_host(values, &tensor.shape, device))
            .collect();
        Built {
            parameters: Parameters::new(self.layout, values, device.clone()),
            norms: self
                .norms
                .into_iter()
                .map(|(name, channels)| NormState::new(name, channels, device))
                .collect(),
            streams: self.streams,
        }
    }
}
