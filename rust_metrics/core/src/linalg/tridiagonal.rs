//! A symmetric matrix reduced to a tridiagonal one of the same eigenvalues, by reflections.
//!
//! Householder's method (Golub and Van Loan, "Matrix Computations", 8.3.1). While the matrix is
//! large, LAPACK reduces blocks of columns; a small one stays in the processor's cache, and here
//! another order of the same steps is two to three times faster. With a reflection I - tau x xᵀ and
//! w = tau A x - (tau² xᵀA x / 2) x, the reflected matrix is A - x wᵀ - w xᵀ. It is computed one
//! step late, in the same pass over A that multiplies by the next step's x: each value is then read
//! and written once a step.

use std::mem::swap;

use crate::linalg::blas;

/// Up to this side, half a matrix stays in a cache of 512 KiB, with room to spare.
const SMALL: usize = 384;
/// Columns that LAPACK reduces at a time, its own choice too.
const BLOCK: usize = 32;
/// Values in a vector register; columns are padded by zeros so that whole ones are read.
const LANES: usize = 4;
/// Sums of squares below this are zero: the matrix is scaled to a trace near 1.
const TINY: f64 = 1e-290;

/// Reduce the symmetric `n` x `n` matrix in the lower triangle of the column-major `matrix`, which
/// is overwritten: its diagonal (n values), and the values beside it (n - 1), of the result.
///
/// The trace should be near 1.
///
/// # Panics
/// If `matrix` has the wrong length.
pub(crate) fn tridiagonal(matrix: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    assert_eq!(matrix.len(), n * n, "length of the matrix");
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n - 1]);
    let mut start = 0;
    while n - start > SMALL {
        let block = start..start + BLOCK;
        blas::reduce_columns(matrix, n, start, BLOCK, &mut beside[block.clone()]);
        block.for_each(|i| diagonal[i] = matrix[i * (n + 1)]);
        start += BLOCK;
    }
    let stride = padded(n - start);
    let mut rest = vec![0.0; (n - start) * stride];
    for j in start..n {
        let column = &matrix[j * n + j..(j + 1) * n];
        let first = (j - start) * (stride + 1);
        rest[first..first + column.len()].copy_from_slice(column);
    }
    reduce(&mut rest, n - start, &mut diagonal[start..], &mut beside[start..]);
    (diagonal, beside)
}

/// Distance between columns of the matrix that [`reduce`] takes.
fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES) + LANES
}

/// Reduce the symmetric `n` x `n` matrix in the lower triangle of the column-major `matrix`.
///
/// Columns are [`padded`] apart. All values outside the lower triangle must be 0, and the trace
/// near 1 or all values 0. Writes the diagonal (n) and the values beside it (n - 1).
///
/// # Panics
/// If a slice has the wrong length.
fn reduce(matrix: &mut [f64], n: usize, diagonal: &mut [f64], beside: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { reduce_avx2(matrix, n, diagonal, beside) };
    }
    reduce_with::<{ cfg!(target_arch = "aarch64") }>(matrix, n, diagonal, beside);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn reduce_avx2(matrix: &mut [f64], n: usize, diagonal: &mut [f64], beside: &mut [f64]) {
    reduce_with::<true>(matrix, n, diagonal, beside);
}

