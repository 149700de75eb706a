//! Runs of checkpoints on disk: reading, errors, and sameness over threads.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};
use training_maps_metrics::{
    Cancel, Content, Error, MATRIX_COLUMNS, MatrixSpec, Metrics, Selection, Source, Tensor,
    TensorData, Threads, distances, layer_metrics, run_metrics,
};

fn use_threads(count: usize) -> Threads {
    Threads::new(count).unwrap()
}

fn values(seed: u64, len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i as f32 + 1.0) * (seed as f32 + 0.7)).sin()).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A file with heads of (3, 5, 7), a matrix of (9, 4) and a bias of 11.
fn checkpoint(seed: u64) -> Vec<u8> {
    let (heads, matrix, bias) =
        (bytes(&values(seed, 105)), bytes(&values(seed + 1, 36)), bytes(&values(seed + 2, 11)));
    let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
    let tensors = HashMap::from([
        ("heads", view(&[3, 5, 7], heads.as_slice())),
        ("matrix", view(&[9, 4], matrix.as_slice())),
        ("bias", view(&[11], bias.as_slice())),
    ]);
    serialize(tensors, None).unwrap()
}

fn selection() -> Selection {
    let spec = |tensor: &str, n_blocks, rows, cols| MatrixSpec {
        tensor: tensor.to_owned(),
        n_blocks,
        rows,
        cols,
    };
    Selection {
        matrices: vec![spec("heads", 3, 5, 7), spec("matrix", 1, 9, 4)],
        biases: vec!["bias".to_owned()],
    }
}

fn write(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn source(path: &str) -> Source<'static> {
    Source { path: Some(path.to_owned()), content: Content::Files(vec![path.into()]) }
}

fn sources(paths: &[String]) -> Vec<Source<'static>> {
    paths.iter().map(|path| source(path)).collect()
}

fn run(paths: &[String], threads: usize) -> Vec<Result<Metrics, Error>> {
    run_metrics(&sources(paths), &selection(), true, &use_threads(threads), &Cancel::default())
        .unwrap()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<String> =
        (0..7).map(|seed| write(folder.path(), &format!("{seed}"), &checkpoint(seed))).collect();
    let reference: Vec<Metrics> = run(&paths, 1).into_iter().map(Result::unwrap).collect();
    assert_ne!(reference[0], reference[1]);
    for threads in [2, 3, 4, 9] {
        let metrics: Vec<Metrics> = run(&paths, threads).into_iter().map(Result::unwrap).collect();
        assert_eq!(metrics, reference, "{threads} threads");
    }
}

#[test]
fn metrics_are_the_means_of_those_of_each_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<String> =
        (0..5).map(|seed| write(folder.path(), &format!("{seed}"), &checkpoint(seed))).collect();
    let measured = |threads| {
        let threads = use_threads(threads);
        layer_metrics(&sources(&paths), &selection(), false, &threads, &Cancel::default()).unwrap()
    };
    let whole = run(&paths, 1);
    for (found, whole) in measured(1).iter().zip(&whole) {
        let ((metrics, matrices), whole) = (found.as_ref().unwrap(), whole.as_ref().unwrap());
        assert_eq!(matrices.len(), 4); // three heads and a matrix
        for (name, value) in whole.columns() {
            let Some(i) = MATRIX_COLUMNS.iter().position(|&column| column == name) else {
                continue;
            };
            let mean = matrices.iter().map(|matrix| matrix[i]).sum::<f64>() / 4.0;
            match name {
                // Of all weights as one set; of few values there is no tail.
                "mean_w" | "median_w" | "var_w" => assert!(mean.is_finite()),
                "tail_exponent" => assert!(mean.is_nan() && value.is_none()),
                _ => assert_eq!(Some(mean), value, "{name}"),
            }
        }
        assert_eq!(metrics, whole);
    }
    let bits = |threads| -> Vec<u64> {
        measured(threads)
            .into_iter()
            .flat_map(|one| one.unwrap().1)
            .flatten()
            .map(f64::to_bits)
            .collect()
    };
    assert_eq!(bits(1), bits(4));
}

