//! Checkpoints as Python gives them: safetensors files, or named NumPy arrays, which are borrowed.

use std::collections::HashMap;
use std::path::PathBuf;

use numpy::{Element, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use training_maps_metrics::{Content, DType, Source, Tensor, TensorData};

/// A checkpoint's name in errors, and its files or its arrays by name, each with its type.
pub(crate) type GivenSource<'py> = (Option<String>, GivenContent<'py>);

#[derive(FromPyObject)]
pub(crate) enum GivenContent<'py> {
    Files(Vec<PathBuf>),
    Arrays(HashMap<String, (String, Bound<'py, PyAny>)>),
}

/// A checkpoint whose arrays are held.
pub(crate) struct HeldSource<'py> {
    path: Option<String>,
    content: HeldContent<'py>,
}

enum HeldContent<'py> {
    Files(Vec<PathBuf>),
    Arrays(HashMap<String, HeldArray<'py>>),
}

impl<'py> HeldSource<'py> {
    /// Hold the arrays of `given`.
    ///
    /// # Errors
    /// `TypeError` or `ValueError` for what is no array in C order of the type it is said to have.
    pub(crate) fn new((path, content): GivenSource<'py>) -> PyResult<Self> {
        let content = match content {
            GivenContent::Files(files) => HeldContent::Files(files),
            GivenContent::Arrays(arrays) => HeldContent::Arrays(
                arrays
                    .into_iter()
                    .map(|(name, (dtype, array))| {
                        let held = HeldArray::new(&name, &dtype, &array)?;
                        Ok((name, held))
                    })
                    .collect::<PyResult<_>>()?,
            ),
        };
        Ok(HeldSource { path, content })
    }

    /// The same for the core.
    pub(crate) fn borrow(&self) -> Source<'_> {
        let content = match &self.content {
            HeldContent::Files(files) => Content::Files(files.clone()),
            HeldContent::Arrays(arrays) => {
                let tensors = arrays.iter().map(|(name, array)| (name.clone(), array.tensor()));
                Content::Tensors(tensors.collect())
            }
        };
        Source { path: self.path.clone(), content }
    }
}

/// Values of a float type; those of half precision as their bits, which NumPy need not know.
enum HeldArray<'py> {
    F64(PyReadonlyArrayDyn<'py, f64>),
    F32(PyReadonlyArrayDyn<'py, f32>),
    Half(DType, PyReadonlyArrayDyn<'py, u16>),
}

impl<'py> HeldArray<'py> {
    fn new(name: &str, dtype: &str, array: &Bound<'py, PyAny>) -> PyResult<Self> {
        match dtype {
            "F64" => Ok(HeldArray::F64(hold(name, array, "float64")?)),
            "F32" => Ok(HeldArray::F32(hold(name, array, "float32")?)),
            "F16" => Ok(HeldArray::Half(DType::F16, hold(name, array, "the bits as uint16")?)),
            "BF16" => Ok(HeldArray::Half(DType::BF16, hold(name, array, "the bits as uint16")?)),
            _ => {
                let message =
                    format!("tensor '{name}' has dtype {dtype}; expected F64, F32, F16 or BF16");
                Err(PyValueError::new_err(message))
            }
        }
    }

    fn tensor(&self) -> Tensor<'_> {
        const CHECKED: &str = "contiguity is checked when the array is taken";
        let (data, shape) = match self {
            HeldArray::F64(array) => {
                (TensorData::from_f64(array.as_slice().expect(CHECKED)), array.shape())
            }
            HeldArray::F32(array) => {
                (TensorData::from_f32(array.as_slice().expect(CHECKED)), array.shape())
            }
            HeldArray::Half(dtype, array) => {
                (TensorData::from_bits(*dtype, array.as_slice().expect(CHECKED)), array.shape())
            }
        };
        Tensor { data, shape: shape.to_vec() }
    }
}

/// Borrow an array of `T`, which Python calls `expected`.
fn hold<'py, T: Element>(
    name: &str,
    array: &Bound<'py, PyAny>,
    expected: &str,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    let Ok(array) = array.cast::<PyArrayDyn<T>>() else {
        let message = format!("tensor '{name}' is no NumPy array of its type; expected {expected}");
        return Err(PyTypeError::new_err(message));
    };
    if !array.is_aligned() || !array.is_c_contiguous() {
        let message = format!("tensor '{name}' is not aligned in memory, or not in C order");
        return Err(PyValueError::new_err(message));
    }
    array.try_readonly().map_err(PyErr::from)
}
