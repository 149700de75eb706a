//! Singular values of a matrix, values only, in f64.
//!
//! The fast way is the eigenvalues of the Gram matrix of the smaller side. It squares the spectrum:
//! with sigma the singular values, an eigenvalue is off by about epsilon sigma_max², hence a
//! singular value by that over 2 sigma, and those below 1.5e-8 sigma_max mean nothing. Where that
//! matters for the mean, the variance or the entropy ([`gram_is_exact`]), a singular value
//! decomposition is made instead, whose values are all off by about epsilon sigma_max.

use lax::JobSvd;
use ndarray::ArrayViewMut2;
use ndarray_linalg::SVDDCInplace;

use crate::linalg::blas;
use crate::linalg::eigenvalues::eigenvalues;
use crate::linalg::tail::tail_exponent;
use crate::linalg::tridiagonal::tridiagonal;

/// Largest estimated relative error of mean, variance and effective rank that the Gram matrix may
/// cause.
const TOLERANCE: f64 = 1e-10;
/// An eigenvalue's error in units of epsilon sigma_max² sqrt(rows + cols). Measured on Gaussian,
/// rank-2 and shifted matrices of sides 2 to 3072, against squared singular values: at most 2.1.
const EIGENVALUE_ERROR: f64 = 8.0;

/// What the metrics need of a spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spectrum {
    /// Largest singular value.
    pub max: f64,
    /// Mean of the min(rows, cols) singular values.
    pub mean: f64,
    /// Their variance, without Bessel's correction.
    pub variance: f64,
    /// exp of the entropy of the singular values divided by their sum (Roy and Vetterli 2007, "The
    /// effective rank"); 0 for a matrix of zeros.
    pub effective_rank: f64,
    /// Power-law exponent of the tail of the squared singular values ([`tail_exponent`]), if it was
    /// asked for and there is one.
    pub tail_exponent: Option<f64>,
}

impl Spectrum {
    /// The spectrum of a matrix of zeros.
    pub(crate) const ZERO: Spectrum =
        Spectrum { max: 0.0, mean: 0.0, variance: 0.0, effective_rank: 0.0, tail_exponent: None };

    /// Of these values, of a matrix whose longer side is `sides`; `tail` asks for its exponent.
    pub(crate) fn of(singular_values: &[f64], sides: usize, tail: bool) -> Spectrum {
        let n = singular_values.len() as f64;
        let sum = singular_values.iter().sum::<f64>();
        let mean = sum / n;
        let deviations = singular_values.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>();
        let max = singular_values.iter().copied().fold(0.0, f64::max);
        let entropy = singular_values.iter().map(|&s| information(s / sum)).sum::<f64>();
        // Smaller ones are what rounding makes of 0 (numpy.linalg.matrix_rank says so too).
        let smallest = max * sides as f64 * f64::EPSILON;
        let squares = || singular_values.iter().filter(|&&s| s > smallest).map(|s| s * s).collect();
        Spectrum {
            max,
            mean,
            variance: deviations / n,
            effective_rank: entropy.exp(),
            tail_exponent: if tail { tail_exponent(squares()) } else { None },
        }
    }

    /// The spectrum of the matrix times `factor` > 0.
    pub(crate) fn scaled(self, factor: f64) -> Spectrum {
        Spectrum {
            max: self.max * factor,
            mean: self.mean * factor,
            variance: self.variance * factor * factor,
            ..self
        }
    }
}

/// -p ln p, which is 0 for p = 0.
fn information(p: f64) -> f64 {
    if p > 0.0 { -p * p.ln() } else { 0.0 }
}

/// Spectrum of the row-major `rows` x `cols` matrix, whose values are overwritten.
///
/// Values should be finite, with squares that neither overflow nor vanish. `workspace` is used for
/// the Gram matrix and can be passed on to the next call; `tail` asks for the tail's exponent.
///
/// # Errors
/// LAPACK's own error if the singular value decomposition does not converge.
///
/// # Panics
/// If a side is 0 or the length of `matrix` is not `rows * cols`.
pub fn spectrum(
    matrix: &mut [f64],
    rows: usize,
    cols: usize,
    tail: bool,
    workspace: &mut Vec<f64>,
) -> Result<Spectrum, lax::error::Error> {
    assert!(rows > 0 && cols > 0, "a matrix has at least one row and column");
    assert_eq!(matrix.len(), rows * cols, "length of the matrix");
    let sides = rows.max(cols);
    if rows == 1 || cols == 1 {
        // One singular value: the Euclidean norm.
        return Ok(Spectrum::of(&[matrix.iter().map(|x| x * x).sum::<f64>().sqrt()], sides, tail));
    }
    if let Some(singular_values) = by_gram(matrix, rows, cols, workspace) {
        let spectrum = Spectrum::of(&singular_values, sides, tail);
        if gram_is_exact(&singular_values, spectrum, rows + cols) {
            return Ok(spectrum);
        }
    }
    Ok(Spectrum::of(&by_svd(matrix, rows, cols)?, sides, tail))
}

