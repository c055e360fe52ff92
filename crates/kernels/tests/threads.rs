//! The same bits on any number of threads.

mod common;

use batchscope_kernels::{
    ConvGradients, ConvNormGradients, ConvShape, NormParameters, NormStatistics, PoolShape, Window,
    Workspace, conv_backward, conv_batch_norm_backward, conv_batch_norm_forward,
    conv_bias_relu_maxpool_backward, conv_bias_relu_maxpool_forward, conv_forward,
    embedding_scatter_add, softmax_cross_entropy,
};
use common::*;

/// Every number that a step through the fused operations produces, as bits.
fn step(workspace: &Workspace) -> Vec<u32> {
    let tensor = |seed, len| single(&numbers(seed, len));
    let mut bits = Vec::new();
    let mut keep = |values: &[f32]| bits.extend(values.iter().map(|v| v.to_bits()));

    let shape = ConvShape::new(37, [14, 14, 3], 20, Window::square(5, 1, 2)).unwrap();
    let pool = PoolShape::new([3, 3], [2, 2], [0, 0]).unwrap();
    let [rows, columns] = pool.output(14, 14).unwrap();
    let (x, w, b) = (
        tensor(1, shape.input_len()),
        tensor(2, shape.weight_len()),
        tensor(3, 20),
    );
    let mut y = vec![0.0; 37 * rows * columns * 20];
    let mut places = vec![0; y.len()];
    conv_bias_relu_maxpool_forward(workspace, &shape, &pool, &x, &w, &b, &mut y, &mut places)
        .unwrap();
    let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; 20]);
    let gradients = ConvGradients {
        dx: Some(&mut dx),
        dw: Some(&mut dw),
        db: Some(&mut db),
    };
    let dy = tensor(4, y.len());
    conv_bias_relu_maxpool_backward(workspace, &shape, &pool, &x, &w, &dy, &places, gradients)
        .unwrap();
    [&y, &dx, &dw, &db].into_iter().for_each(|t| keep(t));

    let shape = ConvShape::new(37, [9, 12, 20], 20, Window::square(3, 1, 1))
        .and_then(|shape| shape.with_groups(20))
        .unwrap();
    let (x, w, dy) = (
        tensor(1, shape.input_len()),
        tensor(2, shape.weight_len()),
        tensor(4, shape.output_len()),
    );
    let (mut y, mut dx, mut dw) = (dy.clone(), vec![0.0; x.len()], vec![0.0; w.len()]);
    conv_forward(workspace, &shape, &x, &w, None, true, &mut y).unwrap();
    let gradients = ConvGradients {
        dx: Some(&mut dx),
        dw: Some(&mut dw),
        db: None,
    };
    conv_backward(workspace, &shape, &x, &w, &dy, Some(&y), gradients).unwrap();
    [&y, &dx, &dw].into_iter().for_each(|t| keep(t));

    let shape = ConvShape::new(37, [8, 8, 16], 32, Window::square(3, 2, 1)).unwrap();
    let (x, w) = (tensor(1, shape.input_len()), tensor(2, shape.weight_len()));
    let (gamma, beta) = (tensor(3, 32), tensor(4, 32));
    let parameters = NormParameters {
        gamma: &gamma,
        beta: &beta,
        epsilon: 1e-5,
    };
    let [mut kept, mut y] = [(); 2].map(|()| vec![0.0; shape.output_len()]);
    let [mut mean, mut variance] = [(); 2].map(|()| vec![0.0; 5 * 32]);
    let statistics = NormStatistics {
        mean: &mut mean,
        variance: &mut variance,
    };
    conv_batch_norm_forward(
        workspace, &shape, 8, &x, &w, parameters, None, true, &mut kept, &mut y, statistics,
    )
    .unwrap();
    let (mut dx, mut dw, mut dgamma, mut dbeta) = (
        vec![0.0; x.len()],
        vec![0.0; w.len()],
        vec![0.0; 32],
        vec![0.0; 32],
    );
    let gradients = ConvNormGradients {
        dx: Some(&mut dx),
        dw: Some(&mut dw),
        dgamma: &mut dgamma,
        dbeta: &mut dbeta,
        dresidual: None,
    };
    let dy = tensor(5, y.len());
    conv_batch_norm_backward(
        workspace,
        &shape,
        8,
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
    .unwrap();
    [&y, &mean, &variance, &dx, &dw, &dgamma, &dbeta]
        .into_iter()
        .for_each(|t| keep(t));

    let labels: Vec<u32> = (0..3000).map(|i| i % 10).collect();
    let mut dlogits = vec![0.0; 30_000];
    let sums = softmax_cross_entropy(
        workspace,
        10,
        &tensor(6, 30_000),
        &labels,
        0.1,
        1.0,
        Some(&mut dlogits),
    )
    .unwrap();
    let mut table = tensor(7, 50 * 30);
    embedding_scatter_add(50, 30, &labels, &tensor(8, 3000 * 30), &mut table).unwrap();
    [&dlogits, &table].into_iter().for_each(|t| keep(t));
    bits.extend([
        sums.loss.to_bits() as u32,
        (sums.loss.to_bits() >> 32) as u32,
    ]);
    bits
}

#[test]
fn results_do_not_depend_on_the_threads() {
    for workspace in workspaces() {
        let one = on_threads(1, || step(&workspace));
        for threads in [2, 3, 7] {
            assert!(
                on_threads(threads, || step(&workspace)) == one,
                "{:?}, {threads} threads",
                workspace.isa()
            );
        }
        // Reused scratch memory leaves no trace, nor does calling from outside any pool.
        assert!(step(&workspace) == one);
    }
}

#[test]
fn a_warm_workspace_grows_no_more() {
    let workspace = Workspace::new();
    on_threads(1, || {
        step(&workspace);
        let bytes = workspace.idle_bytes();
        (0..3).for_each(|_| drop(step(&workspace)));
        assert_eq!(workspace.idle_bytes(), bytes);
    });
}
