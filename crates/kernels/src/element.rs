//! The numbers that buffers may hold.

/// What buffers may hold: numbers for which every bit pattern is a value. Sealed.
pub trait Element: Copy + Default + Send + Sync + private::Plain + 'static {}

mod private {
    /// Types without padding for which every bit pattern is a value.
    ///
    /// # Safety
    /// Both must be true.
    pub unsafe trait Plain {}
}

macro_rules! element {
    ($($type:ty),*) => {$(
        impl Element for $type {}
        // SAFETY: numbers of the machine.
        unsafe impl private::Plain for $type {}
    )*};
}
element!(f32, f64, u8);
