use std::arch::x86_64::*;

use super::{Kernel, Simd, math};

/// Vectors of 8 `f32`, with fused multiply-add.
#[derive(Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// The token.
    ///
    /// # Safety
    /// AVX2 and FMA must have been detected. All safe methods below rest on this.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// A window of 8 starting at `8 − n` has its first n lanes set.
static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
fn first(_: Avx2, n: usize) -> __m256i {
    let window = &FIRST[8 - n..16 - n];
    // SAFETY: the window has 8 elements; the token proves the instruction.
    unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
}

/// The kernel in a function of its own, so that register allocation starts afresh.
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn enter<K: Kernel<f32>>(s: Avx2, kernel: K) -> K::Output {
    kernel.run(s)
}

/// An intrinsic without memory operands.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the token exists only where AVX2 and FMA were detected (`Avx2::new`).
        unsafe { $call }
    };
}

impl Simd for Avx2 {
    type Scalar = f32;
    type V = __m256;
    type M = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn call<K: Kernel<f32>>(self, kernel: K) -> K::Output {
        op!(enter(self, kernel))
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        op!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        op!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        op!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn relu(self, a: __m256) -> __m256 {
        // The second operand is the result when either is NaN.
        op!(_mm256_max_ps(_mm256_setzero_ps(), a))
    }
    #[inline(always)]
    fn gt(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn gt_or_nan(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_or_ps(
            _mm256_cmp_ps::<_CMP_GT_OQ>(a, b),
            _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)
        ))
    }
    #[inline(always)]
    fn select(self, m: __m256, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_blendv_ps(b, a, m))
    }
    #[inline(always)]
    fn exp(self, a: __m256) -> __m256 {
        math::exp(self, a)
    }
    #[inline(always)]
    fn tanh(self, a: __m256) -> __m256 {
        math::tanh(self, a)
    }
    #[inline(always)]
    fn to_array(self, a: __m256) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        self.store(&mut lanes, a);
        lanes
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m256 {
        // SAFETY: the caller gives 8 readable elements; the token, the instruction.
        unsafe { _mm256_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f32, a: __m256) {
        // SAFETY: the caller gives 8 writable elements; the token, the instruction.
        unsafe { _mm256_storeu_ps(x, a) }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f32, n: usize) -> __m256 {
        // SAFETY: only the caller's n readable elements are touched.
        unsafe { _mm256_maskload_ps(x, first(self, n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, x: *mut f32, n: usize, a: __m256) {
        // SAFETY: only the caller's n writable elements are touched.
        unsafe { _mm256_maskstore_ps(x, first(self, n), a) }
    }
    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> __m256 {
        let mut bytes = [0u8; 8];
        let n = x.len().min(8);
        bytes[..n].copy_from_slice(&x[..n]);
        // SAFETY: `bytes` has the 8 bytes that are loaded; the token, the instructions.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn store_bytes(self, x: &mut [u8], a: __m256) {
        let mut whole = [0i32; 8];
        // SAFETY: `whole` has the 8 elements that are stored; the token, the instructions.
        unsafe { _mm256_storeu_si256(whole.as_mut_ptr().cast(), _mm256_cvtps_epi32(a)) }
        for (byte, value) in x.iter_mut().zip(whole) {
            *byte = value as u8;
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, x: *const f32, x_row: usize, y: *mut f32, y_row: usize) {
        // SAFETY: the caller gives 8 rows of 8 elements on both sides; the token, the
        // instructions.
        unsafe {
            // Loops, not `array::from_fn`: its closures would not be compiled for the instruction set.
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm256_loadu_ps(x.add(i * x_row));
            }
            let mut pairs = rows;
            for i in (0..8).step_by(2) {
                pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
                pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
            }
            // Vector 4i + c holds, in its half h, rows 4i.. of column 4h + c.
            let mut quads = pairs;
            for i in (0..8).step_by(4) {
                for at in 0..2 {
                    let a = _mm256_castps_pd(pairs[i + at]);
                    let b = _mm256_castps_pd(pairs[i + at + 2]);
                    quads[i + 2 * at] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                    quads[i + 2 * at + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
                }
            }
            for c in 0..4 {
                let low = _mm256_permute2f128_ps::<0x20>(quads[c], quads[4 + c]);
                let high = _mm256_permute2f128_ps::<0x31>(quads[c], quads[4 + c]);
                _mm256_storeu_ps(y.add(c * y_row), low);
                _mm256_storeu_ps(y.add((4 + c) * y_row), high);
            }
        }
    }
}

impl math::Float32 for Avx2 {
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        op!(_mm256_round_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(a))
    }
    #[inline(always)]
    fn clamp(self, a: __m256, low: f32, high: f32) -> __m256 {
        // NaN in the second operand comes through both.
        op!(_mm256_max_ps(
            _mm256_set1_ps(low),
            _mm256_min_ps(_mm256_set1_ps(high), a)
        ))
    }
    #[inline(always)]
    fn scale_by_power_of_two(self, a: __m256, n: __m256) -> __m256 {
        // Two factors, each a normal number: one alone could not reach the subnormals.
        op!({
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let bias = _mm256_set1_epi32(127);
            let first = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
            let second = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias));
            _mm256_mul_ps(
                _mm256_mul_ps(a, _mm256_castsi256_ps(first)),
                _mm256_castsi256_ps(second),
            )
        })
    }
}
