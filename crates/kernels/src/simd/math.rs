//! Exponential and hyperbolic tangent of `f32` vectors.
//!
//! Polynomials of Moshier's Cephes library (`expf.c`, `tanhf.c`, single precision): reduction
//! `x = n ln 2 + r` with `ln 2` in two pieces, `|r| ≤ ln 2 / 2`, and a minimax polynomial for `eʳ`;
//! an odd polynomial for `tanh` below 0.625 and `1 − 2/(e²ˣ + 1)` above. The tests below measure
//! the stated accuracy against double precision.

use super::{Real, Simd};

/// What the `f32` functions need beyond [`Simd`].
pub trait Float32: Simd<Scalar = f32> {
    /// To the nearest whole number.
    fn round(self, a: Self::V) -> Self::V;
    /// Into `low..=high`; NaN stays NaN.
    fn clamp(self, a: Self::V, low: f32, high: f32) -> Self::V;
    /// `a · 2ⁿ` for whole `n` in `−150..=129`, through subnormals to infinity.
    fn scale_by_power_of_two(self, a: Self::V, n: Self::V) -> Self::V;
}

/// Below this eˣ is less than half the smallest subnormal.
const LOW: f32 = -104.0;
/// Above this (ln of the largest `f32` is 88.7228) eˣ is infinite.
const HIGH: f32 = 89.0;
#[allow(clippy::excessive_precision)] // 355/512, exact: n times it is exact too
const LN2_HIGH: f32 = 0.693_359_375;
const LN2_LOW: f32 = -2.121_944_4e-4;
#[allow(clippy::excessive_precision)] // as published
const EXP: [f32; 6] = [
    1.987_569_15e-4,
    1.398_199_95e-3,
    8.333_451_9e-3,
    4.166_579_6e-2,
    1.666_666_55e-1,
    5.000_000_1e-1,
];
#[allow(clippy::excessive_precision)] // as published
const TANH: [f32; 5] = [
    -5.704_988_73e-3,
    2.063_908_88e-2,
    -5.373_971_56e-2,
    1.333_144_22e-1,
    -3.333_328_19e-1,
];
/// Where the polynomial for tanh gives way to the exponential.
const TANH_SMALL: f32 = 0.625;

/// `eᵃ`.
#[inline(always)]
pub fn exp<S: Float32>(s: S, a: S::V) -> S::V {
    let a = s.clamp(a, LOW, HIGH);
    let n = s.round(s.mul(a, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2_HIGH), a);
    let r = s.fma(n, s.splat(-LN2_LOW), r);
    let mut p = s.splat(EXP[0]);
    for &c in &EXP[1..] {
        p = s.fma(p, r, s.splat(c));
    }
    let p = s.add(s.fma(p, s.mul(r, r), r), s.splat(1.0));
    s.scale_by_power_of_two(p, n)
}

/// `tanh a`.
#[inline(always)]
pub fn tanh<S: Float32>(s: S, a: S::V) -> S::V {
    let z = s.mul(a, a);
    let mut p = s.splat(TANH[0]);
    for &c in &TANH[1..] {
        p = s.fma(p, z, s.splat(c));
    }
    let small = s.fma(s.mul(p, z), a, a);
    let negative = s.gt(s.zero(), a);
    let size = s.select(negative, s.sub(s.zero(), a), a);
    let e = exp(s, s.add(size, size));
    let large = s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(e, s.splat(1.0))));
    let large = s.select(negative, s.sub(s.zero(), large), large);
    s.select(s.gt(size, s.splat(TANH_SMALL)), large, small)
}

/// `eˣ` of one lane, the same polynomial.
#[inline(always)]
pub fn exp_f32(x: f32) -> f32 {
    let x = x.clamp(LOW, HIGH); // NaN stays NaN
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = (-LN2_HIGH).multiply_add(n, x);
    let r = (-LN2_LOW).multiply_add(n, r);
    let p = EXP[1..].iter().fold(EXP[0], |p, &c| p.multiply_add(r, c));
    let p = p.multiply_add(r * r, r) + 1.0;
    let n = n as i32;
    let power = |e: i32| f32::from_bits(((e + 127) as u32) << 23);
    p * power(n >> 1) * power(n - (n >> 1))
}

