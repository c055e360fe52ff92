use std::{
    fmt,
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
};

use batchscope_kernels::Scratch;
use burn_flex::{Flex, FlexTensor, Layout};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes, Shape};
use burn_tensor::Tensor;

use super::WORKSPACE;
use crate::precision::Number;

/// Memory of a tensor, on loan from the kernels' workspace: when the tensor's last copy is gone it
/// is there for the next step, so that training allocates no large memory after its first step.
#[derive(Clone)]
pub(super) struct Buffer<T: Number>(Scratch<'static, T>);

/// Memory for a kernel to overwrite: it holds whatever it held last.
pub(super) fn buffer<T: Number>(len: usize) -> Buffer<T> {
    Buffer(WORKSPACE.take(len))
}

/// Memory for a kernel to add to.
pub(super) fn zeros<T: Number>(len: usize) -> Buffer<T> {
    Buffer(WORKSPACE.take_zeroed(len))
}

/// Memory with these values.
pub(super) fn copied<T: Number>(values: &[T]) -> Buffer<T> {
    let mut buffer = buffer(values.len());
    buffer.copy_from_slice(values);
    buffer
}

/// An untracked tensor that `fill` writes, every number of it.
pub(crate) fn constant<const D: usize>(
    shape: [usize; D],
    fill: impl FnOnce(&mut [f32]),
) -> Tensor<D> {
    let mut values = buffer(shape.iter().product());
    fill(&mut values);
    Tensor::from_primitive::<Flex>(flex(values, &shape))
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Number> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.len())
    }
}

impl<T: Number> AllocationController for Buffer<T> {
    fn alloc_align(&self) -> usize {
        align_of::<T>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let numbers: &mut [T] = &mut self.0;
        // SAFETY: the same memory, byte by byte; the caller writes initialized bytes only, and any
        // bytes are a `T` (the kernels' `Element`).
        Ok(unsafe {
            std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers))
        })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let numbers: &[T] = &self.0;
        // SAFETY: the same memory, byte by byte, all of it initialized.
        Ok(unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) })
    }
}

/// A tensor of these values, in their memory.
pub(super) fn flex<T: Number>(values: Buffer<T>, shape: &[usize]) -> FlexTensor {
    let bytes = size_of_val(&*values);
    assert_eq!(
        values.len(),
        shape.iter().product::<usize>(),
        "a tensor has its values"
    );
    // SAFETY: the buffer holds so many bytes, all of them initialized.
    let bytes = unsafe { Bytes::from_controller(Box::new(values), bytes) };
    FlexTensor::new(
        bytes,
        Layout::contiguous(Shape::from(shape.to_vec())),
        T::DTYPE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_returns_its_memory_and_a_copy_has_its_own() {
        let mut tensor = flex(copied(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]), &[2, 3]);
        let mut other = tensor.clone();
        other.storage_mut::<f32>()[0] = 7.0;
        assert_eq!(tensor.storage::<f32>()[0], 1.0);
        assert_eq!(other.storage::<f32>(), [7.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        tensor.storage_mut::<f32>()[5] = 0.0;
        assert_eq!(tensor.to_contiguous().as_slice::<f32>().unwrap()[5], 0.0);
        assert_eq!(
            tensor.into_data().try_into_vec::<f32>().unwrap(),
            [1.0, 2.0, 3.0, 4.0, 5.0, 0.0]
        );
    }
}
