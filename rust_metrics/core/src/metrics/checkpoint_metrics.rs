//! The metrics of one checkpoint: the 14 of Hu et al. 2023, Appendix B, and three of its spectra.
//!
//! With K weight matrices W_k of singular values lambda, all N weights w and all biases b:
//! `l1`, `l2`, `trace`, `lambda_*` and the ratios are means over k; `*_w` and `*_b` run over all
//! weights, or biases, as one set.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cancel::Cancel;
use crate::error::{Error, Place};
use crate::linalg::spectrum::{Spectrum, spectrum};
use crate::metrics::median::median;
use crate::metrics::moments::Moments;
use crate::tensors::matrix::{Bias, WeightMatrices};
use crate::tensors::tensor::TensorData;

/// Magnitudes whose squares, summed over any matrix, neither overflow nor vanish in f64.
const SAFE_MAGNITUDES: std::ops::RangeInclusive<f64> = 1e-130..=1e130;

/// The metrics of one checkpoint; those of the biases are `None` where there are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Mean over k of the sum of absolute entries of W_k.
    pub l1: f64,
    /// Mean over k of the Frobenius norm of W_k.
    pub l2: f64,
    /// Mean over k of L1 / L2 of W_k, 0 for an all-zero W_k.
    pub l1_over_l2: f64,
    /// Mean of all weights.
    pub mean_w: f64,
    /// Median of all weights.
    pub median_w: f64,
    /// Variance of all weights, without Bessel's correction.
    pub var_w: f64,
    /// Mean of all biases.
    pub mean_b: Option<f64>,
    /// Median of all biases.
    pub median_b: Option<f64>,
    /// Variance of all biases, without Bessel's correction.
    pub var_b: Option<f64>,
    /// Mean over k of the sum of the main diagonal of W_k.
    pub trace: f64,
    /// Mean over k of the largest singular value.
    pub lambda_max: f64,
    /// Mean over k of trace / lambda_max of W_k, 0 for an all-zero W_k.
    pub trace_over_lambda_max: f64,
    /// Mean over k of the mean singular value.
    pub mean_lambda: f64,
    /// Mean over k of the variance of the singular values, without Bessel's correction.
    pub var_lambda: f64,
    /// Mean over k of the stable rank, (L2 / lambda_max)² of W_k, 0 for an all-zero W_k.
    pub stable_rank: f64,
    /// Mean over k of the effective rank (`Spectrum::effective_rank`).
    pub effective_rank: f64,
    /// Mean, over those k that have one, of the power-law exponent of the eigenvalues of W_kᵀ W_k
    /// (`Spectrum::tail_exponent`); `None` if none has, or it was not asked for.
    pub tail_exponent: Option<f64>,
}

impl Metrics {
    /// Column names and values: the 14 of the paper in their order, then the others.
    pub fn columns(&self) -> [(&'static str, Option<f64>); 17] {
        [
            ("l1", Some(self.l1)),
            ("l2", Some(self.l2)),
            ("l1_over_l2", Some(self.l1_over_l2)),
            ("mean_w", Some(self.mean_w)),
            ("median_w", Some(self.median_w)),
            ("var_w", Some(self.var_w)),
            ("mean_b", self.mean_b),
            ("median_b", self.median_b),
            ("var_b", self.var_b),
            ("trace", Some(self.trace)),
            ("lambda_max", Some(self.lambda_max)),
            ("trace_over_lambda_max", Some(self.trace_over_lambda_max)),
            ("mean_lambda", Some(self.mean_lambda)),
            ("var_lambda", Some(self.var_lambda)),
            ("stable_rank", Some(self.stable_rank)),
            ("effective_rank", Some(self.effective_rank)),
            ("tail_exponent", self.tail_exponent),
        ]
    }
}

/// What one matrix W_k adds to the metrics.
#[derive(Debug, Clone, Copy)]
struct MatrixSummary {
    moments: Moments,
    /// NaN where it was not asked for.
    median: f64,
    l2: f64,
    trace: f64,
    spectrum: Spectrum,
}

impl MatrixSummary {
    fn l1_over_l2(&self) -> f64 {
        ratio(self.moments.sum_abs, self.l2)
    }

    fn trace_over_lambda_max(&self) -> f64 {
        ratio(self.trace, self.spectrum.max)
    }

    fn stable_rank(&self) -> f64 {
        ratio(self.l2, self.spectrum.max).powi(2)
    }

