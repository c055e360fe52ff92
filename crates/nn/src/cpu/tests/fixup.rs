//! What a Fixup block does between its convolutions.

use super::{leaf, random, same};
use crate::{
    cpu,
    layers::{Gate, composed},
    storage::to_host,
};

#[test]
fn fixup_parts() {
    for (n, side, channels) in [(3, 5, 4), (40, 8, 17)] {
        let run = |kernels: bool| {
            let (x, b) = (leaf(1, [n, side, side, channels]), leaf(2, [1]));
            let shift = if kernels { cpu::shift } else { composed::shift };
            outcome!(shift(x.clone(), b.clone()), x, b)
        };
        same("shift", run(true), run(false));
        let run = |kernels: bool| {
            let [x, shortcut] = [1, 2].map(|seed| leaf(seed, [n, side, side, channels]));
            let (scale, bias, gate) = (leaf(3, [1]), leaf(4, [1]), leaf(5, [n, channels]));
            let gated_add_relu = if kernels {
                cpu::gated_add_relu
            } else {
                composed::gated_add_relu
            };
            let by = Gate {
                scale: scale.clone(),
                bias: bias.clone(),
                gate: gate.clone(),
            };
            let y = gated_add_relu(x.clone(), by, shortcut.clone());
            outcome!(y, x, scale, bias, gate, shortcut)
        };
        same("gated sum", run(true), run(false));
    }
}
