//! Tables of rows, and the sequences that they make up.

use crate::error::Error;
use crate::lanes::{LANES, Lanes};

/// A row-major table.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    values: &'a [f64],
    width: usize,
}

impl<'a> Table<'a> {
    /// Rows of `width` values each.
    ///
    /// # Errors
    /// [`Error::Shape`] if the values make no whole rows, or `width` is 0.
    pub fn new(name: &'static str, values: &'a [f64], width: usize) -> Result<Self, Error> {
        if width == 0 || !values.len().is_multiple_of(width) {
            let expected = format!("a multiple of {width}, its columns");
            return Err(Error::Shape { name, found: values.len(), expected });
        }
        Ok(Table { values, width })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All values, row by row.
    pub fn values(&self) -> &'a [f64] {
        self.values
    }

    /// One row.
    #[inline(always)]
    pub(crate) fn row(&self, index: usize) -> &'a [f64] {
        &self.values[index * self.width..][..self.width]
    }

    /// Rows from `begin` on side by side, 0 past the end: `tile[j]` is column j of them.
    #[inline(always)]
    pub(crate) fn gather(&self, begin: usize, tile: &mut [Lanes]) {
        let rows = self.values[begin * self.width..].chunks_exact(self.width).take(LANES);
        let count = rows.len();
        if count < LANES {
            tile.fill([0.0; LANES]);
        }
        for (lane, row) in rows.enumerate() {
            for (column, &value) in tile.iter_mut().zip(row) {
                column[lane] = value;
            }
        }
    }
}

/// Lengths of the sequences whose rows are concatenated, each at least 1.
#[derive(Debug, Clone, Copy)]
pub struct Lengths<'a>(&'a [usize]);

impl<'a> Lengths<'a> {
    /// Sequences of `lengths`, which have `rows` rows together.
    ///
    /// # Errors
    /// [`Error::Argument`] if a length is 0 or they do not sum to `rows`.
    pub fn new(lengths: &'a [usize], rows: usize) -> Result<Self, Error> {
        let sum = lengths.iter().try_fold(0usize, |sum, &length| sum.checked_add(length));
        if lengths.contains(&0) || sum != Some(rows) {
            let reason = format!("must be positive and sum to the {rows} rows");
            return Err(Error::Argument { name: "lengths", reason });
        }
        Ok(Lengths(lengths))
    }

    /// (first row, length) of each sequence, in order.
    pub(crate) fn sequences(&self) -> Vec<(usize, usize)> {
        let mut begin = 0;
        self.0
            .iter()
            .map(|&length| {
                begin += length;
                (begin - length, length)
            })
            .collect()
    }
}
