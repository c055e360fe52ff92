//! What the machine can do at most, against which a step is held, and what the process has used.

use std::time::Instant;

use batchscope_kernels::{Sgd, Workspace, sgd_step};
use gemm::Parallelism;

use crate::workloads::{Failure, THREADS};

/// Rows and columns of the product: far larger than any cache.
const SIDE: usize = 2048;
/// Repetitions, of which the fastest counts.
const PRODUCTS: usize = 8;
/// Seconds a bandwidth is measured for.
const SWEEPING: f64 = 0.3;

/// Operations a second of a large product of f32 matrices on all threads of the pool.
pub fn gemm_peak() -> f64 {
    let (a, b) = (vec![0.5f32; SIDE * SIDE], vec![0.25f32; SIDE * SIDE]);
    let mut product = vec![0.0f32; SIDE * SIDE];
    let fastest = (0..PRODUCTS)
        .map(|_| {
            let clock = Instant::now();
            let rows = SIDE as isize;
            // SAFETY: all three hold SIDE × SIDE numbers, row after row; the product overlaps
            // neither operand.
            unsafe {
                gemm::gemm(
                    SIDE,
                    SIDE,
                    SIDE,
                    product.as_mut_ptr(),
                    1,
                    rows,
                    false,
                    a.as_ptr(),
                    1,
                    rows,
                    b.as_ptr(),
                    1,
                    rows,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::Rayon(THREADS),
                );
            }
            clock.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    2.0 * (SIDE as f64).powi(3) / fastest
}

/// Bytes a second that all threads together move in momentum updates over this many parameters:
/// three numbers read and two written for each. From whatever cache holds them, as in a step.
pub fn bandwidth(parameters: usize) -> Result<f64, Failure> {
    let share = parameters.div_ceil(THREADS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(move || sweep(share)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a sweeping thread panicked")?)
            .sum()
    })
}

/// Bytes a second of one thread over its share.
fn sweep(parameters: usize) -> Result<f64, Failure> {
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    alone.install(|| {
        let workspace = Workspace::new();
        let settings = Sgd {
            learning_rate: 1e-3,
            momentum: 0.9,
            weight_decay: 0.0,
            nesterov: false,
            scale: 1.0,
        };
        let (mut weights, mut velocity) = (vec![1.0f32; parameters], vec![0.0; parameters]);
        let gradient = vec![1.0; parameters];
        let (mut sweeps, mut begun) = (0u64, Instant::now());
        while sweeps < 2 || begun.elapsed().as_secs_f64() < SWEEPING {
            if sweeps == 1 {
                begun = Instant::now(); // the first one brings the numbers in
            }
            sgd_step(&workspace, settings, &mut weights, &mut velocity, &gradient)?;
            sweeps += 1;
        }
        let bytes = (sweeps - 1) as f64 * parameters as f64 * 5.0 * size_of::<f32>() as f64;
        Ok(bytes / begun.elapsed().as_secs_f64())
    })
}

/// The most bytes of memory this process has held, as Linux tells it; `None` elsewhere.
pub fn peak_memory() -> Result<Option<u64>, Failure> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return Ok(None);
    };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes
        .map(str::parse::<u64>)
        .transpose()?
        .map(|kb| kb << 10))
}
