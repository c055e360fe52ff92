/// Why a kernel refused its arguments. Nothing has been written when it does.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// A slice does not have the length its shape implies.
    #[error("`{argument}` has {found} elements where its shape implies {expected}")]
    Length {
        /// Name of the argument.
        argument: &'static str,
        /// Elements the shape implies.
        expected: usize,
        /// Elements the slice has.
        found: usize,
    },
    /// Sizes that describe no operation.
    #[error("the shape is refused: {0}")]
    Shape(String),
    /// A label or token outside its table.
    #[error("`{argument}`[{position}] is {value}, but must be below {bound}")]
    Index {
        /// Name of the argument.
        argument: &'static str,
        /// Where in the slice.
        position: usize,
        /// What was found there.
        value: u32,
        /// The first value that is too large.
        bound: usize,
    },
    /// A setting outside its range.
    #[error("`{name}` is {value}, but must be {range}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        range: &'static str,
    },
    /// Packed weights of another convolution or another instruction set.
    #[error("the packed weights were made for {0}: pack them again")]
    Packed(&'static str),
}

/// `Ok` if `slice` has the expected length.
pub(crate) fn check_length<T>(
    argument: &'static str,
    slice: &[T],
    expected: usize,
) -> Result<(), KernelError> {
    if slice.len() == expected {
        Ok(())
    } else {
        Err(KernelError::Length {
            argument,
            expected,
            found: slice.len(),
        })
    }
}

/// The product of `sizes`, refused where a buffer of that many elements could not exist.
pub(crate) fn volume(sizes: &[usize]) -> Result<usize, KernelError> {
    // 16 bytes an element leave room for doubles and for the rounding up of scratch buffers.
    sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&product| product <= isize::MAX as usize / 16)
        .ok_or_else(|| KernelError::Shape(format!("{sizes:?} elements do not fit in memory")))
}
