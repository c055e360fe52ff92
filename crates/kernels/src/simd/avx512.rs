use std::arch::x86_64::*;

use super::{Kernel, Simd, math};

/// Vectors of 16 `f32`.
#[derive(Clone, Copy)]
pub struct Avx512(());

impl Avx512 {
    /// The token.
    ///
    /// # Safety
    /// AVX-512F must have been detected. All safe methods below rest on this.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

#[inline(always)]
fn first(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

/// The kernel in a function of its own, so that register allocation starts afresh.
#[target_feature(enable = "avx512f,avx2,fma")]
#[inline(never)]
fn enter<K: Kernel<f32>>(s: Avx512, kernel: K) -> K::Output {
    kernel.run(s)
}

/// An intrinsic without memory operands.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the token exists only where AVX-512F was detected (`Avx512::new`).
        unsafe { $call }
    };
}

impl Simd for Avx512 {
    type Scalar = f32;
    type V = __m512;
    type M = __mmask16;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn call<K: Kernel<f32>>(self, kernel: K) -> K::Output {
        op!(enter(self, kernel))
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        op!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        op!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        op!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn relu(self, a: __m512) -> __m512 {
        // The second operand is the result when either is NaN.
        op!(_mm512_max_ps(_mm512_setzero_ps(), a))
    }
    #[inline(always)]
    fn gt(self, a: __m512, b: __m512) -> __mmask16 {
        op!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: __m512, b: __m512) -> __mmask16 {
        op!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn gt_or_nan(self, a: __m512, b: __m512) -> __mmask16 {
        self.gt(a, b) | op!(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a))
    }
    #[inline(always)]
    fn select(self, m: __mmask16, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mask_mov_ps(b, m, a))
    }
    #[inline(always)]
    fn exp(self, a: __m512) -> __m512 {
        math::exp(self, a)
    }
    #[inline(always)]
    fn tanh(self, a: __m512) -> __m512 {
        math::tanh(self, a)
    }
    #[inline(always)]
    fn to_array(self, a: __m512) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        self.store(&mut lanes, a);
        lanes
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m512 {
        // SAFETY: the caller gives 16 readable elements; the token, the instruction.
        unsafe { _mm512_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f32, a: __m512) {
        // SAFETY: the caller gives 16 writable elements; the token, the instruction.
        unsafe { _mm512_storeu_ps(x, a) }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f32, n: usize) -> __m512 {
        // SAFETY: only the caller's n readable elements are touched.
        unsafe { _mm512_maskz_loadu_ps(first(n), x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, x: *mut f32, n: usize, a: __m512) {
        // SAFETY: only the caller's n writable elements are touched.
        unsafe { _mm512_mask_storeu_ps(x, first(n), a) }
    }
    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> __m512 {
        let mut bytes = [0u8; 16];
        let n = x.len().min(16);
        bytes[..n].copy_from_slice(&x[..n]);
        // SAFETY: `bytes` has the 16 bytes that are loaded; the token, the instructions.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn store_bytes(self, x: &mut [u8], a: __m512) {
        let mut bytes = [0u8; 16];
        // SAFETY: `bytes` has the 16 bytes that are stored; the token, the instructions.
        unsafe {
            _mm_storeu_si128(
                bytes.as_mut_ptr().cast(),
                _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)),
            )
        }
        let n = x.len().min(16);
        x[..n].copy_from_slice(&bytes[..n]);
    }
    #[inline(always)]
    unsafe fn transpose(self, x: *const f32, x_row: usize, y: *mut f32, y_row: usize) {
        // SAFETY: the caller gives 16 rows of 16 elements on both sides; the token, the
        // instructions.
        unsafe {
            // Loops, not `array::from_fn`: its closures would not be compiled for the instruction set.
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(x.add(i * x_row));
            }
            let mut pairs = rows;
            for i in (0..16).step_by(2) {
                pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
                pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
            }
            // Vector 4i + c holds, in its quarter q, rows 4i.. of column 4q + c.
            let mut quads = pairs;
            for i in (0..16).step_by(4) {
                for at in 0..2 {
                    let a = _mm512_castps_pd(pairs[i + at]);
                    let b = _mm512_castps_pd(pairs[i + at + 2]);
                    quads[i + 2 * at] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    quads[i + 2 * at + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                }
            }
            for c in 0..4 {
                let even_low = _mm512_shuffle_f32x4::<0x88>(quads[c], quads[4 + c]);
                let even_high = _mm512_shuffle_f32x4::<0x88>(quads[8 + c], quads[12 + c]);
                let odd_low = _mm512_shuffle_f32x4::<0xdd>(quads[c], quads[4 + c]);
                let odd_high = _mm512_shuffle_f32x4::<0xdd>(quads[8 + c], quads[12 + c]);
                let columns = [
                    _mm512_shuffle_f32x4::<0x88>(even_low, even_high),
                    _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high),
                    _mm512_shuffle_f32x4::<0xdd>(even_low, even_high),
                    _mm512_shuffle_f32x4::<0xdd>(odd_low, odd_high),
                ];
                for (q, column) in columns.into_iter().enumerate() {
                    _mm512_storeu_ps(y.add((4 * q + c) * y_row), column);
                }
            }
        }
    }
}

impl math::Float32 for Avx512 {
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        op!(_mm512_roundscale_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(a))
    }
    #[inline(always)]
    fn clamp(self, a: __m512, low: f32, high: f32) -> __m512 {
        // NaN in the second operand comes through both.
        op!(_mm512_max_ps(
            _mm512_set1_ps(low),
            _mm512_min_ps(_mm512_set1_ps(high), a)
        ))
    }
    #[inline(always)]
    fn scale_by_power_of_two(self, a: __m512, n: __m512) -> __m512 {
        op!(_mm512_scalef_ps(a, n))
    }
}
