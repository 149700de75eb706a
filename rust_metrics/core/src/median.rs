//! Exact median of all values of several tensors, without copying them.
//!
//! Floats map to integers of the same order (`TensorData::for_each_key`). The wanted ranks are
//! found 16 bits at a time: count the upper 16 bits of all keys, find the bin that holds the rank,
//! count the next 16 bits of the keys in that bin, and so on. Small sets are copied and selected.

use rayon::prelude::*;

use crate::tensor::{DType, TensorData, from_key};

/// Up to this many values, a copy (1 MiB) is quicker than clearing and reading histograms.
const SMALL: usize = 1 << 17;
/// Values a parallel task counts.
const TASK: usize = 1 << 18;
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
        select_counted(tensors, ranks, parallel)
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

/// A rank being narrowed down: keys that start with `prefix`, and the rank among those.
#[derive(Clone, Copy)]
struct Search {
    prefix: u64,
    rank: u64,
}

fn select_counted(tensors: &[TensorData<'_>], ranks: [usize; 2], parallel: bool) -> [f64; 2] {
    let first = tensors[0].dtype();
    let wide = tensors.iter().any(|tensor| tensor.dtype() != first);
    let dtype = if wide { DType::F64 } else { first };
    let tasks: Vec<TensorData<'_>> = tensors
        .iter()
        .flat_map(|tensor| {
            (0..tensor.len())
                .step_by(TASK)
                .map(|start| tensor.slice(start, TASK.min(tensor.len() - start)))
        })
        .collect();
    let mut searches = ranks.map(|rank| Search { prefix: 0, rank: rank as u64 });
    let mut shift = 8 * dtype.size() as u32;
    while shift > 0 {
        shift -= 16;
        let counts = count(&tasks, wide, parallel, shift, searches[0].prefix);
        // Two middles mostly share their bins; only where they part is there a second count.
        let other = (searches[1].prefix != searches[0].prefix)
            .then(|| count(&tasks, wide, parallel, shift, searches[1].prefix));
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
fn count(
    tasks: &[TensorData<'_>],
    wide: bool,
    parallel: bool,
    shift: u32,
    prefix: u64,
) -> Vec<u64> {
    let add = |mut counts: Vec<u64>, task: &TensorData<'_>| {
        task.for_each_key(wide, |key| {
            let top = key >> shift;
            if top >> 16 == prefix {
                counts[(top & 0xFFFF) as usize] += 1;
            }
        });
        counts
    };
    let empty = || vec![0_u64; BINS];
    if !parallel {
        return tasks.iter().fold(empty(), add);
    }
    tasks.par_iter().fold(empty, add).reduce(empty, |mut a, b| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    })
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

    fn counted(tensors: &[TensorData<'_>], parallel: bool) -> f64 {
        let n: usize = tensors.iter().map(TensorData::len).sum();
        let [low, high] = select_counted(tensors, [(n - 1) / 2, n / 2], parallel);
        (low + high) / 2.0
    }

    #[test]
    fn large_sets_are_counted_exactly() {
        // A fixed shuffle of distinct values around 0, more than SMALL of them.
        for n in [SMALL + 7, SMALL + 8, 2 * TASK + 1] {
            let values: Vec<f32> =
                (0..n).map(|i| ((i * 7919) % n) as f32 - (n as f32) / 3.0).collect();
            let wide: Vec<f64> = values.iter().copied().map(f64::from).collect();
            let expected = by_sorting(&wide);
            assert_eq!(median(&[TensorData::from_f32(&values)], false), expected);
            assert_eq!(median(&[TensorData::from_f32(&values)], true), expected);
            assert_eq!(median(&[TensorData::from_f64(&wide)], true), expected);
        }
    }

    proptest! {
        #[test]
        fn counting_and_copying_agree_with_sorting(
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
                prop_assert_eq!(counted(parts, false), expected);
                prop_assert_eq!(counted(parts, true), expected);
            }
        }
    }
}
