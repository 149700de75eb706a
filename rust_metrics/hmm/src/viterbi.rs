//! Most likely paths (Rabiner 1989, section III.B), in log space.

use crate::chain::Chain;
use crate::error::{Error, check_count};
use crate::table::{Lengths, Table};

/// Most likely paths of all sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// Sum over the sequences of the log joint density of path and rows.
    pub log_joint: f64,
    /// (n) states.
    pub states: Vec<usize>,
}

/// Most likely path of every sequence of `log_density` (n, K).
///
/// Of equally likely ways into a state, that from the lowest is taken, and of equally likely last
/// states the lowest.
///
/// # Errors
/// [`Error::Shape`] if shapes disagree; [`Error::NonFinite`] if a density is NaN or plus infinity.
pub fn viterbi(
    log_density: Table<'_>,
    lengths: Lengths<'_>,
    chain: Chain<'_>,
) -> Result<Path, Error> {
    let k = chain.states();
    check_count("log_density", log_density.values(), log_density.rows() * k, "rows x states")?;
    let wrong = |value: &f64| value.is_nan() || *value == f64::INFINITY;
    if let Some(index) = log_density.values().iter().position(wrong) {
        let value = log_density.values()[index].to_string();
        return Err(Error::NonFinite { name: "log_density", index, value });
    }
    let (start, transition) = chain.logarithms();
    let mut path = Path { log_joint: 0.0, states: vec![0; log_density.rows()] };
    let mut came_from = Vec::new();
    for (begin, length) in lengths.sequences() {
        let mut best: Vec<f64> =
            start.iter().zip(log_density.row(begin)).map(|(a, b)| a + b).collect();
        came_from.clear();
        for t in 1..length {
            let ways = (0..k)
                .map(|to| greatest((0..k).map(|from| best[from] + transition[from * k + to])));
            let ways: Vec<(usize, f64)> = ways.collect();
            for ((best, &(_, way)), density) in
                best.iter_mut().zip(&ways).zip(log_density.row(begin + t))
            {
                *best = way + density;
            }
            came_from.extend(ways.into_iter().map(|(from, _)| from));
        }
        let (mut state, joint) = greatest(best.into_iter());
        path.log_joint += joint;
        for t in (0..length).rev() {
            path.states[begin + t] = state;
            if t > 0 {
                state = came_from[(t - 1) * k + state];
            }
        }
    }
    Ok(path)
}

/// Position of the greatest value, of equals the first, and the value.
fn greatest(values: impl Iterator<Item = f64>) -> (usize, f64) {
    values.enumerate().fold((0, f64::NEG_INFINITY), |best, (index, value)| {
        if value > best.1 { (index, value) } else { best }
    })
}
