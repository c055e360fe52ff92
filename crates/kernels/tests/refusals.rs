//! Wrong arguments are errors that say what is wrong; none panics and nothing is written.

mod common;

use batchscope_kernels::{
    Adam, ConvShape, Isa, KernelError, NormShape, PackedWeights, PoolShape, Sgd, Window, Workspace,
    adam_step, conv_forward, embedding_gather, sgd_step, softmax_cross_entropy,
};
use proptest::prelude::*;

#[test]
fn shapes_that_describe_nothing_are_refused() {
    let refused = |n, image, out, window| {
        ConvShape::new(n, image, out, window)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(0, [4, 4, 1], 1, Window::square(3, 1, 1)).contains("is 0"));
    assert!(refused(1, [4, 4, 1], 1, Window::square(3, 0, 1)).contains("is 0"));
    assert!(
        refused(1, [4, 4, 1], 1, Window::square(5, 1, 0))
            .contains("larger than the padded image 4×4")
    );
    assert!(refused(1, [4, 4, 1], 1, Window::square(3, 1, 3)).contains("choose at most 2"));
    let shape = ConvShape::new(1, [4, 4, 6], 4, Window::square(3, 1, 1)).unwrap();
    assert!(
        shape
            .with_groups(3)
            .unwrap_err()
            .to_string()
            .contains("3 groups do not divide")
    );
    assert!(PoolShape::new([16, 16], [1, 1], [0, 0]).is_err());
    assert!(PoolShape::new([2, 2], [0, 1], [0, 0]).is_err());
    assert!(PoolShape::new([2, 2], [1, 1], [2, 0]).is_err());
    assert!(
        PoolShape::new([3, 3], [1, 1], [0, 0])
            .unwrap()
            .output(2, 5)
            .is_err()
    );
    assert!(NormShape::new(1, 0, 1, 1).is_err());
    assert!(NormShape::new(usize::MAX, 2, 2, 1).is_err());
}

proptest! {
    #[test]
    fn huge_sizes_are_refused_or_sound(
        n in any::<usize>(), image in any::<[usize; 3]>(), out in any::<usize>(), kernel in any::<[usize; 2]>(),
        stride in any::<[usize; 2]>(), padding in any::<[usize; 2]>(), dilation in any::<[usize; 2]>(),
        shift in 0u32..64,
    ) {
        let small = |x: usize| x >> shift;
        let window = Window {
            kernel: kernel.map(small), stride: stride.map(small), padding: padding.map(small), dilation: dilation.map(small),
        };
        if let Ok(shape) = ConvShape::new(small(n), image.map(small), small(out), window) {
            // Whatever is accepted has lengths that a buffer can have.
            for len in [shape.input_len(), shape.output_len(), shape.weight_len()] {
                prop_assert!(len > 0 && len <= isize::MAX as usize / 16);
            }
        }
        if let Ok(pool) = PoolShape::new(kernel.map(small), stride.map(small), padding.map(small)) {
            let _ = pool.output(image[0], image[1]);
        }
    }
}

#[test]
fn wrong_lengths_name_the_argument() {
    let workspace = Workspace::new();
    let shape = ConvShape::new(1, [4, 4, 1], 2, Window::square(3, 1, 1)).unwrap();
    let (x, w, mut y) = ([0.0f32; 16], vec![0.0f32; 18], [7.0f32; 32]);
    let short = w[..17].to_vec();
    let error = conv_forward(&workspace, &shape, &x, &short, None, false, &mut y).unwrap_err();
    assert_eq!(
        error,
        KernelError::Length {
            argument: "weights",
            expected: 18,
            found: 17
        }
    );
    let error = conv_forward(&workspace, &shape, &x[..5], &w, None, false, &mut y).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`x` has 5 elements where its shape implies 16"
    );
    assert!(conv_forward(&workspace, &shape, &x, &w, Some(&[0.0]), false, &mut y).is_err());
    assert_eq!(y, [7.0; 32]);
    assert!(PackedWeights::new(&workspace, &shape, &short).is_err());
}

#[test]
fn packed_weights_of_something_else_are_refused() {
    let workspace = Workspace::new();
    let shape = ConvShape::new(1, [4, 4, 1], 2, Window::square(3, 1, 1)).unwrap();
    let other = ConvShape::new(1, [4, 4, 1], 2, Window::square(3, 1, 0)).unwrap();
    let (x, w, mut y) = ([0.0f32; 32], vec![0.0f32; 18], [0.0f32; 64]);
    let packed = PackedWeights::new(&workspace, &shape, &w).unwrap();
    let error = conv_forward(
        &workspace,
        &other,
        &x[..16],
        &packed,
        None,
        false,
        &mut y[..8],
    )
    .unwrap_err();
    assert_eq!(error, KernelError::Packed("another convolution"));
    // Another number of images is the same convolution.
    let two = ConvShape::new(2, [4, 4, 1], 2, Window::square(3, 1, 1)).unwrap();
    conv_forward(&workspace, &two, &x, &packed, None, false, &mut y).unwrap();
    let portable = Workspace::with_isa(Isa::portable());
    if workspace.isa() != portable.isa() {
        let error = conv_forward(
            &portable,
            &shape,
            &x[..16],
            &packed,
            None,
            false,
            &mut y[..32],
        )
        .unwrap_err();
        assert_eq!(error, KernelError::Packed("another instruction set"));
    }
}

#[test]
fn labels_tokens_and_settings_are_checked() {
    let workspace = Workspace::new();
    let error =
        softmax_cross_entropy(&workspace, 3, &[0.0f32; 6], &[2, 3], 0.0, 1.0, None).unwrap_err();
    assert_eq!(error.to_string(), "`labels`[1] is 3, but must be below 3");
    assert!(softmax_cross_entropy(&workspace, 3, &[0.0f32; 3], &[0], 1.0, 1.0, None).is_err());
    assert!(softmax_cross_entropy::<f32>(&workspace, 0, &[], &[], 0.0, 1.0, None).is_err());
    assert!(embedding_gather(2, 1, &[0.0f32; 2], &[2], &mut [0.0]).is_err());
    let sgd = Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
        weight_decay: f64::NAN,
        nesterov: false,
        scale: 1.0,
    };
    assert!(sgd_step(&workspace, sgd, &mut [0.0f32], &mut [], &[0.0]).is_err());
    assert!(
        sgd_step(
            &workspace,
            Sgd {
                momentum: 1.0,
                weight_decay: 0.0,
                ..sgd
            },
            &mut [0.0f32],
            &mut [0.0],
            &[0.0]
        )
        .is_err()
    );
    let adam = Adam {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.9,
        epsilon: 1e-8,
        weight_decay: 0.0,
        decoupled: false,
    };
    let one = || [0.0f32];
    assert!(
        adam_step(
            &workspace,
            adam,
            0,
            &mut one(),
            &mut one(),
            &mut one(),
            &one()
        )
        .is_err()
    );
    assert!(
        adam_step(
            &workspace,
            Adam {
                epsilon: -1e-8,
                ..adam
            },
            1,
            &mut one(),
            &mut one(),
            &mut one(),
            &one()
        )
        .is_err()
    );
}
