//! Throughput of the convolutions of W2 (the LeNet-like network) and W3 (ResNet-20 on 32×32), and
//! of some wider ones, in floating-point operations a second (criterion's `elem/s`; `Gelem/s` are GFLOP/s).
//!
//! `cargo bench -p batchscope-kernels` compares the instruction sets of the machine on all its
//! cores; set `RAYON_NUM_THREADS=1` for one.

use std::hint::black_box;
use std::time::Duration;

use batchscope_kernels::{
    ConvGradients, ConvNormGradients, ConvShape, Isa, NormParameters, NormStatistics, PoolShape,
    Window, Workspace, conv_backward, conv_batch_norm_backward, conv_batch_norm_forward,
    conv_bias_relu_maxpool_backward, conv_bias_relu_maxpool_forward, conv_forward,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn tensor(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 500.0)
        .collect()
}

/// Name, shape, and whether the network needs the input's gradient.
fn layers() -> Vec<(&'static str, ConvShape, bool)> {
    let layer = |n, image, out, kernel, stride, padding| {
        ConvShape::new(n, image, out, Window::square(kernel, stride, padding))
            .expect("a sound shape")
    };
    vec![
        ("w2-conv1", layer(256, [28, 28, 1], 16, 5, 1, 2), false),
        ("w2-conv2", layer(256, [14, 14, 16], 32, 5, 1, 2), true),
        ("w3-stem", layer(64, [32, 32, 3], 16, 3, 1, 1), false),
        ("w3-stage1", layer(64, [32, 32, 16], 16, 3, 1, 1), true),
        ("w3-down2", layer(64, [32, 32, 16], 32, 3, 2, 1), true),
        ("w3-stage2", layer(64, [16, 16, 32], 32, 3, 1, 1), true),
        ("w3-down3", layer(64, [16, 16, 32], 64, 3, 2, 1), true),
        ("w3-stage3", layer(64, [8, 8, 64], 64, 3, 1, 1), true),
        (
            "resnet34-stage1",
            layer(16, [32, 32, 64], 64, 3, 1, 1),
            true,
        ),
        (
            "resnet34-stage4",
            layer(16, [4, 4, 512], 512, 3, 1, 1),
            true,
        ),
        ("resnet34-7x7", layer(16, [7, 7, 512], 512, 3, 1, 1), true),
        ("vgg16-last", layer(16, [2, 2, 512], 512, 3, 1, 1), true),
    ]
}

fn convolution(c: &mut Criterion) {
    for isa in Isa::available() {
        let workspace = Workspace::with_isa(isa);
        let mut group = c.benchmark_group(format!("conv/{}", isa.name()));
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(600));
        for (name, shape, with_dx) in layers() {
            let (x, w, dy) = (
                tensor(shape.input_len()),
                tensor(shape.weight_len()),
                tensor(shape.output_len()),
            );
            let bias = tensor(shape.output()[2]);
            let mut y = vec![0.0; shape.output_len()];
            group.throughput(Throughput::Elements(shape.flops()));
            group.bench_function(format!("{name}/forward"), |b| {
                b.iter(|| {
                    conv_forward(
                        &workspace,
                        &shape,
                        black_box(&x),
                        &w,
                        Some(&bias),
                        true,
                        &mut y,
                    )
                });
            });
            let (mut dx, mut dw, mut db) = (
                vec![0.0; x.len()],
                vec![0.0; w.len()],
                vec![0.0; bias.len()],
            );
            group.throughput(Throughput::Elements(
                shape.flops() * if with_dx { 2 } else { 1 },
            ));
            group.bench_function(format!("{name}/backward"), |b| {
                b.iter(|| {
                    let dx = with_dx.then_some(&mut dx[..]);
                    let gradients = ConvGradients {
                        dx,
                        dw: Some(&mut dw),
                        db: Some(&mut db),
                    };
                    conv_backward(&workspace, &shape, black_box(&x), &w, &dy, None, gradients)
                });
            });
        }
    }
}

fn fused(c: &mut Criterion) {
    let workspace = Workspace::new();
    let mut group = c.benchmark_group(format!("fused/{}", workspace.isa().name()));
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    for (name, shape, with_dx) in layers() {
        let (x, w, out) = (
            tensor(shape.input_len()),
            tensor(shape.weight_len()),
            shape.output()[2],
        );
        let (bias, beta) = (tensor(out), tensor(out));
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; out]);
        let flops = shape.flops();
        let both = flops * if with_dx { 2 } else { 1 };
        if name.starts_with("w2") {
            let pool = PoolShape::new([2, 2], [2, 2], [0, 0]).expect("a sound pool");
            let mut y = vec![0.0; shape.output_len() / 4];
            let mut places = vec![0; y.len()];
            group.throughput(Throughput::Elements(flops));
            group.bench_function(format!("{name}+pool/forward"), |b| {
                b.iter(|| {
                    let x = black_box(&x);
                    conv_bias_relu_maxpool_forward(
                        &workspace,
                        &shape,
                        &pool,
                        x,
                        &w,
                        &bias,
                        &mut y,
                        &mut places,
                    )
                });
            });
            let dy = tensor(y.len());
            group.throughput(Throughput::Elements(both));
            group.bench_function(format!("{name}+pool/backward"), |b| {
                b.iter(|| {
                    let dx = with_dx.then_some(&mut dx[..]);
                    let gradients = ConvGradients {
                        dx,
                        dw: Some(&mut dw),
                        db: Some(&mut db),
                    };
                    conv_bias_relu_maxpool_backward(
                        &workspace, &shape, &pool, &x, &w, &dy, &places, gradients,
                    )
                });
            });
        } else {
            let ghost = 64;
            let parameters = NormParameters {
                gamma: &bias,
                beta: &beta,
                epsilon: 1e-5,
            };
            let (mut mean, mut variance) = (vec![0.0; out], vec![0.0; out]);
            let (mut kept, mut y) = (vec![0.0; shape.output_len()], vec![0.0; shape.output_len()]);
            group.throughput(Throughput::Elements(flops));
            group.bench_function(format!("{name}+norm/forward"), |b| {
                b.iter(|| {
                    let statistics = NormStatistics {
                        mean: &mut mean,
                        variance: &mut variance,
                    };
                    let x = black_box(&x);
                    conv_batch_norm_forward(
                        &workspace, &shape, ghost, x, &w, parameters, None, true, &mut kept,
                        &mut y, statistics,
                    )
                });
            });
            let dy = tensor(y.len());
            let mut dbeta = vec![0.0; out];
            group.throughput(Throughput::Elements(both));
            group.bench_function(format!("{name}+norm/backward"), |b| {
                b.iter(|| {
                    let dx = with_dx.then_some(&mut dx[..]);
                    let gradients = ConvNormGradients {
                        dx,
                        dw: Some(&mut dw),
                        dgamma: &mut db,
                        dbeta: &mut dbeta,
                        dresidual: None,
                    };
                    conv_batch_norm_backward(
                        &workspace,
                        &shape,
                        ghost,
                        &x,
                        &w,
                        parameters,
                        &kept,
                        &mean,
                        &variance,
                        &dy,
                        Some(&y[..]),
                        gradients,
                    )
                });
            });
        }
    }
}

criterion_group!(benches, convolution, fused);
criterion_main!(benches);
