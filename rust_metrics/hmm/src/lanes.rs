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
