//! Singular values of one matrix, one thread: ours against faer's two ways. Prints a Markdown table
//! of median milliseconds. OpenBLAS is kept to one thread by OPENBLAS_NUM_THREADS=1.

use std::hint::black_box;
use std::time::Instant;

use faer::{Mat, Par, Side};

const ROUNDS: usize = 9;

fn milliseconds(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    1e3 * start.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    faer::set_global_parallelism(Par::Seq);
    println!("| matrix | ours | faer, Gram and eigenvalues | ratio | faer, singular values | ratio |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (rows, cols) in [(128, 32), (128, 128), (512, 128), (768, 768), (3072, 768)] {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        let values: Vec<f64> = (0..rows * cols).map(|_| uniform()).collect();
        let matrix = Mat::from_fn(rows, cols, |i, j| values[i * cols + j]);
        let mut workspace = Vec::new();
        let mut times = [vec![], vec![], vec![]];
        for _ in 0..ROUNDS {
            let mut copy = values.clone();
            times[0].push(milliseconds(|| {
                let spectrum =
                    training_maps_metrics::spectrum(&mut copy, rows, cols, true, &mut workspace);
                _ = black_box(spectrum);
            }));
            times[1].push(milliseconds(|| {
                let gram = matrix.transpose() * &matrix;
                _ = black_box(gram.self_adjoint_eigenvalues(Side::Lower));
            }));
            times[2].push(milliseconds(|| _ = black_box(matrix.singular_values())));
        }
        let [ours, gram, direct] = times.map(median);
        println!(
            "| {rows}×{cols} | {ours:.2} | {gram:.2} | {:.1} | {direct:.2} | {:.1} |",
            gram / ours,
            direct / ours
        );
    }
}
