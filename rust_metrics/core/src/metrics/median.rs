//! Exact median of all values of several tensors, without copying them.
//!
//! Small sets are copied. Of large ones a sample gives two values that should enclose the median
//! (Floyd and Rivest 1975, "Expected time bounds for selection"); one pass over all values counts
//! those below and keeps the few between. Where the sample was misleading, ranks are found 16 bits
//! at a time: floats map to integers of the same order (`TensorData::for_each_key`); count the
//! upper 16 bits of all keys, find the bin that holds the rank, count the next 16 bits of the keys
//! in that bin, and so on.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::tensors::tensor::{DType, TensorData, from_key};

/// Up to this many values, a copy is as quick as anything.
const SMALL: usize = 1 << 13;
/// From this many values on, threads are worth waking.
const LARGE: usize = 1 << 20;
/// Values a parallel task looks at.
const TASK: usize = 1 << 18;
/// Values read at a time: two buffers of 32 KiB stay in the first-level cache or next to it.
const CHUNK: usize = 4096;
const BINS: usize = 1 << 16;

/// Median of all values of `tensors` as one set: the average of the two middle ones for an even
/// number, as NumPy has it. `parallel` spreads large sets over rayon's threads; the result is the
/// same.
///
/// # Panics
/// If there are no values. Values must be finite.
pub(crate) fn median(tensors: &[TensorData<'_>], parallel: bool) -> f64 {
    let count: usize = tensors.iter().map(TensorData::len).sum();
    assert!(count > 0, "the median of no values");
    // For an odd number both middles are the same.
    let ranks = [(count - 1) / 2, count / 2];
    let [low, high] = if count <= SMALL {
        select_copied(tensors, count, ranks)
    } else {
        select_between(tensors, count, ranks, parallel && count >= LARGE)
            .unwrap_or_else(|| select_counted(tensors, ranks))
    };
    if low == high { low } else { (low + high) / 2.0 }
}

fn select_copied(tensors: &[TensorData<'_>], count: usize, ranks: [usize; 2]) -> [f64; 2] {
    let mut values = vec![0.0; count];
    let mut rest = values.as_mut_slice();
    for tensor in tensors {
        let (now, later) = rest.split_at_mut(tensor.len());
        tensor.read_into(now);
        rest = later;
    }
    let (below, &mut high, _) = values.select_nth_unstable_by(ranks[1], f64::total_cmp);
    let low = if ranks[0] == ranks[1] {
        high
    } else {
        below.iter().copied().max_by(f64::total_cmp).expect("two middles need two values")
    };
    [low, high]
}

/// All values in slices of at most [`TASK`].
fn tasks<'a>(tensors: &[TensorData<'a>]) -> Vec<TensorData<'a>> {
    let slices = |tensor: &TensorData<'a>| {
        let tensor = *tensor;
        (0..tensor.len())
            .step_by(TASK)
            .map(move |start| tensor.slice(start, TASK.min(tensor.len() - start)))
    };
    tensors.iter().flat_map(slices).collect()
}

/// The values of `ranks` among `count`, if a sample encloses them; `None` if it does not.
fn select_between(
    tensors: &[TensorData<'_>],
    count: usize,
    ranks: [usize; 2],
    parallel: bool,
) -> Option<[f64; 2]> {
    let sample = sample(tensors, count);
    // Twice what is expected; memory is bounded, whatever the values are.
    let (room, kept) = (8 * sample.len(), AtomicUsize::new(0));
    let [low, high] = enclosing(sample);
    let partition = |task: &TensorData<'_>| {
        Partition::of(*task, low, high, |more| kept.fetch_add(more, Ordering::Relaxed) <= room)
    };
    let tasks = tasks(tensors);
    let parts = if parallel {
        tasks.par_iter().map(partition).reduce(Partition::default, Partition::merge)
    } else {
        tasks.iter().map(partition).fold(Partition::default(), Partition::merge)
    };
    if kept.into_inner() <= room { parts.select(low, high, ranks) } else { None }
}

