//! Scaled forward-backward (Rabiner 1989, section V.A), eight sequences side by side.
//!
//! Every row's densities are divided by their maximum, and its forward probabilities by their sum,
//! so that densities of any size neither underflow nor overflow. What may still be lost are paths
//! whose probability, relative to that of all paths so far, falls below [`LOST`]. [`Forward`]
//! keeps a bound on what the lost paths of a sequence weigh at its end; where it exceeds
//! [`NEGLIGIBLE`], the sequence is done again in log space, which is exact and slower.
//!
//! *Why the bound holds.* A path lost in state k at time t goes on to some state l. If paths that
//! were kept arrive in every state with at least [`ARRIVING`], they and the lost ones have the same
//! future from l on, so that the lost ones weigh at most LOST / ARRIVING = 1e-30 of them for ever.
//! Otherwise the lost ones may gain: no step makes them larger (densities are at most 1), and each
//! divides the kept ones by their sum, which is at most 1. So the bound is divided by that sum.

use crate::chain::Chain;
use crate::error::{Error, check_count};
use crate::exp::exp;
use crate::lanes::{LANES, Lanes, Work, add_product, add_scaled, total, widest, zip};
use crate::log_space;
use crate::table::{Lengths, Table};

/// Share of all paths below which a state's forward probability counts as 0.
const LOST: f64 = 1e-150;
/// Share of all paths that makes what was lost in the same state negligible.
const ARRIVING: f64 = 1e-120;
/// Share of all paths that a result may lack.
const NEGLIGIBLE: f64 = 1e-30;
/// Products of scales below this are turned into logarithms.
const SMALL: f64 = 1e-100;
/// A sequence with a scale below this is done in log space: SMALL * LEAST_SCALE must not underflow,
/// nor 1 / (LOST * LEAST_SCALE) overflow, which bounds what a row ahead may weigh.
const LEAST_SCALE: f64 = 1e-150;

/// What the E-step learns from the sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// (K, K) expected number of transitions from one state to another.
    pub transitions: Vec<f64>,
    /// Sum over the sequences.
    pub log_likelihood: f64,
    /// The sequences that were done in log space, ascending.
    pub redone: Vec<usize>,
}

/// Posteriors (n, K), written to `posterior`, and expected transitions of all sequences.
///
/// # Errors
/// [`Error::Shape`] if shapes disagree; [`Error::Density`] for a row of `log_density` (n, K) whose
/// maximum is not finite (single states may have minus infinity).
pub fn forward_backward(
    log_density: Table<'_>,
    lengths: Lengths<'_>,
    chain: Chain<'_>,
    posterior: &mut [f64],
) -> Result<Expectation, Error> {
    check_count("posterior", posterior, log_density.values().len(), "as log_density")?;
    sequences(log_density, lengths, chain, Some(posterior))
}

/// Log-likelihood of all sequences together.
///
/// # Errors
/// As for [`forward_backward`].
pub fn log_likelihood(
    log_density: Table<'_>,
    lengths: Lengths<'_>,
    chain: Chain<'_>,
) -> Result<f64, Error> {
    Ok(sequences(log_density, lengths, chain, None)?.log_likelihood)
}

fn sequences(
    log_density: Table<'_>,
    lengths: Lengths<'_>,
    chain: Chain<'_>,
    mut posterior: Option<&mut [f64]>,
) -> Result<Expectation, Error> {
    let (n, states) = (log_density.rows(), chain.states());
    check_count("log_density", log_density.values(), n * states, "rows x states")?;
    let mut by_length: Vec<(usize, (usize, usize))> =
        lengths.sequences().into_iter().enumerate().collect();
    by_length.sort_by_key(|&(_, (_, length))| std::cmp::Reverse(length)); // stable
    let mut found = Expectation {
        transitions: vec![0.0; states * states],
        log_likelihood: 0.0,
        redone: Vec::new(),
    };
    let mut room = Room::default();
    for group in by_length.chunks(LANES) {
        let sequences: Vec<(usize, usize)> = group.iter().map(|&(_, place)| place).collect();
        let posterior = posterior.as_deref_mut();
        let of_group = widest(Group {
            log_density,
            sequences: &sequences,
            chain,
            posterior,
            room: &mut room,
        })?;
        for (k, lanes) in of_group.transitions.into_iter().enumerate() {
            found.transitions[k] += total(lanes) * chain.transition()[k];
        }
        found.log_likelihood += total(of_group.log_likelihood);
        found.redone.extend(
            group.iter().enumerate().filter(|&(lane, _)| of_group.failed[lane]).map(|(_, s)| s.0),
        );
    }
    found.redone.sort_unstable();
    let all = lengths.sequences();
    for &number in &found.redone {
        let (begin, length) = all[number];
        let cells = begin * states..(begin + length) * states;
        let posterior = posterior.as_deref_mut().map(|all| &mut all[cells.clone()]);
        let density = &log_density.values()[cells];
        found.log_likelihood +=
            log_space::sequence(density, chain, posterior, &mut found.transitions);
    }
    Ok(found)
}

