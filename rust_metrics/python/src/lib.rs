//! `training_maps._rust_metrics`: the metrics crate for Python, converted and no more.

// `#[pymodule]` and `#[pyfunction]` expand to items that carry no documentation of their own.
#![allow(missing_docs)]

mod arrays;
mod errors;
mod hmm;
mod interrupt;

use pyo3::prelude::*;
use training_maps_metrics::{
    Checkpoint, Flavour, MatrixSpec, Metrics, Selection, array_metrics as core_array_metrics,
    flavour, run_metrics as core_run_metrics,
};

use arrays::{Array, as_biases, as_weights};
use errors::{CheckpointFailure, to_python};
use interrupt::interruptible;

/// (column, value) of each metric that is defined.
type Columns = Vec<(&'static str, f64)>;

fn columns(metrics: &Metrics) -> Columns {
    metrics.columns().into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// What became of one checkpoint.
#[derive(IntoPyObject)]
enum Outcome {
    Metrics(Columns),
    Failure(CheckpointFailure),
}

/// Metrics of each checkpoint: a list of (column, value), or a `CheckpointFailure`.
#[pyfunction]
fn run_metrics(
    py: Python<'_>,
    paths: Vec<String>,
    matrices: Vec<(String, usize, usize, usize)>,
    biases: Vec<String>,
    threads: usize,
) -> PyResult<Vec<Outcome>> {
    let matrices = matrices
        .into_iter()
        .map(|(tensor, n_blocks, rows, cols)| MatrixSpec { tensor, n_blocks, rows, cols })
        .collect();
    let selection = Selection { matrices, biases };
    let results =
        interruptible(py, |cancel| core_run_metrics(&paths, &selection, threads, cancel))?
            .map_err(to_python)?;
    Ok(results
        .into_iter()
        .map(|result| match result {
            Ok(metrics) => Outcome::Metrics(columns(&metrics)),
            Err(error) => Outcome::Failure(CheckpointFailure::new(&error)),
        })
        .collect())
}

/// Metrics of arrays in memory, as a list of (column, value).
#[pyfunction]
fn array_metrics(
    py: Python<'_>,
    weights: Vec<Bound<'_, PyAny>>,
    biases: Vec<Bound<'_, PyAny>>,
    threads: usize,
) -> PyResult<Columns> {
    let weights = Array::all("weights", &weights)?;
    let biases = Array::all("biases", &biases)?;
    let (weights, biases) = (as_weights(&weights)?, as_biases(&biases));
    let metrics =
        interruptible(py, |cancel| core_array_metrics(&weights, &biases, threads, cancel))?
            .map_err(to_python)?;
    Ok(columns(&metrics))
}

/// (name, dtype, shape) of each tensor of a safetensors file, sorted by name.
#[pyfunction]
fn tensors(py: Python<'_>, path: &str) -> PyResult<Vec<(String, String, Vec<usize>)>> {
    let tensors =
        py.detach(|| Ok(Checkpoint::open(path)?.header()?.tensors())).map_err(to_python)?;
    Ok(tensors.into_iter().map(|tensor| (tensor.name, tensor.dtype, tensor.shape)).collect())
}

/// How the OpenBLAS in use runs in parallel: "serial", "pthread" or "openmp".
#[pyfunction]
fn blas_flavour() -> &'static str {
    match flavour() {
        Flavour::Serial => "serial",
        Flavour::Pthread => "pthread",
        Flavour::OpenMp => "openmp",
    }
}

#[pymodule]
fn _rust_metrics(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CheckpointFailure>()?;
    module.add_function(wrap_pyfunction!(run_metrics, module)?)?;
    module.add_function(wrap_pyfunction!(array_metrics, module)?)?;
    module.add_function(wrap_pyfunction!(tensors, module)?)?;
    module.add_function(wrap_pyfunction!(blas_flavour, module)?)?;
    hmm::register(module)
}