    fn columns(&self) -> MatrixMetrics {
        [
            self.moments.sum_abs,
            self.l2,
            self.l1_over_l2(),
            self.moments.mean(),
            self.median,
            self.moments.variance(),
            self.trace,
            self.spectrum.max,
            self.trace_over_lambda_max(),
            self.spectrum.mean,
            self.spectrum.variance,
            self.stable_rank(),
            self.spectrum.effective_rank,
            self.spectrum.tail_exponent.unwrap_or(f64::NAN),
        ]
    }
}

/// Names of the metrics that a matrix has by itself: those of [`Metrics`] without the biases'.
pub const MATRIX_COLUMNS: [&str; 14] = [
    "l1",
    "l2",
    "l1_over_l2",
    "mean_w",
    "median_w",
    "var_w",
    "trace",
    "lambda_max",
    "trace_over_lambda_max",
    "mean_lambda",
    "var_lambda",
    "stable_rank",
    "effective_rank",
    "tail_exponent",
];

/// The metrics of one matrix, in the order of [`MATRIX_COLUMNS`]; a tail's exponent that it has
/// not, or that was not asked for, is NaN.
pub type MatrixMetrics = [f64; MATRIX_COLUMNS.len()];

/// The metrics of a checkpoint, and those of each of its matrices.
pub type WithMatrices = (Metrics, Vec<MatrixMetrics>);

/// What is computed that takes time of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// `tail_exponent`, which takes a while on small matrices.
    pub(crate) tails: bool,
    /// The metrics of each matrix beside those of the checkpoint: a median more for each.
    pub(crate) matrices: bool,
}

/// Larger buffers than 32 MiB are not kept: their matrices take so long that new ones cost nothing.
const KEPT: usize = 1 << 22;

/// What a thread keeps from one matrix to the next.
#[derive(Default)]
struct Buffers {
    values: Vec<f64>,
    gram: Vec<f64>,
}