/// Buffers that groups of sequences use one after another: T K lanes each, but for the scales, T.
#[derive(Default)]
struct Room {
    density: Vec<Lanes>,
    forward: Vec<Lanes>,
    scale: Vec<Lanes>,
}

/// At most eight sequences, the longest first, one a lane.
struct Group<'a> {
    log_density: Table<'a>,
    /// (first row, length) of each.
    sequences: &'a [(usize, usize)],
    chain: Chain<'a>,
    posterior: Option<&'a mut [f64]>,
    room: &'a mut Room,
}

/// What comes of a group; lanes that failed or hold no sequence are 0.
struct Found {
    /// (K, K), without the factor of the transition probabilities.
    transitions: Vec<Lanes>,
    log_likelihood: Lanes,
    failed: [bool; LANES],
}

impl Work for Group<'_> {
    type Result = Result<Found, Error>;

    #[inline(always)]
    fn run(mut self) -> Self::Result {
        let states = self.chain.states();
        let steps = self.sequences[0].1;
        for buffer in [&mut self.room.density, &mut self.room.forward] {
            buffer.resize(steps * states, [0.0; LANES]);
        }
        self.room.scale.resize(steps, [0.0; LANES]);
        let mut forward = Forward::new(self.chain);
        for t in 0..steps {
            self.step_forward(t, &mut forward)?;
        }
        let (mut log_likelihood, failed) = forward.ended();
        let mut transitions = match self.posterior.is_some() {
            true => self.backward(&failed),
            false => Vec::new(),
        };
        for lane in 0..LANES {
            if failed[lane] || lane >= self.sequences.len() {
                log_likelihood[lane] = 0.0;
                for sum in &mut transitions {
                    sum[lane] = 0.0;
                }
            }
        }
        Ok(Found { transitions, log_likelihood, failed })
    }
}

impl Group<'_> {
    /// How many sequences have a row at step `t`; they are the first lanes.
    #[inline(always)]
    fn alive(&self, t: usize) -> usize {
        self.sequences.partition_point(|&(_, length)| length > t)
    }

    /// Densities, scale and forward probabilities of step `t`.
    #[inline(always)]
    fn step_forward(&mut self, t: usize, forward: &mut Forward<'_>) -> Result<(), Error> {
        let (states, alive) = (self.chain.states(), self.alive(t));
        let density = &mut self.room.density[t * states..][..states];
        if alive < LANES {
            density.fill([0.0; LANES]);
        }
        for (lane, &(begin, _)) in self.sequences[..alive].iter().enumerate() {
            for (cell, &value) in density.iter_mut().zip(self.log_density.row(begin + t)) {
                cell[lane] = value;
            }
        }
        let mut shift = density[0];
        for &values in &density[1..] {
            shift = zip(shift, values, |a, b| if b > a { b } else { a });
        }
        // What is not finite becomes NaN, and everything else 0.
        if total(shift.map(|value| value * 0.0)) != 0.0 {
            let lane = shift.iter().position(|value| !value.is_finite()).unwrap_or(0);
            let row = self.sequences[lane].0 + t;
            return Err(Error::Density { row, value: shift[lane].to_string() });
        }
        for values in &mut *density {
            *values = exp(zip(*values, shift, |a, b| a - b));
        }
        let (before, now) = self.room.forward.split_at_mut(t * states);
        let before = &before[before.len().saturating_sub(states)..];
        self.room.scale[t] = forward.step(before, density, shift, alive, &mut now[..states]);
        Ok(())
    }

    /// Posteriors of all rows; returns expected transitions, divided by their probabilities.
    #[inline(always)]
    fn backward(&mut self, failed: &[bool; LANES]) -> Vec<Lanes> {
        let states = self.chain.states();
        let transition = self.chain.transition();
        let mut transitions = vec![[0.0; LANES]; states * states];
        let mut backward = vec![[1.0; LANES]; states];
        let mut weight = vec![[0.0; LANES]; states];
        for t in (0..self.sequences[0].1).rev() {
            self.write_posterior(t, &backward, failed);
            if t == 0 {
                break;
            }
            let forward = &self.room.forward[t * states..][..states];
            let alive = self.alive(t);
            let density = &self.room.density[t * states..][..states];
            for k in 0..states {
                // Where no path arrives, its future, of whatever size, does not matter.
                let kept = zip(forward[k], backward[k], |f, b| if f > 0.0 { b } else { 0.0 });
                let ahead = zip(density[k], kept, |d, b| d * b);
                weight[k] = zip(ahead, self.room.scale[t], |a, s| a / s);
                weight[k][alive..].fill(0.0);
            }
            let before = &self.room.forward[(t - 1) * states..][..states];
            for j in 0..states {
                let mut sum = [0.0; LANES];
                for k in 0..states {
                    sum = add_scaled(sum, weight[k], transition[j * states + k]);
                    let expected = &mut transitions[j * states + k];
                    *expected = add_product(*expected, before[j], weight[k]);
                }
                sum[alive..].fill(1.0); // they end here, or before
                backward[j] = sum;
            }
        }
        transitions
    }

    /// Posteriors of step `t`: forward times backward, divided by the sum, which rounding moves.
    #[inline(always)]
    fn write_posterior(&mut self, t: usize, backward: &[Lanes], failed: &[bool; LANES]) {
        let (states, alive) = (self.chain.states(), self.alive(t));
        let forward = &self.room.forward[t * states..][..states];
        let mut sum = [0.0; LANES];
        for (forward, &backward) in forward.iter().zip(backward) {
            let joint = zip(*forward, backward, |f, b| if f > 0.0 { f * b } else { 0.0 });
            sum = zip(sum, joint, |a, b| a + b);
        }
        let posterior = self.posterior.as_deref_mut().expect("asked for by the caller");
        for (k, (forward, &backward)) in forward.iter().zip(backward).enumerate() {
            let joint = zip(*forward, backward, |f, b| if f > 0.0 { f * b } else { 0.0 });
            let share = zip(joint, sum, |a, b| a / b);
            for lane in 0..alive {
                if !failed[lane] {
                    posterior[(self.sequences[lane].0 + t) * states + k] = share[lane];
                }
            }
        }
    }
}

