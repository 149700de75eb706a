//! Forward-backward of one sequence in log space, which neither underflows nor overflows.

use crate::chain::Chain;

/// Log-likelihood of a sequence of log densities (T, K); posteriors are written, if asked for, and
/// expected transitions added to `transitions` (K, K).
pub(crate) fn sequence(
    density: &[f64],
    chain: Chain<'_>,
    posterior: Option<&mut [f64]>,
    transitions: &mut [f64],
) -> f64 {
    let states = chain.states();
    let (start, transition) = chain.logarithms();
    let mut forward = vec![0.0; density.len()];
    let mut terms = vec![0.0; states];
    for t in 0..density.len() / states {
        for k in 0..states {
            let arriving = if t == 0 {
                start[k]
            } else {
                let before = &forward[(t - 1) * states..][..states];
                for j in 0..states {
                    terms[j] = before[j] + transition[j * states + k];
                }
                log_sum(&terms)
            };
            forward[t * states + k] = arriving + density[t * states + k];
        }
    }
    let log_likelihood = log_sum(&forward[density.len() - states..]);
    if let Some(posterior) = posterior {
        backward(density, &forward, &transition, log_likelihood, posterior, transitions);
    }
    log_likelihood
}

fn backward(
    density: &[f64],
    forward: &[f64],
    transition: &[f64],
    log_likelihood: f64,
    posterior: &mut [f64],
    transitions: &mut [f64],
) {
    let states = transition.len().isqrt();
    let mut ahead = vec![0.0; states];
    let mut terms = vec![0.0; states];
    let mut backward = vec![0.0; states];
    for t in (0..density.len() / states).rev() {
        let row = t * states..(t + 1) * states;
        for (k, value) in posterior[row.clone()].iter_mut().enumerate() {
            *value = (forward[t * states + k] + backward[k] - log_likelihood).exp();
        }
        if t == 0 {
            break;
        }
        for (k, density) in density[row].iter().enumerate() {
            ahead[k] = density + backward[k];
        }
        for j in 0..states {
            let before = forward[(t - 1) * states + j];
            for k in 0..states {
                terms[k] = transition[j * states + k] + ahead[k];
                transitions[j * states + k] += (before + terms[k] - log_likelihood).exp();
            }
            backward[j] = log_sum(&terms);
        }
    }
}

/// Logarithm of the sum of the exponentials; minus infinity where all terms are.
fn log_sum(terms: &[f64]) -> f64 {
    let peak = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if peak == f64::NEG_INFINITY {
        return peak;
    }
    peak + terms.iter().map(|term| (term - peak).exp()).sum::<f64>().ln()
}
