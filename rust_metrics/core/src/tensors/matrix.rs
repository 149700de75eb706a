//! Which tensors count, and how a tensor is viewed as matrices.

use std::collections::HashSet;

use crate::error::{Error, Place};
use crate::tensors::tensor::TensorData;

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

/// A row-major tensor that holds `n_blocks` consecutive matrices of `rows` x `cols`.
#[derive(Debug, Clone)]
pub struct WeightMatrices<'a> {
    pub(crate) place: Place,
    pub(crate) data: TensorData<'a>,
    pub(crate) shape: Vec<usize>,
    pub(crate) n_blocks: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl<'a> WeightMatrices<'a> {
    /// View `data` of the given `shape` as (`n_blocks`, `rows`, `cols`).
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers of values differ, or there are none.
    pub fn new(
        place: Place,
        data: TensorData<'a>,
        shape: &[usize],
        (n_blocks, rows, cols): (usize, usize, usize),
    ) -> Result<Self, Error> {
        let shape = shape.to_vec();
        let expected = n_blocks.checked_mul(rows).and_then(|count| count.checked_mul(cols));
        if data.is_empty() || expected != Some(data.len()) {
            return Err(Error::Shape { place, shape, n_blocks, rows, cols });
        }
        Ok(WeightMatrices { place, data, shape, n_blocks, rows, cols })
    }

    /// About how long one of its matrices takes, in multiplications: the Gram matrix, and its
    /// eigenvalues, whose multiplications take four times as long.
    pub(crate) fn cost(&self) -> usize {
        let (side, other) = (self.rows.min(self.cols), self.rows.max(self.cols));
        side.saturating_mul(side).saturating_mul(other.saturating_add(4 * side))
    }
}

/// A bias tensor.
#[derive(Debug, Clone)]
pub struct Bias<'a> {
    /// Where it comes from.
    pub place: Place,
    /// Its values.
    pub data: TensorData<'a>,
    /// Its shape.
    pub shape: Vec<usize>,
}
