//! Gaussian log densities of rows.

use std::ops::Range;

use crate::error::{Error, check_count, check_finite};
use crate::lanes::{LANES, Lanes, Work, add_product, add_scaled, widest, zip};
use crate::table::Table;

/// K Gaussians, of rows or of linear maps of them.
///
/// The log density of row x under state k is `offset[k] - |map[k] (x - centre[k])|^2 / 2`.
#[derive(Debug, Clone, Copy)]
pub struct Gaussians<'a> {
    centres: Table<'a>,
    maps: &'a [f64],
    offsets: &'a [f64],
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
        Ok(Gaussians { centres, maps, offsets })
    }
}

/// Log density (n, K) of each of `rows` (n, p) under each state, written to `result`.
///
/// Zeros at the ends of a map's rows cost nothing: a triangular map takes half the time of a full
/// one, a diagonal one next to none.
///
/// # Errors
/// [`Error::Shape`] if rows and Gaussians have not the same p, or `result` not n K values.
pub fn log_densities(
    rows: Table<'_>,
    gaussians: &Gaussians<'_>,
    result: &mut [f64],
) -> Result<(), Error> {
    let (states, p) = (gaussians.centres.rows(), gaussians.centres.width());
    check_count("rows", rows.values(), rows.rows() * p, "rows x entries of a centre")?;
    check_count("result", result, rows.rows() * states, "rows x states")?;
    widest(Densities { rows, gaussians, result });
    Ok(())
}

struct Densities<'a> {
    rows: Table<'a>,
    gaussians: &'a Gaussians<'a>,
    result: &'a mut [f64],
}

/// The part of a row of a map that is not zero.
struct MapRow<'a> {
    columns: Range<usize>,
    values: &'a [f64],
}

impl Work for Densities<'_> {
    type Result = ();

    #[inline(always)]
    fn run(self) {
        let Gaussians { centres, maps, offsets } = *self.gaussians;
        let (states, p) = (centres.rows(), centres.width());
        let maps: Vec<MapRow<'_>> = maps.chunks_exact(p).map(used).collect();
        let d = maps.len() / states;
        let (mut tile, mut apart) = (vec![[0.0; LANES]; p], vec![[0.0; LANES]; p]);
        for (block, result) in self.result.chunks_mut(LANES * states).enumerate() {
            self.rows.gather(block * LANES, &mut tile);
            for k in 0..states {
                for ((apart, &entry), &centre) in apart.iter_mut().zip(&tile).zip(centres.row(k)) {
                    *apart = entry.map(|value| value - centre);
                }
                let distance = squared_length(&maps[k * d..][..d], &apart);
                for (row, squared) in result.chunks_exact_mut(states).zip(distance) {
                    row[k] = offsets[k] - 0.5 * squared;
                }
            }
        }
    }
}

/// Squared length of a map of the lanes' rows; pairs of mapped entries share what they read.
#[inline(always)]
fn squared_length(map: &[MapRow<'_>], rows: &[Lanes]) -> Lanes {
    let mut lengths = [[0.0; LANES]; 2];
    for pair in map.chunks(2) {
        for (length, mapped) in lengths.iter_mut().zip(pair) {
            let mut sum = [0.0; LANES];
            for (&entry, &value) in rows[mapped.columns.clone()].iter().zip(mapped.values) {
                sum = add_scaled(sum, entry, value);
            }
            *length = add_product(*length, sum, sum);
        }
    }
    zip(lengths[0], lengths[1], |a, b| a + b)
}

/// A row of a map without the zeros at its ends.
fn used(row: &[f64]) -> MapRow<'_> {
    let begin = row.iter().position(|&value| value != 0.0).unwrap_or(0);
    let end = row.iter().rposition(|&value| value != 0.0).map_or(begin, |last| last + 1);
    MapRow { columns: begin..end, values: &row[begin..end] }
}
