//! Many checkpoints in parallel.

use rayon::prelude::*;

use crate::cancel::Cancel;
use crate::error::Error;
use crate::linalg::blas::SingleThreaded;
use crate::metrics::checkpoint_metrics::{Metrics, Wanted, WithMatrices, metrics};
use crate::metrics::distance::distance;
use crate::tensors::checkpoint::Source;
use crate::tensors::matrix::{Bias, Selection, WeightMatrices};
use crate::threads::Threads;

/// The metrics of each checkpoint of `sources`, in that order, on `threads`; `tails` asks for
/// `tail_exponent`.
///
/// One checkpoint's error leaves the others' results as they are. With at least twice as many
/// checkpoints as threads each thread works on a checkpoint of its own, which holds as many maps
/// as there are threads; with fewer, the threads share the matrices of one checkpoint after
/// another.
///
/// # Errors
/// [`Error::Argument`] for a selection that makes no sense.
pub fn run_metrics(
    sources: &[Source<'_>],
    selection: &Selection,
    tails: bool,
    threads: &Threads,
    cancel: &Cancel,
) -> Result<Vec<Result<Metrics, Error>>, Error> {
    let found = measure(sources, selection, Wanted { tails, matrices: false }, threads, cancel)?;
    Ok(found.into_iter().map(|one| one.map(|(metrics, _)| metrics)).collect())
}

/// What [`run_metrics`] gives, each with the metrics of every matrix: those of the selection's first
/// tensor, block by block, then those of the next.
///
/// # Errors
/// As [`run_metrics`].
pub fn layer_metrics(
    sources: &[Source<'_>],
    selection: &Selection,
    tails: bool,
    threads: &Threads,
    cancel: &Cancel,
) -> Result<Vec<Result<WithMatrices, Error>>, Error> {
    measure(sources, selection, Wanted { tails, matrices: true }, threads, cancel)
}

fn measure(
    sources: &[Source<'_>],
    selection: &Selection,
    wanted: Wanted,
    threads: &Threads,
    cancel: &Cancel,
) -> Result<Vec<Result<WithMatrices, Error>>, Error> {
    selection.validate()?;
    let _single_threaded = SingleThreaded::new();
    Ok(each(sources, threads, |source, parallel| {
        cancel.check()?;
        let checkpoint = source.open()?;
        let (weights, biases) = checkpoint.tensors()?.select(selection)?;
        let found = metrics(&weights, &biases, wanted, parallel, cancel);
        checkpoint.check_unchanged()?;
        found
    }))
}

/// For each pair of places in `sources`, the Euclidean distance between the selected weights of
/// the one checkpoint and those of the other, on `threads`.
///
/// # Errors
/// As [`run_metrics`], and [`Error::Argument`] for a place that `sources` has not.
pub fn distances(
    sources: &[Source<'_>],
    pairs: &[(usize, usize)],
    selection: &Selection,
    threads: &Threads,
    cancel: &Cancel,
) -> Result<Vec<Result<f64, Error>>, Error> {
    selection.validate()?;
    if pairs.iter().any(|&(a, b)| a.max(b) >= sources.len()) {
        let reason = format!("there are {} checkpoints", sources.len());
        return Err(Error::Argument { name: "pairs".to_owned(), reason });
    }
    Ok(each(pairs, threads, |&(a, b), parallel| {
        cancel.check()?;
        let (a, b) = (sources[a].open()?, sources[b].open()?);
        let (of_a, of_b) = (a.tensors()?.weights(selection)?, b.tensors()?.weights(selection)?);
        let distance = distance(&of_a, &of_b, parallel, cancel);
        a.check_unchanged()?;
        b.check_unchanged()?;
        distance
    }))
}

/// `work` on each item: many items side by side, or few one by one with all threads on each, which
/// `work`'s second argument tells.
fn each<T: Sync, R: Send>(
    items: &[T],
    threads: &Threads,
    work: impl Fn(&T, bool) -> Result<R, Error> + Sync,
) -> Vec<Result<R, Error>> {
    let side_by_side = items.len() >= 2 * threads.count();
    threads.install(|| {
        if side_by_side {
            items.par_iter().map(|item| work(item, false)).collect()
        } else {
            items.iter().map(|item| work(item, threads.count() > 1)).collect()
        }
    })
}

/// The metrics of tensors in memory; `tails` asks for `tail_exponent`.
///
/// # Errors
/// Whatever [`run_metrics`] tells of a checkpoint, and [`Error::Argument`] if there is no weight
/// matrix.
pub fn array_metrics(
    weights: &[WeightMatrices<'_>],
    biases: &[Bias<'_>],
    tails: bool,
    threads: &Threads,
    cancel: &Cancel,
) -> Result<Metrics, Error> {
    if weights.is_empty() {
        let reason = "at least one weight matrix is needed".to_owned();
        return Err(Error::Argument { name: "weights".to_owned(), reason });
    }
    let _single_threaded = SingleThreaded::new();
    let wanted = Wanted { tails, matrices: false };
    let found = threads.install(|| metrics(weights, biases, wanted, threads.count() > 1, cancel));
    found.map(|(metrics, _)| metrics)
}
