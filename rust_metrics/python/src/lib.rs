//! `training_maps._rust_metrics`: the metrics crate for Python, converted and no more.

// `#[pymodule]` and `#[pyfunction]` expand to items that carry no documentation of their own.
#![allow(missing_docs)]

mod arrays;
mod errors;
mod hmm;
mod interrupt;
mod sources;

use std::path::PathBuf;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use training_maps_metrics::{
    Content, Error, Flavour, MATRIX_COLUMNS, MatrixMetrics, MatrixSpec, Metrics, Selection, Source,
    Threads, array_metrics as core_array_metrics, distances as core_distances, flavour,
    layer_metrics as core_layer_metrics, run_metrics as core_run_metrics,
};

use arrays::{Array, as_biases, as_weights};
use errors::{CheckpointFailure, to_python};
use interrupt::interruptible;
use sources::{GivenSource, HeldSource};

/// (column, value) of each metric that is defined.
type Columns = Vec<(&'static str, f64)>;
/// The same, and the metrics of each matrix.
type WithMatrices<'py> = (Columns, Bound<'py, PyArray2<f64>>);

fn columns(metrics: &Metrics) -> Columns {
    metrics.columns().into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A result, or why there is none.
#[derive(IntoPyObject)]
enum Outcome<T> {
    Result(T),
    Failure(CheckpointFailure),
}

fn outcomes<T, U>(results: Vec<Result<T, Error>>, convert: impl Fn(T) -> U) -> Vec<Outcome<U>> {
    let outcome = |result| match result {
        Ok(found) => Outcome::Result(convert(found)),
        Err(error) => Outcome::Failure(CheckpointFailure::new(&error)),
    };
    results.into_iter().map(outcome).collect()
}

/// (tensor, number of matrices in it, rows, columns).
type GivenMatrix = (String, usize, usize, usize);

fn selection(matrices: Vec<GivenMatrix>, biases: Vec<String>) -> Selection {
    let spec = |(tensor, n_blocks, rows, cols)| MatrixSpec { tensor, n_blocks, rows, cols };
    Selection { matrices: matrices.into_iter().map(spec).collect(), biases }
}

/// Metrics of each checkpoint: a list of (column, value), or a `CheckpointFailure`.
#[pyfunction]
#[pyo3(signature = (sources, matrices, biases, threads, tails=true))]
fn run_metrics(
    py: Python<'_>,
    sources: Vec<GivenSource<'_>>,
    matrices: Vec<GivenMatrix>,
    biases: Vec<String>,
    threads: usize,
    tails: bool,
) -> PyResult<Vec<Outcome<Columns>>> {
    let selection = selection(matrices, biases);
    let held: Vec<_> = sources.into_iter().map(HeldSource::new).collect::<PyResult<_>>()?;
    let sources: Vec<Source<'_>> = held.iter().map(HeldSource::borrow).collect();
    let threads = Threads::new(threads).map_err(to_python)?;
    let results = interruptible(py, &threads, |cancel| {
        core_run_metrics(&sources, &selection, tails, &threads, cancel)
    })?
    .map_err(to_python)?;
    Ok(outcomes(results, |metrics| columns(&metrics)))
}

/// Metrics of each checkpoint and of each of its matrices: (column, value) of the whole and an array
/// (n_matrices, n_columns), or a `CheckpointFailure`.
#[pyfunction]
#[pyo3(signature = (sources, matrices, biases, threads, tails=true))]
fn layer_metrics<'py>(
    py: Python<'py>,
    sources: Vec<GivenSource<'py>>,
    matrices: Vec<GivenMatrix>,
    biases: Vec<String>,
    threads: usize,
    tails: bool,
) -> PyResult<Vec<Outcome<WithMatrices<'py>>>> {
    let selection = selection(matrices, biases);
    let held: Vec<_> = sources.into_iter().map(HeldSource::new).collect::<PyResult<_>>()?;
    let sources: Vec<Source<'_>> = held.iter().map(HeldSource::borrow).collect();
    let threads = Threads::new(threads).map_err(to_python)?;
    let results = interruptible(py, &threads, |cancel| {
        core_layer_metrics(&sources, &selection, tails, &threads, cancel)
    })?
    .map_err(to_python)?;
    Ok(outcomes(results, |(metrics, matrices)| (columns(&metrics), as_rows(py, &matrices))))
}

fn as_rows<'py>(py: Python<'py>, matrices: &[MatrixMetrics]) -> Bound<'py, PyArray2<f64>> {
    let shape = (matrices.len(), MATRIX_COLUMNS.len());
    Array2::from_shape_vec(shape, matrices.concat())
        .expect("rows are of one length")
        .into_pyarray(py)
}

/// Distance between the weights of each pair of checkpoints, or a `CheckpointFailure`.
#[pyfunction]
fn distances(
    py: Python<'_>,
    sources: Vec<GivenSource<'_>>,
    pairs: Vec<(usize, usize)>,
    matrices: Vec<GivenMatrix>,
    threads: usize,
) -> PyResult<Vec<Outcome<f64>>> {
    let selection = selection(matrices, Vec::new());
    let held: Vec<_> = sources.into_iter().map(HeldSource::new).collect::<PyResult<_>>()?;
    let sources: Vec<Source<'_>> = held.iter().map(HeldSource::borrow).collect();
    let threads = Threads::new(threads).map_err(to_python)?;
    let results = interruptible(py, &threads, |cancel| {
        core_distances(&sources, &pairs, &selection, &threads, cancel)
    })?
    .map_err(to_python)?;
    Ok(outcomes(results, |distance| distance))
}

/// Metrics of arrays in memory, as a list of (column, value).
#[pyfunction]
#[pyo3(signature = (weights, biases, threads, tails=true))]
fn array_metrics(
    py: Python<'_>,
    weights: Vec<Bound<'_, PyAny>>,
    biases: Vec<Bound<'_, PyAny>>,
    threads: usize,
    tails: bool,
) -> PyResult<Columns> {
    let weights = Array::all("weights", &weights)?;
    let biases = Array::all("biases", &biases)?;
    let (weights, biases) = (as_weights(&weights)?, as_biases(&biases));
    let threads = Threads::new(threads).map_err(to_python)?;
    let metrics = interruptible(py, &threads, |cancel| {
        core_array_metrics(&weights, &biases, tails, &threads, cancel)
    })?
    .map_err(to_python)?;
    Ok(columns(&metrics))
}

/// (name, dtype, shape) of each tensor of safetensors files, sorted by name.
#[pyfunction]
fn tensors(py: Python<'_>, files: Vec<PathBuf>) -> PyResult<Vec<(String, String, Vec<usize>)>> {
    let source = Source { path: None, content: Content::Files(files) };
    let tensors = py.detach(|| Ok(source.open()?.tensors()?.describe())).map_err(to_python)?;
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
    module.add("MATRIX_COLUMNS", PyTuple::new(module.py(), MATRIX_COLUMNS)?)?;
    module.add_function(wrap_pyfunction!(layer_metrics, module)?)?;
    module.add_function(wrap_pyfunction!(distances, module)?)?;
    module.add_function(wrap_pyfunction!(array_metrics, module)?)?;
    module.add_function(wrap_pyfunction!(tensors, module)?)?;
    module.add_function(wrap_pyfunction!(blas_flavour, module)?)?;
    hmm::register(module)
}
