//! Metrics of training checkpoints, after Hu et al. 2023, "Latent State Models of Training
//! Dynamics", Appendix B.
//!
//! A checkpoint is a safetensors file; a [`Selection`] says which of its tensors are weight
//! matrices and which are biases. [`run_metrics`] computes the 14 numbers of [`Metrics`] for every
//! checkpoint of a run, in parallel; [`array_metrics`] does the same for tensors already in
//! memory. Results are the same bit for bit for any number of threads: sums run over fixed chunks,
//! merged in a fixed order.
//!
//! This crate knows no Python.

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian, and values here are read in native order");

mod blas;
mod checkpoint;
mod eigenvalues;
mod error;
mod matrix;
mod median;
mod metrics;
mod moments;
mod run;
mod spectrum;
#[cfg(test)]
mod stages;
mod tail;
mod tensor;
mod tridiagonal;

pub use blas::{Flavour, flavour};
pub use checkpoint::{Checkpoint, TensorInfo};
pub use error::{Error, Place};
pub use matrix::{MatrixSpec, Selection};
pub use metrics::{Bias, Metrics, WeightMatrices};
pub use run::{Cancel, array_metrics, run_metrics};
pub use spectrum::{Spectrum, spectrum};
pub use tensor::{DType, TensorData};