/// `a * b + c`, rounded once where the processor can (`FUSED`).
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn reduce_with<const FUSED: bool>(
    matrix: &mut [f64],
    n: usize,
    diagonal: &mut [f64],
    beside: &mut [f64],
) {
    let stride = padded(n);
    assert_eq!(matrix.len(), n * stride, "length of the padded matrix");
    assert_eq!((diagonal.len(), beside.len() + 1), (n, n), "lengths of the results");
    // The last reflection x with its w, and the next x with its product.
    let mut vectors = vec![0.0; 4 * stride];
    let (mut x, rest) = vectors.split_at_mut(stride);
    let (w, rest) = rest.split_at_mut(stride);
    let (mut next, product) = rest.split_at_mut(stride);
    for k in 0..n - 1 {
        let column = &mut matrix[k * stride..k * stride + n];
        for i in k..n {
            column[i] -= x[i] * w[k] + w[i] * x[k];
        }
        diagonal[k] = column[k];
        let tau;
        (beside[k], tau) = reflection(&column[k + 1..], &mut next[k + 1..n]);
        product[k + 1..n].fill(0.0);
        update_and_multiply::<FUSED>(matrix, k + 1, n, [x, w, next], product);
        let inner: f64 = (k + 1..n).map(|i| product[i] * next[i]).sum();
        let half = -0.5 * tau * tau * inner;
        for i in k + 1..n {
            w[i] = tau * product[i] + half * next[i];
        }
        swap(&mut x, &mut next);
    }
    diagonal[n - 1] = matrix[(n - 1) * stride + n - 1];
}

/// The reflection that maps `column` to a multiple of the first unit vector: writes its vector x,
/// whose first value is 1, and returns that multiple, and tau.
#[inline(always)]
fn reflection(column: &[f64], x: &mut [f64]) -> (f64, f64) {
    let first = column[0];
    let below: f64 = column[1..].iter().map(|value| value * value).sum();
    if below < TINY {
        x.fill(0.0);
        return (first, 0.0);
    }
    let length = (first * first + below).sqrt();
    let target = if first > 0.0 { -length } else { length };
    let factor = 1.0 / (first - target);
    x[0] = 1.0;
    x[1..].iter_mut().zip(&column[1..]).for_each(|(x, value)| *x = value * factor);
    (target, (target - first) / target)
}

/// Subtract x wᵀ + w xᵀ from the lower triangle from row and column `start` on, and add to
/// `product` the result times `next`.
#[inline(always)]
fn update_and_multiply<const FUSED: bool>(
    matrix: &mut [f64],
    start: usize,
    n: usize,
    [x, w, next]: [&[f64]; 3],
    product: &mut [f64],
) {
    let stride = padded(n);
    let mut j = start;
    while j + 1 < n {
        let (left, right) = matrix[j * stride..(j + 2) * stride].split_at_mut(stride);
        left[j] -= 2.0 * x[j] * w[j];
        left[j + 1] -= x[j + 1] * w[j] + w[j + 1] * x[j];
        right[j + 1] -= 2.0 * x[j + 1] * w[j + 1];
        let rows = j + 2..j + 2 + (n - j - 2).next_multiple_of(LANES);
        let sums = two_columns::<FUSED>(
            [&mut left[rows.clone()], &mut right[rows.clone()]],
            [&x[rows.clone()], &w[rows.clone()], &next[rows.clone()]],
            &mut product[rows],
            [[x[j], w[j], next[j]], [x[j + 1], w[j + 1], next[j + 1]]],
        );
        product[j] += left[j] * next[j] + left[j + 1] * next[j + 1] + sums[0];
        product[j + 1] += left[j + 1] * next[j] + right[j + 1] * next[j + 1] + sums[1];
        j += 2;
    }
    if j < n {
        let value = &mut matrix[j * stride + j];
        *value -= 2.0 * x[j] * w[j];
        product[j] += *value * next[j];
    }
}

