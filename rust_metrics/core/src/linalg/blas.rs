//! OpenBLAS: the routines that ndarray-linalg lacks, and calling it from many threads.
//!
//! Each thread of ours works on a matrix of its own, so OpenBLAS itself should use one thread.
//! What that takes depends on how OpenBLAS was built ([`flavour`]):
//! - pthread: `openblas_set_num_threads(1)`; it is safe to call from several threads.
//! - openmp: the number of threads is each calling thread's own ([`prepare_thread`]); with one
//!   each it is safe too (240,000 decompositions on 8 threads gave the bits that one thread gives).
//! - serial: its work buffers have no lock, so calls are made one at a time.

use std::ffi::{c_char, c_int};
use std::sync::{Mutex, MutexGuard, PoisonError};

unsafe extern "C" {
    fn openblas_get_parallel() -> c_int;
    fn openblas_get_num_threads() -> c_int;
    fn openblas_set_num_threads(num_threads: c_int);
    fn dsyrk_(
        uplo: *const c_char,
        trans: *const c_char,
        n: *const c_int,
        k: *const c_int,
        alpha: *const f64,
        a: *const f64,
        lda: *const c_int,
        beta: *const f64,
        c: *mut f64,
        ldc: *const c_int,
    );
    fn dlatrd_(
        uplo: *const c_char,
        n: *const c_int,
        nb: *const c_int,
        a: *mut f64,
        lda: *const c_int,
        e: *mut f64,
        tau: *mut f64,
        w: *mut f64,
        ldw: *const c_int,
    );
    fn dsyr2k_(
        uplo: *const c_char,
        trans: *const c_char,
        n: *const c_int,
        k: *const c_int,
        alpha: *const f64,
        a: *const f64,
        lda: *const c_int,
        b: *const f64,
        ldb: *const c_int,
        beta: *const f64,
        c: *mut f64,
        ldc: *const c_int,
    );
}

const LOWER: c_char = b'L' as c_char;
const PLAIN: c_char = b'N' as c_char;
const TRANSPOSED: c_char = b'T' as c_char;

/// How the linked OpenBLAS runs in parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// One thread, without locks.
    Serial,
    /// Threads of its own.
    Pthread,
    /// OpenMP threads.
    OpenMp,
}

/// The flavour of the OpenBLAS that is loaded; Debian's alternatives can change it after building.
pub fn flavour() -> Flavour {
    // SAFETY: takes nothing, returns a constant of the library.
    match unsafe { openblas_get_parallel() } {
        0 => Flavour::Serial,
        1 => Flavour::Pthread,
        _ => Flavour::OpenMp,
    }
}

/// Number of [`SingleThreaded`] guards alive, and OpenBLAS's setting before the first.
static GUARDS: Mutex<(usize, c_int)> = Mutex::new((0, 1));
/// Held during each call of a serial OpenBLAS.
static SERIAL: Mutex<()> = Mutex::new(());

/// While it lives, OpenBLAS uses one thread a call; afterwards what it used before.
///
/// Guards may overlap: the setting is the process's, kept until the last guard goes.
pub(crate) struct SingleThreaded;

impl SingleThreaded {
    pub(crate) fn new() -> Self {
        let mut guards = lock(&GUARDS);
        if guards.0 == 0 {
            // SAFETY: plain getter and setter of the library, under our lock.
            unsafe {
                guards.1 = openblas_get_num_threads();
                openblas_set_num_threads(1);
            }
        }
        guards.0 += 1;
        SingleThreaded
    }
}

impl Drop for SingleThreaded {
    fn drop(&mut self) {
        let mut guards = lock(&GUARDS);
        guards.0 -= 1;
        if guards.0 == 0 {
            // SAFETY: as in `new`.
            unsafe { openblas_set_num_threads(guards.1) };
        }
    }
}

/// To be called on each thread that will call OpenBLAS, while a [`SingleThreaded`] lives.
///
/// Under OpenMP the number of threads is the calling thread's own; the other flavours have it set
/// already.
pub(crate) fn prepare_thread() {
    if flavour() == Flavour::OpenMp {
        let _guards = lock(&GUARDS);
        // SAFETY: plain setter of the library, under our lock.
        unsafe { openblas_set_num_threads(1) };
    }
}

