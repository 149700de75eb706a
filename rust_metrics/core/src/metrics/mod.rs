//! What is computed of the tensors that count.

pub(crate) mod checkpoint_metrics;
pub(crate) mod distance;
pub(crate) mod median;
pub(crate) mod moments;
