use batchscope_core::{NetworkError, ParameterKind};
use burn_tensor::{Tensor, TensorData};

use super::{
    GOAL, PolicySpec, Windows,
    spec::{BLOCK, STRIDES},
};
use crate::{
    builder::Builder,
    init::Init,
    layers::{Conv2d, Filter, FixupBlock, ImageSize, Linear, Lstm, Window, embed, space_to_depth},
    parameters::ParameterId,
    pass::Pass,
    storage::{Storage, to_host},
};

/// Width of the embeddings of the goal and of the previous action.
const EMBEDDING: usize = 32;

/// Norm of the actor's weights of an action, about: its first policy is near uniform.
const ACTOR_NORM: f32 = 0.01;

/// The same of the critic's weights, for first values near 0.
const CRITIC_NORM: f32 = 0.1;

/// The layers of a policy network.
pub(super) struct Policy {
    spec: PolicySpec,
    stem: Conv2d,
    blocks: Vec<FixupBlock>,
    compression: Conv2d,
    visual: Linear,
    goal: Linear,
    previous: ParameterId,
    memory: Vec<Lstm>,
    actor: Linear,
    critic: Linear,
}

/// What a policy network makes of its input.
pub(super) struct Outputs {
    /// `[rows, actions]`.
    pub logits: Tensor<2>,
    /// `[rows, 1]`.
    pub values: Tensor<2>,
    /// Hidden and cell state of each recurrent layer after the last step, `[streams, hidden]`.
    pub state: Vec<[Tensor<2>; 2]>,
}

impl Policy {
    /// The layers of a checked specification.
    pub(super) fn new(builder: &mut Builder, spec: PolicySpec) -> Self {
        let side = spec.resolution / BLOCK;
        let blocks_of_depth = ImageSize {
            height: side,
            width: side,
            channels: BLOCK * BLOCK,
        };
        builder.activations(spec.resolution * spec.resolution);
        let point = Window::unit(1, 0);
        let stem = Conv2d::new(builder, "stem", blocks_of_depth, spec.width, point);
        builder.activations(stem.output.len());
        let (mut image, mut blocks) = (stem.output, Vec::new());
        for (i, stride) in STRIDES.into_iter().enumerate() {
            let name = format!("block{}", i + 1);
            let channels = spec.width << i;
            let block = FixupBlock::new(builder, &name, image, channels, stride, STRIDES.len());
            image = block.output();
            blocks.push(block);
        }
        debug_assert_eq!(image.height, spec.last_side());
        let filter = Filter::three(1, 1);
        let compression = Conv2d::new(builder, "compression", image, 4 * spec.width, filter);
        let flat = compression.output.len();
        builder.activations(flat);
        let visual = Linear::without_bias(builder, "visual", flat, spec.hidden);
        let goal = Linear::new(builder, "goal", GOAL, EMBEDDING);
        let previous = builder.parameter(
            "previous.weight".to_owned(),
            &[spec.actions + 1, EMBEDDING],
            ParameterKind::Embedding,
            Init::Normal { deviation: 1.0 }, // PyTorch's
        );
        let inputs = spec.hidden + 2 * EMBEDDING;
        builder.activations(EMBEDDING + inputs);
        let memory = (0..spec.layers)
            .map(|layer| {
                let inputs = if layer == 0 { inputs } else { spec.hidden };
                Lstm::stateless(
                    builder,
                    &format!("lstm{}", layer + 1),
                    1,
                    inputs,
                    spec.hidden,
                )
            })
            .collect();
        let mut head = |name, outputs, norm: f32| {
            // Random directions in so many dimensions are almost orthogonal.
            let deviation = norm / (spec.hidden as f32).sqrt();
            let shape = [spec.hidden, outputs];
            Linear::initialized(builder, name, shape, Init::Normal { deviation })
        };
        Self {
            actor: head("actor", spec.actions, ACTOR_NORM),
            critic: head("critic", 1, CRITIC_NORM),
            spec,
            stem,
            blocks,
            compression,
            visual,
            goal,
            previous,
            memory,
        }
    }

    /// The answers to checked windows.
    pub(super) fn forward(&self, windows: &Windows, pass: &mut Pass) -> Outputs {
        let encoding = self.encode(windows, pass);
        let mut x = encoding;
        let mut state = Vec::with_capacity(self.memory.len());
        for (layer, lstm) in self.memory.iter().enumerate() {
            let before = self.state_before(layer, windows, pass);
            let (outputs, after) = lstm.resume(x, before, Some(windows.fresh), pass);
            x = outputs;
            state.push(after);
        }
        Outputs {
            logits: self.actor.forward(x.clone(), pass),
            values: self.critic.forward(x, pass),
            state,
        }
    }

    /// What the memory reads: encodings of image, goal and previous action, `[rows, hidden + 64]`.
    fn encode(&self, windows: &Windows, pass: &mut Pass) -> Tensor<2> {
        let seen = windows.observations;
        let rows = seen.previous.len();
        let depth = space_to_depth(seen.depth, self.spec.resolution, BLOCK, pass);
        let mut image = self.stem.relu(depth, pass);
        for block in &self.blocks {
            image = block.forward(image, pass);
        }
        let image = self.compression.relu(image, pass);
        let flat = image.reshape([rows as i64, -1]);
        let visual = self.visual.relu(flat, pass);
        let goal = TensorData::new(seen.goal.to_vec(), [rows, GOAL]);
        let goal = Tensor::from_data(goal, (pass.device(), pass.dtype()));
        let goal = self.goal.forward(goal, pass);
        let previous = embed(self.previous, seen.previous, None, pass);
        Tensor::cat(vec![visual, goal, previous], 1)
    }

    /// Hidden and cell state of a layer before the first step, `[streams, hidden]`.
    fn state_before(&self, layer: usize, windows: &Windows, pass: &Pass) -> [Tensor<2>; 2] {
        let (width, hidden) = (self.spec.state_width(), self.spec.hidden);
        [0, 1].map(|part| {
            let at = (2 * layer + part) * hidden;
            let streams = windows.state.chunks_exact(width);
            let values = streams.flat_map(|state| &state[at..at + hidden]).copied();
            let shape = [windows.streams, hidden];
            let state: Tensor<2> =
                Storage::from_host(values.collect(), &shape, pass.device()).tensor();
            state.cast(pass.dtype())
        })
    }

    /// Writes the state after the last step to `[streams, state_width]`.
    pub(super) fn write_state(
        &self,
        after: Vec<[Tensor<2>; 2]>,
        state: &mut [f32],
    ) -> Result<(), NetworkError> {
        let (width, hidden) = (self.spec.state_width(), self.spec.hidden);
        for (part, values) in after.into_iter().flatten().enumerate() {
            let values = to_host(values)?;
            let streams = state.chunks_exact_mut(width);
            for (state, values) in streams.zip(values.chunks_exact(hidden)) {
                state[part * hidden..][..hidden].copy_from_slice(values);
            }
        }
        Ok(())
    }
}
