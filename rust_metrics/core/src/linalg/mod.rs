//! Singular values: OpenBLAS and LAPACK, loops of our own for small matrices, and power-law tails.

pub(crate) mod blas;
pub(crate) mod eigenvalues;
pub(crate) mod spectrum;
mod tail;
pub(crate) mod tridiagonal;
