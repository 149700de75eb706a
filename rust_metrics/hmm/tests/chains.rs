//! Forward-backward and Viterbi against the sum over all paths, and against plain log space.

use proptest::prelude::*;
use training_maps_hmm::{Chain, Error, Lengths, Table, forward_backward, log_likelihood, viterbi};

/// One sequence's rows under a chain, as plain as can be.
struct Twin<'a> {
    start: &'a [f64],
    transition: &'a [f64],
    density: &'a [f64],
}

#[derive(Debug, Clone)]
struct Answer {
    log_likelihood: f64,
    posterior: Vec<f64>,
    transitions: Vec<f64>,
    best: f64,
}

impl Twin<'_> {
    fn states(&self) -> usize {
        self.start.len()
    }

    fn length(&self) -> usize {
        self.density.len() / self.states()
    }

    fn log_joint(&self, path: &[usize]) -> f64 {
        let k = self.states();
        let mut sum = self.start[path[0]].ln() + self.density[path[0]];
        for t in 1..path.len() {
            sum += self.transition[path[t - 1] * k + path[t]].ln() + self.density[t * k + path[t]];
        }
        sum
    }

    /// The sum over all paths.
    fn all_paths(&self) -> Answer {
        let (k, length) = (self.states(), self.length());
        let count = k.pow(u32::try_from(length).unwrap());
        let path = |number: usize| -> Vec<usize> {
            (0..length).map(|t| number / k.pow(u32::try_from(t).unwrap()) % k).collect()
        };
        let joints: Vec<f64> = (0..count).map(|number| self.log_joint(&path(number))).collect();
        let log_likelihood = log_sum(&joints);
        let mut answer = Answer {
            log_likelihood,
            posterior: vec![0.0; length * k],
            transitions: vec![0.0; k * k],
            best: joints.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        };
        for (number, joint) in joints.iter().enumerate() {
            let (path, weight) = (path(number), (joint - log_likelihood).exp());
            for t in 0..length {
                answer.posterior[t * k + path[t]] += weight;
                if t > 0 {
                    answer.transitions[path[t - 1] * k + path[t]] += weight;
                }
            }
        }
        answer
    }

    /// Forward-backward in log space, one sum of exponentials at a time.
    fn log_space(&self) -> Answer {
        let (k, length) = (self.states(), self.length());
        let log = |j: usize, l: usize| self.transition[j * k + l].ln();
        let mut forward = vec![f64::NEG_INFINITY; length * k];
        let mut best = forward.clone();
        let mut backward = vec![0.0; length * k];
        for t in 0..length {
            for l in 0..k {
                let from = |values: &[f64]| -> Vec<f64> {
                    if t == 0 {
                        return vec![self.start[l].ln()];
                    }
                    (0..k).map(|j| values[(t - 1) * k + j] + log(j, l)).collect()
                };
                let (arriving, ways) = (log_sum(&from(&forward)), from(&best));
                forward[t * k + l] = arriving + self.density[t * k + l];
                best[t * k + l] = ways.iter().copied().fold(f64::NEG_INFINITY, f64::max)
                    + self.density[t * k + l];
            }
        }
        let ahead = |backward: &[f64], t: usize, j: usize, l: usize| {
            log(j, l) + self.density[t * k + l] + backward[t * k + l]
        };
        for t in (1..length).rev() {
            for j in 0..k {
                let terms: Vec<f64> = (0..k).map(|l| ahead(&backward, t, j, l)).collect();
                backward[(t - 1) * k + j] = log_sum(&terms);
            }
        }
        let last = (length - 1) * k;
        let log_likelihood = log_sum(&forward[last..]);
        let share = |log: f64| (log - log_likelihood).exp();
        let mut transitions = vec![0.0; k * k];
        for t in 1..length {
            for (cell, sum) in transitions.iter_mut().enumerate() {
                let (j, l) = (cell / k, cell % k);
                *sum += share(forward[(t - 1) * k + j] + ahead(&backward, t, j, l));
            }
        }
        Answer {
            log_likelihood,
            posterior: forward.iter().zip(&backward).map(|(f, b)| share(f + b)).collect(),
            transitions,
            best: best[last..].iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

fn log_sum(terms: &[f64]) -> f64 {
    let peak = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if peak == f64::NEG_INFINITY {
        return peak;
    }
    peak + terms.iter().map(|term| (term - peak).exp()).sum::<f64>().ln()
}

/// Sequences under a chain.
#[derive(Debug, Clone)]
struct Case {
    start: Vec<f64>,
    transition: Vec<f64>,
    lengths: Vec<usize>,
    density: Vec<f64>,
}

impl Case {
    fn states(&self) -> usize {
        self.start.len()
    }

    /// The twin's answer for all sequences together.
    fn answer(&self, of: impl Fn(&Twin<'_>) -> Answer) -> Answer {
        let k = self.states();
        let mut begin = 0;
        let mut sum = Answer {
            log_likelihood: 0.0,
            posterior: Vec::new(),
            transitions: vec![0.0; k * k],
            best: 0.0,
        };
        for length in &self.lengths {
            let density = &self.density[begin * k..(begin + length) * k];
            let twin = Twin { start: &self.start, transition: &self.transition, density };
            let answer = of(&twin);
            sum.log_likelihood += answer.log_likelihood;
            sum.posterior.extend(answer.posterior);
            sum.transitions.iter_mut().zip(answer.transitions).for_each(|(a, b)| *a += b);
            sum.best += answer.best;
            begin += length;
        }
        sum
    }

    fn check(&self, expected: &Answer, tolerance: f64) {
        let k = self.states();
        let table = Table::new("log_density", &self.density, k).unwrap();
        let lengths = Lengths::new(&self.lengths, table.rows()).unwrap();
        let chain = Chain::new(&self.start, &self.transition).unwrap();
        let mut posterior = vec![f64::NAN; self.density.len()];
        let found = forward_backward(table, lengths, chain, &mut posterior).unwrap();
        let size = expected.log_likelihood.abs().max(1.0);
        assert!((found.log_likelihood - expected.log_likelihood).abs() <= tolerance * size);
        assert_eq!(log_likelihood(table, lengths, chain).unwrap(), found.log_likelihood);
        let close = |found: &[f64], expected: &[f64], tolerance: f64| {
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() <= tolerance, "{a} {b} of\n{found:?}\n{expected:?}");
            }
        };
        // The twin's own rounding is that of exponents of this size.
        close(&posterior, &expected.posterior, tolerance * size);
        close(&found.transitions, &expected.transitions, 10.0 * tolerance * size);
        let path = viterbi(table, lengths, chain).unwrap();
        assert!((path.log_joint - expected.best).abs() <= tolerance * size);
        let joint = self.answer_of_path(&path.states);
        assert!((path.log_joint - joint).abs() <= tolerance * size);
    }

    fn answer_of_path(&self, states: &[usize]) -> f64 {
        let k = self.states();
        let mut begin = 0;
        let mut sum = 0.0;
        for length in &self.lengths {
            let density = &self.density[begin * k..(begin + length) * k];
            let twin = Twin { start: &self.start, transition: &self.transition, density };
            sum += twin.log_joint(&states[begin..begin + length]);
            begin += length;
        }
        sum
    }
}

/// Probabilities that sum to 1; some are 0, or tiny. The first of the chain never is.
fn probabilities(count: usize, at: usize) -> impl Strategy<Value = Vec<f64>> {
    let one =
        prop_oneof![3 => 0.05..1.0f64, 1 => Just(0.0), 1 => Just(1e-200), 1 => 1e-90..1e-60f64];
    prop::collection::vec(one, count).prop_map(move |mut values| {
        values[at] += 0.3;
        let sum: f64 = values.iter().sum();
        values.into_iter().map(|value| value / sum).collect()
    })
}

/// Some sequences of 1 to `longest` rows under a chain of 1 to 5 states.
fn cases(longest: usize, count: usize, most_states: usize) -> impl Strategy<Value = Case> {
    let lengths = prop::collection::vec(1..=longest, 1..=count);
    (1..=most_states, lengths, 0usize..4).prop_flat_map(|(k, lengths, size)| {
        let rows: usize = lengths.iter().sum();
        let size = [1.0, 30.0, 300.0, 3000.0][size];
        let chain: Vec<_> = (0..k).map(|state| probabilities(k, state)).collect();
        let density = prop::collection::vec(-size..size / 10.0, rows * k);
        (probabilities(k, 0), chain, Just(lengths), density).prop_map(
            |(start, rows, lengths, density)| Case {
                start,
                transition: rows.concat(),
                lengths,
                density,
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn all_paths(case in cases(5, 10, 3)) {
        let expected = case.answer(|twin| twin.all_paths());
        case.check(&expected, 1e-12);
    }

    #[test]
    fn long_sequences_in_log_space(case in cases(60, 12, 5)) {
        let expected = case.answer(|twin| twin.log_space());
        case.check(&expected, 1e-12);
    }
}

/// A chain that waits and moves on, and rows that stay a little better explained by a state that
/// only a path of vanishing probability has reached: no single row gives it away.
#[test]
fn a_lost_path_that_gains_slowly_is_found() {
    let case = |rows: usize| {
        let mut density = vec![0.0, -800.0];
        density.extend((1..rows).flat_map(|_| [-8.0, 0.0]));
        Case {
            start: vec![1.0 - 1e-16, 1e-16],
            transition: vec![1.0, 0.0, 0.0, 1.0],
            lengths: vec![rows],
            density,
        }
    };
    for rows in [2, 60, 101, 105, 107, 120, 300] {
        let case = case(rows);
        let expected = case.answer(|twin| twin.log_space());
        case.check(&expected, 1e-11);
    }
    let table = case(300);
    let table = Table::new("log_density", &table.density, 2).unwrap();
    let chain = Chain::new(&[1.0 - 1e-16, 1e-16], &[1.0, 0.0, 0.0, 1.0]).unwrap();
    let mut posterior = vec![0.0; 600];
    let found =
        forward_backward(table, Lengths::new(&[300], 300).unwrap(), chain, &mut posterior).unwrap();
    assert_eq!(found.redone, [0]);
    assert!(posterior[599] > 0.99);
}

#[test]
fn sequences_do_not_depend_on_their_neighbours() {
    let rows = 40;
    let density: Vec<f64> = (0..rows * 3).map(|i| (f64::from(i) * 0.7).sin() * 9.0).collect();
    let (start, transition) = ([0.2, 0.3, 0.5], [0.9, 0.1, 0.0, 0.2, 0.7, 0.1, 0.3, 0.3, 0.4]);
    let chain = Chain::new(&start, &transition).unwrap();
    let of = |lengths: &[usize], density: &[f64]| {
        let table = Table::new("log_density", density, 3).unwrap();
        let mut posterior = vec![0.0; density.len()];
        let lengths = Lengths::new(lengths, table.rows()).unwrap();
        forward_backward(table, lengths, chain, &mut posterior).unwrap();
        posterior
    };
    let together = of(&[7, 1, 9, 2, 3, 5, 4, 6, 2, 1], &density);
    assert_eq!(of(&[9], &density[8 * 3..17 * 3]), together[8 * 3..17 * 3]);
    assert_eq!(of(&[1], &density[39 * 3..]), together[39 * 3..]);
}

#[test]
fn bad_arguments_are_refused() {
    let good = [0.5, 0.5];
    let square = [0.5; 4];
    assert!(matches!(Chain::new(&good, &good), Err(Error::Shape { .. })));
    assert!(matches!(Chain::new(&[], &[]), Err(Error::Argument { .. })));
    let nan = [0.5, f64::NAN];
    assert!(matches!(Chain::new(&nan, &square), Err(Error::NonFinite { index: 1, .. })));
    assert!(matches!(Chain::new(&[1.5, -0.5], &square), Err(Error::Argument { .. })));
    for lengths in [&[1, 0, 2][..], &[4], &[]] {
        assert!(matches!(Lengths::new(lengths, 3), Err(Error::Argument { .. })));
    }
    assert!(matches!(Table::new("rows", &good, 0), Err(Error::Shape { .. })));
    assert!(matches!(Table::new("rows", &square, 3), Err(Error::Shape { .. })));
    let chain = Chain::new(&good, &square).unwrap();
    for bad in [f64::NAN, f64::INFINITY] {
        let density = [0.0, 0.0, bad, 0.0, 0.0, 0.0];
        let table = Table::new("log_density", &density, 2).unwrap();
        let lengths = Lengths::new(&[3], 3).unwrap();
        let message = log_likelihood(table, lengths, chain).unwrap_err().to_string();
        assert!(message.contains("no finite maximum at row 1"), "{message}");
        assert!(matches!(viterbi(table, lengths, chain), Err(Error::NonFinite { index: 2, .. })));
    }
    let least = [f64::NEG_INFINITY; 2];
    let table = Table::new("log_density", &least, 2).unwrap();
    assert!(log_likelihood(table, Lengths::new(&[1], 1).unwrap(), chain).is_err());
}
