//! Which tensors count, and how a tensor is viewed as matrices.

use std::collections::HashSet;

use crate::error::Error;

/// A row-major tensor viewed as `n_blocks` consecutive matrices of `rows` x `cols`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixSpec {
    /// Name of the tensor.
    pub tensor: String,
    /// Number of matrices in it, such as attention heads.
    pub n_blocks: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub cols: usize,
}

impl MatrixSpec {
    pub(crate) fn dimensions(&self) -> (usize, usize, usize) {
        (self.n_blocks, self.rows, self.cols)
    }
}

/// The weight matrices and biases of a network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Tensors that hold weight matrices.
    pub matrices: Vec<MatrixSpec>,
    /// Names of the tensors that are biases.
    pub biases: Vec<String>,
}

impl Selection {
    /// Check that there is something to measure and that no tensor counts twice.
    ///
    /// # Errors
    /// [`Error::Argument`] otherwise.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse =
            |name: &str, reason: String| Err(Error::Argument { name: name.to_owned(), reason });
        if self.matrices.is_empty() {
            return refuse("matrices", "no weight matrix is selected".to_owned());
        }
        let mut seen = HashSet::new();
        for spec in &self.matrices {
            if !seen.insert(&spec.tensor) {
                return refuse("matrices", format!("tensor '{}' is given twice", spec.tensor));
            }
            if spec.n_blocks == 0 || spec.rows == 0 || spec.cols == 0 {
                return refuse("matrices", format!("tensor '{}' has no values", spec.tensor));
            }
        }
        for name in &self.biases {
            if !seen.insert(name) {
                return refuse("biases", format!("tensor '{name}' is given twice"));
            }
        }
        Ok(())
    }
}
