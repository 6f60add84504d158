//! Logarithm and power of two to about seven digits, inlined and without a branch.
//!
//! A decision takes some hundred of them, and the C library's calls were a fifth of its cost. Both are exact where it
//! matters for features (`ln_1p(0) = 0`, `exp2(0) = 1`), monotone to within their error, and the same to the bit on
//! every machine, which the C library does not promise. Both are series around the middle of
//! their range, as in Cephes. Without a branch they also run over many candidates at once ([`crate::lanes`]).

/// 2²³: from here on an f32 has no bits below one, and its lowest bits are a whole number.
const NO_FRACTION: f32 = 8_388_608.0;

/// `2^x` for `x` in [−126, 126]; outside of it the nearest end, NaN for NaN. Relative error below 10⁻⁶.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    let clamped = x.clamp(-126.0, 126.0);
    // The nearest whole number, so that the part is within ±½, where the series is right to its last term: the floor of a
    // positive number, by adding what leaves no bits for a fraction. `floor` is a call on processors without SSE 4.1, and a
    // conversion that saturates is not vectorised.
    let shifted = clamped + 128.5;
    let near = (shifted + NO_FRACTION) - NO_FRACTION;
    let floor = near - if near > shifted { 1.0 } else { 0.0 };
    let whole = ((floor + NO_FRACTION).to_bits() & 0x3ff).wrapping_sub(128);
    let part = clamped - (floor - 128.0);
    let power = 1.0
        + part
            * (std::f32::consts::LN_2
                + part
                    * (0.240_226_5
                        + part
                            * (0.055_503_42 + part * (0.009_618_031 + part * (0.001_339_89 + part * 0.000_154_05)))));
    let scale = f32::from_bits(whole.wrapping_add(127) << 23);
    scale * power
}

/// `ln(1 + x)` for `x ≥ 0`; NaN for NaN and negative numbers, infinity for infinity. Absolute error below 5·10⁻⁷ for
/// values up to e⁴, relative beyond.
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    let beyond = if x == f32::INFINITY { x } else { f32::NAN };
    let bits = (1.0 + x).to_bits();
    // The mantissa around one, in [√½, √2): there the series converges fastest.
    let exponent = (bits.wrapping_sub(0x3f35_04f3) as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub((exponent as u32) << 23));
    // ln m = 2·atanh((m − 1) / (m + 1)).
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = ratio * (2.0 + square * (0.666_666_7 + square * (0.4 + square * (0.285_714_3 + square * 0.222_222))));
    let inside = exponent as f32 * std::f32::consts::LN_2 + series;
    if (0.0..f32::MAX).contains(&x) { inside } else { beyond }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_features_rely_on_is_exact() {
        assert_eq!((ln_1p(0.0), exp2(0.0), exp2(-1.0), exp2(3.0)), (0.0, 1.0, 0.5, 8.0));
        assert!(ln_1p(f32::NAN).is_nan() && ln_1p(-0.5).is_nan() && exp2(f32::NAN).is_nan());
        assert_eq!(ln_1p(f32::INFINITY), f32::INFINITY);
        assert!(exp2(f32::NEG_INFINITY) < 1e-37 && exp2(1e9).is_finite());
    }

    proptest! {
        #[test]
        fn the_logarithm_is_right_to_seven_digits(x in prop_oneof![0.0f32..2.0, 0.0f32..1e4, 0.0f32..1e30]) {
            let exact = f64::from(x).ln_1p();
            prop_assert!((f64::from(ln_1p(x)) - exact).abs() < 5e-7 * exact.max(1.0), "{} {}", ln_1p(x), exact);
        }

        #[test]
        fn the_power_is_right_to_six_digits(x in -120.0f32..120.0) {
            let exact = f64::from(x).exp2();
            prop_assert!((f64::from(exp2(x)) / exact - 1.0).abs() < 1e-6, "{} {}", exp2(x), exact);
        }

        #[test]
        fn decay_never_grows(x in -100.0f32..0.0) {
            prop_assert!(exp2(x) <= 1.0);
        }
    }
}
