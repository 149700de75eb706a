//! Eight numbers that go through the same operations, in registers as wide as the processor has.

/// Rows, or sequences, side by side.
pub(crate) const LANES: usize = 8;
/// One number of each of them.
pub(crate) type Lanes = [f64; LANES];

/// Work to be compiled for several widths of registers.
pub(crate) trait Work {
    /// What comes of it.
    type Result;

    /// Do it. Must be `#[inline(always)]`, and so must all that it calls in its loops.
    fn run(self) -> Self::Result;
}

/// Do `work` in the widest registers of this processor.
///
/// The result is the same whatever they are: AVX2 alone adds no fused multiplication.
pub(crate) fn widest<W: Work>(work: W) -> W::Result {
    #[cfg(test)]
    if tests::NARROW.get() {
        return work.run();
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { avx2(work) };
    }
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<W: Work>(work: W) -> W::Result {
    work.run()
}

/// A lane by lane operation of two.
#[inline(always)]
pub(crate) fn zip(a: Lanes, b: Lanes, f: impl Fn(f64, f64) -> f64) -> Lanes {
    let mut result = a;
    for (value, other) in result.iter_mut().zip(b) {
        *value = f(*value, other);
    }
    result
}

/// `sum + a * b`, rounded twice.
#[inline(always)]
pub(crate) fn add_product(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
    let mut result = sum;
    for ((value, a), b) in result.iter_mut().zip(a).zip(b) {
        *value += a * b;
    }
    result
}

/// `sum + a * b` with one number for all lanes.
#[inline(always)]
pub(crate) fn add_scaled(sum: Lanes, a: Lanes, b: f64) -> Lanes {
    add_product(sum, a, [b; LANES])
}

/// Sum of the lanes, in a fixed order.
#[inline(always)]
pub(crate) fn total(a: Lanes) -> f64 {
    ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::{
        Chain, Expectation, Gaussians, Lengths, Moments, Products, Table, forward_backward,
        log_densities, moments,
    };

    thread_local! {
        /// Whether [`super::widest`] takes the narrowest registers.
        pub(super) static NARROW: Cell<bool> = const { Cell::new(false) };
    }

    /// A whole E-step of 5 states, 3 entries and 300 rows.
    fn expectation() -> (Vec<f64>, Vec<f64>, Expectation, Moments) {
        let number = |i: usize| (i as f64 * 0.7).sin() * 4.0;
        let rows: Vec<f64> = (0..900).map(number).collect();
        let centres: Vec<f64> = (0..15).map(|i| number(i + 3)).collect();
        let maps: Vec<f64> = (0..45).map(|i| number(i + 7)).collect();
        let transition: Vec<f64> = (0..25).map(|i| 0.2 + 0.01 * f64::from(i % 5 - 2)).collect();
        let rows = Table::new("rows", &rows, 3).unwrap();
        let centres = Table::new("centres", &centres, 3).unwrap();
        let gaussians = Gaussians::new(centres, &maps, 3, &[0.0; 5]).unwrap();
        let mut density = vec![0.0; 1500];
        log_densities(rows, &gaussians, &mut density).unwrap();
        let table = Table::new("log_density", &density, 5).unwrap();
        let lengths = [40; 6].into_iter().chain([30; 2]).collect::<Vec<_>>();
        let lengths = Lengths::new(&lengths, 300).unwrap();
        let chain = Chain::new(&[0.2; 5], &transition).unwrap();
        let mut posterior = vec![0.0; 1500];
        let found = forward_backward(table, lengths, chain, &mut posterior).unwrap();
        let weights = Table::new("weights", &posterior, 5).unwrap();
        let sums = moments(rows, weights, Products::Pairs).unwrap();
        (density, posterior, found, sums)
    }

    #[test]
    fn wider_registers_change_nothing() {
        let wide = expectation();
        NARROW.set(true);
        let narrow = expectation();
        NARROW.set(false);
        assert_eq!(wide, narrow);
        assert!(wide.2.redone.is_empty());
    }
}
