//! Many checkpoints in parallel, on threads of this call's own.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::blas::{SingleThreaded, prepare_thread};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::matrix::Selection;
use crate::metrics::{Bias, Metrics, WeightMatrices, metrics};

/// A request to stop, shared between threads; it is looked at between matrices.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Ask to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// The metrics of each file of `paths`, in that order, on `threads` threads.
///
/// One checkpoint's error leaves the others' results as they are. With at least twice as many
/// checkpoints as threads each thread works on a checkpoint of its own, which holds as many maps
/// as there are threads; with fewer, the threads share the matrices of one checkpoint after
/// another.
///
/// # Errors
/// [`Error::Argument`] for a selection or number of threads that makes no sense.
pub fn run_metrics(
    paths: &[String],
    selection: &Selection,
    threads: usize,
    cancel: &Cancel,
) -> Result<Vec<Result<Metrics, Error>>, Error> {
    selection.validate()?;
    let _single_threaded = SingleThreaded::new();
    let pool = pool(threads)?;
    let by_checkpoint = paths.len() >= 2 * threads;
    let one = |path: &String| {
        cancel.check()?;
        let checkpoint = Checkpoint::open(path)?;
        let (weights, biases) = checkpoint.header()?.select(selection)?;
        metrics(&weights, &biases, !by_checkpoint && threads > 1, cancel)
    };
    Ok(pool.install(|| {
        if by_checkpoint {
            paths.par_iter().map(one).collect()
        } else {
            paths.iter().map(one).collect()
        }
    }))
}

/// The metrics of tensors in memory.
///
/// # Errors
/// Whatever [`run_metrics`] tells of a checkpoint, and [`Error::Argument`] if there is no weight
/// matrix.
pub fn array_metrics(
    weights: &[WeightMatrices<'_>],
    biases: &[Bias<'_>],
    threads: usize,
    cancel: &Cancel,
) -> Result<Metrics, Error> {
    if weights.is_empty() {
        let reason = "at least one weight matrix is needed".to_owned();
        return Err(Error::Argument { name: "weights".to_owned(), reason });
    }
    let _single_threaded = SingleThreaded::new();
    let pool = pool(threads)?;
    pool.install(|| metrics(weights, biases, threads > 1, cancel))
}

/// A pool of this call's own: a global one would not survive a fork of the process.
fn pool(threads: usize) -> Result<ThreadPool, Error> {
    let refuse = |reason: String| Error::Argument { name: "threads".to_owned(), reason };
    if threads == 0 {
        return Err(refuse("expected at least 1".to_owned()));
    }
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(|_| prepare_thread())
        .thread_name(|i| format!("metrics-{i}"))
        .build()
        .map_err(|error| refuse(error.to_string()))
}
