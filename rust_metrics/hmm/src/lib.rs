//! The expectation step of hidden Markov models (Rabiner 1989), on one thread.
//!
//! Rows of all sequences are concatenated. [`log_densities`] gives the Gaussian log density of
//! every row under every state; [`forward_backward`] the posterior probability of every state at
//! every row and the expected transitions; [`moments`] what the maximisation step needs of rows
//! weighted by posteriors. [`log_likelihood`] and [`viterbi`] score and decode.
//!
//! **Results are the same on every processor**, bit for bit, but for logarithms, which are the
//! system's: eight rows (or sequences) go through the same operations side by side (`lanes.rs`),
//! sums have a fixed order, and no multiplication is fused with an addition. Wider registers make
//! it faster and change nothing. A call works on the thread that makes it: many models are fitted
//! at a time, which is where more threads go.
//!
//! n: rows of all sequences together; K: states; p: entries of a row. All tables are row-major.
//! This crate knows no Python.

mod chain;
mod densities;
mod error;
mod exp;
mod forward_backward;
mod lanes;
mod log_space;
mod moments;
mod table;
mod viterbi;

pub use chain::Chain;
pub use densities::{Gaussians, log_densities};
pub use error::Error;
pub use forward_backward::{Expectation, forward_backward, log_likelihood};
pub use moments::{Moments, Products, moments};
pub use table::{Lengths, Table};
pub use viterbi::{Path, viterbi};
