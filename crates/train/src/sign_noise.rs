//! The noise scale in the ℓ1 norm of a network as it is, for optimizers that go by signs.

use batchscope_core::{Control, Flow, Purpose, StepBatch, StreamKey, TrainerError};
use batchscope_scaling::noise::{CoordinateSums, SIGN_BLOCKS, SignNoise, sign_noise};
use serde::{Deserialize, Serialize};

use crate::{
    BatchStream, BuiltIn, GradientSource, NoiseRequest, Portions, Supervised, TrainError,
    augment::Augmenter, checkpoint::load_network, noise_scale::PARTS,
};

/// Most parts of a block: beyond this single precision adds no more.
const MOST_PARTS: u64 = 1024;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignNoiseMeasurement {
    /// Examples in a part.
    pub part: u64,
    /// Parts measured.
    pub parts: u64,
    /// The noise scale and its two norms.
    #[serde(flatten)]
    pub noise: SignNoise,
}

impl BuiltIn {
    /// Measures `B_ℓ1` of a network that is not being trained, from the gradients of parts of a step, up to
    /// `request.max_examples`. `None` if `control`, asked after every part, told it to stop; `observe` hears of the examples done,
    /// out of how many. Keeps 64 bytes a parameter.
    ///
    /// # Errors
    /// When there are fewer than sixteen parts, a gradient is not finite, or the checkpoint cannot be used.
    pub fn measure_sign_noise(
        &self,
        request: &NoiseRequest,
        control: &dyn Control,
        observe: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Option<SignNoiseMeasurement>, TrainerError> {
        let measured = self
            .pools()
            .run(|| self.measure_sign_noise_here(request, control, observe))?;
        match measured {
            Err(TrainError::Stopped) => Ok(None),
            measured => Ok(Some(measured?)),
        }
    }

    fn measure_sign_noise_here(
        &self,
        request: &NoiseRequest,
        control: &dyn Control,
        observe: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<SignNoiseMeasurement, TrainError> {
        let config = self.config();
        let shape = config.train.shape();
        let key = StreamKey {
            study_seed: request.seed,
            trial: 0,
            purpose: Purpose::Initialization,
        };
        let mut network = config.factory.build(&shape, key)?;
        if let Some(path) = &request.checkpoint {
            load_network(path, network.as_mut())?;
        }
        let ghost = network.ghost_size(request.batch_size);
        let unit = ghost.unwrap_or(1).max(1);
        let part = request.batch_size.div_ceil(PARTS).div_ceil(unit) * unit;
        let blocks = SIGN_BLOCKS as u64;
        let each = (request.max_examples.min(config.train.len()) / (blocks * part)).min(MOST_PARTS);
        if each < 2 {
            return Err(TrainError::Refused(format!(
                "the noise scale in the ℓ1 norm needs sixteen parts of {part} examples: allow more, or choose a smaller batch size"
            )));
        }
        let sampler = config
            .train
            .sampler(key.with_purpose(Purpose::Order), part)?;
        let augmenter = Augmenter::new(&config.augment, &shape, key)?;
        let stream = BatchStream::new(sampler, shape, Portions::whole(part), augmenter, key);
        let mut source = Supervised::new(stream);
        let (parts, coordinates) = (blocks * each, network.layout().parameters());
        let mut sums = vec![CoordinateSums::new(coordinates); SIGN_BLOCKS];
        for step in 0..parts {
            source.gradient(network.as_mut(), StepBatch::constant(step, part))?;
            // Neighbors in order go to different blocks: text is read in streams.
            let block = &mut sums[(step % blocks) as usize];
            block.begin();
            let mut at = 0;
            network.visit(&mut |_, _, gradient| {
                block.add(at, gradient);
                at += gradient.len();
            })?;
            observe((step + 1) * part, parts * part);
            if control.flow() == Flow::Interrupt {
                return Err(TrainError::Stopped);
            }
        }
        let noise = sign_noise(&sums, part, request.level)
            .map_err(|error| TrainError::Refused(error.to_string()))?;
        Ok(SignNoiseMeasurement { part, parts, noise })
    }
}