impl Buffers {
    fn let_go_of_large_ones(&mut self) {
        for buffer in [&mut self.values, &mut self.gram] {
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
    }
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// The metrics of one checkpoint, and those of each matrix, in the order given, if they are wanted.
/// `parallel` spreads the matrices over rayon's threads.
///
/// Each thread holds a copy, as f64, of one matrix at a time, and its Gram matrix.
///
/// # Errors
/// [`Error::NonFinite`] for the first non-finite value in the order given, weights first;
/// [`Error::Lapack`], [`Error::Overflow`], [`Error::Cancelled`].
pub(crate) fn metrics(
    weights: &[WeightMatrices<'_>],
    biases: &[Bias<'_>],
    wanted: Wanted,
    parallel: bool,
    cancel: &Cancel,
) -> Result<WithMatrices, Error> {
    let matrices: Vec<(&WeightMatrices<'_>, usize)> = weights
        .iter()
        .flat_map(|tensor| (0..tensor.n_blocks).map(move |block| (tensor, block)))
        .collect();
    let one = |&(tensor, block): &(&WeightMatrices<'_>, usize)| {
        cancel.check()?;
        BUFFERS.with_borrow_mut(|buffers| {
            let summary = summarise(tensor, block, wanted, buffers);
            buffers.let_go_of_large_ones();
            summary
        })
    };
    let summaries: Vec<MatrixSummary> = if parallel {
        // Collected first and searched in order, so that of two errors the first is told.
        in_parallel(&matrices, |(tensor, _)| tensor.cost(), one)
            .into_iter()
            .collect::<Result<_, _>>()?
    } else {
        matrices.iter().map(one).collect::<Result<_, _>>()?
    };
    let bias_moments = biases.iter().try_fold(Moments::EMPTY, |total, bias| {
        let moments = Moments::of_tensor(bias.data);
        check_finite(&moments, bias.data, 0, &bias.place, &bias.shape)?;
        Ok(total.merge(moments))
    })?;
    cancel.check()?;
    let all_weights: Vec<TensorData<'_>> = weights.iter().map(|tensor| tensor.data).collect();
    let all_biases: Vec<TensorData<'_>> = biases.iter().map(|bias| bias.data).collect();
    let median_w = median(&all_weights, parallel);
    let median_b = (bias_moments.count > 0).then(|| median(&all_biases, parallel));
    let metrics = combine(&summaries, median_w, &bias_moments, median_b)?;
    let of_each = if wanted.matrices { summaries.as_slice() } else { &[] };
    Ok((metrics, of_each.iter().map(MatrixSummary::columns).collect()))
}

/// `work` on each item, spread over rayon's threads; results are in the order of `items`.
///
/// The most costly are begun first, so that no thread has a large one left when the others end.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    cost: impl Fn(&T) -> usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| Reverse(cost(&items[i])));
    let next = AtomicUsize::new(0);
    let done = rayon::broadcast(|_| {
        let take = || order.get(next.fetch_add(1, Ordering::Relaxed)).copied();
        std::iter::from_fn(take).map(|i| (i, work(&items[i]))).collect::<Vec<_>>()
    });
    let mut results: Vec<(usize, R)> = done.into_iter().flatten().collect();
    results.sort_by_key(|&(i, _)| i);
    results.into_iter().map(|(_, result)| result).collect()
}

fn combine(
    summaries: &[MatrixSummary],
    median_w: f64,
    biases: &Moments,
    median_b: Option<f64>,
) -> Result<Metrics, Error> {
    let k = summaries.len() as f64;
    let mean = |value: &dyn Fn(&MatrixSummary) -> f64| summaries.iter().map(value).sum::<f64>() / k;
    let tails: Vec<f64> = summaries.iter().filter_map(|s| s.spectrum.tail_exponent).collect();
    let weights = summaries.iter().map(|s| s.moments).fold(Moments::EMPTY, Moments::merge);
    let metrics = Metrics {
        l1: mean(&|s| s.moments.sum_abs),
        l2: mean(&|s| s.l2),
        l1_over_l2: mean(&MatrixSummary::l1_over_l2),
        mean_w: weights.mean(),
        median_w,
        var_w: weights.variance(),
        mean_b: median_b.map(|_| biases.mean()),
        median_b,
        var_b: median_b.map(|_| biases.variance()),
        trace: mean(&|s| s.trace),
        lambda_max: mean(&|s| s.spectrum.max),
        trace_over_lambda_max: mean(&MatrixSummary::trace_over_lambda_max),
        mean_lambda: mean(&|s| s.spectrum.mean),
        var_lambda: mean(&|s| s.spectrum.variance),
        stable_rank: mean(&MatrixSummary::stable_rank),
        effective_rank: mean(&|s| s.spectrum.effective_rank),
        tail_exponent: (!tails.is_empty()).then(|| tails.iter().sum::<f64>() / tails.len() as f64),
    };
    match metrics.columns().iter().find(|(_, value)| value.is_some_and(|v| !v.is_finite())) {
        Some((metric, _)) => Err(Error::Overflow { metric }),
        None => Ok(metrics),
    }
}

/// `a / b`, and 0 for a zero denominator.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

fn summarise(
    tensor: &WeightMatrices<'_>,
    block: usize,
    wanted: Wanted,
    Buffers { values: buffer, gram }: &mut Buffers,
) -> Result<MatrixSummary, Error> {
    let (rows, cols) = (tensor.rows, tensor.cols);
    let start = block * rows * cols;
    let data = tensor.data.slice(start, rows * cols);
    buffer.resize(data.len(), 0.0);
    data.read_into(buffer);
    let moments = Moments::of(buffer);
    check_finite(&moments, data, start, &tensor.place, &tensor.shape)?;
    let trace = (0..rows.min(cols)).map(|i| buffer[i * cols + i]).sum();
    let median = if wanted.matrices { median(&[data], false) } else { f64::NAN };
    let largest = moments.max_abs();
    if largest == 0.0 {
        return Ok(MatrixSummary { moments, median, l2: 0.0, trace, spectrum: Spectrum::ZERO });
    }
    let (sum_squares, scale) = if SAFE_MAGNITUDES.contains(&largest) {
        (moments.sum_squares, 1.0)
    } else {
        // Squares would leave the range of f64: divide by a power of two, which is exact.
        let scale = largest.log2().floor().exp2(); // `powi` gives 0 below 2^-1023
        buffer.iter_mut().for_each(|value| *value /= scale);
        (Moments::of(buffer).sum_squares, scale)
    };
    let spectrum = spectrum(buffer, rows, cols, wanted.tails, gram)
        .map_err(|error| Error::Lapack { place: tensor.place.clone(), reason: error.to_string() })?
        .scaled(scale);
    Ok(MatrixSummary { moments, median, l2: sum_squares.sqrt() * scale, trace, spectrum })
}

/// Refuse a tensor with non-finite values; `data` starts at value `start` of the whole tensor.
fn check_finite(
    moments: &Moments,
    data: TensorData<'_>,
    start: usize,
    place: &Place,
    shape: &[usize],
) -> Result<(), Error> {
    if moments.is_finite() {
        return Ok(());
    }
    let mut value = [0.0];
    for position in 0..data.len() {
        data.slice(position, 1).read_into(&mut value);
        if !value[0].is_finite() {
            return Err(Error::NonFinite {
                place: place.clone(),
                index: unravel(start + position, shape),
                value: value[0],
            });
        }
    }
    Ok(()) // finite values whose sum overflows; `combine` says which metric does
}

/// Indices, row-major, of the value at `position`.
fn unravel(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&side| {
            let here = position % side;
            position /= side;
            here
        })
        .collect();
    index.reverse();
    index
}
