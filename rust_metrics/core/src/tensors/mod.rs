//! Checkpoints, the tensors in them, and how these are viewed as matrices.

pub(crate) mod checkpoint;
mod header;
pub(crate) mod matrix;
pub(crate) mod tensor;
