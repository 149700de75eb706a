//! Eigenvalues of a symmetric tridiagonal matrix, values only.

/// Sweeps an eigenvalue, on average, before giving up; two are usual.
const SWEEPS: usize = 30;
/// Squares below this count as zero in a sweep: the matrix is scaled to a norm near 1.
const TINY: f64 = 1e-100;

/// Overwrite `diagonal` (n) with the eigenvalues, in no order; `beside` (n - 1) holds the values
/// beside the diagonal and is overwritten too. `false` if they do not converge.
///
/// The root-free QL method of Pal, Walker and Kahan (Parlett, "The Symmetric Eigenvalue Problem",
/// 8.15). The norm of the matrix should be near 1; eigenvalues are off by a few epsilon of it.
pub(crate) fn eigenvalues(diagonal: &mut [f64], beside: &mut [f64]) -> bool {
    let n = diagonal.len();
    assert_eq!(beside.len() + 1, n, "a tridiagonal matrix has n - 1 values beside its diagonal");
    // Sweeps find the eigenvalues at the start first, and should start with the smallest.
    if diagonal[0].abs() > diagonal[n - 1].abs() {
        diagonal.reverse();
        beside.reverse();
    }
    let norm = diagonal.iter().chain(&*beside).fold(0.0, |norm: f64, x| norm.max(x.abs()));
    let squares = beside;
    squares.iter_mut().for_each(|value| *value *= *value);
    // Leaving out values this small moves no eigenvalue by more than epsilon / 8 of the norm.
    let negligible = (norm * f64::EPSILON / 16.0).powi(2);
    let mut sweeps = SWEEPS * n;
    for first in 0..n {
        loop {
            let coupled = squares[first..].iter().take_while(|&&square| square > negligible);
            let last = first + coupled.count();
            if last == first {
                break;
            }
            if sweeps == 0 {
                return false;
            }
            sweeps -= 1;
            let shift = shift(diagonal[first], diagonal[first + 1], squares[first]);
            sweep(&mut diagonal[first..=last], &mut squares[first..last], shift);
        }
    }
    true
}

/// Wilkinson's shift: the eigenvalue nearer to `a` of the matrix ((a, b), (b, c)).
fn shift(a: f64, c: f64, b_squared: f64) -> f64 {
    let b = b_squared.sqrt();
    let half = (c - a) / (2.0 * b);
    a - b / (half + (half * half + 1.0).sqrt().copysign(half))
}

/// One QL step on a matrix given by its diagonal and the squares of the values beside it.
///
/// In the book's names p = gamma² / c, with c = p / r and gamma = (p (alpha - sigma) - b² gamma') /
/// r. Written as p = (r gamma)² / (r p), a step waits for one division instead of two.
fn sweep(diagonal: &mut [f64], squares: &mut [f64], sigma: f64) {
    let last = squares.len();
    let mut gamma = diagonal[last] - sigma;
    let mut p = gamma * gamma;
    let (mut cosine, mut sine) = (1.0, 0.0); // their squares, in fact
    for i in (0..last).rev() {
        let (alpha, square) = (diagonal[i], squares[i]);
        let r = p + square;
        if i + 1 < last {
            squares[i + 1] = sine * r;
        }
        let numerator = p * (alpha - sigma) - square * gamma;
        let next = if p > TINY { numerator * numerator / (r * p) } else { cosine * square };
        let inverse = 1.0 / r;
        (cosine, sine) = (p * inverse, square * inverse);
        let new_gamma = numerator * inverse;
        diagonal[i + 1] = gamma + (alpha - new_gamma);
        (gamma, p) = (new_gamma, next);
    }
    squares[0] = sine * p;
    diagonal[0] = sigma + gamma;
}

#[cfg(test)]
mod tests {
    use super::*;
    use lax::layout::MatrixLayout;
    use lax::{Lapack, UPLO};
    use proptest::prelude::*;

    fn sorted(diagonal: &[f64], beside: &[f64]) -> Vec<f64> {
        let mut values = diagonal.to_vec();
        assert!(eigenvalues(&mut values, &mut beside.to_vec()), "no convergence");
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn second_differences_have_their_eigenvalues() {
        for n in [1, 2, 3, 10, 400] {
            let found = sorted(&vec![0.5; n], &vec![-0.25; n - 1]);
            for (k, value) in found.iter().enumerate() {
                let angle = (k + 1) as f64 * std::f64::consts::PI / (n + 1) as f64;
                assert!((value - 0.5 * (1.0 - angle.cos())).abs() < 2e-15, "n = {n}, k = {k}");
            }
        }
    }

    #[test]
    fn matrices_in_parts_and_zeros() {
        assert_eq!(sorted(&[0.0; 4], &[0.0; 3]), [0.0; 4]);
        assert_eq!(sorted(&[3.0, 1.0, 2.0], &[0.0, 0.0]), [1.0, 2.0, 3.0]);
        // ((0, 1), (1, 0)) has the shift where the sweep's p vanishes.
        assert_eq!(sorted(&[0.0, 0.0, 0.5], &[1.0, 0.0]), [-1.0, 0.5, 1.0]);
    }

    proptest! {
        #[test]
        fn as_lapack_finds_them(
            values in prop::collection::vec((-1.0_f64..1.0, -1.0_f64..1.0, 0_i32..12), 2..40)
        ) {
            // Values from 1 down to 1e-12, some of them 0.
            let scaled = |x: f64, decades: i32| {
                if decades == 11 { 0.0 } else { x * 10.0_f64.powi(-decades) }
            };
            let diagonal: Vec<f64> = values.iter().map(|v| scaled(v.0, v.2 / 2)).collect();
            let beside: Vec<f64> = values[1..].iter().map(|v| scaled(v.1, v.2)).collect();
            let n = diagonal.len();
            let mut matrix = vec![0.0; n * n];
            for i in 0..n {
                matrix[i * (n + 1)] = diagonal[i];
            }
            for i in 0..n - 1 {
                matrix[i * (n + 1) + 1] = beside[i];
            }
            let side = i32::try_from(n).unwrap();
            let layout = MatrixLayout::F { col: side, lda: side };
            let _exclusive = crate::linalg::blas::exclusive();
            let expected = f64::eigh(false, layout, UPLO::Lower, &mut matrix).unwrap();
            for (found, expected) in sorted(&diagonal, &beside).iter().zip(expected) {
                prop_assert!((found - expected).abs() < 2e-15 * n as f64, "{found} {expected}");
            }
        }
    }
}