/// `tanh x` of one lane, the same polynomial.
#[inline(always)]
pub fn tanh_f32(x: f32) -> f32 {
    if x.abs() > TANH_SMALL {
        (1.0 - 2.0 / (exp_f32(2.0 * x.abs()) + 1.0)).copysign(x)
    } else {
        let z = x * x;
        let p = TANH[1..].iter().fold(TANH[0], |p, &c| p.multiply_add(z, c));
        (p * z).multiply_add(x, x)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dispatch, Isa, Kernel, Simd};

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Tanh,
        Sigmoid,
    }
    struct Apply<'a>(Function, &'a mut [f32]);
    impl Kernel<f32> for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd<Scalar = f32>>(self, s: S) {
            for x in self.1.chunks_mut(S::LANES) {
                let a = s.load(x);
                let y = match self.0 {
                    Function::Exp => s.exp(a),
                    Function::Tanh => s.tanh(a),
                    Function::Sigmoid => s.sigmoid(a),
                };
                s.store(x, y);
            }
        }
    }

    /// Largest error in units in the last place of the exact value.
    fn worst(isa: Isa, function: Function, low: f32, high: f32, exact: fn(f64) -> f64) -> f64 {
        let n = 200_001;
        let x: Vec<f32> = (0..n)
            .map(|i| low + (high - low) * i as f32 / (n - 1) as f32)
            .collect();
        let mut y = x.clone();
        f32::dispatch(isa, Apply(function, &mut y));
        let error = |(&x, &y): (&f32, &f32)| {
            let exact = exact(f64::from(x));
            let rounded = (exact as f32).abs().max(f32::MIN_POSITIVE);
            let unit = f64::from(rounded.next_up()) - f64::from(rounded);
            (f64::from(y) - exact).abs() / unit
        };
        x.iter().zip(&y).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn accuracy_is_as_stated_on_every_instruction_set() {
        for isa in Isa::available() {
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            let exp = worst(isa, Function::Exp, -103.9, 88.7, f64::exp);
            let tanh = worst(isa, Function::Tanh, -12.0, 12.0, f64::tanh).max(worst(
                isa,
                Function::Tanh,
                -0.7,
                0.7,
                f64::tanh,
            ));
            let sigmoid = worst(isa, Function::Sigmoid, -87.0, 87.0, sigmoid).max(worst(
                isa,
                Function::Sigmoid,
                -5.0,
                5.0,
                sigmoid,
            ));
            println!("{isa:?}: exp {exp:.2}, tanh {tanh:.2}, sigmoid {sigmoid:.2} ulp");
            assert!(
                exp <= 2.0 && tanh <= 3.0 && sigmoid <= 3.0,
                "{isa:?}: {exp} {tanh} {sigmoid}"
            );
        }
    }

    #[test]
    fn ends_of_the_range_and_nan() {
        for isa in Isa::available() {
            let mut x = [
                f32::NEG_INFINITY,
                -1000.0,
                0.0,
                89.5,
                f32::INFINITY,
                f32::NAN,
            ];
            f32::dispatch(isa, Apply(Function::Exp, &mut x));
            assert_eq!(
                x[..5],
                [0.0, 0.0, 1.0, f32::INFINITY, f32::INFINITY],
                "{isa:?}"
            );
            assert!(x[5].is_nan());
            let mut x = [f32::NEG_INFINITY, -0.0, f32::INFINITY, f32::NAN];
            f32::dispatch(isa, Apply(Function::Tanh, &mut x));
            assert_eq!(x[..3], [-1.0, 0.0, 1.0]);
            assert!(x[3].is_nan());
            let mut x = [f32::NEG_INFINITY, -1000.0, 0.0, 1000.0, f32::NAN];
            f32::dispatch(isa, Apply(Function::Sigmoid, &mut x));
            assert_eq!(x[..4], [0.0, 0.0, 0.5, 1.0]);
            assert!(x[4].is_nan());
        }
    }
}
