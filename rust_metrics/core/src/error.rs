//! What can go wrong, in one enum; each variant names the file, the tensor and what was expected.

use std::fmt;

/// Where a value comes from: a tensor of a file, or an array given by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The checkpoint's path; `None` for an array in memory.
    pub path: Option<String>,
    /// The tensor's name in the file, or the argument's name, such as `weights[0]`.
    pub tensor: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{path}: tensor '{}'", self.tensor),
            None => write!(f, "{}", self.tensor),
        }
    }
}

/// Why metrics could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or mapped.
    #[error("{path}: cannot be read ({source})")]
    Open {
        /// The checkpoint's path.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not a whole, valid safetensors file.
    #[error("{path}: is not a whole safetensors file ({reason}); it may be truncated or corrupt")]
    Format {
        /// The checkpoint's path.
        path: String,
        /// What the header's validation said.
        reason: String,
    },
    /// The file was written to while it was read.
    #[error("{path}: changed while it was read; measure it again when it is whole")]
    Changed {
        /// The checkpoint's path.
        path: String,
    },
    /// A selected tensor is not in the file.
    #[error("{place} is missing")]
    MissingTensor {
        /// The missing tensor.
        place: Place,
    },
    /// A selected tensor has a type that is no floating-point type of ours.
    #[error("{place} has dtype {dtype}; expected F64, F32, F16 or BF16")]
    DType {
        /// The tensor.
        place: Place,
        /// Its type, as safetensors names it.
        dtype: String,
    },
    /// A tensor's size is not that of the matrices it should hold.
    #[error("{place} has shape {shape:?}; expected {n_blocks} x {rows} x {cols} values")]
    Shape {
        /// The tensor.
        place: Place,
        /// Its shape.
        shape: Vec<usize>,
        /// Expected number of matrices.
        n_blocks: usize,
        /// Expected rows of each.
        rows: usize,
        /// Expected columns of each.
        cols: usize,
    },
    /// A selected tensor holds NaN or an infinity.
    #[error("{place} holds {value} at index {index:?}")]
    NonFinite {
        /// The tensor.
        place: Place,
        /// Position of the first non-finite value.
        index: Vec<usize>,
        /// The value.
        value: f64,
    },
    /// All values are finite, yet a metric is too large for a 64-bit float.
    #[error("metric {metric} overflows: the values are too large")]
    Overflow {
        /// The metric's column name.
        metric: &'static str,
    },
    /// LAPACK gave up on a matrix.
    #[error("{place}: the singular values did not converge ({reason})")]
    Lapack {
        /// The tensor.
        place: Place,
        /// What LAPACK said.
        reason: String,
    },
    /// An argument of the caller makes no sense.
    #[error("{name}: {reason}")]
    Argument {
        /// The argument.
        name: String,
        /// What was expected.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// The tensor at fault, if it is one tensor's.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Error::MissingTensor { place }
            | Error::DType { place, .. }
            | Error::Shape { place, .. }
            | Error::NonFinite { place, .. }
            | Error::Lapack { place, .. } => Some(place),
            _ => None,
        }
    }
}
