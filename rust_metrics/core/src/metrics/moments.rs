//! Sums, means and variances in f64, over fixed chunks merged in a fixed order.

use crate::tensors::tensor::TensorData;

/// Values a chunk: 32 KiB as f64, which stays in the first-level cache between the two passes.
const CHUNK: usize = 4096;
const LANES: usize = 8;

/// Count, sums and range of a set of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Number of values.
    pub count: usize,
    /// Sum of the values.
    pub sum: f64,
    /// Sum of absolute values.
    pub sum_abs: f64,
    /// Sum of squares.
    pub sum_squares: f64,
    /// Sum of squared distances from the mean.
    squared_deviations: f64,
    /// Smallest value.
    min: f64,
    /// Largest value.
    max: f64,
}

impl Moments {
    /// Moments of no values: the neutral element of [`Moments::merge`].
    pub const EMPTY: Moments = Moments {
        count: 0,
        sum: 0.0,
        sum_abs: 0.0,
        sum_squares: 0.0,
        squared_deviations: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
    };

    /// Moments of `values`.
    pub fn of(values: &[f64]) -> Moments {
        values.chunks(CHUNK).map(chunk_moments).fold(Moments::EMPTY, Moments::merge)
    }

    /// Moments of a tensor's values, read chunk by chunk.
    pub fn of_tensor(data: TensorData<'_>) -> Moments {
        let mut buffer = [0.0; CHUNK];
        let mut total = Moments::EMPTY;
        for start in (0..data.len()).step_by(CHUNK) {
            let len = CHUNK.min(data.len() - start);
            data.slice(start, len).read_into(&mut buffer[..len]);
            total = total.merge(chunk_moments(&buffer[..len]));
        }
        total
    }

    /// Moments of both sets together (Chan, Golub, LeVeque 1979 for the deviations).
    pub fn merge(self, other: Moments) -> Moments {
        if self.count == 0 {
            return other;
        }
        if other.count == 0 {
            return self;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let distance = other.sum / m - self.sum / n;
        Moments {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            sum_abs: self.sum_abs + other.sum_abs,
            sum_squares: self.sum_squares + other.sum_squares,
            squared_deviations: self.squared_deviations
                + other.squared_deviations
                + distance * distance * (n * m / (n + m)),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// Mean; of equal values it is that value, without rounding.
    pub fn mean(&self) -> f64 {
        if self.min == self.max { self.min } else { self.sum / self.count as f64 }
    }

    /// Variance without Bessel's correction; of equal values it is exactly 0.
    pub fn variance(&self) -> f64 {
        if self.min == self.max { 0.0 } else { self.squared_deviations / self.count as f64 }
    }

    /// Largest absolute value.
    pub fn max_abs(&self) -> f64 {
        self.max.abs().max(self.min.abs())
    }

    /// Whether all values are finite and so are their sums.
    pub fn is_finite(&self) -> bool {
        self.sum_abs.is_finite()
    }
}

/// Combine `fold(accumulator, value)` over `values`, in lanes that the compiler can keep in vector
/// registers, and the lanes by `join`, first to last.
#[inline(always)]
fn in_lanes<A: Copy>(
    values: &[f64],
    start: A,
    fold: impl Fn(A, f64) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = fold(*lane, value);
        }
    }
    let tail = rest.iter().fold(start, |all, &value| fold(all, value));
    join(lanes.into_iter().fold(start, &join), tail)
}

#[inline(always)]
fn sum_of(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    in_lanes(values, 0.0, |sum, x| sum + f(x), |a, b| a + b)
}

// A comparison with NaN is false, which leaves NaN out; `f64::min` does too, at four times the cost.
#[inline(always)]
fn smaller(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

fn chunk_moments(values: &[f64]) -> Moments {
    let count = values.len();
    let sum = sum_of(values, |x| x);
    let mean = sum / count as f64;
    Moments {
        count,
        sum,
        sum_abs: sum_of(values, f64::abs),
        sum_squares: sum_of(values, |x| x * x),
        squared_deviations: sum_of(values, |x| (x - mean) * (x - mean)),
        min: in_lanes(values, f64::INFINITY, smaller, smaller),
        max: in_lanes(values, f64::NEG_INFINITY, larger, larger),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms() {
        let n = 10_000;
        let values: Vec<f64> = (1..=n).map(f64::from).collect();
        let moments = Moments::of(&values);
        let n = f64::from(n);
        assert_eq!(moments.sum, n * (n + 1.0) / 2.0);
        assert_eq!(moments.mean(), (n + 1.0) / 2.0);
        assert!((moments.variance() / ((n * n - 1.0) / 12.0) - 1.0).abs() < 1e-15);
        assert!(
            (moments.sum_squares / (n * (n + 1.0) * (2.0 * n + 1.0) / 6.0) - 1.0).abs() < 1e-15
        );
    }

    #[test]
    fn variance_survives_a_mean_far_from_zero() {
        let values: Vec<f64> = (0..9000).map(|i| 1e8 + f64::from(i % 2)).collect();
        assert!((Moments::of(&values).variance() - 0.25).abs() < 1e-9);
    }

    #[test]
    fn equal_values_have_no_variance() {
        let moments = Moments::of(&[0.1; 12_345]);
        assert_eq!((moments.mean(), moments.variance()), (0.1, 0.0));
    }

    #[test]
    fn a_tensor_is_summed_as_its_values_are() {
        let values: Vec<f64> = (0..10_001).map(|i| f64::from(i).sin()).collect();
        let tensor = Moments::of_tensor(TensorData::from_f64(&values));
        assert_eq!(tensor, Moments::of(&values));
    }
}
