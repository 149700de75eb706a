//! A Markov chain's probabilities.

use crate::error::{Error, check_count, check_finite};

/// Probabilities of a chain of K states.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    start: &'a [f64],
    transition: &'a [f64],
}

impl<'a> Chain<'a> {
    /// A chain that starts by `start` (K) and moves by `transition` (K, K), row to column.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], or [`Error::Argument`] for a negative probability
    /// or no states.
    pub fn new(start: &'a [f64], transition: &'a [f64]) -> Result<Self, Error> {
        let states = start.len();
        if states == 0 {
            let reason = "at least one state is needed".to_owned();
            return Err(Error::Argument { name: "startprob", reason });
        }
        check_count("transmat", transition, states * states, "states x states")?;
        for (name, values) in [("startprob", start), ("transmat", transition)] {
            check_finite(name, values)?;
            if values.iter().any(|&value| value < 0.0) {
                let reason = "a probability is negative".to_owned();
                return Err(Error::Argument { name, reason });
            }
        }
        Ok(Chain { start, transition })
    }

    /// Number of states K.
    pub fn states(&self) -> usize {
        self.start.len()
    }

    /// Probability of each state at a sequence's first row.
    pub(crate) fn start(&self) -> &'a [f64] {
        self.start
    }

    /// (K, K) probabilities of moving from one state (row) to another (column).
    pub(crate) fn transition(&self) -> &'a [f64] {
        self.transition
    }

    /// The same chain's logarithms: start, and transition; minus infinity of 0.
    pub(crate) fn logarithms(&self) -> (Vec<f64>, Vec<f64>) {
        let logs = |values: &[f64]| values.iter().map(|value| value.ln()).collect();
        (logs(self.start), logs(self.transition))
    }
}
