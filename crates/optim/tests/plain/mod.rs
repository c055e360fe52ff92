//! The optimizers' formulas in double precision, written out one value at a time.

use batchscope_core::{Choice, DecayPolicy, ParameterKind, ParameterLayout, ParameterTensor};

/// An optimizer without kernels.
pub struct Plain {
    choice: Choice,
    tensors: Vec<Tensor>,
}

struct Tensor {
    decay: f64,
    /// A matrix, a kernel or an embedding.
    is_weights: bool,
    /// The channel of each value.
    channel: Vec<usize>,
    /// Rows, columns, and the scale of Muon's steps; of what is not its own, none.
    matrix: Option<(usize, usize, f64)>,
    first: Vec<f64>,
    second: Vec<f64>,
    /// Of schedule-free: the sequence and the average, the largest rate, the sum of the weights.
    sequence: Vec<f64>,
    average: Vec<f64>,
    sums: [f64; 2],
}

/// Matrices have a channel a column, kernels and embeddings one a row.
fn channel(tensor: &ParameterTensor, i: usize) -> usize {
    match tensor.kind {
        ParameterKind::Matrix => i % tensor.shape[1],
        _ => i / (tensor.len() / tensor.shape[0]),
    }
}

/// A matrix of inputs by outputs, or a kernel of outputs by everything else. The last is the head.
fn matrix(tensor: &ParameterTensor, choice: &Choice) -> Option<(usize, usize, f64)> {
    let (rows, columns, [outputs, inputs]) = match tensor.kind {
        ParameterKind::Matrix if !tensor.name.starts_with("head") => {
            let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
            (rows, columns, [columns, rows])
        }
        ParameterKind::Kernel => {
            let (rows, columns) = (tensor.shape[0], tensor.len() / tensor.shape[0]);
            (rows, columns, [rows, columns])
        }
        _ => return None,
    };
    let [outputs, inputs] = [outputs, inputs].map(|n| n as f64);
    let scale = match choice.text("adjust_lr_fn") {
        Some("original") => (outputs / inputs).max(1.0).sqrt(),
        _ => 0.2 * outputs.max(inputs).sqrt(),
    };
    Some((rows, columns, scale))
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

impl Plain {
    pub fn new(choice: &Choice, layout: &ParameterLayout, policy: DecayPolicy) -> Self {
        let decay = choice.number("weight_decay").unwrap_or(0.0);
        let tensors = layout.tensors.iter().map(|tensor| Tensor {
            decay: if policy.decays(tensor.kind) {
                decay
            } else {
                0.0
            },
            is_weights: DecayPolicy::Weights.decays(tensor.kind),
            channel: (0..tensor.len()).map(|i| channel(tensor, i)).collect(),
            first: vec![0.0; tensor.len()],
            second: vec![0.0; tensor.len()],
            matrix: matrix(tensor, choice),
            sequence: Vec::new(),
            average: Vec::new(),
            sums: [0.0; 2],
        });
        Self {
            choice: choice.clone(),
            tensors: tensors.collect(),
        }
    }

    /// One update at a learning rate, the `t`th from 1.
    pub fn update(&mut self, tensor: usize, (rate, t): (f64, i32), w: &mut [f64], g: &[f64]) {
        let choice = &self.choice;
        let tensor = &mut self.tensors[tensor];
        match choice.name() {
            "sgd" => tensor.sgd(choice, rate, w, g),
            "adam" | "adamw" => tensor.adam(choice, (rate, t), w, g),
            "lars" => tensor.lars(choice, rate, w, g),
            "lamb" => tensor.lamb(choice, (rate, t), w, g),
            "muon" => tensor.muon(choice, (rate, t), w, g),
            "schedule_free_sgd" | "schedule_free_adamw" => {
                tensor.schedule_free(choice, (rate, t), w, g);
            }
            "adamp" | "sgdp" => tensor.projected(choice, (rate, t), w, g),
            other => panic!("{other} is not written out here"),
        }
    }
}

impl Tensor {
    fn sgd(&mut self, choice: &Choice, rate: f64, w: &mut [f64], g: &[f64]) {
        let momentum = choice.number("momentum").unwrap();
        for i in 0..w.len() {
            let d = g[i] + self.decay * w[i];
            self.first[i] = momentum * self.first[i] + d;
            let look_ahead = d + momentum * self.first[i];
            w[i] -= rate
                * if choice.is_on("nesterov") {
                    look_ahead
                } else {
                    self.first[i]
                };
        }
    }

    /// Adam's moments; returns `m̂/(√v̂ + ε)`.
    fn moments(&mut self, choice: &Choice, (t, corrected): (i32, bool), g: &[f64]) -> Vec<f64> {
        let [beta1, beta2, epsilon] =
            ["beta1", "beta2", "epsilon"].map(|key| choice.number(key).unwrap());
        let left = |beta: f64| if corrected { 1.0 - beta.powi(t) } else { 1.0 };
        let ratio = |i: usize| {
            self.first[i] = beta1 * self.first[i] + (1.0 - beta1) * g[i];
            self.second[i] = beta2 * self.second[i] + (1.0 - beta2) * g[i] * g[i];
            self.first[i] / left(beta1) / ((self.second[i] / left(beta2)).sqrt() + epsilon)
        };
        (0..g.len()).map(ratio).collect()
    }

    fn adam(&mut self, choice: &Choice, (rate, t): (f64, i32), w: &mut [f64], g: &[f64]) {
        let decay = self.decay;
        let coupled = choice.name() == "adam";
        let with_decay = |(g, w): (&f64, &f64)| if coupled { g + decay * w } else { *g };
        let g: Vec<f64> = g.iter().zip(w.iter()).map(with_decay).collect();
        let ratios = self.moments(choice, (t, true), &g);
        for (w, ratio) in w.iter_mut().zip(ratios) {
            if !coupled {
                *w -= rate * decay * *w;
            }
            *w -= rate * ratio;
        }
    }

    /// By the definition: `X ← a·X + b·(X·Xᵀ)·X + c·(X·Xᵀ)²·X` with the products one after the other.
    fn muon(&mut self, choice: &Choice, (rate, t): (f64, i32), w: &mut [f64], g: &[f64]) {
        let Some((rows, columns, scale)) = self.matrix else {
            let ratios = self.moments(choice, (t, true), g);
            for (w, ratio) in w.iter_mut().zip(ratios) {
                *w = (1.0 - rate * self.decay) * *w - rate * ratio;
            }
            return;
        };
        let momentum = choice.number("momentum").unwrap();
        let direction = |i: usize| {
            self.first[i] = momentum * self.first[i] + (1.0 - momentum) * g[i];
            if choice.is_on("nesterov") {
                (1.0 - momentum) * g[i] + momentum * self.first[i]
            } else {
                self.first[i]
            }
        };
        let u: Vec<f64> = (0..w.len()).map(direction).collect();
        let mut x: Vec<f64> = u.iter().map(|value| value / norm(&u)).collect();
        // (X·Xᵀ)·Y for a Y of X's shape.
        let twice = |x: &[f64], y: &[f64]| -> Vec<f64> {
            let gram = |i: usize, j: usize| -> f64 {
                (0..columns)
                    .map(|k| x[i * columns + k] * x[j * columns + k])
                    .sum()
            };
            let element = |at: usize| {
                let (i, k) = (at / columns, at % columns);
                (0..rows).map(|j| gram(i, j) * y[j * columns + k]).sum()
            };
            (0..x.len()).map(element).collect()
        };
        for _ in 0..5 {
            let cubed = twice(&x, &x);
            let fifth = twice(&x, &cubed);
            for ((x, cubed), fifth) in x.iter_mut().zip(cubed).zip(fifth) {
                *x = 3.4445 * *x - 4.7750 * cubed + 2.0315 * fifth;
            }
        }
        for (w, x) in w.iter_mut().zip(x) {
            *w = (1.0 - rate * self.decay) * *w - rate * scale * x;
        }
    }

    /// By the paper's three sequences, the average kept as such.
    fn schedule_free(&mut self, choice: &Choice, (rate, t): (f64, i32), w: &mut [f64], g: &[f64]) {
        if t == 1 {
            (self.sequence, self.average) = (w.to_vec(), w.to_vec());
        }
        let [r, power] = ["r", "weight_lr_power"].map(|key| choice.number(key).unwrap());
        let (beta, adam) = match choice.number("momentum") {
            Some(momentum) => (momentum, None),
            None => {
                let [beta1, beta2, epsilon] =
                    ["beta1", "beta2", "epsilon"].map(|key| choice.number(key).unwrap());
                (beta1, Some((beta2, epsilon)))
            }
        };
        self.sums[0] = self.sums[0].max(rate);
        let weight = f64::from(t).powf(r) * self.sums[0].powf(power);
        self.sums[1] += weight;
        let share = weight / self.sums[1];
        for i in 0..w.len() {
            let mut d = g[i];
            if let Some((beta2, epsilon)) = adam {
                self.second[i] = beta2 * self.second[i] + (1.0 - beta2) * g[i] * g[i];
                d /= (self.second[i] / (1.0 - beta2.powi(t))).sqrt() + epsilon;
            }
            d += self.decay * w[i];
            self.sequence[i] -= rate * d;
            self.average[i] += share * (self.sequence[i] - self.average[i]);
            w[i] = (1.0 - beta) * self.sequence[i] + beta * self.average[i];
        }
    }

    fn lars(&mut self, choice: &Choice, rate: f64, w: &mut [f64], g: &[f64]) {
        let [momentum, coefficient] =
            ["momentum", "trust_coefficient"].map(|key| choice.number(key).unwrap());
        let below = norm(g) + self.decay * norm(w) + 1e-8;
        let ratio = if self.is_weights {
            coefficient * norm(w) / below
        } else {
            1.0
        };
        let (inside, outside) = if choice.is_on("rate_inside") {
            (rate, 1.0)
        } else {
            (1.0, rate)
        };
        for i in 0..w.len() {
            let d = inside * ratio * (g[i] + self.decay * w[i]);
            self.first[i] = momentum * self.first[i] + d;
            w[i] -= outside * self.first[i];
        }
    }

    fn lamb(&mut self, choice: &Choice, (rate, t): (f64, i32), w: &mut [f64], g: &[f64]) {
        let ratios = self.moments(choice, (t, choice.is_on("bias_correction")), g);
        let decayed = ratios
            .iter()
            .zip(w.iter())
            .map(|(ratio, w)| ratio + self.decay * w);
        let update: Vec<f64> = decayed.collect();
        let clamp = choice.number("clamp").filter(|clamp| *clamp > 0.0);
        let weights = norm(w).min(clamp.unwrap_or(f64::INFINITY));
        let trust = if self.is_weights {
            let ratio = weights / norm(&update);
            match choice.number("min_trust") {
                Some(least) if least > 0.0 => ratio.max(least).min(1.0 / least),
                _ => ratio,
            }
        } else {
            1.0
        };
        for (w, update) in w.iter_mut().zip(update) {
            *w -= rate * trust * update;
        }
    }

    fn projected(&mut self, choice: &Choice, (rate, t): (f64, i32), w: &mut [f64], g: &[f64]) {
        let number = |key: &str| choice.number(key).unwrap();
        let (nesterov, decay) = (choice.is_on("nesterov"), self.decay);
        let (mut u, decay, epsilon) = if choice.name() == "sgdp" {
            let momentum = number("momentum");
            let direction = |i: usize| {
                self.first[i] = momentum * self.first[i] + g[i];
                if nesterov {
                    g[i] + momentum * self.first[i]
                } else {
                    self.first[i]
                }
            };
            let u: Vec<f64> = (0..w.len()).map(direction).collect();
            (u, decay / (1.0 - momentum), 1e-8)
        } else {
            let [beta1, beta2, epsilon] = ["beta1", "beta2", "epsilon"].map(number);
            let direction = |i: usize| {
                self.first[i] = beta1 * self.first[i] + (1.0 - beta1) * g[i];
                self.second[i] = beta2 * self.second[i] + (1.0 - beta2) * g[i] * g[i];
                let ahead = beta1 * self.first[i] + (1.0 - beta1) * g[i];
                let m = if nesterov { ahead } else { self.first[i] };
                m / (1.0 - beta1.powi(t))
                    / ((self.second[i] / (1.0 - beta2.powi(t))).sqrt() + epsilon)
            };
            ((0..w.len()).map(direction).collect(), decay, epsilon)
        };
        let mut ratio = 1.0;
        let whole = vec![0; w.len()];
        for channels in [&self.channel, &whole] {
            let count = channels.iter().max().unwrap() + 1;
            let sum = |a: &[f64], b: &[f64], channel: usize| -> f64 {
                let own = |i: &usize| channels[*i] == channel;
                (0..a.len()).filter(own).map(|i| a[i] * b[i]).sum()
            };
            let cosine = |c: usize| sum(g, w, c).abs() / (sum(g, g, c) * sum(w, w, c)).sqrt();
            let largest = (0..count).map(cosine).fold(0.0, f64::max);
            let below = number("delta") / ((w.len() / count) as f64).sqrt();
            if self.is_weights && largest < below {
                let along: Vec<f64> = (0..count)
                    .map(|c| sum(w, &u, c) / (sum(w, w, c).sqrt() + epsilon).powi(2))
                    .collect();
                u.iter_mut()
                    .enumerate()
                    .for_each(|(i, u)| *u -= w[i] * along[channels[i]]);
                ratio = number("decay_ratio");
                break;
            }
        }
        for (w, u) in w.iter_mut().zip(u) {
            *w -= rate * decay * ratio * *w + rate * u;
        }
    }
}