#[test]
fn one_broken_file_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let whole = write(folder.path(), "whole", &checkpoint(1));
    let content = checkpoint(2);
    let truncated = write(folder.path(), "truncated", &content[..content.len() - 1]);
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let mut nan = checkpoint(3);
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let nan = write(folder.path(), "nan", &nan);
    for threads in [1, 8] {
        let results =
            run(&[whole.clone(), truncated.clone(), missing.clone(), nan.clone()], threads);
        assert!(results[0].is_ok());
        assert!(matches!(&results[1], Err(Error::Format { path, .. }) if *path == truncated));
        assert!(matches!(&results[2], Err(Error::Open { path, .. }) if *path == missing));
        let Err(Error::NonFinite { place, index, .. }) = &results[3] else {
            panic!("{:?}", results[3]);
        };
        assert_eq!((place.tensor.as_str(), index.as_slice()), ("matrix", &[8, 3][..]));
    }
}

#[test]
fn a_request_to_stop_is_heeded() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "whole", &checkpoint(1));
    let cancel = Cancel::default();
    cancel.request();
    let results =
        run_metrics(&[source(&path)], &selection(), true, &use_threads(1), &cancel).unwrap();
    assert!(matches!(results[0], Err(Error::Cancelled)));
}

#[test]
fn tensors_that_are_not_as_selected() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "whole", &checkpoint(1));
    let mut wrong = selection();
    wrong.matrices[1].rows = 8;
    let results =
        run_metrics(&[source(&path)], &wrong, true, &use_threads(1), &Cancel::default()).unwrap();
    let message = results[0].as_ref().unwrap_err().to_string();
    assert!(message.ends_with("tensor 'matrix' has shape [9, 4]; expected 1 x 8 x 4 values"));
    wrong.matrices[1].rows = usize::MAX;
    let results =
        run_metrics(&[source(&path)], &wrong, true, &use_threads(1), &Cancel::default()).unwrap();
    assert!(matches!(results[0], Err(Error::Shape { .. })));
}

#[test]
fn arguments_that_make_no_sense() {
    let none = Selection::default();
    assert!(matches!(
        run_metrics(&[], &none, true, &use_threads(1), &Cancel::default()),
        Err(Error::Argument { .. })
    ));
}
/// A checkpoint of arrays in memory.
fn in_memory<'a>(values: &'a [(&str, Vec<usize>, Vec<f32>)]) -> Source<'a> {
    let tensors = values.iter().map(|(name, shape, values)| {
        let data = TensorData::from_f32(values);
        ((*name).to_owned(), Tensor { data, shape: shape.clone() })
    });
    Source { path: None, content: Content::Tensors(tensors.collect()) }
}

/// The tensors of `checkpoint(seed)`.
fn arrays(seed: u64) -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
    vec![
        ("heads", vec![3, 5, 7], values(seed, 105)),
        ("matrix", vec![9, 4], values(seed + 1, 36)),
        ("bias", vec![11], values(seed + 2, 11)),
    ]
}

#[test]
fn files_shards_and_arrays_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = write(folder.path(), "whole", &checkpoint(4));
    let given = arrays(4);
    let shards = given
        .iter()
        .map(|(name, shape, values)| {
            let content = bytes(values);
            let view = TensorView::new(Dtype::F32, shape.clone(), &content).unwrap();
            write(folder.path(), name, &serialize([(name, view)], None).unwrap()).into()
        })
        .collect();
    let sources =
        [source(&whole), Source { path: None, content: Content::Files(shards) }, in_memory(&given)];
    let found =
        run_metrics(&sources, &selection(), true, &use_threads(1), &Cancel::default()).unwrap();
    let found: Vec<Metrics> = found.into_iter().map(Result::unwrap).collect();
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
    let pairs = [(0, 1), (1, 2), (2, 0)];
    let apart =
        distances(&sources, &pairs, &selection(), &use_threads(1), &Cancel::default()).unwrap();
    assert!(apart.into_iter().all(|distance| distance.unwrap() == 0.0));
}

#[test]
fn distances_are_of_weights_alone() {
    let (a, b) = (arrays(1), arrays(2));
    let sources = [in_memory(&a), in_memory(&b)];
    let squares = a.iter().zip(&b).take(2).flat_map(|(a, b)| a.2.iter().zip(&b.2));
    let expected: f64 =
        squares.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt();
    for threads in [1, 3] {
        let found =
            distances(&sources, &[(0, 1)], &selection(), &use_threads(threads), &Cancel::default())
                .unwrap();
        assert!((found[0].as_ref().unwrap() / expected - 1.0).abs() < 1e-14);
    }
    let refused = distances(&sources, &[(0, 2)], &selection(), &use_threads(1), &Cancel::default());
    assert!(matches!(refused, Err(Error::Argument { .. })));
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    assert!(matches!(&run(&[path], 1)[0], Err(Error::Open { .. })));
}
