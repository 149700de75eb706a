//! The expectation step of hidden Markov models, GIL released.
//!
//! A call takes milliseconds for tens of thousands of rows, so that none looks for Ctrl-C: Python
//! does, between calls.

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArray3, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use training_maps_hmm::{Chain, Error, Gaussians, Lengths, Products, Table};

type Vector<'py> = Bound<'py, PyArray1<f64>>;
type Matrix<'py> = Bound<'py, PyArray2<f64>>;

fn to_python(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The values of an array in C order.
fn values<'a, D: numpy::ndarray::Dimension>(
    name: &str,
    array: &'a numpy::PyReadonlyArray<'_, f64, D>,
) -> PyResult<&'a [f64]> {
    // `as_slice` takes Fortran order too, which would transpose.
    match array.as_slice() {
        Ok(values) if array.is_c_contiguous() => Ok(values),
        _ => Err(PyValueError::new_err(format!("{name} is not contiguous in C order"))),
    }
}

fn table<'a>(name: &'static str, array: &'a PyReadonlyArray2<'_, f64>) -> PyResult<Table<'a>> {
    Table::new(name, values(name, array)?, array.shape()[1]).map_err(to_python)
}

/// Log density (n, K) of `rows` (n, p): `offsets[k] - |maps[k] @ (row - centres[k])|^2 / 2`.
///
/// With `coefficients` (K, p, q), rows are (n, q + p), and a row is its last p entries less
/// `coefficients[k]` times its first q.
#[pyfunction]
#[pyo3(signature = (rows, centres, maps, offsets, coefficients=None))]
pub(crate) fn log_densities<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, f64>,
    centres: PyReadonlyArray2<'py, f64>,
    maps: PyReadonlyArray3<'py, f64>,
    offsets: PyReadonlyArray1<'py, f64>,
    coefficients: Option<PyReadonlyArray3<'py, f64>>,
) -> PyResult<Matrix<'py>> {
    let mut gaussians = Gaussians::new(
        table("centres", &centres)?,
        values("maps", &maps)?,
        maps.shape()[1],
        values("offsets", &offsets)?,
    )
    .map_err(to_python)?;
    if let Some(coefficients) = &coefficients {
        gaussians = gaussians
            .regressed(values("coefficients", coefficients)?, coefficients.shape()[2])
            .map_err(to_python)?;
    }
    let (rows, states) = (table("rows", &rows)?, offsets.len());
    let mut result = vec![0.0; rows.rows() * states];
    py.detach(|| training_maps_hmm::log_densities(rows, &gaussians, &mut result))
        .map_err(to_python)?;
    shaped(py, result, states)
}

/// Posteriors (n, K), expected transitions (K, K), log-likelihood, and the numbers of the
/// sequences that were done in log space.
#[pyfunction]
pub(crate) fn forward_backward<'py>(
    py: Python<'py>,
    log_density: PyReadonlyArray2<'py, f64>,
    lengths: Vec<usize>,
    startprob: PyReadonlyArray1<'py, f64>,
    transmat: PyReadonlyArray2<'py, f64>,
) -> PyResult<(Matrix<'py>, Matrix<'py>, f64, Vec<usize>)> {
    let density = table("log_density", &log_density)?;
    let chain = Chain::new(values("startprob", &startprob)?, values("transmat", &transmat)?)
        .map_err(to_python)?;
    let lengths = Lengths::new(&lengths, density.rows()).map_err(to_python)?;
    let mut posterior = vec![0.0; density.values().len()];
    let found = py
        .detach(|| training_maps_hmm::forward_backward(density, lengths, chain, &mut posterior))
        .map_err(to_python)?;
    let states = chain.states();
    Ok((
        shaped(py, posterior, states)?,
        shaped(py, found.transitions, states)?,
        found.log_likelihood,
        found.redone,
    ))
}

/// Log-likelihood of all sequences together.
#[pyfunction]
pub(crate) fn log_likelihood(
    py: Python<'_>,
    log_density: PyReadonlyArray2<'_, f64>,
    lengths: Vec<usize>,
    startprob: PyReadonlyArray1<'_, f64>,
    transmat: PyReadonlyArray2<'_, f64>,
) -> PyResult<f64> {
    let density = table("log_density", &log_density)?;
    let chain = Chain::new(values("startprob", &startprob)?, values("transmat", &transmat)?)
        .map_err(to_python)?;
    let lengths = Lengths::new(&lengths, density.rows()).map_err(to_python)?;
    py.detach(|| training_maps_hmm::log_likelihood(density, lengths, chain)).map_err(to_python)
}

/// Log joint density of the most likely paths, and their (n,) states.
#[pyfunction]
pub(crate) fn viterbi<'py>(
    py: Python<'py>,
    log_density: PyReadonlyArray2<'py, f64>,
    lengths: Vec<usize>,
    startprob: PyReadonlyArray1<'py, f64>,
    transmat: PyReadonlyArray2<'py, f64>,
) -> PyResult<(f64, Bound<'py, PyArray1<i64>>)> {
    let density = table("log_density", &log_density)?;
    let chain = Chain::new(values("startprob", &startprob)?, values("transmat", &transmat)?)
        .map_err(to_python)?;
    let lengths = Lengths::new(&lengths, density.rows()).map_err(to_python)?;
    let path =
        py.detach(|| training_maps_hmm::viterbi(density, lengths, chain)).map_err(to_python)?;
    let states: Vec<i64> = path.states.into_iter().map(|state| state as i64).collect();
    Ok((path.log_joint, states.into_pyarray(py)))
}

/// Sums under the `weights` (n, K) of each state: of the weights (K,), of `rows` (n, p) times them
/// (K, p), and of products of their entries: all pairs (K, p p), or squares (K, p).
#[pyfunction]
pub(crate) fn moments<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, f64>,
    weights: PyReadonlyArray2<'py, f64>,
    pairs: bool,
) -> PyResult<(Vector<'py>, Matrix<'py>, Matrix<'py>)> {
    let (rows, weights) = (table("rows", &rows)?, table("weights", &weights)?);
    let products = if pairs { Products::Pairs } else { Products::Squares };
    let found =
        py.detach(|| training_maps_hmm::moments(rows, weights, products)).map_err(to_python)?;
    let (p, states) = (rows.width(), weights.width());
    let width = found.products.len() / states;
    Ok((
        found.weights.into_pyarray(py),
        shaped(py, found.sums, p)?,
        shaped(py, found.products, width)?,
    ))
}

fn shaped(py: Python<'_>, values: Vec<f64>, width: usize) -> PyResult<Matrix<'_>> {
    let rows = values.len() / width;
    values.into_pyarray(py).reshape([rows, width])
}

/// Add what is here to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(log_densities, module)?)?;
    module.add_function(wrap_pyfunction!(forward_backward, module)?)?;
    module.add_function(wrap_pyfunction!(log_likelihood, module)?)?;
    module.add_function(wrap_pyfunction!(viterbi, module)?)?;
    module.add_function(wrap_pyfunction!(moments, module)?)
}
