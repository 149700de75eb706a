//! The exponential of numbers that are not positive, in all lanes at once.

use crate::lanes::{LANES, Lanes};

/// Below this the result is 0: e^-700 is about 1e-304, so that no result is subnormal.
const LEAST: f64 = -700.0;
/// Adding 1.5 * 2^52 rounds to a whole number, whose bits are then the sum's last ones.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts, the first with zeros at its end, so that its multiples are exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// 1/13!, 1/12!, ..., 1/0!: on |r| <= ln(2)/2 what the series leaves out is below 5e-18.
const SERIES: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
    1.0,
];

/// e^x for x <= 0, to about one unit in the last place; 0 below -700, and for NaN.
///
/// x = n ln 2 + r with n whole and |r| <= ln(2)/2, so that e^x = 2^n e^r.
#[inline(always)]
pub(crate) fn exp(x: Lanes) -> Lanes {
    let mut result = [0.0; LANES];
    for (value, &x) in result.iter_mut().zip(&x) {
        let kept = if x > LEAST { x } else { LEAST };
        let shifted = kept * std::f64::consts::LOG2_E + ROUNDING;
        let n = shifted - ROUNDING;
        let r = (kept - n * LN_2_HIGH) - n * LN_2_LOW;
        let mut power = SERIES[0];
        for coefficient in &SERIES[1..] {
            power = power * r + coefficient;
        }
        let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
        *value = if x > LEAST { power * scale } else { 0.0 };
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn at_the_ends() {
        let nan = f64::NAN;
        let x = [0.0, -0.0, -1e-300, -700.0, -699.9, -1e9, f64::NEG_INFINITY, nan];
        let expected = [1.0, 1.0, 1.0, 0.0, (-699.9f64).exp(), 0.0, 0.0, 0.0];
        for (found, expected) in exp(x).into_iter().zip(expected) {
            assert!((found - expected).abs() <= 3e-16 * expected, "{found} {expected}");
        }
    }

    proptest! {
        #[test]
        fn close_to_that_of_the_system(x in -699.0..0.0f64) {
            let (found, expected) = (exp([x; LANES])[3], x.exp());
            prop_assert!((found - expected).abs() <= 4.5e-16 * expected);
        }

        #[test]
        fn close_near_zero(x in -1.0..0.0f64) {
            let (found, expected) = (exp([x; LANES])[0], x.exp());
            prop_assert!((found - expected).abs() <= 4.5e-16 * expected);
        }
    }
}
