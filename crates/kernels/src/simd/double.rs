//! Vectors of `f64`: half as many lanes as of `f32`. Exponentials go lane by lane.

use std::arch::x86_64::*;

use super::{Kernel, Real, Simd};

/// Vectors of 8 `f64`.
#[derive(Clone, Copy)]
pub struct Avx512Double(());

/// Vectors of 4 `f64`, with fused multiply-add.
#[derive(Clone, Copy)]
pub struct Avx2Double(());

impl Avx512Double {
    /// The token.
    ///
    /// # Safety
    /// AVX-512F must have been detected. All safe methods below rest on this.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl Avx2Double {
    /// The token.
    ///
    /// # Safety
    /// AVX2 and FMA must have been detected. All safe methods below rest on this.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// The kernel in a function of its own, so that register allocation starts afresh.
#[target_feature(enable = "avx512f,avx2,fma")]
#[inline(never)]
fn enter_avx512<K: Kernel<f64>>(s: Avx512Double, kernel: K) -> K::Output {
    kernel.run(s)
}

/// The same.
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn enter_avx2<K: Kernel<f64>>(s: Avx2Double, kernel: K) -> K::Output {
    kernel.run(s)
}

/// An intrinsic without memory operands.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the tokens exist only where their instructions were detected (`new`).
        unsafe { $call }
    };
}

/// What both write alike.
macro_rules! by_lanes {
    ($lanes:literal) => {
        #[inline(always)]
        fn exp(self, a: Self::V) -> Self::V {
            let mut lanes = [0.0; $lanes];
            self.store(&mut lanes, a);
            self.load(&f64::exp_lanes(lanes))
        }
        #[inline(always)]
        fn tanh(self, a: Self::V) -> Self::V {
            let mut lanes = [0.0; $lanes];
            self.store(&mut lanes, a);
            self.load(&f64::tanh_lanes(lanes))
        }
        #[inline(always)]
        fn to_array(self, a: Self::V) -> [f64; 16] {
            let mut lanes = [0.0; 16];
            self.store(&mut lanes, a);
            lanes
        }
        #[inline(always)]
        fn load_bytes(self, x: &[u8]) -> Self::V {
            let mut lanes = [0.0; $lanes];
            for (lane, &byte) in lanes.iter_mut().zip(x) {
                *lane = f64::from(byte);
            }
            self.load(&lanes)
        }
        #[inline(always)]
        fn store_bytes(self, x: &mut [u8], a: Self::V) {
            let mut lanes = [0.0; $lanes];
            self.store(&mut lanes, a);
            for (byte, lane) in x.iter_mut().zip(lanes) {
                *byte = lane as u8;
            }
        }
    };
}

impl Simd for Avx512Double {
    type Scalar = f64;
    type V = __m512d;
    type M = __mmask8;
    const LANES: usize = 8;
    const REGISTERS: usize = 32;

    by_lanes!(8);

