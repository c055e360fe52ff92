//! Every convolutional model's table of layers, as its source states it.

mod common;

use batchscope_core::{DataShape, Task};
use common::*;

/// `conv1 32×32×64, …`, one layer after the other.
fn table(model: &str, shape: &DataShape) -> String {
    let layers = factory(model).layers(shape).unwrap();
    let row = |layer: &batchscope_nn::LayerOutput| {
        let sizes: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
        format!("{} {}", layer.name, sizes.join("×"))
    };
    layers.iter().map(row).collect::<Vec<_>>().join(", ")
}

const IMAGENET: DataShape = DataShape {
    task: Task::Classify { classes: 1000 },
    ..images(224, 3)
};

#[test]
fn small_models() {
    for (model, shape, expected) in [
        (
            "lenet",
            DIGITS,
            "conv1 24×24×16, pool1 12×12×16, conv2 8×8×32, pool2 4×4×32, linear1 128, linear2 10",
        ),
        (
            "c1",
            PHOTOS,
            "conv1 32×32×64, pool1 16×16×64, conv2 16×16×64, pool2 8×8×64, \
             linear1 384, linear2 192, output 10",
        ),
        (
            "alexnet",
            PHOTOS,
            "conv1 8×8×64, pool1 4×4×64, conv2 4×4×192, pool2 2×2×192, \
             conv3 2×2×384, conv4 2×2×256, conv5 2×2×256, pool5 1×1×256, output 10",
        ),
        ("row-lstm", DIGITS, "lstm 28×128, output 10"),
        ("row-lstm(width=64)", PHOTOS, "lstm 32×64, output 10"),
    ] {
        assert_eq!(table(model, &shape), expected, "{model}");
    }
}

/// Simonyan and Zisserman 2015, table 1, column D.
#[test]
fn vgg16() {
    let stacks = |sides: [usize; 5]| {
        let mut rows = Vec::new();
        for (s, (side, (number, channels))) in
            (1..).zip(
                sides
                    .into_iter()
                    .zip([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]),
            )
        {
            rows.extend((1..=number).map(|i| format!("conv{s}.{i} {side}×{side}×{channels}")));
            let half = side / 2;
            rows.push(format!("pool{s} {half}×{half}×{channels}"));
        }
        rows.join(", ")
    };
    let small = stacks([32, 16, 8, 4, 2]);
    assert_eq!(table("vgg16", &PHOTOS), format!("{small}, output 10"));
    assert_eq!(
        table("c2", &PHOTOS),
        format!("{small}, linear1 512, output 10")
    );
    assert_eq!(
        table("vgg16(imagenet)", &IMAGENET),
        format!(
            "{}, linear1 4096, linear2 4096, output 1000",
            stacks([224, 112, 56, 28, 14])
        )
    );
}

/// Sandler et al. 2018, table 2: the last layer of each stage, and the ends.
#[test]
fn mobilenetv2() {
    let ends = |model: &str, shape: &DataShape| {
        let table = table(model, shape);
        let wanted = |row: &&str| {
            [
                "stem ",
                "stage1.block1.p",
                "stage2.block2.p",
                "stage3.block3.p",
                "stage4.block4.p",
                "stage5.block3.p",
                "stage6.block3.p",
                "stage7.block1.p",
                "last ",
                "pool ",
                "output ",
            ]
            .iter()
            .any(|name| row.starts_with(name))
        };
        let rows: Vec<&str> = table
            .split(", ")
            .filter(wanted)
            .filter_map(|row| row.split_once(' '))
            .map(|(_, shape)| shape)
            .collect();
        rows.join(", ")
    };
    assert_eq!(
        ends("mobilenetv2(imagenet)", &IMAGENET),
        "112×112×32, 112×112×16, 56×56×24, 28×28×32, 14×14×64, 14×14×96, 7×7×160, 7×7×320, \
         7×7×1280, 1280, 1000"
    );
    assert_eq!(
        ends("mobilenetv2", &PHOTOS),
        "32×32×32, 32×32×16, 32×32×24, 16×16×32, 8×8×64, 8×8×96, 4×4×160, 4×4×320, \
         4×4×1280, 1280, 10"
    );
    // Inside a block: six times the channels, and the stride in the depthwise convolution.
    assert!(table("mobilenetv2(imagenet)", &IMAGENET).contains(
        "stage2.block1.expand 112×112×96, stage2.block1.depthwise 56×56×96, \
         stage2.block1.project 56×56×24"
    ));
}

/// Yu et al. 2017, figure 2 (DRN-D-22 follows DRN-C-26): the sides stop shrinking at an eighth.
#[test]
fn drn_d_22() {
    let table = table("drn-d-22", &masks(64, 19));
    let firsts = |row: &&str| !row.contains("block2") && !row.contains("conv2 ");
    let rows: Vec<&str> = table.split(", ").filter(firsts).collect();
    assert_eq!(
        rows.join(", "),
        "stem.conv1 64×64×16, stem.conv3 32×32×32, \
         stage1.block1.conv1 16×16×64, stage1.block1.shortcut 16×16×64, \
         stage2.block1.conv1 8×8×128, stage2.block1.shortcut 8×8×128, \
         stage3.block1.conv1 8×8×256, stage3.block1.shortcut 8×8×256, \
         stage4.block1.conv1 8×8×512, stage4.block1.shortcut 8×8×512, \
         smooth.conv1 8×8×512, output 8×8×19, upsample 64×64×19"
    );
}