/// Singular values as roots of the Gram matrix's eigenvalues, in no order; `None` for a matrix of
/// zeros, or if the eigenvalues do not converge.
fn by_gram(matrix: &[f64], rows: usize, cols: usize, workspace: &mut Vec<f64>) -> Option<Vec<f64>> {
    let side = rows.min(cols);
    let trace = matrix.iter().map(|x| x * x).sum::<f64>();
    if trace == 0.0 {
        return None;
    }
    // A power of four, so that the roots are scaled by a power of two: without rounding.
    let exponent = (trace.log2() / 2.0).floor() as i32;
    workspace.resize(side * side, 0.0);
    blas::gram(matrix, rows, cols, 2.0_f64.powi(-2 * exponent), workspace);
    let (mut values, mut beside) = tridiagonal(workspace, side);
    if !eigenvalues(&mut values, &mut beside) {
        return None;
    }
    let scale = 2.0_f64.powi(exponent);
    values.iter_mut().for_each(|value| *value = value.max(0.0).sqrt() * scale);
    Some(values)
}

fn by_svd(matrix: &mut [f64], rows: usize, cols: usize) -> Result<Vec<f64>, lax::error::Error> {
    let _exclusive = blas::exclusive();
    let mut view = ArrayViewMut2::from_shape((rows, cols), matrix).expect("length is checked");
    match view.svddc_inplace(JobSvd::None) {
        Ok((_, values, _)) => Ok(values.to_vec()),
        Err(ndarray_linalg::error::LinalgError::Lapack(error)) => Err(error),
        Err(other) => unreachable!("a contiguous matrix is refused: {other}"),
    }
}

