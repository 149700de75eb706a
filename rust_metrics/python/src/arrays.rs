//! NumPy arrays as tensors of the core: borrowed where they are contiguous, copied otherwise.

use numpy::{
    PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use training_maps_metrics::{Bias, Place, TensorData, WeightMatrices};

use crate::errors::to_python;

/// A float array of an argument, held in C order.
pub(crate) struct Array<'py> {
    name: String,
    values: Values<'py>,
    shape: Vec<usize>,
}

enum Values<'py> {
    BorrowedF32(PyReadonlyArrayDyn<'py, f32>),
    BorrowedF64(PyReadonlyArrayDyn<'py, f64>),
    CopiedF32(Vec<f32>),
    CopiedF64(Vec<f64>),
}

impl<'py> Array<'py> {
    /// Take the list given as `argument`; items are named `argument[i]` in errors.
    pub(crate) fn all(argument: &str, items: &[Bound<'py, PyAny>]) -> PyResult<Vec<Self>> {
        let named = items.iter().enumerate();
        named.map(|(i, item)| Array::new(format!("{argument}[{i}]"), item)).collect()
    }

    fn new(name: String, item: &Bound<'py, PyAny>) -> PyResult<Self> {
        let Ok(untyped) = item.cast::<PyUntypedArray>() else {
            let found = item.get_type().name()?;
            return Err(PyTypeError::new_err(format!("{name} is a {found}, not a NumPy array")));
        };
        let shape = untyped.shape().to_vec();
        if !untyped.is_aligned() {
            return Err(PyValueError::new_err(format!("{name} is not aligned in memory")));
        }
        // `as_slice` takes Fortran order too, which would transpose.
        let borrow = untyped.is_c_contiguous();
        let values = if let Ok(array) = item.cast::<PyArrayDyn<f32>>() {
            let array = array.try_readonly().map_err(PyErr::from)?;
            match borrow {
                true => Values::BorrowedF32(array),
                false => Values::CopiedF32(array.as_array().iter().copied().collect()),
            }
        } else if let Ok(array) = item.cast::<PyArrayDyn<f64>>() {
            let array = array.try_readonly().map_err(PyErr::from)?;
            match borrow {
                true => Values::BorrowedF64(array),
                false => Values::CopiedF64(array.as_array().iter().copied().collect()),
            }
        } else {
            let dtype = untyped.dtype();
            let message = format!("{name} has dtype {dtype}; expected float32 or float64");
            return Err(PyTypeError::new_err(message));
        };
        Ok(Array { name, values, shape })
    }

    fn data(&self) -> TensorData<'_> {
        const CHECKED: &str = "contiguity is checked when the array is taken";
        match &self.values {
            Values::BorrowedF32(array) => TensorData::from_f32(array.as_slice().expect(CHECKED)),
            Values::BorrowedF64(array) => TensorData::from_f64(array.as_slice().expect(CHECKED)),
            Values::CopiedF32(values) => TensorData::from_f32(values),
            Values::CopiedF64(values) => TensorData::from_f64(values),
        }
    }

    fn place(&self) -> Place {
        Place { path: None, tensor: self.name.clone() }
    }
}

/// Weights of shape (rows, cols), or (n_matrices, rows, cols).
pub(crate) fn as_weights<'a>(arrays: &'a [Array<'_>]) -> PyResult<Vec<WeightMatrices<'a>>> {
    arrays.iter().map(|array| {
        let dimensions = match array.shape[..] {
            [rows, cols] => (1, rows, cols),
            [n_blocks, rows, cols] => (n_blocks, rows, cols),
            _ => {
                let Array { name, shape, .. } = array;
                return Err(PyValueError::new_err(format!(
                    "{name} has shape {shape:?}; expected (rows, cols) or (n_matrices, rows, cols)"
                )));
            }
        };
        WeightMatrices::new(array.place(), array.data(), &array.shape, dimensions)
            .map_err(to_python)
    })
    .collect()
}

/// Biases of any shape.
pub(crate) fn as_biases<'a>(arrays: &'a [Array<'_>]) -> Vec<Bias<'a>> {
    arrays
        .iter()
        .map(|array| Bias { place: array.place(), data: array.data(), shape: array.shape.clone() })
        .collect()
}
