//! A checkpoint's tensors: of safetensors files, mapped into memory, or of arrays that the caller
//! holds. The header of a file is validated before any value is read.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use crate::error::{Error, Place};
use crate::tensors::header;
use crate::tensors::matrix::{Bias, MatrixSpec, Selection, WeightMatrices};
use crate::tensors::tensor::{DType, TensorData};

/// Files up to this many bytes are read, not mapped: that is as quick, and nothing that happens to
/// the file afterwards matters.
const SMALL_FILE: u64 = 1 << 20;

/// What a header says of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Type as safetensors names it, such as `F32`.
    pub dtype: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
}

/// A tensor in memory, row-major.
#[derive(Debug, Clone)]
pub struct Tensor<'a> {
    /// Its values.
    pub data: TensorData<'a>,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// A checkpoint that is still to be opened.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// What errors call it; `None` for a network in memory.
    pub path: Option<String>,
    /// Where its tensors are.
    pub content: Content<'a>,
}

/// Where a checkpoint's tensors are.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// In safetensors files, each tensor in one of them; their order means nothing.
    Files(Vec<PathBuf>),
    /// In memory, by name.
    Tensors(HashMap<String, Tensor<'a>>),
}

impl Source<'_> {
    /// Map the files, or borrow the tensors.
    ///
    /// # Errors
    /// [`Error::Open`] if the operating system refuses.
    pub fn open(&self) -> Result<Checkpoint<'_>, Error> {
        let content = match &self.content {
            Content::Files(paths) => Opened::Files(
                paths.iter().map(|path| OpenFile::new(path)).collect::<Result<_, _>>()?,
            ),
            Content::Tensors(tensors) => Opened::Tensors(tensors),
        };
        Ok(Checkpoint { path: self.path.as_deref(), content })
    }
}

/// An open checkpoint.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    path: Option<&'a str>,
    content: Opened<'a>,
}

#[derive(Debug)]
enum Opened<'a> {
    Files(Vec<OpenFile>),
    Tensors(&'a HashMap<String, Tensor<'a>>),
}

impl Checkpoint<'_> {
    /// Parse and validate the headers.
    ///
    /// # Errors
    /// [`Error::Format`] if a file is truncated, its header is no valid one for its length, or a
    /// tensor is in two files.
    pub fn tensors(&self) -> Result<Tensors<'_>, Error> {
        let lookup = match &self.content {
            Opened::Files(files) => Lookup::Files(headers(files)?),
            Opened::Tensors(tensors) => Lookup::Tensors(tensors),
        };
        Ok(Tensors { path: self.path, lookup })
    }

    /// Make sure that the files are still those that were opened.
    ///
    /// # Errors
    /// [`Error::Changed`] if one was written to meanwhile.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        match &self.content {
            Opened::Files(files) => files.iter().try_for_each(OpenFile::check_unchanged),
            Opened::Tensors(_) => Ok(()),
        }
    }
}

fn headers(files: &[OpenFile]) -> Result<Vec<(&str, SafeTensors<'_>)>, Error> {
    let headers = files
        .iter()
        .map(|file| Ok((file.path.as_str(), file.header()?)))
        .collect::<Result<Vec<_>, Error>>()?;
    if headers.len() > 1 {
        let mut seen = HashSet::new();
        for (path, header) in &headers {
            if let Some(name) = header.names().into_iter().find(|&name| !seen.insert(name)) {
                let reason = format!("tensor '{name}' is in another file of the checkpoint too");
                return Err(Error::Format { path: (*path).to_owned(), reason });
            }
        }
    }
    Ok(headers)
}

/// The tensors of an open checkpoint, by name.
#[derive(Debug)]
pub struct Tensors<'a> {
    path: Option<&'a str>,
    lookup: Lookup<'a>,
}

#[derive(Debug)]
enum Lookup<'a> {
    Files(Vec<(&'a str, SafeTensors<'a>)>),
    Tensors(&'a HashMap<String, Tensor<'a>>),
}

