//! Vectors of the machine: one kernel source, three instruction sets.
//!
//! A kernel is written once over a [`Simd`] token and entered through [`Dispatch::dispatch`],
//! which runs it inside a function compiled for the instruction set that [`Isa`] proves present.
//! Everything between that function and the intrinsics is `#[inline(always)]`, so that the
//! intrinsics end up in code of their own instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod double;
mod math;
pub(crate) mod portable;

use std::fmt;

use crate::element::Element;

/// An instruction set that this processor has: the proof that entering its code is sound.
///
/// ```
/// use batchscope_kernels::Isa;
/// let best = Isa::best();
/// assert!(Isa::available().contains(&best) && Isa::available().contains(&Isa::portable()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// The fastest instruction set of this processor.
    pub fn best() -> Self {
        Self::avx512()
            .or_else(Self::avx2)
            .unwrap_or(Self::portable())
    }

    /// AVX-512 (foundation), if the processor and the operating system have it.
    pub fn avx512() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            return Some(Self(Set::Avx512));
        }
        None
    }

    /// AVX2 with fused multiply-add, if the processor and the operating system have it.
    pub fn avx2() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            return Some(Self(Set::Avx2));
        }
        None
    }

    /// Plain Rust, everywhere.
    pub const fn portable() -> Self {
        Self(Set::Portable)
    }

    /// Every instruction set of this processor, fastest first.
    pub fn available() -> Vec<Self> {
        [Self::avx512(), Self::avx2(), Some(Self::portable())]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Its name: `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            Set::Portable => "portable",
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A computation that can run on any vector width.
pub trait Kernel<T: Dispatch> {
    /// What it returns.
    type Output;
    /// Runs it; implementations are `#[inline(always)]`.
    fn run<S: Simd<Scalar = T>>(self, s: S) -> Self::Output;
}

/// Chooses the vectors for a scalar type. Sealed: `f32` and `f64`.
pub trait Dispatch: Copy + Send + Sync + 'static {
    /// Runs `kernel` with the vectors `isa` gives for this type.
    fn dispatch<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;
    /// Lanes of those vectors.
    fn lanes(isa: Isa) -> usize;
}

impl Dispatch for f32 {
    #[inline]
    fn dispatch<K: Kernel<f32>>(isa: Isa, kernel: K) -> K::Output {
        match isa.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this kind exists only after the features were detected.
            Set::Avx512 => unsafe { avx512::Avx512::new() }.call(kernel),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { avx2::Avx2::new() }.call(kernel),
            Set::Portable => portable::Portable::<f32>::new().call(kernel),
        }
    }

    fn lanes(isa: Isa) -> usize {
        match isa.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => avx512::Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::Avx2::LANES,
            Set::Portable => portable::Portable::<f32>::LANES,
        }
    }
}

impl Dispatch for f64 {
    #[inline]
    fn dispatch<K: Kernel<f64>>(isa: Isa, kernel: K) -> K::Output {
        match isa.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this kind exists only after the features were detected.
            Set::Avx512 => unsafe { double::Avx512Double::new() }.call(kernel),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { double::Avx2Double::new() }.call(kernel),
            Set::Portable => portable::Portable::<f64>::new().call(kernel),
        }
    }

    fn lanes(isa: Isa) -> usize {
        match isa.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => double::Avx512Double::LANES,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => double::Avx2Double::LANES,
            Set::Portable => portable::Portable::<f64>::LANES,
        }
    }
}

/// The element types of the kernels: `f32`, and `f64` for curvature and reference computations.
pub trait Real:
    Dispatch
    + Element
    + fmt::Debug
    + PartialEq
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Whether other rounding than the definition's is a fair price for fewer operations.
    #[doc(hidden)]
    const TRADES_ROUNDING: bool;
    /// The nearest value.
    fn from_f64(value: f64) -> Self;
    /// The value, exactly.
    fn to_f64(self) -> f64;
    /// `self · a + b`, fused where the target this is compiled for has the instruction.
    fn multiply_add(self, a: Self, b: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Exponential.
    #[doc(hidden)]
    fn exp_lanes<const N: usize>(x: [Self; N]) -> [Self; N];
    /// Hyperbolic tangent.
    #[doc(hidden)]
    fn tanh_lanes<const N: usize>(x: [Self; N]) -> [Self; N];
}

macro_rules! real {
    ($type:ty, $exp:expr, $tanh:expr, $trades:literal) => {
        impl Real for $type {
            const TRADES_ROUNDING: bool = $trades;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn multiply_add(self, a: Self, b: Self) -> Self {
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    self.mul_add(a, b)
                } else {
                    self * a + b
                }
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$type>::sqrt(self)
            }
            #[inline(always)]
            fn exp_lanes<const N: usize>(x: [Self; N]) -> [Self; N] {
                x.map($exp)
            }
            #[inline(always)]
            fn tanh_lanes<const N: usize>(x: [Self; N]) -> [Self; N] {
                x.map($tanh)
            }
        }
    };
}
real!(f32, math::exp_f32, math::tanh_f32, true);
real!(f64, f64::exp, f64::tanh, false);