    #[inline(always)]
    fn call<K: Kernel<f64>>(self, kernel: K) -> K::Output {
        op!(enter_avx512(self, kernel))
    }
    #[inline(always)]
    fn splat(self, x: f64) -> __m512d {
        op!(_mm512_set1_pd(x))
    }
    #[inline(always)]
    fn add(self, a: __m512d, b: __m512d) -> __m512d {
        op!(_mm512_add_pd(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512d, b: __m512d) -> __m512d {
        op!(_mm512_sub_pd(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512d, b: __m512d) -> __m512d {
        op!(_mm512_mul_pd(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512d, b: __m512d) -> __m512d {
        op!(_mm512_div_pd(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        op!(_mm512_fmadd_pd(a, b, c))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512d) -> __m512d {
        op!(_mm512_sqrt_pd(a))
    }
    #[inline(always)]
    fn relu(self, a: __m512d) -> __m512d {
        // The second operand is the result when either is NaN.
        op!(_mm512_max_pd(_mm512_setzero_pd(), a))
    }
    #[inline(always)]
    fn gt(self, a: __m512d, b: __m512d) -> __mmask8 {
        op!(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: __m512d, b: __m512d) -> __mmask8 {
        op!(_mm512_cmp_pd_mask::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn gt_or_nan(self, a: __m512d, b: __m512d) -> __mmask8 {
        self.gt(a, b) | op!(_mm512_cmp_pd_mask::<_CMP_UNORD_Q>(a, a))
    }
    #[inline(always)]
    fn select(self, m: __mmask8, a: __m512d, b: __m512d) -> __m512d {
        op!(_mm512_mask_mov_pd(b, m, a))
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f64) -> __m512d {
        // SAFETY: the caller gives 8 readable elements; the token, the instruction.
        unsafe { _mm512_loadu_pd(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f64, a: __m512d) {
        // SAFETY: the caller gives 8 writable elements; the token, the instruction.
        unsafe { _mm512_storeu_pd(x, a) }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f64, n: usize) -> __m512d {
        debug_assert!(n <= 8);
        let mask = ((1u16 << n) - 1) as __mmask8;
        // SAFETY: only the caller's n readable elements are touched.
        unsafe { _mm512_maskz_loadu_pd(mask, x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, x: *mut f64, n: usize, a: __m512d) {
        debug_assert!(n <= 8);
        let mask = ((1u16 << n) - 1) as __mmask8;
        // SAFETY: only the caller's n writable elements are touched.
        unsafe { _mm512_mask_storeu_pd(x, mask, a) }
    }
}

/// A window of 4 starting at `4 − n` has its first n lanes set.
static FIRST: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

#[inline(always)]
fn first(_: Avx2Double, n: usize) -> __m256i {
    let window = &FIRST[4 - n..8 - n];
    // SAFETY: the window has 4 elements; the token proves the instruction.
    unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
}

impl Simd for Avx2Double {
    type Scalar = f64;
    type V = __m256d;
    type M = __m256d;
    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    by_lanes!(4);

    #[inline(always)]
    fn call<K: Kernel<f64>>(self, kernel: K) -> K::Output {
        op!(enter_avx2(self, kernel))
    }
    #[inline(always)]
    fn splat(self, x: f64) -> __m256d {
        op!(_mm256_set1_pd(x))
    }
    #[inline(always)]
    fn add(self, a: __m256d, b: __m256d) -> __m256d {
        op!(_mm256_add_pd(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256d, b: __m256d) -> __m256d {
        op!(_mm256_sub_pd(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256d, b: __m256d) -> __m256d {
        op!(_mm256_mul_pd(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256d, b: __m256d) -> __m256d {
        op!(_mm256_div_pd(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m256d, b: __m256d, c: __m256d) -> __m256d {
        op!(_mm256_fmadd_pd(a, b, c))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256d) -> __m256d {
        op!(_mm256_sqrt_pd(a))
    }
    #[inline(always)]
    fn relu(self, a: __m256d) -> __m256d {
        // The second operand is the result when either is NaN.
        op!(_mm256_max_pd(_mm256_setzero_pd(), a))
    }
    #[inline(always)]
    fn gt(self, a: __m256d, b: __m256d) -> __m256d {
        op!(_mm256_cmp_pd::<_CMP_GT_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: __m256d, b: __m256d) -> __m256d {
        op!(_mm256_cmp_pd::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn gt_or_nan(self, a: __m256d, b: __m256d) -> __m256d {
        op!(_mm256_or_pd(
            _mm256_cmp_pd::<_CMP_GT_OQ>(a, b),
            _mm256_cmp_pd::<_CMP_UNORD_Q>(a, a)
        ))
    }
    #[inline(always)]
    fn select(self, m: __m256d, a: __m256d, b: __m256d) -> __m256d {
        op!(_mm256_blendv_pd(b, a, m))
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f64) -> __m256d {
        // SAFETY: the caller gives 4 readable elements; the token, the instruction.
        unsafe { _mm256_loadu_pd(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f64, a: __m256d) {
        // SAFETY: the caller gives 4 writable elements; the token, the instruction.
        unsafe { _mm256_storeu_pd(x, a) }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f64, n: usize) -> __m256d {
        // SAFETY: only the caller's n readable elements are touched.
        unsafe { _mm256_maskload_pd(x, first(self, n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, x: *mut f64, n: usize, a: __m256d) {
        // SAFETY: only the caller's n writable elements are touched.
        unsafe { _mm256_maskstore_pd(x, first(self, n), a) }
    }
}
