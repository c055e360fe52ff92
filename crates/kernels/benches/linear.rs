//! Throughput of the linear layers of W1 (the perceptron) and W4 (the language model), in
//! floating-point operations a second (criterion's `elem/s`; `Gelem/s` are GFLOP/s).
//!
//! `cargo bench -p batchscope-kernels --bench linear`; set `RAYON_NUM_THREADS=1` for one core.

use std::hint::black_box;
use std::time::Duration;

use batchscope_kernels::{
    LinearGradients, LinearShape, Workspace, linear_backward, linear_forward,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn tensor(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 500.0)
        .collect()
}

fn linear(c: &mut Criterion) {
    let workspace = Workspace::new();
    let mut group = c.benchmark_group("linear");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    let layers = [1, 8, 32, 256, 4096]
        .into_iter()
        .flat_map(|rows| [[rows, 784, 512], [rows, 512, 512], [rows, 512, 10]])
        .chain(
            [700, 4480]
                .into_iter()
                .flat_map(|rows| [[rows, 200, 800], [rows, 200, 2000]]),
        );
    for [rows, inputs, outputs] in layers {
        let shape = LinearShape::new(rows, inputs, outputs).expect("a sound shape");
        let (x, w, b) = (
            tensor(rows * inputs),
            tensor(inputs * outputs),
            tensor(outputs),
        );
        let mut y = vec![0.0; rows * outputs];
        let flops = 2 * (rows * inputs * outputs) as u64;
        group.throughput(Throughput::Elements(flops));
        let name = format!("{rows}x{inputs}x{outputs}");
        group.bench_function(format!("{name}/forward"), |bench| {
            bench.iter(|| {
                linear_forward(&workspace, shape, black_box(&x), &w, Some(&b), true, &mut y)
            });
        });
        let dy = tensor(rows * outputs);
        let (mut dx, mut dw, mut db) = (x.clone(), w.clone(), b.clone());
        group.throughput(Throughput::Elements(2 * flops));
        group.bench_function(format!("{name}/backward"), |bench| {
            bench.iter(|| {
                let gradients = LinearGradients {
                    dx: Some(&mut dx),
                    dw: Some(&mut dw),
                    db: Some(&mut db),
                };
                linear_backward(
                    &workspace,
                    shape,
                    black_box(&x),
                    &w,
                    Some(&y),
                    &dy,
                    gradients,
                )
            });
        });
    }
    group.finish();
}

criterion_group!(benches, linear);
criterion_main!(benches);
