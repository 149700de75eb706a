//! Metrics of training checkpoints, after Hu et al. 2023, "Latent State Models of Training
//! Dynamics", Appendix B.
//!
//! A checkpoint is a [`Source`]: safetensors files, or named tensors in memory. A [`Selection`] says
//! which of its tensors are weight matrices and which are biases. [`run_metrics`] computes the
//! numbers of [`Metrics`] for every checkpoint of a run, in parallel, [`layer_metrics`] those of each
//! matrix too, and [`distances`] how far apart checkpoints are; [`array_metrics`] measures matrices and biases that have no names. Results are
//! the same bit for bit for any number of threads: sums run over fixed chunks, merged in a fixed
//! order.
//!
//! This crate knows no Python.

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian, and values here are read in native order");

mod cancel;
mod error;
mod linalg;
mod metrics;
mod run;
#[cfg(test)]
mod stages;
mod tensors;
mod threads;

pub use cancel::Cancel;
pub use error::{Error, Place};
pub use linalg::blas::{Flavour, flavour};
pub use linalg::spectrum::{Spectrum, spectrum};
pub use metrics::checkpoint_metrics::{MATRIX_COLUMNS, MatrixMetrics, Metrics, WithMatrices};
pub use run::{array_metrics, distances, layer_metrics, run_metrics};
pub use tensors::checkpoint::{Checkpoint, Content, Source, Tensor, TensorInfo, Tensors};
pub use tensors::matrix::{Bias, MatrixSpec, Selection, WeightMatrices};
pub use tensors::tensor::{DType, TensorData};
pub use threads::Threads;
