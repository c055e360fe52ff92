//! One update of ResNet-20's parameters by each optimizer, against SGD's and Adam's: `cargo bench -p batchscope-optim`.
//!
//! Muon is measured by its own matrix products too, at the speed of a product of 512 × 512 × 512 in the same round.
//!
//! In every round each optimizer updates once, one after the other, so that what else the machine does falls on all of
//! them. Printed are the median time, and the median of the ratios within rounds with their quartiles.

use std::{hint::black_box, time::Instant};

use batchscope_core::{
    DecayPolicy, ParameterKind, ParameterLayout, ParameterTensor, statistics::quantile,
};
use batchscope_kernels::{LinearShape, Workspace, linear_forward};
use batchscope_optim::{OPTIMIZERS, Optimizer, build};

/// Rounds that are timed, after as many as warm up.
const ROUNDS: usize = 400;
const WARM_UP: usize = 50;
/// Updates of one optimizer within a round.
const UPDATES: usize = 4;

/// ResNet-20 for CIFAR-10 (He et al. 2016): 270 thousand parameters.
fn resnet20() -> ParameterLayout {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize], kind| {
        let shape = shape.to_vec();
        tensors.push(ParameterTensor { name, shape, kind });
    };
    let mut inputs = 3;
    for layer in 0..19 {
        let outputs = [16, 32, 64][usize::from(layer > 6) + usize::from(layer > 12)];
        add(
            format!("conv{layer}"),
            &[outputs, 3, 3, inputs],
            ParameterKind::Kernel,
        );
        add(
            format!("scale{layer}"),
            &[outputs],
            ParameterKind::NormScale,
        );
        add(
            format!("shift{layer}"),
            &[outputs],
            ParameterKind::NormShift,
        );
        inputs = outputs;
    }
    add("output".to_owned(), &[64, 10], ParameterKind::Matrix);
    add("bias".to_owned(), &[10], ParameterKind::Bias);
    ParameterLayout { tensors }
}

struct Contender {
    name: &'static str,
    /// Whose update it is measured by.
    against: &'static str,
    optimizer: Box<dyn Optimizer>,
    parameters: Vec<Vec<f32>>,
    seconds: Vec<f64>,
}

/// The matrix products of Muon's iteration, and how long they would take at the speed of a large one.
struct Products {
    multiply_adds: f64,
    seconds: Vec<f64>,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Products {
    /// Side of the matrices that are multiplied for the speed.
    const SIDE: usize = 512;

    fn new(layout: &ParameterLayout) -> Self {
        let kernels = layout
            .tensors
            .iter()
            .filter(|t| t.kind == ParameterKind::Kernel);
        let multiply_adds = kernels.map(|kernel| {
            let rows = kernel.shape[0] as f64;
            let columns = kernel.len() as f64 / rows;
            let (short, long) = (rows.min(columns), rows.max(columns));
            // Five times X·Xᵀ, its square, and that times X.
            5.0 * (2.0 * short * short * long + short.powi(3))
        });
        Self {
            multiply_adds: multiply_adds.sum(),
            seconds: Vec::new(),
            input: (0..Self::SIDE * Self::SIDE)
                .map(|i| (i as f32).sin())
                .collect(),
            output: vec![0.0; Self::SIDE * Self::SIDE],
        }
    }

    fn time(&mut self, counts: bool) {
        static WORKSPACE: Workspace = Workspace::new();
        let shape = LinearShape::new(Self::SIDE, Self::SIDE, Self::SIDE).expect("a shape");
        let begun = Instant::now();
        linear_forward(
            &WORKSPACE,
            shape,
            &self.input,
            &self.input,
            None,
            false,
            &mut self.output,
        )
        .expect("of that shape");
        black_box(&self.output);
        if counts {
            let large = (Self::SIDE as f64).powi(3);
            self.seconds
                .push(begun.elapsed().as_secs_f64() * self.multiply_adds / large);
        }
    }

    fn print(&self, muon: &[f64]) {
        let mut ratios: Vec<f64> = muon
            .iter()
            .zip(&self.seconds)
            .map(|(own, products)| own / products)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let [low, middle, high] = [0.25, 0.5, 0.75].map(|p| quantile(&ratios, p));
        println!("muon by its own products: × {middle:.2} ({low:.2}–{high:.2})");
    }
}

fn main() {
    let layout = resnet20();
    let values = |phase: f32| -> Vec<Vec<f32>> {
        let tensors = layout.tensors.iter();
        tensors
            .map(|t| {
                (0..t.len())
                    .map(|i| 0.1 * (i as f32 * 0.7 + phase).sin())
                    .collect()
            })
            .collect()
    };
    let gradients = values(1.0);
    let mut contenders: Vec<Contender> = OPTIMIZERS
        .names()
        .map(|name| {
            let (kind, choice) = OPTIMIZERS.read(name).expect("a name of the registry");
            let is_adam = kind.descriptor.parameters.iter().any(|p| p.name == "beta2");
            Contender {
                name,
                against: if is_adam { "adam" } else { "sgd" },
                optimizer: build(&choice, &layout, DecayPolicy::Weights).expect("its defaults"),
                parameters: values(0.0),
                seconds: Vec::new(),
            }
        })
        .collect();
    let mut products = Products::new(&layout);
    for round in 0..WARM_UP + ROUNDS {
        products.time(round >= WARM_UP);
        for contender in &mut contenders {
            let begun = Instant::now();
            for update in 0..UPDATES {
                let step = (round * UPDATES + update) as u64;
                contender.optimizer.begin_step(1e-4, step);
                let tensors = contender.parameters.iter_mut().zip(&gradients);
                for (tensor, (parameters, gradient)) in tensors.enumerate() {
                    contender.optimizer.update(tensor, parameters, gradient);
                }
            }
            black_box(&contender.parameters);
            if round >= WARM_UP {
                contender
                    .seconds
                    .push(begun.elapsed().as_secs_f64() / UPDATES as f64);
            }
        }
    }
    println!("{:<20} {:>12} {:>20}", "optimizer", "median", "against");
    for contender in &contenders {
        let base = contenders
            .iter()
            .find(|other| other.name == contender.against);
        let base = &base.expect("it is in the registry").seconds;
        let sorted = |mut x: Vec<f64>| {
            x.sort_by(f64::total_cmp);
            x
        };
        let ratios = sorted(
            contender
                .seconds
                .iter()
                .zip(base)
                .map(|(own, base)| own / base)
                .collect(),
        );
        let [low, middle, high] = [0.25, 0.5, 0.75].map(|p| quantile(&ratios, p));
        println!(
            "{:<20} {:>9.1} µs {:>8} × {middle:.2} ({low:.2}–{high:.2})",
            contender.name,
            1e6 * quantile(&sorted(contender.seconds.clone()), 0.5),
            contender.against,
        );
    }
    let muon = contenders.iter().find(|contender| contender.name == "muon");
    products.print(&muon.expect("it is in the registry").seconds);
}