/// Held around every call of BLAS or LAPACK: by the functions here, and by callers of others.
pub(crate) fn exclusive() -> Option<MutexGuard<'static, ()>> {
    match flavour() {
        Flavour::Pthread | Flavour::OpenMp => None,
        Flavour::Serial => Some(lock(&SERIAL)),
    }
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    // A panic while holding either lock leaves nothing half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gram matrix of the smaller side of a row-major `rows` x `cols` matrix, in f64, times `factor`.
///
/// Writes A Aᵀ (`rows` <= `cols`) or Aᵀ A into the column-major lower triangle of `gram`; the
/// upper triangle is left as it was.
///
/// # Panics
/// If a slice has the wrong length, or a side does not fit a 32-bit integer.
pub(crate) fn gram(matrix: &[f64], rows: usize, cols: usize, factor: f64, gram: &mut [f64]) {
    let side = rows.min(cols);
    assert_eq!(matrix.len(), rows * cols, "length of the matrix");
    assert_eq!(gram.len(), side * side, "length of its Gram matrix");
    // BLAS is column-major: to it the row-major A is Aᵀ, with `cols` as its leading dimension.
    let trans = if rows <= cols { TRANSPOSED } else { PLAIN };
    let (n, k, lda) = (int(side), int(rows.max(cols)), int(cols));
    let _exclusive = exclusive();
    // SAFETY: lengths are checked above; every pointer outlives the call.
    unsafe {
        dsyrk_(&LOWER, &trans, &n, &k, &factor, matrix.as_ptr(), &lda, &0.0, gram.as_mut_ptr(), &n);
    }
}

/// Reduce the first `width` columns of a symmetric matrix to tridiagonal form, and apply their
/// reflections to the others (LAPACK's dsytrd does this again and again).
///
/// The matrix is the lower triangle from row and column `start` on of the column-major `n` x `n`
/// `matrix`. Its first `width` diagonal values are then those of the tridiagonal matrix; the values
/// beside them are written to `beside`.
///
/// # Panics
/// If a slice has the wrong length, or there are no columns after the first `width`.
pub(crate) fn reduce_columns(
    matrix: &mut [f64],
    n: usize,
    start: usize,
    width: usize,
    beside: &mut [f64],
) {
    let side = n - start;
    assert_eq!(matrix.len(), n * n, "length of the matrix");
    assert!(beside.len() == width && width < side, "numbers of columns");
    let mut taus = vec![0.0; width];
    let mut products = vec![0.0; side * width];
    let (here, after) = (start * (n + 1), (start + width) * (n + 1));
    let (stride, height) = (int(n), int(side));
    let _exclusive = exclusive();
    // SAFETY: the triangles that start at `here` and `after` end with the matrix; `products` has
    // `width` columns of `side` values; every pointer outlives the call.
    unsafe {
        dlatrd_(
            &LOWER,
            &height,
            &int(width),
            matrix.as_mut_ptr().add(here),
            &stride,
            beside.as_mut_ptr(),
            taus.as_mut_ptr(),
            products.as_mut_ptr(),
            &height,
        );
        let base = matrix.as_mut_ptr();
        dsyr2k_(
            &LOWER,
            &PLAIN,
            &int(side - width),
            &int(width),
            &-1.0,
            base.add(here + width),
            &stride,
            products.as_ptr().add(width),
            &height,
            &1.0,
            base.add(after),
            &stride,
        );
    }
}

fn int(value: usize) -> c_int {
    c_int::try_from(value).expect("a side that fits 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gram_of_wide_and_tall() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut wide = [0.0; 4];
        gram(&a, 2, 3, 1.0, &mut wide);
        assert_eq!((wide[0], wide[1], wide[3]), (14.0, 32.0, 77.0));
        let mut tall = [0.0; 4];
        gram(&a, 3, 2, 2.0, &mut tall);
        assert_eq!((tall[0], tall[1], tall[3]), (70.0, 88.0, 112.0));
    }

    #[test]
    fn the_setting_comes_back_after_the_last_guard() {
        // SAFETY: plain getter of the library.
        let threads = || unsafe { openblas_get_num_threads() };
        let (first, second) = (SingleThreaded::new(), SingleThreaded::new());
        assert_eq!(threads(), 1);
        drop(first);
        assert_eq!(threads(), 1);
        drop(second);
    }
}
