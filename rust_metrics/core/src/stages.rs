//! Where the time goes: `cargo test --release stages -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use crate::linalg::blas::{self, SingleThreaded};
use crate::linalg::eigenvalues::eigenvalues;
use crate::linalg::spectrum::Spectrum;
use crate::linalg::tridiagonal::tridiagonal;
use crate::metrics::median::median;
use crate::metrics::moments::Moments;
use crate::tensors::tensor::TensorData;

/// Median milliseconds of `work` on what `prepare` makes, which is not counted.
fn milliseconds<T>(prepare: impl Fn() -> T, mut work: impl FnMut(T)) -> f64 {
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            let prepared = prepare();
            let start = Instant::now();
            work(prepared);
            1e3 * start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[4]
}

/// Sums of four uniform values, close to Gaussian.
fn matrix(len: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (0..4).map(|_| uniform()).sum()).collect()
}

#[test]
#[ignore = "a measurement"]
fn stages() {
    let _single_threaded = SingleThreaded::new();
    println!("| matrix | read | sums | Gram | reduce | eigenvalues | ranks, tail | median |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for (rows, cols) in
        [(32, 128), (128, 40), (128, 128), (512, 128), (768, 768), (3072, 768), (768, 3072)]
    {
        let single = matrix(rows * cols);
        let data = TensorData::from_f32(&single);
        let mut values = vec![0.0; single.len()];
        let read = milliseconds(|| (), |()| data.read_into(&mut values));
        let sums = milliseconds(|| (), |()| _ = black_box(Moments::of(&values)));
        let side = rows.min(cols);
        let mut gram = vec![0.0; side * side];
        let factor = 1.0 / Moments::of(&values).sum_squares;
        let product = milliseconds(|| (), |()| blas::gram(&values, rows, cols, factor, &mut gram));
        let mut parts = (vec![], vec![]);
        let reduce = milliseconds(|| gram.clone(), |mut gram| parts = tridiagonal(&mut gram, side));
        let (mut diagonal, mut beside) = (vec![], vec![]);
        let iterate = milliseconds(
            || parts.clone(),
            |fresh| {
                (diagonal, beside) = fresh;
                assert!(eigenvalues(&mut diagonal, &mut beside));
            },
        );
        diagonal.iter_mut().for_each(|value| *value = value.max(0.0).sqrt());
        let ranks =
            milliseconds(|| (), |()| _ = black_box(Spectrum::of(&diagonal, rows.max(cols), true)));
        let middle = milliseconds(|| (), |()| _ = black_box(median(&[data], false)));
        println!(
            "| {rows}×{cols} | {read:.3} | {sums:.3} | {product:.3} | {reduce:.3} | {iterate:.3} \
             | {ranks:.3} | {middle:.3} |"
        );
    }
}
