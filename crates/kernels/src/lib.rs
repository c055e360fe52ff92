//! CPU kernels for training, on plain slices. Most of a training step's time is spent here.
//!
//! Tensors are contiguous and *channels last*: an image batch is `[n, height, width, channels]`.
//! Weights keep the canonical order of checkpoints, `[out, in, kernel height, kernel width]`, and
//! are packed inside (or once by the caller, [`PackedWeights`]). Every function
//!
//! * takes a [`Workspace`] (scratch memory that is reused, and the instruction set) first and
//!   writes into slices the caller gives, overwriting them;
//! * works on `f32`, and on `f64` for curvature and reference computations, with AVX-512, AVX2 or
//!   portable vectors chosen at run time ([`Isa`]);
//! * checks every length and index and returns a [`KernelError`] before it writes anything;
//! * divides its work by the shapes alone, never by the number of threads, and sums in a fixed order:
//!   with the same instruction set the result has the same bits on any number of rayon threads.
//!   Between instruction sets results differ by rounding only;
//! * computes dense 3 × 3 convolutions in `f32` with fewer multiplications than their definition has
//!   (Winograd's minimal filtering) where that is faster, at about the same rounding;
//! * runs on the rayon pool it is called from, a pool of one thread included.
//!
//! | operation | forward | gradient |
//! | --- | --- | --- |
//! | convolution, bias, rectifier | [`conv_forward`] | [`conv_backward`] |
//! | convolution, bias, rectifier, maximum pool | [`conv_bias_relu_maxpool_forward`] | [`conv_bias_relu_maxpool_backward`] |
//! | convolution, batch norm, residual, rectifier | [`conv_batch_norm_forward`] | [`conv_batch_norm_backward`] |
//! | batch norm, residual, rectifier | [`batch_norm_forward`], [`batch_norm_inference`] | [`batch_norm_backward`], [`batch_norm_inference_backward`] |
//! | linear, bias, rectifier | [`linear_forward`] | [`linear_backward`] |
//! | maximum pool | [`max_pool_forward`] | [`max_pool_backward`] |
//! | bilinear upsampling | [`upsample_forward`] | [`upsample_backward`] |
//! | mean over the pixels | [`global_average_pool_forward`] | [`global_average_pool_backward`] |
//! | softmax cross-entropy, label smoothing | [`softmax_cross_entropy`] | in the same pass |
//! | LSTM over a sequence | [`lstm_forward`] | [`lstm_backward`] |
//! | embedding | [`embedding_gather`] | [`embedding_scatter_add`] |
//! | optimizer update in place | [`sgd_step`], [`adam_step`], [`lamb_step`], [`adamp_step`], [`sgdp_step`], [`muon_step`], [`schedule_free_step`] | |
//! | squared norm of a tensor | [`squared_norm`] | |
//! | squared norms of every example's gradient | | [`linear_example_norms`], [`lstm_example_norms`], [`embedding_example_norms`], [`tied_example_products`], [`conv_example_norms`], [`conv_bias_relu_maxpool_example_norms`] |
//!
//! ```
//! use batchscope_kernels::{ConvGradients, ConvShape, PoolShape, Window, Workspace};
//! use batchscope_kernels::{conv_bias_relu_maxpool_backward, conv_bias_relu_maxpool_forward};
//!
//! static WORKSPACE: Workspace = Workspace::new();
//! let shape = ConvShape::new(2, [28, 28, 1], 16, Window::square(5, 1, 2))?;
//! let pool = PoolShape::new([2, 2], [2, 2], [0, 0])?;
//! let (x, w, b) = (vec![0.5f32; shape.input_len()], vec![0.1; shape.weight_len()], vec![0.0; 16]);
//! let [rows, columns] = pool.output(28, 28)?;
//! let mut y = vec![0.0; 2 * rows * columns * 16];
//! let mut places = vec![0; y.len()];
//! conv_bias_relu_maxpool_forward(&WORKSPACE, &shape, &pool, &x, &w, &b, &mut y, &mut places)?;
//!
//! let dy = vec![1.0f32; y.len()];
//! let (mut dw, mut db) = (vec![0.0; w.len()], vec![0.0; 16]);
//! let gradients = ConvGradients { dx: None, dw: Some(&mut dw), db: Some(&mut db) };
//! conv_bias_relu_maxpool_backward(&WORKSPACE, &shape, &pool, &x, &w, &dy, &places, gradients)?;
//! assert_eq!(db, [2.0 * 14.0 * 14.0; 16]);
//! # Ok::<(), batchscope_kernels::KernelError>(())
//! ```

mod average;
mod chunks;
mod conv;
mod element;
mod embedding;
mod error;
mod gather;
mod layerwise;
mod linear;
mod loss;
mod lstm;
mod muon;
mod norm;
mod norms;
mod optimizer;
mod pool;
mod product;
mod projected;
mod rectifier;
mod reduce;
mod schedule_free;
mod simd;
mod upsample;
mod workspace;

pub use average::{global_average_pool_backward, global_average_pool_forward};
pub use conv::{
    ConvGradients, ConvNormGradients, ConvShape, PackedWeights, Weights, Window, conv_backward,
    conv_batch_norm_backward, conv_batch_norm_forward, conv_bias_relu_maxpool_backward,
    conv_bias_relu_maxpool_example_norms, conv_bias_relu_maxpool_forward, conv_example_norms,
    conv_forward,
};
pub use element::Element;
pub use embedding::{embedding_gather, embedding_scatter_add};
pub use error::KernelError;
pub use gather::{gather_normalized, gather_windows_normalized};
pub use layerwise::{SquaredNorms, lamb_step, squared_norms};
pub use linear::{LinearGradients, LinearShape, linear_backward, linear_forward};
pub use loss::{LossSums, softmax_cross_entropy};
pub use lstm::{LstmGradients, LstmShape, lstm_backward, lstm_forward};
pub use muon::{Muon, muon_step, newton_schulz};
pub use norm::{
    NormGradients, NormParameters, NormShape, NormStatistics, batch_norm_backward,
    batch_norm_forward, batch_norm_inference, batch_norm_inference_backward,
};
pub use norms::{
    ExampleNorms, embedding_example_norms, linear_example_norms, lstm_example_norms,
    outer_norm_work, pick_tied_scores, squared_norm, tied_example_products, tied_pairs,
};
pub use optimizer::{Adam, Sgd, adam_step, sgd_step};
pub use pool::{PoolShape, max_pool_backward, max_pool_forward};
pub use projected::{Channels, Projection, adamp_step, projection_scratch, sgdp_step};
pub use rectifier::{Rectified, Rectifier};
pub use schedule_free::{ScheduleFree, SecondMoment, schedule_free_step};
pub use simd::{Isa, Real};
pub use upsample::{UpsampleShape, upsample_backward, upsample_forward};
pub use workspace::{Scratch, Workspace};
