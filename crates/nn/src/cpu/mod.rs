//! This crate's kernels as operations on burn's CPU tensors, with their gradients.
//!
//! burn 0.22 lets an operation into its autodiff graph at the level of backend primitives: a
//! tensor is taken apart into the primitive (whose memory is a slice) and the guard of its node,
//! the output is registered with what its gradient needs. That is all here; an operation itself
//! says what it keeps and how it turns the gradient of its output into those of its inputs
//! ([`Operation`]). It computes in the precision of its inputs.
//!
//! Every operation here has a composed counterpart in `layers/` for the other devices, and tests
//! hold the two together.

mod conv;
mod embedding;
mod fixup;
mod linear;
mod loss;
mod lstm;
mod memory;
mod norm;
mod pool;
mod segment;
#[cfg(test)]
mod tests;
mod upsample;

pub(crate) use conv::{conv, conv_norm, conv_relu_pool};
pub(crate) use embedding::embed;
pub(crate) use fixup::{gated_add_relu, shift};
pub(crate) use linear::{linear, linear_turned};
pub(crate) use loss::{cross_entropy, cross_entropy_metrics};
pub(crate) use lstm::lstm;
pub(crate) use memory::constant;
pub(crate) use norm::norm_relu;
pub(crate) use pool::{global_average_pool, max_pool};
pub(crate) use segment::pixel_cross_entropy;
pub(crate) use upsample::upsample;

use std::{fmt::Debug, marker::PhantomData};

use batchscope_kernels::{KernelError, Workspace};
use burn_autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
    grads::Gradients,
    ops::{Backward, NodeGuard, Ops, OpsKind},
};
use burn_dispatch::DispatchTensor;
use burn_flex::{Flex, FlexTensor};
use burn_tensor::Tensor;
use memory::{buffer, copied, flex, zeros};

use crate::precision::{Number, in_precision};

/// Memory of all kernels of the process and of the tensors they make.
static WORKSPACE: Workspace = Workspace::new();

/// Gives the memory that no tensor uses back to the allocator.
pub(crate) fn release_memory() {
    WORKSPACE.clear();
}

/// What an operation keeps for its gradient with respect to `N` inputs.
trait Operation<const N: usize>: Clone + Debug + Send + 'static {
    /// The gradients of the inputs that are `wanted`, from the gradient of the output.
    fn gradients<T: Number>(self, dy: &[T], wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

/// The inputs of an operation: contiguous values, and their nodes if any of them is tracked.
struct Arguments<const N: usize> {
    values: [FlexTensor; N],
    nodes: Option<[NodeGuard; N]>,
}

impl<const N: usize> Arguments<N> {
    /// Takes the inputs apart; tensors of any rank, as the dispatch layer carries it.
    fn new(tensors: [DispatchTensor; N]) -> Self {
        let tensors = tensors.map(Tensor::<1>::from_dispatch);
        const OURS: &str = "operations for the CPU are called with tensors on it";
        if tensors.iter().any(Tensor::is_autodiff) {
            let parts = tensors.map(|t| {
                t.autodiff()
                    .try_into_primitive::<Autodiff<Flex>>()
                    .expect(OURS)
                    .into_parts()
            });
            let mut nodes = Vec::with_capacity(N);
            let values = parts.map(|(value, node)| {
                nodes.push(node);
                contiguous(value)
            });
            let nodes = nodes.try_into().expect("one node for each input");
            Self {
                values,
                nodes: Some(nodes),
            }
        } else {
            let values = tensors.map(|t| contiguous(t.try_into_primitive::<Flex>().expect(OURS)));
            Self {
                values,
                nodes: None,
            }
        }
    }

    /// The type of the values, the same for all.
    fn dtype(&self) -> burn_std::DType {
        self.values[0].dtype()
    }

    /// The output as a tensor, tracked if an input is; the operation then keeps what it needs of
    /// the inputs and the output.
    fn output<const D: usize, O: Operation<N>>(
        self,
        y: FlexTensor,
        keep: impl FnOnce([FlexTensor; N], &FlexTensor) -> O,
    ) -> Tensor<D> {
        let Some(nodes) = self.nodes else {
            return Tensor::from_primitive::<Flex>(y);
        };
        let y = match Step::<O>(PhantomData)
            .prepare::<NoCheckpointing>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(graph) => {
                let operation = keep(self.values, &y);
                graph.finish(operation, y)
            }
            OpsKind::UnTracked(graph) => graph.finish(y),
        };
        Tensor::from_primitive::<Autodiff<Flex>>(y)
    }
}

/// The step of the autodiff graph that holds an operation.
struct Step<O>(PhantomData<fn() -> O>);

impl<O> Debug for Step<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<O>())
    }
}

impl<O: Operation<N>, const N: usize> Backward<Flex, N> for Step<O> {
    type State = O;

    fn backward(self, ops: Ops<O, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = contiguous(gradients.consume::<Flex>(&ops.node));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let of_inputs =
            in_precision!(dy.dtype(), T => ops.state.gradients::<T>(values(&dy), wanted));
        for (parent, gradient) in ops.parents.into_iter().zip(of_inputs) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The values of a contiguous tensor.
fn values<T: Number>(tensor: &FlexTensor) -> &[T] {
    T::slice(tensor).expect("contiguous, and of the operation's type")
}

fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// Kernels check shapes and indices; here both follow from tensors that have been checked.
fn checked<T>(result: Result<T, KernelError>) -> T {
    result.unwrap_or_else(|error| panic!("a fault in batchscope-nn: {error}"))
}
