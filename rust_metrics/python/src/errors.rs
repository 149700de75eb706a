//! The one conversion of the core's errors to Python's.

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;
use training_maps_metrics::Error;

/// The exception that `error` becomes where there is one result only.
pub(crate) fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Open { .. } => PyOSError::new_err(message),
        Error::Cancelled => PyKeyboardInterrupt::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

/// Why one checkpoint of a run has no metrics.
#[pyclass(frozen, get_all, module = "training_maps._rust_metrics")]
pub(crate) struct CheckpointFailure {
    /// "non_finite" for NaN or infinity in a selected tensor, "unreadable" for a file that cannot be
    /// read, "invalid" for all else.
    kind: &'static str,
    /// The tensor at fault, if it is one tensor's.
    tensor: Option<String>,
    /// What is wrong, with the file.
    message: String,
}

impl CheckpointFailure {
    pub(crate) fn new(error: &Error) -> Self {
        CheckpointFailure {
            kind: match error {
                Error::NonFinite { .. } | Error::Overflow { .. } => "non_finite",
                Error::Open { .. } | Error::Format { .. } | Error::Changed { .. } => "unreadable",
                _ => "invalid",
            },
            tensor: error.place().map(|place| place.tensor.clone()),
            message: error.to_string(),
        }
    }
}

#[pymethods]
impl CheckpointFailure {
    fn __repr__(&self) -> String {
        format!("CheckpointFailure({:?}, {:?})", self.kind, self.message)
    }
}
