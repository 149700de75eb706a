//! A safetensors file, mapped into memory. Its header is validated before any value is read.

use std::fs::File;

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::error::{Error, Place};
use crate::matrix::Selection;
use crate::metrics::{Bias, WeightMatrices};
use crate::tensor::{DType, TensorData};

/// What the header says of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Type as safetensors names it, such as `F32`.
    pub dtype: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
}

/// A mapped checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: String,
    map: Mmap,
}

impl Checkpoint {
    /// Map the file at `path`.
    ///
    /// # Errors
    /// [`Error::Open`] if the operating system refuses.
    pub fn open(path: &str) -> Result<Self, Error> {
        let map = File::open(path)
            // SAFETY: sound as long as nobody changes the file meanwhile. Checkpoints are written
            // aside and renamed when whole, never rewritten in place.
            .and_then(|file| unsafe { Mmap::map(&file) })
            .map_err(|source| Error::Open { path: path.to_owned(), source })?;
        Ok(Checkpoint { path: path.to_owned(), map })
    }

    /// Parse and validate the header.
    ///
    /// # Errors
    /// [`Error::Format`] if the file is truncated, or its header is no valid one for its length.
    pub fn header(&self) -> Result<Header<'_>, Error> {
        let tensors = SafeTensors::deserialize(&self.map).map_err(|error| Error::Format {
            path: self.path.clone(),
            reason: error.to_string(),
        })?;
        Ok(Header { path: &self.path, tensors })
    }
}

/// A checkpoint's validated header.
#[derive(Debug)]
pub struct Header<'a> {
    path: &'a str,
    tensors: SafeTensors<'a>,
}

impl<'a> Header<'a> {
    /// All tensors, sorted by name.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        let mut tensors: Vec<TensorInfo> = self
            .tensors
            .iter()
            .map(|(name, view)| TensorInfo {
                name: name.to_owned(),
                dtype: view.dtype().to_string(),
                shape: view.shape().to_vec(),
            })
            .collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        tensors
    }

    /// The selected tensors' values.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::DType`] or [`Error::Shape`] if a tensor is not as
    /// `selection` says.
    pub fn select(
        &self,
        selection: &Selection,
    ) -> Result<(Vec<WeightMatrices<'a>>, Vec<Bias<'a>>), Error> {
        let mut weights = Vec::with_capacity(selection.matrices.len());
        for spec in &selection.matrices {
            let (place, view, data) = self.tensor(&spec.tensor)?;
            weights.push(WeightMatrices::new(place, data, view.shape(), spec.dimensions())?);
        }
        let mut biases = Vec::with_capacity(selection.biases.len());
        for name in &selection.biases {
            let (place, view, data) = self.tensor(name)?;
            biases.push(Bias { place, data, shape: view.shape().to_vec() });
        }
        Ok((weights, biases))
    }

    fn tensor(&self, name: &str) -> Result<(Place, TensorView<'a>, TensorData<'a>), Error> {
        let place = Place { path: Some(self.path.to_owned()), tensor: name.to_owned() };
        let Ok(view) = self.tensors.tensor(name) else {
            return Err(Error::MissingTensor { place });
        };
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(Error::DType { place, dtype: other.to_string() }),
        };
        let data = TensorData::new(dtype, view.data());
        Ok((place, view, data))
    }
}
