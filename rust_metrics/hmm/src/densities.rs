//! Gaussian log densities of rows, or of what is left of them after a regression.

use std::array::from_fn;
use std::ops::Range;

use crate::error::{Error, check_count, check_finite};
use crate::lanes::{LANES, Lanes, Work, add_product, add_scaled, widest, zip};
use crate::table::Table;

/// Mapped entries that are computed at a time, from what is read once for all.
const PART: usize = 4;

/// K Gaussians, of rows or of linear maps of them.
///
/// The log density of row x under state k is `offset[k] - |map[k] (x - centre[k])|^2 / 2`; with
/// regressions, x is the row less `coefficients[k]` times another row, which stands before it.
#[derive(Debug, Clone, Copy)]
pub struct Gaussians<'a> {
    centres: Table<'a>,
    maps: &'a [f64],
    offsets: &'a [f64],
    coefficients: &'a [f64],
    /// Entries of the row before.
    q: usize,
}

impl<'a> Gaussians<'a> {
    /// Gaussians of `centres` (K, p), `maps` (K, d, p) to `d` entries, and `offsets` (K).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`].
    pub fn new(
        centres: Table<'a>,
        maps: &'a [f64],
        d: usize,
        offsets: &'a [f64],
    ) -> Result<Gaussians<'a>, Error> {
        let (states, p) = (centres.rows(), centres.width());
        check_count("offsets", offsets, states, "states")?;
        check_count("maps", maps, states * d * p, "states x mapped entries x entries of a row")?;
        check_finite("centres", centres.values())?;
        check_finite("maps", maps)?;
        check_finite("offsets", offsets)?;
        Ok(Gaussians { centres, maps, offsets, coefficients: &[], q: 0 })
    }

    /// The same of what is left of rows after a regression on `q` entries that stand before them,
    /// by `coefficients` (K, p, q).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`].
    pub fn regressed(self, coefficients: &'a [f64], q: usize) -> Result<Gaussians<'a>, Error> {
        let count = self.centres.values().len() * q;
        check_count("coefficients", coefficients, count, "states x entries x entries before")?;
        check_finite("coefficients", coefficients)?;
        Ok(Gaussians { coefficients, q, ..self })
    }
}

/// Log density (n, K) of each of `rows` (n, q + p) under each state, written to `result`.
///
/// Zeros at the ends of the rows of maps and coefficients cost next to nothing: a triangular map
/// takes half the time of a full one.
///
/// # Errors
/// [`Error::Shape`] if rows and Gaussians have not the same entries, or `result` not n K values.
pub fn log_densities(
    rows: Table<'_>,
    gaussians: &Gaussians<'_>,
    result: &mut [f64],
) -> Result<(), Error> {
    let states = gaussians.centres.rows();
    let entries = gaussians.q + gaussians.centres.width();
    check_count("rows", rows.values(), rows.rows() * entries, "rows x entries of a centre")?;
    check_count("result", result, rows.rows() * states, "rows x states")?;
    widest(Densities { rows, gaussians, result });
    Ok(())
}

struct Densities<'a> {
    rows: Table<'a>,
    gaussians: &'a Gaussians<'a>,
    result: &'a mut [f64],
}

/// The part of a row of coefficients that is not zero.
struct Used<'a> {
    columns: Range<usize>,
    values: &'a [f64],
}

/// Some rows of a map: one column after the other, from the first to the last that has not only 0.
struct MapRows {
    columns: Range<usize>,
    values: Vec<[f64; PART]>,
}

impl Work for Densities<'_> {
    type Result = ();

    #[inline(always)]
    fn run(self) {
        let Gaussians { centres, maps, offsets, coefficients, q } = *self.gaussians;
        let (states, p) = (centres.rows(), centres.width());
        let size = maps.len() / states;
        let maps: Vec<Vec<MapRows>> =
            (0..states).map(|k| parts(&maps[k * size..][..size], p)).collect();
        let slopes: Vec<Used<'_>> = coefficients.chunks_exact(q.max(1)).map(used).collect();
        let (mut tile, mut apart) = (vec![[0.0; LANES]; q + p], vec![[0.0; LANES]; p]);
        for (block, result) in self.result.chunks_mut(LANES * states).enumerate() {
            self.rows.gather(block * LANES, &mut tile);
            let (before, now) = tile.split_at(q);
            for (k, map) in maps.iter().enumerate() {
                for ((apart, &entry), &centre) in apart.iter_mut().zip(now).zip(centres.row(k)) {
                    *apart = entry.map(|value| value - centre);
                }
                if q > 0 {
                    for (apart, slope) in apart.iter_mut().zip(&slopes[k * p..]) {
                        *apart = zip(*apart, sum(slope, before), |a, b| a - b);
                    }
                }
                let distance = squared_length(map, &apart);
                for (row, squared) in result.chunks_exact_mut(states).zip(distance) {
                    row[k] = offsets[k] - 0.5 * squared;
                }
            }
        }
    }
}

/// A regression's part of an entry.
#[inline(always)]
fn sum(slope: &Used<'_>, before: &[Lanes]) -> Lanes {
    let mut sum = [0.0; LANES];
    for (&entry, &value) in before[slope.columns.clone()].iter().zip(slope.values) {
        sum = add_scaled(sum, entry, value);
    }
    sum
}

/// Squared length of a map of the lanes' rows.
#[inline(always)]
fn squared_length(map: &[MapRows], rows: &[Lanes]) -> Lanes {
    let mut length = [0.0; LANES];
    for part in map {
        let mut sums = [[0.0; LANES]; PART];
        for (&entry, values) in rows[part.columns.clone()].iter().zip(&part.values) {
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum = add_scaled(*sum, entry, value);
            }
        }
        for sum in sums {
            length = add_product(length, sum, sum);
        }
    }
    length
}

/// The rows of a map (d, p), [`PART`] at a time; rows past the last are 0.
fn parts(map: &[f64], p: usize) -> Vec<MapRows> {
    map.chunks(PART * p)
        .map(|rows| {
            let ranges = rows.chunks_exact(p).map(|row| used(row).columns);
            let columns = ranges
                .filter(|columns| !columns.is_empty())
                .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
                .unwrap_or(0..0);
            let value = |row: usize, column: usize| rows.get(row * p + column).copied();
            let values =
                columns.clone().map(|j| from_fn(|row| value(row, j).unwrap_or(0.0))).collect();
            MapRows { columns, values }
        })
        .collect()
}

/// A row without the zeros at its ends.
fn used(row: &[f64]) -> Used<'_> {
    let begin = row.iter().position(|&value| value != 0.0).unwrap_or(0);
    let end = row.iter().rposition(|&value| value != 0.0).map_or(begin, |last| last + 1);
    Used { columns: begin..end, values: &row[begin..end] }
}
