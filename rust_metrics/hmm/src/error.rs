//! What can be wrong with arguments; each message names the argument and what was expected.

/// Why nothing was computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An argument has not the shape that the others ask for.
    #[error("{name} has {found} values, expected {expected}")]
    Shape {
        /// The argument.
        name: &'static str,
        /// Its number of values.
        found: usize,
        /// What it should be.
        expected: String,
    },
    /// An argument holds NaN or an infinity where it must not.
    #[error("{name} must be finite, and its value number {index} is {value}")]
    NonFinite {
        /// The argument.
        name: &'static str,
        /// Position of the first such value.
        index: usize,
        /// The value, written out.
        value: String,
    },
    /// A row has no state whose density is a finite number above 0.
    #[error("log_density has no finite maximum at row {row}: {value}")]
    Density {
        /// The row.
        row: usize,
        /// The maximum found, written out.
        value: String,
    },
    /// An argument makes no sense.
    #[error("{name}: {reason}")]
    Argument {
        /// The argument.
        name: &'static str,
        /// What was expected.
        reason: String,
    },
}

/// Refuse `values` unless all are finite.
pub(crate) fn check_finite(name: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NonFinite { name, index, value: values[index].to_string() }),
    }
}

/// Refuse `values` unless there are `expected` of them; `shape` says why so many.
pub(crate) fn check_count(
    name: &'static str,
    values: &[f64],
    expected: usize,
    shape: &str,
) -> Result<(), Error> {
    if values.len() == expected {
        return Ok(());
    }
    Err(Error::Shape { name, found: values.len(), expected: format!("{expected} ({shape})") })
}
