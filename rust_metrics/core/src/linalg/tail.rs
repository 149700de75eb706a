//! The power-law exponent of the tail of an eigenvalue density.

/// Fewer values than this have no exponent.
const MIN_VALUES: usize = 20;
/// Values that differ by less than this, relatively, are no tail.
const NARROW: f64 = 1e-6;

/// Exponent alpha of the density x^-alpha that fits the upper tail of `values` (all > 0) best.
///
/// Clauset, Shalizi and Newman 2009, "Power-law distributions in empirical data", sections 3.1 and
/// 3.3: for a tail that starts at x_min, alpha = 1 + n / sum of ln(x / x_min) over its n values is
/// the maximum of the likelihood; x_min is the value, the largest left out, for which the
/// distribution function of the fit is nearest to that of the tail (Kolmogorov and Smirnov's
/// distance, taken at the values, from their left). `None` for fewer than [`MIN_VALUES`] values,
/// or if they are all the same within [`NARROW`].
pub(crate) fn tail_exponent(mut values: Vec<f64>) -> Option<f64> {
    if values.len() < MIN_VALUES {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let mut logarithms = values;
    logarithms.iter_mut().for_each(|value| *value = value.ln());
    let largest = logarithms[logarithms.len() - 1];
    // Sums of ln x over the tail that starts at each value.
    let mut sums = logarithms.clone();
    for i in (0..sums.len() - 1).rev() {
        sums[i] += sums[i + 1];
    }
    let (mut least, mut best) = (f64::INFINITY, None);
    // A few starts first: one of them is near the best, by which most others are soon ruled out.
    for start in (0..logarithms.len()).step_by(8).chain(0..logarithms.len()) {
        let from = logarithms[start];
        if largest - from <= NARROW || (start > 0 && logarithms[start - 1] == from) {
            continue;
        }
        let n = (logarithms.len() - start) as f64;
        let slope = n / (sums[start] - n * from); // alpha - 1
        if let Some(distance) = distance_below(least, &logarithms[start..], slope) {
            (least, best) = (distance, Some(1.0 + slope));
        }
    }
    best
}

/// Kolmogorov and Smirnov's distance of a tail from its fit, if it is less than `limit`.
fn distance_below(limit: f64, tail: &[f64], slope: f64) -> Option<f64> {
    let n = tail.len() as f64;
    let distance = |i: usize| (1.0 - (-slope * (tail[i] - tail[0])).exp() - i as f64 / n).abs();
    // Most fits are seen to be worse at one of a few values.
    let coarse = tail.len() / 16 + 1;
    if (0..tail.len()).step_by(coarse).any(|i| distance(i) >= limit) {
        return None;
    }
    let largest = (0..tail.len()).map(distance).fold(0.0, f64::max);
    (largest < limit).then_some(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of the power law x^-alpha from 1 on, and uniform values below it.
    fn sample(alpha: f64, n: usize, below: usize) -> Vec<f64> {
        let quantile = |i: usize| (1.0 - i as f64 / n as f64).powf(-1.0 / (alpha - 1.0));
        let uniform = (0..below).map(|i| 0.05 + 0.9 * i as f64 / below as f64);
        (0..n).map(quantile).chain(uniform).collect()
    }

    #[test]
    fn the_exponent_of_a_power_law_is_found() {
        for alpha in [1.5, 2.0, 3.5, 6.0] {
            let found = tail_exponent(sample(alpha, 4000, 0)).unwrap();
            assert!((found / alpha - 1.0).abs() < 0.01, "{found} for {alpha}");
        }
    }

    #[test]
    fn what_lies_below_the_tail_is_left_out() {
        let found = tail_exponent(sample(2.5, 2000, 3000)).unwrap();
        assert!((found / 2.5 - 1.0).abs() < 0.02, "{found}");
    }

    #[test]
    fn scale_does_not_matter() {
        let values = sample(3.0, 50, 20);
        let scaled = values.iter().map(|x| x * 1e40).collect();
        let (a, b) = (tail_exponent(values).unwrap(), tail_exponent(scaled).unwrap());
        assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
    }

    #[test]
    fn few_or_equal_values_have_no_tail() {
        assert_eq!(tail_exponent(sample(2.0, MIN_VALUES - 1, 0)), None);
        assert!(tail_exponent(sample(2.0, MIN_VALUES, 0)).is_some());
        assert_eq!(tail_exponent(vec![2.0; 100]), None);
        assert_eq!(tail_exponent((0..100).map(|i| 1.0 + 1e-12 * f64::from(i)).collect()), None);
    }
}
