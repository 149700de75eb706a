//! Sums of rows, and of products of their entries, weighted by posteriors.

use crate::error::{Error, check_count};
use crate::lanes::{LANES, Lanes, Work, add_product, total, widest, zip};
use crate::table::Table;

/// Groups of lanes that are read at a time, so that they stay in the fastest cache.
const GROUPS: usize = 16;
/// States whose sums are in registers at a time.
const PART: usize = 4;

/// Which products of a row's entries are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// Every entry with itself and all others: (p, p), symmetric.
    Pairs,
    /// Every entry with itself: (p).
    Squares,
}

/// What the maximisation step needs of rows weighted by posteriors.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// (K) sum of each state's weights.
    pub weights: Vec<f64>,
    /// (K, p) weighted sum of the rows.
    pub sums: Vec<f64>,
    /// (K, p, p) or (K, p) weighted sum of the products.
    pub products: Vec<f64>,
}

/// Moments of `rows` (n, p) under the `weights` (n, K) of each state.
///
/// # Errors
/// [`Error::Shape`] if there are not as many weights as rows.
pub fn moments(rows: Table<'_>, weights: Table<'_>, products: Products) -> Result<Moments, Error> {
    let states = weights.width();
    check_count("weights", weights.values(), rows.rows() * states, "rows x states")?;
    Ok(widest(Sums { rows, weights, products }))
}

struct Sums<'a> {
    rows: Table<'a>,
    weights: Table<'a>,
    products: Products,
}

impl Work for Sums<'_> {
    type Result = Moments;

    #[inline(always)]
    fn run(self) -> Moments {
        let (p, states) = (self.rows.width(), self.weights.width());
        let pairs: Vec<(usize, usize)> = match self.products {
            Products::Pairs => (0..p).flat_map(|i| (i..p).map(move |j| (i, j))).collect(),
            Products::Squares => (0..p).map(|i| (i, i)).collect(),
        };
        let mut found = Moments {
            weights: vec![0.0; states],
            sums: vec![0.0; states * p],
            products: vec![0.0; states * pairs.len()],
        };
        let mut block = Block::new(p, states);
        for begin in (0..self.rows.rows()).step_by(GROUPS * LANES) {
            block.read(self.rows, self.weights, begin);
            for k in 0..states {
                found.weights[k] += total(block.sum_of_weights(k));
            }
            for i in 0..p {
                block.add(p, i, &mut found.sums[i..], p);
            }
            let count = pairs.len();
            for (number, &(i, j)) in pairs.iter().enumerate() {
                block.add(i, j, &mut found.products[number..], count);
            }
        }
        if self.products == Products::Pairs {
            found.products = unfolded(&found.products, &pairs, p);
        }
        found
    }
}

/// Some rows and their weights, lanes side by side.
struct Block {
    /// Groups of lanes of each entry, one entry after the other; the last entry is 1.
    entries: Vec<[Lanes; GROUPS]>,
    /// The same of each state's weights.
    weights: Vec<[Lanes; GROUPS]>,
    /// Room for one group of lanes.
    tile: Vec<Lanes>,
}

impl Block {
    fn new(p: usize, states: usize) -> Self {
        Block {
            entries: vec![[[1.0; LANES]; GROUPS]; p + 1],
            weights: vec![[[0.0; LANES]; GROUPS]; states],
            tile: vec![[0.0; LANES]; p.max(states)],
        }
    }

    /// Read the rows from `begin` on; past the last, entries and weights are 0.
    #[inline(always)]
    fn read(&mut self, rows: Table<'_>, weights: Table<'_>, begin: usize) {
        for (table, columns) in [(rows, &mut self.entries), (weights, &mut self.weights)] {
            for group in 0..GROUPS {
                let tile = &mut self.tile[..table.width()];
                table.gather((begin + group * LANES).min(table.rows()), tile);
                for (column, &lanes) in columns.iter_mut().zip(&*tile) {
                    column[group] = lanes;
                }
            }
        }
    }

    #[inline(always)]
    fn sum_of_weights(&self, state: usize) -> Lanes {
        self.weights[state].iter().fold([0.0; LANES], |sum, &w| zip(sum, w, |a, b| a + b))
    }

    /// Add, for every state, the weighted sum of entry `i` times entry `j`.
    ///
    /// State k's sum goes to `sums[k * stride]`. States are taken in parts as equal as can be, of
    /// four at most: as many sums as registers hold, and enough of them to add without waiting.
    #[inline(always)]
    fn add(&self, i: usize, j: usize, sums: &mut [f64], stride: usize) {
        let (a, b) = (&self.entries[i], &self.entries[j]);
        let states = self.weights.len();
        let parts = states.div_ceil(PART);
        for part in 0..parts {
            let (begin, end) = (part * states / parts, (part + 1) * states / parts);
            let weights = &self.weights[begin..end];
            let sums = &mut sums[begin * stride..];
            match end - begin {
                1 => add_part::<1>(a, b, weights, sums, stride),
                2 => add_part::<2>(a, b, weights, sums, stride),
                3 => add_part::<3>(a, b, weights, sums, stride),
                _ => add_part::<PART>(a, b, weights, sums, stride),
            }
        }
    }
}

/// [`Block::add`] for `N` states.
#[inline(always)]
fn add_part<const N: usize>(
    a: &[Lanes; GROUPS],
    b: &[Lanes; GROUPS],
    weights: &[[Lanes; GROUPS]],
    sums: &mut [f64],
    stride: usize,
) {
    let weights: &[[Lanes; GROUPS]; N] = weights.try_into().expect("as many states as the part");
    let mut found = [[0.0; LANES]; N];
    for group in 0..GROUPS {
        let product = zip(a[group], b[group], |a, b| a * b);
        for k in 0..N {
            found[k] = add_product(found[k], product, weights[k][group]);
        }
    }
    for k in 0..N {
        sums[k * stride] += total(found[k]);
    }
}

/// Symmetric (K, p, p) products from those of the `pairs` i <= j.
fn unfolded(products: &[f64], pairs: &[(usize, usize)], p: usize) -> Vec<f64> {
    let mut result = vec![0.0; products.len() / pairs.len() * p * p];
    for (of_state, whole) in products.chunks_exact(pairs.len()).zip(result.chunks_exact_mut(p * p))
    {
        for (&value, &(i, j)) in of_state.iter().zip(pairs) {
            whole[i * p + j] = value;
            whole[j * p + i] = value;
        }
    }
    result
}
