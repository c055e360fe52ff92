use std::marker::PhantomData;

use super::{Kernel, Real, Simd};

/// Lanes of the portable vectors: the width of SSE and NEON for `f32`.
const LANES: usize = 4;

/// Vectors of four in plain Rust, which the compiler maps to whatever the target has.
#[derive(Clone, Copy)]
pub struct Portable<T>(PhantomData<T>);

impl<T> Portable<T> {
    /// The token; every processor has it.
    #[inline(always)]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// The kernel in a function of its own, so that register allocation starts afresh.
#[inline(never)]
fn enter<T: Real, K: Kernel<T>>(s: Portable<T>, kernel: K) -> K::Output {
    kernel.run(s)
}

#[inline(always)]
fn zip<T: Copy, R>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> R) -> [R; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl<T: Real> Simd for Portable<T> {
    type Scalar = T;
    type V = [T; LANES];
    type M = [bool; LANES];
    const LANES: usize = LANES;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn call<K: Kernel<T>>(self, kernel: K) -> K::Output {
        enter(self, kernel)
    }
    #[inline(always)]
    fn splat(self, x: T) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i].multiply_add(b[i], c[i]))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        a.map(T::sqrt)
    }
    #[inline(always)]
    fn relu(self, a: Self::V) -> Self::V {
        a.map(|x| if x < T::ZERO { T::ZERO } else { x })
    }
    #[inline(always)]
    fn gt(self, a: Self::V, b: Self::V) -> Self::M {
        zip(a, b, |a, b| a > b)
    }
    #[inline(always)]
    fn eq(self, a: Self::V, b: Self::V) -> Self::M {
        zip(a, b, |a, b| a == b)
    }
    #[inline(always)]
    #[allow(clippy::eq_op)] // only NaN differs from itself
    fn gt_or_nan(self, a: Self::V, b: Self::V) -> Self::M {
        zip(a, b, |a, b| a > b || a != a)
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if m[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn exp(self, a: Self::V) -> Self::V {
        T::exp_lanes(a)
    }
    #[inline(always)]
    fn tanh(self, a: Self::V) -> Self::V {
        T::tanh_lanes(a)
    }
    #[inline(always)]
    fn to_array(self, a: Self::V) -> [T; 16] {
        std::array::from_fn(|i| if i < LANES { a[i] } else { T::ZERO })
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const T) -> Self::V {
        // SAFETY: the caller gives `LANES` readable elements; `read_unaligned` asks no more.
        unsafe { x.cast::<[T; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut T, a: Self::V) {
        // SAFETY: the caller gives `LANES` writable elements; `write_unaligned` asks no more.
        unsafe { x.cast::<[T; LANES]>().write_unaligned(a) }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const T, n: usize) -> Self::V {
        // SAFETY: the caller gives n readable elements.
        let x = unsafe { std::slice::from_raw_parts(x, n) };
        let mut a = [T::ZERO; LANES];
        a[..n].copy_from_slice(x);
        a
    }
    #[inline(always)]
    unsafe fn store_first(self, x: *mut T, n: usize, a: Self::V) {
        // SAFETY: the caller gives n writable elements.
        unsafe { std::ptr::copy_nonoverlapping(a[..n].as_ptr(), x, n) }
    }
    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> Self::V {
        std::array::from_fn(|i| T::from_f64(f64::from(x.get(i).copied().unwrap_or(0))))
    }
    #[inline(always)]
    fn store_bytes(self, x: &mut [u8], a: Self::V) {
        for (byte, value) in x.iter_mut().zip(a) {
            *byte = value.to_f64() as u8;
        }
    }
}