/// Whether mean, variance and effective rank of singular values that come from a Gram matrix are
/// within [`TOLERANCE`], by first-order error propagation: d sigma = d lambda / (2 sigma).
fn gram_is_exact(singular_values: &[f64], spectrum: Spectrum, sides: usize) -> bool {
    let eigenvalue_error =
        EIGENVALUE_ERROR * (sides as f64).sqrt() * f64::EPSILON * spectrum.max * spectrum.max;
    let sum = spectrum.mean * singular_values.len() as f64;
    let entropy = spectrum.effective_rank.ln();
    let (mut mean_error, mut variance_error, mut entropy_error) = (0.0, 0.0, 0.0);
    for &value in singular_values {
        let this = eigenvalue_error / (2.0 * value); // infinite for 0, which fails below
        mean_error += this;
        variance_error += 2.0 * this * (value - spectrum.mean).abs();
        entropy_error += this * ((value / sum).ln() + entropy).abs() / sum;
    }
    let n = singular_values.len() as f64;
    // The comparisons are false for NaN (an all-zero matrix) and for a variance of 0.
    mean_error / n <= TOLERANCE * spectrum.mean
        && variance_error / n <= TOLERANCE * spectrum.variance
        && entropy_error <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(seed: u64, len: usize) -> Vec<f64> {
        // A small linear congruential generator: uniform in [-1, 1).
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    fn spectrum(
        matrix: &mut [f64],
        rows: usize,
        cols: usize,
    ) -> Result<Spectrum, lax::error::Error> {
        super::spectrum(matrix, rows, cols, true, &mut Vec::new())
    }

    fn by_gram(matrix: &[f64], rows: usize, cols: usize) -> Option<Vec<f64>> {
        super::by_gram(matrix, rows, cols, &mut Vec::new())
    }

    fn close(a: Spectrum, b: Spectrum, tolerance: f64) -> bool {
        let near = |x: f64, y: f64| (x - y).abs() <= tolerance * y.abs();
        near(a.max, b.max)
            && near(a.mean, b.mean)
            && near(a.variance, b.variance)
            && near(a.effective_rank, b.effective_rank)
    }

    #[test]
    fn diagonal_matrix_has_its_entries() {
        let mut matrix = vec![0.0; 12];
        (matrix[0], matrix[5], matrix[10]) = (3.0, -4.0, 5.0);
        let spectrum = spectrum(&mut matrix, 3, 4).unwrap();
        let entropy = [3.0, 4.0, 5.0].map(|s| information(s / 12.0)).iter().sum::<f64>();
        let expected = Spectrum {
            max: 5.0,
            mean: 4.0,
            variance: 2.0 / 3.0,
            effective_rank: entropy.exp(),
            tail_exponent: None,
        };
        assert!(close(spectrum, expected, 1e-14), "{spectrum:?}");
    }

    #[test]
    fn rank_one_needs_the_fallback() {
        // u vᵀ: one singular value |u| |v|, the others 0.
        let (u, v) = (values(1, 60), values(2, 90));
        let norm = |x: &[f64]| x.iter().map(|a| a * a).sum::<f64>().sqrt();
        let mut matrix: Vec<f64> = u.iter().flat_map(|a| v.iter().map(move |b| a * b)).collect();
        let singular_values = by_gram(&matrix, 60, 90).unwrap();
        let by_gram = Spectrum::of(&singular_values, 90, true);
        let largest = norm(&u) * norm(&v);
        let expected = Spectrum {
            max: largest,
            mean: largest / 60.0,
            variance: largest * largest * (1.0 / 60.0 - 1.0 / 3600.0),
            effective_rank: 1.0,
            tail_exponent: None,
        };
        assert!(!close(by_gram, expected, 1e-9), "the Gram matrix alone would do: {by_gram:?}");
        assert!(!gram_is_exact(&singular_values, by_gram, 150));
        let spectrum = spectrum(&mut matrix, 60, 90).unwrap();
        assert!(close(spectrum, expected, 1e-12), "{spectrum:?}");
    }

    /// The largest error of an eigenvalue of the Gram matrix in the units of `EIGENVALUE_ERROR`.
    fn eigenvalue_error(matrix: &[f64], rows: usize, cols: usize) -> f64 {
        let mut found = by_gram(matrix, rows, cols).unwrap();
        let mut expected = by_svd(&mut matrix.to_vec(), rows, cols).unwrap();
        found.sort_by(f64::total_cmp);
        expected.sort_by(f64::total_cmp);
        let largest = expected[expected.len() - 1];
        let unit = f64::EPSILON * largest * largest * ((rows + cols) as f64).sqrt();
        let errors = found.iter().zip(&expected).map(|(a, b)| (a * a - b * b).abs() / unit);
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn an_eigenvalue_is_off_by_a_quarter_of_what_is_assumed() {
        let mut largest = 0.0_f64;
        for (rows, cols) in [(2, 2), (2, 900), (30, 50), (128, 128), (400, 90), (450, 500)] {
            let uniform = values(5, rows * cols);
            let shifted: Vec<f64> = uniform.iter().map(|x| x + 3.0).collect();
            let factors = (values(6, 2 * rows), values(7, 2 * cols));
            let low_rank: Vec<f64> = (0..rows * cols)
                .map(|k| (k / cols, k % cols))
                .map(|(i, j)| {
                    (0..2).map(|r| factors.0[2 * i + r] * factors.1[2 * j + r]).sum::<f64>()
                })
                .collect();
            for matrix in [uniform, shifted, low_rank] {
                largest = largest.max(eigenvalue_error(&matrix, rows, cols));
            }
        }
        println!("largest error: {largest:.2}");
        assert!(largest <= EIGENVALUE_ERROR / 4.0, "{largest}");
    }

    #[test]
    fn a_random_matrix_needs_no_fallback() {
        for (rows, cols) in [(40, 128), (128, 40), (128, 128), (2, 2), (300, 3)] {
            let matrix = values(3, rows * cols);
            let singular_values = by_gram(&matrix, rows, cols).unwrap();
            let by_gram = Spectrum::of(&singular_values, rows.max(cols), true);
            assert!(gram_is_exact(&singular_values, by_gram, rows + cols), "{rows} x {cols}");
            let by_svd = by_svd(&mut matrix.clone(), rows, cols).unwrap();
            let by_svd = Spectrum::of(&by_svd, rows.max(cols), true);
            assert!(close(by_gram, by_svd, 1e-11), "{rows} x {cols}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn transposition_permutation_and_scaling(
            seed in any::<u64>(), rows in 1_usize..24, cols in 1_usize..24, power in -20_i32..20
        ) {
            let matrix = values(seed, rows * cols);
            let reference = spectrum(&mut matrix.clone(), rows, cols).unwrap();
            // Uniform square matrices may come out nearly singular; 1e-9 is what is promised.
            let mut transposed: Vec<f64> = (0..cols)
                .flat_map(|j| (0..rows).map(move |i| (i, j)))
                .map(|(i, j)| matrix[i * cols + j])
                .collect();
            prop_assert!(close(spectrum(&mut transposed, cols, rows).unwrap(), reference, 1e-9));
            let mut reversed: Vec<f64> = matrix.iter().rev().copied().collect();
            prop_assert!(close(spectrum(&mut reversed, rows, cols).unwrap(), reference, 1e-9));
            let factor = 2.0_f64.powi(power);
            let mut scaled: Vec<f64> = matrix.iter().map(|x| x * factor).collect();
            let scaled = spectrum(&mut scaled, rows, cols).unwrap();
            prop_assert!(close(scaled, reference.scaled(factor), 1e-9));
        }

        #[test]
        fn gram_and_decomposition_agree_where_the_gram_is_called_exact(
            seed in any::<u64>(), side in 2_usize..16, decay in 0.0_f64..12.0
        ) {
            // Columns that shrink geometrically: spectra from flat to 1e-12 wide.
            let mut matrix = values(seed, side * side);
            for (i, value) in matrix.iter_mut().enumerate() {
                *value *= 10.0_f64.powf(-decay * (i % side) as f64 / side as f64);
            }
            let singular_values = by_gram(&matrix, side, side).unwrap();
            let by_gram = Spectrum::of(&singular_values, side, true);
            if gram_is_exact(&singular_values, by_gram, 2 * side) {
                let by_svd = Spectrum::of(&by_svd(&mut matrix, side, side).unwrap(), side, true);
                prop_assert!(close(by_gram, by_svd, 1e-10), "{:?} {:?}", by_gram, by_svd);
            }
        }
    }
}
