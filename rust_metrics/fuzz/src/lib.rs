//! What the fuzzers share: files of made-up content, and what may come of reading them.
//!
//! The property is always the same: what an independent reader confirms, or one error that names
//! the file; never a crash, and no number that is not finite.

use std::path::PathBuf;
use std::sync::OnceLock;

use safetensors::SafeTensors;
use training_maps_metrics::{
    Cancel, Content, Error, MatrixSpec, Metrics, Selection, Source, TensorInfo, Threads,
    run_metrics,
};

/// A file of this process with this content; in memory, as tools/fuzz.sh sets TMPDIR.
fn written(content: &[u8]) -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        std::env::temp_dir().join(format!("training-maps-fuzz-{}", std::process::id()))
    });
    std::fs::write(path, content).unwrap();
    path.clone()
}

/// A source that reads a file of this content.
pub fn source(content: &[u8]) -> Source<'static> {
    let path = written(content);
    Source { path: Some(path.display().to_string()), content: Content::Files(vec![path]) }
}

/// The tensors that a file has, which are those that the safetensors crate finds; None if both
/// refuse it, or if only ours does, which is stricter.
pub fn described(content: &[u8], source: &Source<'_>) -> Option<Vec<TensorInfo>> {
    let found = source.open().and_then(|checkpoint| Ok(checkpoint.tensors()?.describe()));
    let label = source.path.as_deref().unwrap();
    let tensors = match found {
        Ok(tensors) => tensors,
        Err(error) => {
            assert!(matches!(error, Error::Format { .. }), "{error:?}");
            assert!(error.to_string().starts_with(label), "{error}");
            return None;
        }
    };
    let peer = SafeTensors::deserialize(content).expect("the peer refuses what we read");
    assert_eq!(tensors.len(), peer.len());
    for tensor in &tensors {
        let view = peer.tensor(&tensor.name).expect("the peer does not know this tensor");
        assert_eq!(tensor.shape, view.shape());
    }
    Some(tensors)
}

/// Every tensor of floats that holds something, as one row.
pub fn all_as_rows(tensors: Vec<TensorInfo>) -> Vec<MatrixSpec> {
    tensors
        .into_iter()
        .filter(|tensor| ["F64", "F32", "F16", "BF16"].contains(&tensor.dtype.as_str()))
        .map(|tensor| (tensor.name, tensor.shape.iter().product()))
        .filter(|&(_, cols)| cols > 0)
        .map(|(tensor, cols)| MatrixSpec { tensor, n_blocks: 1, rows: 1, cols })
        .collect()
}

/// The metrics of a selection; the selection may make no sense.
pub fn measured(
    source: Source<'_>,
    selection: &Selection,
) -> Result<Result<Metrics, Error>, Error> {
    static ONE: OnceLock<Threads> = OnceLock::new();
    let one = ONE.get_or_init(|| Threads::new(1).unwrap());
    run_metrics(&[source], selection, true, one, &Cancel::default())
        .map(|mut found| found.remove(0))
}

/// Panics if a metric is not finite.
pub fn check_finite(metrics: &Metrics) {
    for (name, value) in metrics.columns() {
        assert!(value.is_none_or(f64::is_finite), "{name} is {value:?}");
    }
}
