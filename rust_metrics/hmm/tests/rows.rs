//! Densities and moments against loops over rows, entries and states.

use proptest::prelude::*;
use training_maps_hmm::{Error, Gaussians, Products, Table, log_densities, moments};

fn close(found: &[f64], expected: &[f64], sizes: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for ((a, b), size) in found.iter().zip(expected).zip(sizes) {
        assert!((a - b).abs() <= 1e-13 * (1.0 + size), "{a} {b}");
    }
}

fn numbers(count: usize) -> impl Strategy<Value = Vec<f64>> {
    let one = prop_oneof![5 => -3.0..3.0f64, 2 => Just(0.0)];
    prop::collection::vec(one, count)
}

#[derive(Debug, Clone)]
struct Case {
    rows: Vec<f64>,
    centres: Vec<f64>,
    maps: Vec<f64>,
    offsets: Vec<f64>,
    weights: Vec<f64>,
    shape: (usize, usize, usize, usize),
}

/// Numbers of rows, entries, mapped entries and states around those that are taken together.
fn cases() -> impl Strategy<Value = Case> {
    (1usize..300, 1usize..7, 1usize..6, 1usize..10).prop_flat_map(|(n, p, d, k)| {
        let tables =
            (numbers(n * p), numbers(k * p), numbers(k * d * p), numbers(k), numbers(n * k));
        tables.prop_map(move |(rows, centres, maps, offsets, weights)| Case {
            rows,
            centres,
            maps,
            offsets,
            weights,
            shape: (n, p, d, k),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn densities(case in cases()) {
        let (n, p, d, k) = case.shape;
        let (mut expected, mut sizes) = (Vec::new(), Vec::new());
        for row in case.rows.chunks(p) {
            for state in 0..k {
                let map = &case.maps[state * d * p..];
                let squares: f64 = (0..d)
                    .map(|i| {
                        let mapped: f64 = (0..p)
                            .map(|j| map[i * p + j] * (row[j] - case.centres[state * p + j]))
                            .sum();
                        mapped * mapped
                    })
                    .sum();
                expected.push(case.offsets[state] - squares / 2.0);
                sizes.push(squares + 100.0);
            }
        }
        let centres = Table::new("centres", &case.centres, p).unwrap();
        let gaussians = Gaussians::new(centres, &case.maps, d, &case.offsets).unwrap();
        let mut found = vec![f64::NAN; n * k];
        log_densities(Table::new("rows", &case.rows, p).unwrap(), &gaussians, &mut found).unwrap();
        close(&found, &expected, &sizes);
    }

    /// Rows of q + d entries, regressed on the first q, are mapped as if all were one map.
    #[test]
    fn densities_after_a_regression(case in cases(), q in 1usize..4) {
        let (n, p, d, k) = case.shape;
        prop_assume!(q < p);
        let own = p - q;
        let centres: Vec<f64> = case.centres.chunks(p).flat_map(|row| row[q..].to_vec()).collect();
        let coefficients = &case.maps[..k * d * p].iter().cycle().take(k * own * q);
        let coefficients: Vec<f64> = coefficients.clone().copied().collect();
        let maps: Vec<f64> = case.maps.chunks(p).flat_map(|row| row[q..].to_vec()).collect();
        let (mut left, mut sizes) = (Vec::new(), Vec::new());
        for row in case.rows.chunks(p) {
            for state in 0..k {
                let apart: Vec<f64> = (0..own)
                    .map(|i| {
                        let slope = &coefficients[(state * own + i) * q..][..q];
                        let told: f64 = slope.iter().zip(row).map(|(a, x)| a * x).sum();
                        row[q + i] - centres[state * own + i] - told
                    })
                    .collect();
                let map = &maps[state * d * own..][..d * own];
                let squares: f64 = map
                    .chunks(own)
                    .map(|row| row.iter().zip(&apart).map(|(a, x)| a * x).sum::<f64>().powi(2))
                    .sum();
                left.push(case.offsets[state] - squares / 2.0);
                sizes.push(squares + 1000.0);
            }
        }
        let centres = Table::new("centres", &centres, own).unwrap();
        let gaussians = Gaussians::new(centres, &maps, d, &case.offsets)
            .and_then(|gaussians| gaussians.regressed(&coefficients, q))
            .unwrap();
        let mut found = vec![f64::NAN; n * k];
        log_densities(Table::new("rows", &case.rows, p).unwrap(), &gaussians, &mut found).unwrap();
        close(&found, &left, &sizes);
    }

    /// Eight rows that weigh nothing to speak of are left out; one more that weighs, and none is.
    #[test]
    fn negligible_weights_lose_nothing(case in cases(), k in 0usize..3) {
        let (n, p, _, _) = case.shape;
        let rows = Table::new("rows", &case.rows, p).unwrap();
        let weight = |t: usize| match (t / 8) % 3 == k {
            true => [1e-31, -1e-40, 0.0][t % 3],
            false => 1.0,
        };
        let tiny: Vec<f64> = (0..n).map(weight).collect();
        let none: Vec<f64> = tiny.iter().map(|&w| if w == 1.0 { w } else { 0.0 }).collect();
        let of = |weights: &[f64]| {
            moments(rows, Table::new("weights", weights, 1).unwrap(), Products::Pairs).unwrap()
        };
        assert_eq!(of(&tiny), of(&none));
        let mut mixed = tiny.clone();
        mixed[n / 2] = 1e-29;
        let row = &case.rows[n / 2 * p..][..p];
        if tiny.iter().all(|&w| w != 1.0) {
            let found = of(&mixed).sums;
            for (sum, entry) in found.iter().zip(row) {
                assert!((sum - 1e-29 * entry).abs() < 1e-29, "{sum} {entry}");
            }
        }
    }

    #[test]
    fn weighted_moments(case in cases()) {
        let (n, p, _, k) = case.shape;
        let rows = Table::new("rows", &case.rows, p).unwrap();
        let weights = Table::new("weights", &case.weights, k).unwrap();
        let sum = |term: &dyn Fn(usize) -> f64| (0..n).map(term).sum::<f64>();
        let (mut total, mut sums, mut pairs, mut squares) = (vec![], vec![], vec![], vec![]);
        for state in 0..k {
            let weight = |t: usize| case.weights[t * k + state];
            let entry = |t: usize, i: usize| case.rows[t * p + i];
            total.push(sum(&weight));
            for i in 0..p {
                sums.push(sum(&|t| weight(t) * entry(t, i)));
                squares.push(sum(&|t| weight(t) * entry(t, i) * entry(t, i)));
                for j in 0..p {
                    pairs.push(sum(&|t| weight(t) * entry(t, i) * entry(t, j)));
                }
            }
        }
        let sizes = vec![27.0 * n as f64; k * p * p];
        for (products, expected) in [(Products::Pairs, &pairs), (Products::Squares, &squares)] {
            let found = moments(rows, weights, products).unwrap();
            close(&found.weights, &total, &sizes);
            close(&found.sums, &sums, &sizes);
            close(&found.products, expected, &sizes);
        }
    }
}

#[test]
fn bad_arguments_are_refused() {
    let centres = [0.0; 4];
    let centres = Table::new("centres", &centres, 2).unwrap();
    assert!(matches!(Gaussians::new(centres, &[1.0; 7], 2, &[0.0; 2]), Err(Error::Shape { .. })));
    assert!(matches!(Gaussians::new(centres, &[1.0; 8], 2, &[0.0; 3]), Err(Error::Shape { .. })));
    let infinite = [1.0, f64::INFINITY, 1.0, 1.0];
    let found = Gaussians::new(centres, &infinite, 1, &[0.0; 2]).unwrap_err();
    assert_eq!(found.to_string(), "maps must be finite, and its value number 1 is inf");
    let good = [1.0; 4];
    let gaussians = Gaussians::new(centres, &good, 1, &[0.0; 2]).unwrap();
    assert!(matches!(gaussians.regressed(&[1.0; 7], 2), Err(Error::Shape { .. })));
    let found = gaussians.regressed(&[f64::NAN; 4], 1).unwrap_err();
    assert_eq!(found.to_string(), "coefficients must be finite, and its value number 0 is NaN");
    let regressed = gaussians.regressed(&good, 1).unwrap();
    let narrow = Table::new("rows", &good, 2).unwrap();
    assert!(matches!(log_densities(narrow, &regressed, &mut [0.0; 4]), Err(Error::Shape { .. })));
    let rows = [0.0; 6];
    let mut result = [0.0; 4];
    for width in [2, 3] {
        let rows = Table::new("rows", &rows, width).unwrap();
        assert!(matches!(log_densities(rows, &gaussians, &mut result), Err(Error::Shape { .. })));
    }
    let rows = Table::new("rows", &rows, 2).unwrap();
    let weights = Table::new("weights", &good, 2).unwrap();
    assert!(matches!(moments(rows, weights, Products::Squares), Err(Error::Shape { .. })));
}