/// The vectors of one instruction set. The token proves that its instructions may be executed,
/// so everything but access through raw pointers is safe.
pub trait Simd: Copy + Send + Sync {
    /// Element type.
    type Scalar: Real;
    /// A vector.
    type V: Copy;
    /// A truth value for each lane.
    type M: Copy;
    /// Elements in a vector.
    const LANES: usize;
    /// Vector registers a tile may count on.
    const REGISTERS: usize;

    /// Runs a kernel in a function of its own, compiled for this instruction set.
    fn call<K: Kernel<Self::Scalar>>(self, kernel: K) -> K::Output;

    /// All lanes `x`.
    fn splat(self, x: Self::Scalar) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `√a`.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// `max(a, 0)`; NaN stays NaN, so that divergence is seen.
    fn relu(self, a: Self::V) -> Self::V;
    /// `a > b`, false if either is NaN.
    fn gt(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a = b`, false if either is NaN.
    fn eq(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a > b` or `a` is NaN: the order in which NaN is the maximum.
    fn gt_or_nan(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a` where true, `b` elsewhere.
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// `eᵃ`. In `f32` within 2 units in the last place; 0 below −103.98, infinite above 88.73.
    fn exp(self, a: Self::V) -> Self::V;
    /// `tanh a`. In `f32` within 3 units in the last place.
    fn tanh(self, a: Self::V) -> Self::V;
    /// The lanes, for reductions in a stated order.
    fn to_array(self, a: Self::V) -> [Self::Scalar; 16];

    /// Loads `LANES` elements.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_ptr(self, x: *const Self::Scalar) -> Self::V;
    /// Stores `LANES` elements.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_ptr(self, x: *mut Self::Scalar, a: Self::V);
    /// Loads the first `n ≤ LANES` elements, the other lanes zero.
    ///
    /// # Safety
    /// The `n` elements must be readable.
    unsafe fn load_first(self, x: *const Self::Scalar, n: usize) -> Self::V;
    /// Stores the first `n ≤ LANES` lanes.
    ///
    /// # Safety
    /// The `n` elements must be writable.
    unsafe fn store_first(self, x: *mut Self::Scalar, n: usize, a: Self::V);
    /// Whole numbers from bytes, the lanes after the slice zero.
    fn load_bytes(self, x: &[u8]) -> Self::V;
    /// Stores lanes holding whole numbers below 256 as bytes, as many as the slice takes.
    fn store_bytes(self, x: &mut [u8], a: Self::V);

    /// Writes row `j` of the `LANES × LANES` square at `x` as column `j` of the one at `y`; rows
    /// are `x_row` and `y_row` elements apart.
    ///
    /// # Safety
    /// Every row must be readable at `x` and writable at `y`, and the squares must not overlap.
    #[inline(always)]
    unsafe fn transpose(
        self,
        x: *const Self::Scalar,
        x_row: usize,
        y: *mut Self::Scalar,
        y_row: usize,
    ) {
        for i in 0..Self::LANES {
            for j in 0..Self::LANES {
                // SAFETY: inside the squares.
                unsafe { *y.add(i * y_row + j) = *x.add(j * x_row + i) }
            }
        }
    }

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(Self::Scalar::ZERO)
    }

    /// `1 / (1 + e⁻ᵃ)`. In `f32` within 3 units in the last place for `|a| ≤ 87`; 0 far below.
    #[inline(always)]
    fn sigmoid(self, a: Self::V) -> Self::V {
        let one = self.splat(Self::Scalar::ONE);
        self.div(one, self.add(one, self.exp(self.sub(self.zero(), a))))
    }

    /// Loads the slice's first `LANES` elements; lanes after its end are zero.
    #[inline(always)]
    fn load(self, x: &[Self::Scalar]) -> Self::V {
        if x.len() >= Self::LANES {
            // SAFETY: the slice has `LANES` elements.
            unsafe { self.load_ptr(x.as_ptr()) }
        } else {
            // SAFETY: the slice has `len` elements, fewer than `LANES`.
            unsafe { self.load_first(x.as_ptr(), x.len()) }
        }
    }

    /// Stores to the slice's first `LANES` elements, or to all of a shorter slice.
    #[inline(always)]
    fn store(self, x: &mut [Self::Scalar], a: Self::V) {
        if x.len() >= Self::LANES {
            // SAFETY: the slice has `LANES` elements.
            unsafe { self.store_ptr(x.as_mut_ptr(), a) }
        } else {
            // SAFETY: the slice has `len` elements, fewer than `LANES`.
            unsafe { self.store_first(x.as_mut_ptr(), x.len(), a) }
        }
    }

    /// The sum of the lanes, first to last.
    #[inline(always)]
    fn sum(self, a: Self::V) -> Self::Scalar {
        let lanes = self.to_array(a);
        let mut sum = lanes[0];
        for &x in &lanes[1..Self::LANES] {
            sum += x;
        }
        sum
    }
}
