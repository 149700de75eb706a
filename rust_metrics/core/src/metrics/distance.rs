//! How far apart the weights of two checkpoints are.

use rayon::prelude::*;

use crate::cancel::Cancel;
use crate::error::Error;
use crate::tensors::tensor::TensorData;

/// Values a parallel task compares.
const TASK: usize = 1 << 20;
/// Values read at a time: two buffers of 32 KiB stay in the first-level cache or next to it.
const CHUNK: usize = 4096;
const LANES: usize = 8;
/// Largest differences whose squares, summed, neither overflow nor vanish in f64.
const SAFE_MAGNITUDES: std::ops::RangeInclusive<f64> = 1e-130..=1e130;

/// Sum of squared differences, and the largest absolute one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Differences {
    sum_squares: f64,
    largest: f64,
}

/// Euclidean distance between all values of `a` and those of `b`, tensor by tensor.
///
/// `parallel` spreads the work over rayon's threads; the result is the same bit for bit.
///
/// # Panics
/// If the tensors' lengths differ.
///
/// # Errors
/// [`Error::Overflow`] if the distance leaves the range of f64, and [`Error::Cancelled`].
pub(crate) fn distance(
    a: &[TensorData<'_>],
    b: &[TensorData<'_>],
    parallel: bool,
    cancel: &Cancel,
) -> Result<f64, Error> {
    assert_eq!(a.len(), b.len(), "number of tensors to compare");
    let tasks: Vec<(TensorData<'_>, TensorData<'_>)> = a
        .iter()
        .zip(b)
        .flat_map(|(a, b)| {
            assert_eq!(a.len(), b.len(), "lengths of tensors to compare");
            (0..a.len()).step_by(TASK).map(move |start| {
                let len = TASK.min(a.len() - start);
                (a.slice(start, len), b.slice(start, len))
            })
        })
        .collect();
    let total = |scale: f64| -> Result<Differences, Error> {
        let one = |&(a, b): &(TensorData<'_>, TensorData<'_>)| {
            cancel.check()?;
            Ok(differences(a, b, scale))
        };
        let parts: Vec<Differences> = if parallel {
            tasks.par_iter().map(one).collect::<Result<_, Error>>()?
        } else {
            tasks.iter().map(one).collect::<Result<_, Error>>()?
        };
        Ok(parts.into_iter().fold(Differences::NONE, Differences::merge))
    };
    let found = total(1.0)?;
    let distance = if found.largest == 0.0 || SAFE_MAGNITUDES.contains(&found.largest) {
        found.sum_squares.sqrt()
    } else if found.largest.is_finite() {
        // Divided by a power of two, which is exact. (`powi` has none below the normal range.)
        let scale = found.largest.log2().floor().exp2();
        total(scale)?.sum_squares.sqrt() * scale
    } else {
        f64::INFINITY
    };
    if distance.is_finite() { Ok(distance) } else { Err(Error::Overflow { metric: "distance" }) }
}

impl Differences {
    const NONE: Differences = Differences { sum_squares: 0.0, largest: 0.0 };

    fn merge(self, other: Differences) -> Differences {
        Differences {
            sum_squares: self.sum_squares + other.sum_squares,
            largest: self.largest.max(other.largest),
        }
    }
}

fn differences(a: TensorData<'_>, b: TensorData<'_>, scale: f64) -> Differences {
    let (mut left, mut right) = ([0.0; CHUNK], [0.0; CHUNK]);
    let mut total = Differences::NONE;
    for start in (0..a.len()).step_by(CHUNK) {
        let len = CHUNK.min(a.len() - start);
        let (left, right) = (&mut left[..len], &mut right[..len]);
        a.slice(start, len).read_into(left);
        b.slice(start, len).read_into(right);
        left.iter_mut().zip(right.iter()).for_each(|(a, b)| *a = (*a - b) / scale);
        total = total.merge(chunk(left));
    }
    total
}

/// Sums in lanes that the compiler can keep in vector registers.
fn chunk(values: &[f64]) -> Differences {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut squares = [0.0; LANES];
    for block in blocks {
        for (sum, &value) in squares.iter_mut().zip(block) {
            *sum += value * value;
        }
    }
    let sum_squares = squares.iter().sum::<f64>() + rest.iter().map(|x| x * x).sum::<f64>();
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    Differences { sum_squares, largest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::tensor::DType;

    fn of(a: &[f64], b: &[f64]) -> Result<f64, Error> {
        let (a, b) = ([TensorData::from_f64(a)], [TensorData::from_f64(b)]);
        let sequential = distance(&a, &b, false, &Cancel::default());
        let parallel = distance(&a, &b, true, &Cancel::default());
        if let (Ok(x), Ok(y)) = (&sequential, &parallel) {
            assert_eq!(x.to_bits(), y.to_bits());
        }
        sequential
    }

    #[test]
    fn closed_forms() {
        assert_eq!(of(&[3.0, 0.0], &[0.0, -4.0]).unwrap(), 5.0);
        assert_eq!(of(&[1.5; 9999], &[1.5; 9999]).unwrap(), 0.0);
        let n = TASK + 4097;
        let root = (n as f64).sqrt();
        assert!((of(&vec![1.0; n], &vec![2.0; n]).unwrap() / root - 1.0).abs() < 1e-15);
    }

    #[test]
    fn squares_that_leave_the_range() {
        for size in [1e-300, 1e-160, 1e160, 1e300] {
            let found = of(&[3.0 * size, 0.0], &[0.0, 4.0 * size]).unwrap();
            assert!((found / (5.0 * size) - 1.0).abs() < 1e-15, "{size}: {found}");
        }
        assert!(of(&[5e-324], &[0.0]).unwrap() > 0.0);
        assert!(matches!(of(&[1e308], &[-1e308]), Err(Error::Overflow { .. })));
        assert!(matches!(of(&[f64::NAN], &[0.0]), Err(Error::Overflow { .. })));
    }

    #[test]
    fn types_may_differ() {
        let single = [1.5_f32, -2.25];
        let brain: Vec<u8> = [1.5_f32, -2.25]
            .iter()
            .flat_map(|&value| half::bf16::from_f32(value).to_le_bytes())
            .collect();
        let (a, b) = ([TensorData::from_f32(&single)], [TensorData::new(DType::BF16, &brain)]);
        assert_eq!(distance(&a, &b, false, &Cancel::default()).unwrap(), 0.0);
    }
}