/// The part of two neighbouring columns below the triangle's tip; `heads` are the values of x, w
/// and next at the columns themselves. Returns each column's product with `next`.
#[inline(always)]
fn two_columns<const FUSED: bool>(
    columns: [&mut [f64]; 2],
    [x, w, next]: [&[f64]; 3],
    product: &mut [f64],
    heads: [[f64; 3]; 2],
) -> [f64; 2] {
    let [left, right] = columns;
    let vectors = x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0);
    let vectors = vectors.zip(next.as_chunks::<LANES>().0);
    let (left, right) = (left.as_chunks_mut::<LANES>().0, right.as_chunks_mut::<LANES>().0);
    let mut sums = [[0.0; LANES]; 2];
    for (((((x, w), next), left), right), product) in
        vectors.zip(left).zip(right).zip(product.as_chunks_mut::<LANES>().0)
    {
        // Whole registers: values are loaded before any is stored.
        let each = |f: &dyn Fn(usize) -> f64| -> [f64; LANES] { std::array::from_fn(f) };
        let a = each(&|i| multiply_add::<FUSED>(-x[i], heads[0][1], left[i]));
        let a = each(&|i| multiply_add::<FUSED>(-w[i], heads[0][0], a[i]));
        let b = each(&|i| multiply_add::<FUSED>(-x[i], heads[1][1], right[i]));
        let b = each(&|i| multiply_add::<FUSED>(-w[i], heads[1][0], b[i]));
        let p = each(&|i| multiply_add::<FUSED>(a[i], heads[0][2], product[i]));
        let p = each(&|i| multiply_add::<FUSED>(b[i], heads[1][2], p[i]));
        sums[0] = each(&|i| multiply_add::<FUSED>(a[i], next[i], sums[0][i]));
        sums[1] = each(&|i| multiply_add::<FUSED>(b[i], next[i], sums[1][i]));
        (*left, *right, *product) = (a, b, p);
    }
    sums.map(|lanes| lanes.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::eigenvalues::eigenvalues;
    use lax::layout::MatrixLayout;
    use lax::{Lapack, UPLO};

    /// A column-major symmetric matrix of a trace near 1, lower triangle only.
    fn symmetric(n: usize) -> Vec<f64> {
        let value = |i: usize, j: usize| (1.0 + (i * i + 3 * j) as f64).sin() / n as f64;
        (0..n * n).map(|k| if k % n >= k / n { value(k % n, k / n) } else { 0.0 }).collect()
    }

    fn by_lapack(mut matrix: Vec<f64>, n: usize) -> Vec<f64> {
        let side = i32::try_from(n).unwrap();
        let _exclusive = blas::exclusive();
        f64::eigh(false, MatrixLayout::F { col: side, lda: side }, UPLO::Lower, &mut matrix)
            .unwrap()
    }

    fn assert_same(mut diagonal: Vec<f64>, mut beside: Vec<f64>, expected: &[f64]) {
        assert!(eigenvalues(&mut diagonal, &mut beside));
        diagonal.sort_by(f64::total_cmp);
        for (found, expected) in diagonal.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-14, "side {}", diagonal.len());
        }
    }

    #[test]
    fn eigenvalues_stay() {
        for n in (1..40).chain([SMALL, SMALL + 1, SMALL + BLOCK, SMALL + BLOCK + 1]) {
            let expected = by_lapack(symmetric(n), n);
            let (diagonal, beside) = tridiagonal(&mut symmetric(n), n);
            assert_same(diagonal, beside, &expected);
        }
    }

    #[test]
    fn a_processor_without_fused_instructions_does_as_well() {
        for n in 1..20 {
            let (matrix, stride) = (symmetric(n), padded(n));
            let mut spread = vec![0.0; n * stride];
            for j in 0..n {
                spread[j * stride..j * stride + n].copy_from_slice(&matrix[j * n..(j + 1) * n]);
            }
            let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n - 1]);
            reduce_with::<false>(&mut spread, n, &mut diagonal, &mut beside);
            assert_same(diagonal, beside, &by_lapack(matrix, n));
        }
    }

    #[test]
    fn a_tridiagonal_matrix_stays_as_it_is() {
        let mut matrix = vec![0.0; 16];
        for (i, value) in [(0, 1.0), (1, 0.5), (5, 2.0), (6, -0.25), (10, 3.0), (15, 4.0)] {
            matrix[i] = value;
        }
        let result = tridiagonal(&mut matrix, 4);
        assert_eq!(result, (vec![1.0, 2.0, 3.0, 4.0], vec![0.5, -0.25, 0.0]));
    }
}
