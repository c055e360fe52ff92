use std::{
    fmt,
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
};

use batchwise_kernels::Scratch;
use burn_flex::{FlexTensor, Layout};
use burn_std::{
    AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes, DType, Shape,
};

use super::WORKSPACE;

/// Memory of a tensor, on loan from the kernels' workspace: when the tensor's last copy is gone it
/// is there for the next step, so that training allocates no large memory after its first step.
#[derive(Clone)]
pub(super) struct Buffer(Scratch<'static, f32>);

/// Memory for a kernel to overwrite: it holds whatever it held last.
pub(super) fn buffer(len: usize) -> Buffer {
    Buffer(WORKSPACE.take(len))
}

/// Memory for a kernel to add to.
pub(super) fn zeros(len: usize) -> Buffer {
    Buffer(WORKSPACE.take_zeroed(len))
}

/// Memory with these values.
pub(super) fn copied(values: &[f32]) -> Buffer {
    let mut buffer = buffer(values.len());
    buffer.copy_from_slice(values);
    buffer
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.len())
    }
}

impl AllocationController for Buffer {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let floats: &mut [f32] = &mut self.0;
        // SAFETY: the same memory, byte by byte; the caller writes initialised bytes only, and any
        // four of them are an `f32`.
        Ok(unsafe {
            std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats))
        })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let floats: &[f32] = &self.0;
        // SAFETY: the same memory, byte by byte, all of it initialised.
        Ok(unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats)) })
    }
}

/// A tensor of these values, in their memory.
pub(super) fn flex(values: Buffer, shape: &[usize]) -> FlexTensor {
    let bytes = size_of_val(&*values);
    assert_eq!(
        values.len(),
        shape.iter().product::<usize>(),
        "a tensor has its values"
    );
    // SAFETY: the buffer holds so many bytes, all of them initialised.
    let bytes = unsafe { Bytes::from_controller(Box::new(values), bytes) };
    FlexTensor::new(
        bytes,
        Layout::contiguous(Shape::from(shape.to_vec())),
        DType::F32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_returns_its_memory_and_a_copy_has_its_own() {
        let mut tensor = flex(copied(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), &[2, 3]);
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