/// Forward probabilities step by step, the log-likelihood so far, and a bound on what is lost.
struct Forward<'a> {
    chain: Chain<'a>,
    log_likelihood: Lanes,
    /// Product of the scales that are not in `log_likelihood` yet.
    product: Lanes,
    /// Bound on the weight of all lost paths, relative to the kept ones.
    lost: Lanes,
    /// What the last step may have lost, relative to the kept paths.
    losing: Lanes,
    /// What any step may lose by transition probabilities that are tiny.
    always: Lanes,
    /// (K) probability of arriving in each state.
    arriving: Vec<Lanes>,
    failed: [bool; LANES],
}

impl<'a> Forward<'a> {
    fn new(chain: Chain<'a>) -> Self {
        let tiny = chain.transition().iter().any(|&value| value > 0.0 && value < LOST);
        let always = [if tiny { LOST } else { 0.0 }; LANES];
        Forward {
            chain,
            log_likelihood: [0.0; LANES],
            product: [1.0; LANES],
            lost: [0.0; LANES],
            losing: always,
            always,
            arriving: vec![[0.0; LANES]; chain.states()],
            failed: [false; LANES],
        }
    }

    /// Forward probabilities from those `before`, written to `now`; returns their scale.
    ///
    /// Lanes from `alive` on have scale 1 and lose nothing.
    #[inline(always)]
    fn step(
        &mut self,
        before: &[Lanes],
        density: &[Lanes],
        shift: Lanes,
        alive: usize,
        now: &mut [Lanes],
    ) -> Lanes {
        let states = self.chain.states();
        let mut scale = [0.0; LANES];
        let mut least = [f64::INFINITY; LANES];
        for k in 0..states {
            let mut arriving = [self.chain.start()[k]; LANES];
            if !before.is_empty() {
                arriving = [0.0; LANES];
                for (j, &forward) in before.iter().enumerate() {
                    arriving =
                        add_scaled(arriving, forward, self.chain.transition()[j * states + k]);
                }
            }
            least = zip(least, arriving, |a, b| if b < a { b } else { a });
            self.arriving[k] = arriving;
            now[k] = zip(arriving, density[k], |a, b| a * b);
            scale = zip(scale, now[k], |a, b| a + b);
        }
        scale[alive..].fill(1.0);
        let lost =
            zip(least, self.losing, |least, losing| if least < ARRIVING { losing } else { 0.0 });
        self.lost = zip(zip(self.lost, lost, |a, b| a + b), scale, |a, b| a / b);
        self.losing = self.always;
        for (forward, &arriving) in now.iter_mut().zip(&self.arriving) {
            let share = zip(*forward, scale, |a, b| a / b);
            *forward = share.map(|value| if value < LOST { 0.0 } else { value });
            let lost = zip(*forward, arriving, |f, a| if f == 0.0 && a > 0.0 { LOST } else { 0.0 });
            self.losing = zip(self.losing, lost, |a, b| a + b);
        }
        self.losing[alive..].fill(0.0);
        for (failed, &scale) in self.failed.iter_mut().zip(&scale[..alive]) {
            *failed |= scale < LEAST_SCALE || scale.is_nan();
        }
        self.product = zip(self.product, scale, |a, b| a * b);
        if self.product.iter().any(|&value| value < SMALL) {
            self.take_logarithms();
        }
        self.log_likelihood = zip(self.log_likelihood, shift, |a, b| a + b);
        scale
    }

    fn take_logarithms(&mut self) {
        for (sum, product) in self.log_likelihood.iter_mut().zip(&mut self.product) {
            *sum += product.ln();
            *product = 1.0;
        }
    }

    /// Log-likelihood of each lane, and which lanes must be done again.
    fn ended(mut self) -> (Lanes, [bool; LANES]) {
        self.take_logarithms();
        let mut failed = self.failed;
        for (failed, &lost) in failed.iter_mut().zip(&self.lost) {
            *failed |= lost > NEGLIGIBLE || lost.is_nan();
        }
        (self.log_likelihood, failed)
    }
}
