use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// What a random stream is for. Two purposes never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Initial weights.
    Initialization = 1,
    /// The order of the examples; the stream index is the epoch.
    Order = 2,
    /// Augmentation; the stream index is the example's global position in the run.
    Augmentation = 3,
    /// Dropout and other noise inside the network; the stream index is the global position.
    Network = 4,
    /// Choosing subsets and splits of a data set.
    Subset = 5,
    /// Rendering the glyphs.
    Glyphs = 6,
    /// Quasi-random search.
    Search = 7,
    /// Simulation inside an analysis (bootstrap).
    Simulation = 8,
    /// Random starts, subspaces, probes and directions in a loss landscape.
    Landscape = 9,
    /// What a controller draws; the stream index is the controller's own.
    Controller = 10,
    /// Sharing a training set out over replicas; stream 0 shuffles, and stream `1 + r` is what
    /// replica `r` draws.
    Shards = 11,
    /// Drawing the scenes of a simulator; the stream index is the scene's number.
    Scenes = 12,
    /// Where episodes of a simulator begin and lead to; the stream index counts environments and episodes.
    Episodes = 13,
    /// Drawing an agent's actions; the stream index is the frame.
    Actions = 14,
}

/// Names one family of random streams: (study seed, trial, purpose).
///
/// The triple is the ChaCha key itself, so distinct keys give independent streams by the cipher's
/// design and no hashing is needed; [`StreamKey::stream`] picks one of 2^64 streams by an index
/// with a meaning (an epoch, a global example position), never by rank, thread or micro-batch.
///
/// ```
/// use batchscope_core::{Purpose, StreamKey};
/// use rand_core::Rng;
/// let key = StreamKey { study_seed: 1, trial: 0, purpose: Purpose::Order };
/// assert_eq!(key.stream(3).next_u64(), key.stream(3).next_u64());
/// assert_ne!(key.stream(3).next_u64(), key.stream(4).next_u64());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    /// Seed of the whole study.
    pub study_seed: u64,
    /// Seed of the trial within the study ([`crate::TrialSpec::seed`]).
    pub trial: u64,
    /// What the numbers are for.
    pub purpose: Purpose,
}

impl StreamKey {
    /// The stream with this index.
    pub fn stream(&self, index: u64) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.study_seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.trial.to_le_bytes());
        key[16..24].copy_from_slice(&(self.purpose as u64).to_le_bytes());
        // The project's first name. It stays: another constant would be other random numbers.
        key[24..].copy_from_slice(b"batchwis");
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        rng
    }

    /// The same study and trial, another purpose.
    pub fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }
}