impl<'a> Tensors<'a> {
    /// All tensors of files, sorted by name; none of tensors in memory, which the caller knows.
    pub fn describe(&self) -> Vec<TensorInfo> {
        let Lookup::Files(files) = &self.lookup else { return Vec::new() };
        let mut tensors: Vec<TensorInfo> = files
            .iter()
            .flat_map(|(_, header)| header.iter())
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
            let (place, tensor) = self.tensor(&spec.tensor)?;
            weights.push(WeightMatrices::new(
                place,
                tensor.data,
                &tensor.shape,
                spec.dimensions(),
            )?);
        }
        let mut biases = Vec::with_capacity(selection.biases.len());
        for name in &selection.biases {
            let (place, Tensor { data, shape }) = self.tensor(name)?;
            biases.push(Bias { place, data, shape });
        }
        Ok((weights, biases))
    }

    /// The values of the selected weight matrices alone.
    ///
    /// # Errors
    /// As [`Tensors::select`].
    pub fn weights(&self, selection: &Selection) -> Result<Vec<TensorData<'a>>, Error> {
        let one = |spec: &MatrixSpec| {
            let (place, tensor) = self.tensor(&spec.tensor)?;
            WeightMatrices::new(place, tensor.data, &tensor.shape, spec.dimensions())?;
            Ok(tensor.data)
        };
        selection.matrices.iter().map(one).collect()
    }

    fn tensor(&self, name: &str) -> Result<(Place, Tensor<'a>), Error> {
        let place =
            |path: Option<&str>| Place { path: path.map(str::to_owned), tensor: name.to_owned() };
        match &self.lookup {
            Lookup::Files(files) => {
                for (path, header) in files {
                    if let Ok(view) = header.tensor(name) {
                        let place = place(Some(path));
                        let Some(dtype) = float_type(view.dtype()) else {
                            return Err(Error::DType { place, dtype: view.dtype().to_string() });
                        };
                        let data = TensorData::new(dtype, view.data());
                        return Ok((place, Tensor { data, shape: view.shape().to_vec() }));
                    }
                }
            }
            Lookup::Tensors(tensors) => {
                if let Some(tensor) = tensors.get(name) {
                    return Ok((place(self.path), tensor.clone()));
                }
            }
        }
        Err(Error::MissingTensor { place: place(self.path) })
    }
}

fn float_type(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F64 => Some(DType::F64),
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        _ => None,
    }
}

/// A file as it was when opened.
#[derive(Debug)]
struct OpenFile {
    path: String,
    file: File,
    bytes: Bytes,
    opened: (u64, Option<SystemTime>),
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Read(Vec<u8>),
}

impl OpenFile {
    fn new(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        match Self::open(path, name.clone()) {
            Ok(file) => Ok(file),
            Err(source) => Err(Error::Open { path: name, source }),
        }
    }

    fn open(path: &Path, name: String) -> io::Result<Self> {
        // Looked at before it is opened: opening a pipe waits for somebody to write to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        let mut file = File::open(path)?;
        let opened = size_and_time(&file)?;
        let bytes = if opened.0 <= SMALL_FILE {
            let mut content = Vec::with_capacity(opened.0 as usize);
            (&mut file).take(opened.0).read_to_end(&mut content)?;
            Bytes::Read(content)
        } else {
            // SAFETY: sound as long as nobody changes the file meanwhile. Checkpoints are written
            // aside and renamed when whole, which leaves an open file as it is. One that is
            // written in place gives other values, which `check_unchanged` tells; one that is cut
            // short ends the process (SIGBUS), which cannot be told from here.
            Bytes::Mapped(unsafe { Mmap::map(&file) }?)
        };
        Ok(OpenFile { path: name, file, bytes, opened })
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Read(content) => content,
        }
    }

    fn header(&self) -> Result<SafeTensors<'_>, Error> {
        let refuse = |reason: String| Error::Format { path: self.path.clone(), reason };
        header::check(self.bytes()).map_err(refuse)?;
        SafeTensors::deserialize(self.bytes()).map_err(|error| refuse(error.to_string()))
    }

    fn check_unchanged(&self) -> Result<(), Error> {
        let open = |source| Error::Open { path: self.path.clone(), source };
        if size_and_time(&self.file).map_err(open)? == self.opened {
            return Ok(());
        }
        Err(Error::Changed { path: self.path.clone() })
    }
}

fn size_and_time(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}
