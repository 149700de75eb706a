//! Sums of rows, and of products of their entries, weighted by posteriors.
//!
//! Runs stay in a state for a while, so that most weights are next to nothing, eight rows at a
//! time: a state's sums go through the other groups of rows only.

use crate::error::{Error, check_count};
use crate::lanes::{LANES, Lanes, Work, add_product, total, widest, zip};
use crate::table::Table;

/// Groups of lanes that are read at a time.
const GROUPS: usize = 64;
/// How many of them a state's sums go through at a time, so that they stay in the fastest cache.
const CHUNK: usize = 16;
/// Groups of rows are left out of a state's sums where no weight is above this share of a row. The
/// forward-backward algorithm leaves as much out. A state that is not starved has at least 1e-5
/// rows, of which this is far below what rounding loses.
const NEGLIGIBLE: f64 = 1e-30;
/// Products are summed in squares of so many entries by so many: as many sums as registers hold.
const SIDE: usize = 2;

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
/// Eight consecutive rows that all weigh at most 1e-30 in a state may count as 0 there.
///
/// # Errors
/// [`Error::Shape`] if there are not as many weights as rows.
pub fn moments(rows: Table<'_>, weights: Table<'_>, products: Products) -> Result<Moments, Error> {
    let states = weights.width();
    check_count("weights", weights.values(), rows.rows() * states, "rows x states")?;
    let tiles = tiles(rows.width(), products);
    let sums = widest(Sums { rows, weights, tiles: &tiles });
    Ok(unfolded(&sums, &tiles, rows.width(), states, products))
}

/// Sums of the products of entries `i`, `i + 1` with entries `j`, `j + 1`.
type Tile = [[Lanes; SIDE]; SIDE];

/// Where the products that are needed are: (i, j) of each tile. Entry p is 1, and what follows 0.
fn tiles(p: usize, products: Products) -> Vec<(usize, usize)> {
    let all = |i: usize| (i..=p).step_by(SIDE).map(move |j| (i, j));
    let own = |i: usize| {
        let ones = p - p % SIDE;
        [(i, i), (i, ones)].into_iter().take(if i == ones { 1 } else { 2 })
    };
    let begins = (0..=p).step_by(SIDE);
    match products {
        Products::Pairs => begins.flat_map(all).collect(),
        Products::Squares => begins.flat_map(own).collect(),
    }
}

struct Sums<'a> {
    rows: Table<'a>,
    weights: Table<'a>,
    tiles: &'a [(usize, usize)],
}

impl Work for Sums<'_> {
    /// The tiles of each state, one state after the other.
    type Result = Vec<Tile>;

    #[inline(always)]
    fn run(self) -> Vec<Tile> {
        let (p, states, count) = (self.rows.width(), self.weights.width(), self.tiles.len());
        let mut sums = vec![[[[0.0; LANES]; SIDE]; SIDE]; states * count];
        let mut block = Block::new(p, states);
        for begin in (0..self.rows.rows()).step_by(GROUPS * LANES) {
            block.read(self.rows, self.weights, begin);
            for k in 0..states {
                block.choose(k);
                for chunk in 0..block.active.len().div_ceil(CHUNK) {
                    block.weigh(k, chunk);
                    for (sum, &(i, j)) in sums[k * count..].iter_mut().zip(self.tiles) {
                        block.add(chunk, i, j, sum);
                    }
                }
            }
        }
        sums
    }
}

/// Some rows and their weights, lanes side by side.
struct Block {
    /// Groups of lanes of each entry, one entry after the other; entry p is 1, and the next 0.
    entries: Vec<[Lanes; GROUPS]>,
    /// The same of each state's weights.
    weights: Vec<[Lanes; GROUPS]>,
    /// The groups that count for a state.
    active: Vec<usize>,
    /// A chunk of these, of each entry, times the weights.
    weighted: Vec<[Lanes; CHUNK]>,
    /// Room for one group of lanes.
    tile: Vec<Lanes>,
}

impl Block {
    fn new(p: usize, states: usize) -> Self {
        let size = (p + 1).next_multiple_of(SIDE);
        let mut entries = vec![[[0.0; LANES]; GROUPS]; size];
        entries[p] = [[1.0; LANES]; GROUPS];
        Block {
            entries,
            weights: vec![[[0.0; LANES]; GROUPS]; states],
            active: Vec::with_capacity(GROUPS),
            weighted: vec![[[0.0; LANES]; CHUNK]; size],
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

    /// Find the groups that count for a state.
    #[inline(always)]
    fn choose(&mut self, state: usize) {
        let weighs = |&group: &usize| {
            // What is not a number weighs too, to be seen in the sums.
            !self.weights[state][group].iter().all(|weight| weight.abs() <= NEGLIGIBLE)
        };
        self.active.clear();
        self.active.extend((0..GROUPS).filter(weighs));
    }

    /// The groups of a chunk of those that count.
    #[inline(always)]
    fn groups(&self, chunk: usize) -> &[usize] {
        let rest = &self.active[chunk * CHUNK..];
        &rest[..rest.len().min(CHUNK)]
    }

    /// Multiply a chunk of groups by a state's weights.
    #[inline(always)]
    fn weigh(&mut self, state: usize, chunk: usize) {
        let begin = chunk * CHUNK;
        let end = self.active.len().min(begin + CHUNK);
        let weights = &self.weights[state];
        for (entry, weighted) in self.entries.iter().zip(&mut self.weighted) {
            for (lanes, &group) in weighted.iter_mut().zip(&self.active[begin..end]) {
                *lanes = zip(entry[group % GROUPS], weights[group % GROUPS], |x, w| x * w);
            }
        }
    }

    /// Add the products of a tile's entries in a chunk of groups.
    #[inline(always)]
    fn add(&self, chunk: usize, i: usize, j: usize, sum: &mut Tile) {
        let (a, b) = (&self.weighted[i..i + SIDE], &self.entries[j..j + SIDE]);
        let mut found = [[[0.0; LANES]; SIDE]; SIDE];
        for ((&group, &first), &second) in self.groups(chunk).iter().zip(&a[0]).zip(&a[1]) {
            for (row, weighted) in found.iter_mut().zip([first, second]) {
                for (sum, entry) in row.iter_mut().zip(b) {
                    *sum = add_product(*sum, weighted, entry[group % GROUPS]);
                }
            }
        }
        for (sum, found) in sum.iter_mut().flatten().zip(found.as_flattened()) {
            *sum = zip(*sum, *found, |a, b| a + b);
        }
    }
}

/// The moments that tiles hold.
fn unfolded(
    sums: &[Tile],
    tiles: &[(usize, usize)],
    p: usize,
    states: usize,
    products: Products,
) -> Moments {
    let size = (p + 1).next_multiple_of(SIDE);
    let mut found = Moments { weights: vec![], sums: vec![], products: vec![] };
    let mut whole = vec![0.0; size * size];
    for of_state in sums.chunks_exact(tiles.len()).take(states) {
        for (tile, &(i, j)) in of_state.iter().zip(tiles) {
            for (a, row) in tile.iter().enumerate() {
                for (b, &lanes) in row.iter().enumerate() {
                    whole[(i + a) * size + j + b] = total(lanes);
                }
            }
        }
        let product = |i: usize, j: usize| whole[i.min(j) * size + i.max(j)];
        found.weights.push(product(p, p));
        found.sums.extend((0..p).map(|i| product(i, p)));
        match products {
            Products::Pairs => {
                found.products.extend((0..p * p).map(|cell| product(cell / p, cell % p)));
            }
            Products::Squares => found.products.extend((0..p).map(|i| product(i, i))),
        }
    }
    found
}