/// About count^(2/3) of the values, from places that are spread evenly.
fn sample(tensors: &[TensorData<'_>], count: usize) -> Vec<f64> {
    let stride = (count as f64).cbrt() as usize;
    // The places between two of the sample; not a power of two, as the lengths of rows may be.
    let stride = stride | 1;
    let mut values = Vec::with_capacity(count / stride + 1);
    let mut place = 0;
    for tensor in tensors {
        while place < tensor.len() {
            let mut value = [0.0];
            tensor.slice(place, 1).read_into(&mut value);
            values.extend(value);
            place += stride;
        }
        place -= tensor.len();
    }
    values
}

/// The values of a sample four standard deviations of the median's rank below and above its own.
fn enclosing(mut sample: Vec<f64>) -> [f64; 2] {
    let (middle, last) = (sample.len() / 2, sample.len() - 1);
    let margin = 2 * (sample.len() as f64).sqrt() as usize;
    let mut at = |rank| *sample.select_nth_unstable_by(rank, f64::total_cmp).1;
    [at(middle.saturating_sub(margin)), at(last.min(middle + margin))]
}

/// How many values are below two others, and those from the one to the other.
#[derive(Default)]
struct Partition {
    below: usize,
    n_between: usize,
    between: Vec<f64>,
}

impl Partition {
    /// Of all values of `task`. `keep` is asked before so many more are kept; where `low` and `high`
    /// are the same, none is.
    fn of(task: TensorData<'_>, low: f64, high: f64, keep: impl Fn(usize) -> bool) -> Partition {
        let (mut buffer, mut found) = ([0.0; CHUNK], [0.0; CHUNK]);
        let mut part = Partition::default();
        for start in (0..task.len()).step_by(CHUNK) {
            let values = &mut buffer[..CHUNK.min(task.len() - start)];
            task.slice(start, values.len()).read_into(values);
            let (mut below, mut n_found) = (0, 0);
            for &mut value in values {
                // Written in any case: which are between, no processor can foretell.
                found[n_found] = value;
                below += usize::from(value < low);
                n_found += usize::from(low <= value && value <= high);
            }
            part.below += below;
            part.n_between += n_found;
            if low < high && keep(n_found) {
                part.between.extend(&found[..n_found]);
            }
        }
        part
    }

    fn merge(mut self, mut other: Partition) -> Partition {
        self.below += other.below;
        self.n_between += other.n_between;
        self.between.append(&mut other.between);
        self
    }

    /// The values of `ranks` among all; `None` if one is below `low` or above `high`.
    fn select(mut self, low: f64, high: f64, ranks: [usize; 2]) -> Option<[f64; 2]> {
        let mut value = |rank: usize| {
            let rank = rank.checked_sub(self.below).filter(|&rank| rank < self.n_between)?;
            if low == high {
                return Some(low);
            }
            Some(*self.between.select_nth_unstable_by(rank, f64::total_cmp).1)
        };
        Some([value(ranks[0])?, value(ranks[1])?])
    }
}

/// A rank being narrowed down: keys that start with `prefix`, and the rank among those.
#[derive(Clone, Copy)]
struct Search {
    prefix: u64,
    rank: u64,
}

fn select_counted(tensors: &[TensorData<'_>], ranks: [usize; 2]) -> [f64; 2] {
    let first = tensors[0].dtype();
    let wide = tensors.iter().any(|tensor| tensor.dtype() != first);
    let dtype = if wide { DType::F64 } else { first };
    let mut searches = ranks.map(|rank| Search { prefix: 0, rank: rank as u64 });
    let mut shift = 8 * dtype.size() as u32;
    while shift > 0 {
        shift -= 16;
        let counts = count(tensors, wide, shift, searches[0].prefix);
        // Two middles mostly share their bins; only where they part is there a second count.
        let other = (searches[1].prefix != searches[0].prefix)
            .then(|| count(tensors, wide, shift, searches[1].prefix));
        searches[1] = narrow(searches[1], other.as_ref().unwrap_or(&counts));
        searches[0] = narrow(searches[0], &counts);
    }
    searches.map(|search| from_key(search.prefix, dtype))
}

/// Append to the prefix the bin that holds the rank.
fn narrow(search: Search, counts: &[u64]) -> Search {
    let mut rank = search.rank;
    for (bin, &count) in counts.iter().enumerate() {
        if rank < count {
            return Search { prefix: search.prefix << 16 | bin as u64, rank };
        }
        rank -= count;
    }
    unreachable!("a rank beyond the number of values")
}

/// Histogram of the 16 bits above `shift`, of those keys whose bits above these are `prefix`.
fn count(tensors: &[TensorData<'_>], wide: bool, shift: u32, prefix: u64) -> Vec<u64> {
    let mut counts = vec![0_u64; BINS];
    for tensor in tensors {
        tensor.for_each_key(wide, |key| {
            let top = key >> shift;
            if top >> 16 == prefix {
                counts[(top & 0xFFFF) as usize] += 1;
            }
        });
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_sorting(values: &[f64]) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
    }

    fn mean([low, high]: [f64; 2]) -> f64 {
        (low + high) / 2.0
    }

    fn middles(tensors: &[TensorData<'_>]) -> (usize, [usize; 2]) {
        let n = tensors.iter().map(TensorData::len).sum();
        (n, [(n - 1) / 2, n / 2])
    }

    fn counted(tensors: &[TensorData<'_>]) -> f64 {
        mean(select_counted(tensors, middles(tensors).1))
    }

    /// By a sample, whatever the number of values.
    fn between(tensors: &[TensorData<'_>], parallel: bool) -> Option<f64> {
        let (n, ranks) = middles(tensors);
        select_between(tensors, n, ranks, parallel).map(mean)
    }

    #[test]
    fn large_sets_are_exact() {
        // A fixed shuffle of distinct values around 0, more than SMALL of them.
        for n in [SMALL + 7, SMALL + 8, 2 * TASK + 1, LARGE + 2] {
            let values: Vec<f32> =
                (0..n).map(|i| ((i * 7919) % n) as f32 - (n as f32) / 3.0).collect();
            let wide: Vec<f64> = values.iter().copied().map(f64::from).collect();
            let expected = by_sorting(&wide);
            assert_eq!(median(&[TensorData::from_f32(&values)], false), expected);
            assert_eq!(median(&[TensorData::from_f32(&values)], true), expected);
            assert_eq!(median(&[TensorData::from_f64(&wide)], true), expected);
            assert_eq!(between(&[TensorData::from_f32(&values)], true), Some(expected));
        }
    }

    #[test]
    fn a_sample_encloses_the_median_of_many_equal_values() {
        let n = 3 * SMALL;
        for share in [0.0, 0.3, 0.7, 1.0] {
            let zeros = (share * n as f64) as usize;
            let values: Vec<f32> =
                (0..n).map(|i| if (i * 7919) % n < zeros { 0.0 } else { 1.0 }).collect();
            let wide: Vec<f64> = values.iter().copied().map(f64::from).collect();
            assert_eq!(between(&[TensorData::from_f32(&values)], false), Some(by_sorting(&wide)));
        }
    }

    #[test]
    fn a_misleading_sample_is_noticed() {
        // The places that a sample is taken from hold large values, all others small ones.
        let n = 3 * SMALL;
        let stride = (n as f64).cbrt() as usize | 1;
        let values: Vec<f64> =
            (0..n).map(|i| i as f64 + if i.is_multiple_of(stride) { 1e6 } else { 0.0 }).collect();
        let tensors = [TensorData::from_f64(&values)];
        assert_eq!(between(&tensors, false), None);
        assert_eq!(median(&tensors, false), by_sorting(&values));
        // A sample with values far below and far above the others, which are all between.
        let far = |i: usize| if (i / stride).is_multiple_of(2) { -1e6 } else { 1e6 };
        let near = |i: usize| (i * 7919 % n) as f64;
        let wide: Vec<f64> =
            (0..n).map(|i| if i.is_multiple_of(stride) { far(i) } else { near(i) }).collect();
        let tensors = [TensorData::from_f64(&wide)];
        assert_eq!(between(&tensors, false), None);
        assert_eq!(between(&tensors, true), None);
        assert_eq!(median(&tensors, true), by_sorting(&wide));
    }

    proptest! {
        #[test]
        fn every_way_agrees_with_sorting(
            singles in prop::collection::vec(-1e30_f32..1e30, 1..40),
            doubles in prop::collection::vec(-1e200_f64..1e200, 0..40),
            halves in prop::collection::vec(any::<u16>(), 0..40),
        ) {
            let halves: Vec<u8> = halves
                .into_iter()
                .filter(|&bits| !half::bf16::from_bits(bits).is_nan())
                .filter(|&bits| half::bf16::from_bits(bits).is_finite())
                .flat_map(u16::to_le_bytes)
                .collect();
            let tensors = [
                TensorData::from_f32(&singles),
                TensorData::from_f64(&doubles),
                TensorData::new(DType::BF16, &halves),
            ];
            for parts in [&tensors[..1], &tensors[..]] {
                let mut values = Vec::new();
                for part in parts {
                    let mut read = vec![0.0; part.len()];
                    part.read_into(&mut read);
                    values.extend(read);
                }
                let expected = by_sorting(&values);
                prop_assert_eq!(median(parts, false), expected);
                prop_assert_eq!(counted(parts), expected);
                prop_assert!(between(parts, true).is_none_or(|found| found == expected));
            }
        }
    }
}
