//! Mixed batch norm: a network that keeps two running statistics against two networks that keep one each.

mod common;

use batchscope_core::{Batch, Inputs, Network, NormStatistics, StateTensor, Task};
use common::*;

/// The same examples at another place: what an attack makes of them.
fn moved(batch: &Batch) -> Batch {
    let mut moved = batch.clone();
    let Inputs::Values(values) = &mut moved.inputs else {
        unreachable!("images and vectors only")
    };
    let each = values.len() / batch.len;
    for (i, x) in values.iter_mut().enumerate() {
        *x = 1.5 * *x + if i % each < each / 2 { 0.7 } else { -0.2 };
    }
    moved
}

fn gradients(network: &mut dyn Network) -> Vec<Vec<f32>> {
    let mut gradients = Vec::new();
    network
        .visit(&mut |_, _, g| gradients.push(g.to_vec()))
        .unwrap();
    gradients
}

fn statistics<'a>(state: &'a [StateTensor], kind: &str) -> Vec<(String, &'a [f32])> {
    let named = |tensor: &'a StateTensor| {
        let (layer, name) = tensor.name.rsplit_once('.')?;
        let moment = name.strip_prefix(kind)?;
        Some((format!("{layer}.{moment}"), tensor.values.as_slice()))
    };
    state.iter().filter_map(named).collect()
}

/// Two plain networks with the same weights, one for clean and one for moved examples, whose gradients are added up: the
/// weights of all three stay together, and each running statistic is that of its own network.
#[test]
fn two_statistics_in_one_network_are_two_networks() {
    for (model, shape) in [
        (
            "mlp(12,norm,ghost=3)",
            vectors(5, Task::Classify { classes: 4 }),
        ),
        ("c1(ghost=4)", images(12, 3)),
        ("resnet20(ghost=4)", images(16, 3)),
    ] {
        let mut mixed = network(model, &shape);
        let (mut clean, mut other) = (network(model, &shape), network(model, &shape));
        for step in 0..4u64 {
            // In two micro-batches, as with accumulation.
            for network in [&mut mixed, &mut clean, &mut other] {
                network.begin_step(24);
            }
            for first in [0, 12] {
                let mut plain = batch(shape, first, 12);
                plain.first_draw += 24 * step;
                let moved = moved(&plain);
                mixed.accumulate(&plain, 0.5 / 24.0).unwrap();
                mixed.collect_statistics(NormStatistics::Auxiliary);
                mixed.accumulate(&moved, 0.5 / 24.0).unwrap();
                mixed.collect_statistics(NormStatistics::Main);
                clean.accumulate(&plain, 0.5 / 24.0).unwrap();
                other.accumulate(&moved, 0.5 / 24.0).unwrap();
            }
            let (found, ours, theirs) = (
                gradients(mixed.as_mut()),
                gradients(clean.as_mut()),
                gradients(other.as_mut()),
            );
            let sum: Vec<Vec<f32>> = ours
                .iter()
                .zip(&theirs)
                .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect())
                .collect();
            assert!(difference(&found, &sum) < 1e-4, "{model}");
            for network in [&mut mixed, &mut clean, &mut other] {
                network
                    .visit(&mut |tensor, w, _| {
                        w.iter_mut()
                            .zip(&found[tensor])
                            .for_each(|(w, g)| *w -= 0.05 * g);
                    })
                    .unwrap();
                network.end_step();
            }
        }
        let [mixed_state, clean_state, other_state] =
            [&mixed, &clean, &other].map(|network| network.export().unwrap());
        let main = statistics(&mixed_state, "running_");
        assert!(!main.is_empty());
        assert_eq!(main, statistics(&clean_state, "running_"), "{model}");
        let auxiliary = statistics(&mixed_state, "auxiliary_");
        assert_eq!(auxiliary, statistics(&other_state, "running_"), "{model}");
        assert_ne!(auxiliary, main, "{model}");
        assert!(statistics(&clean_state, "auxiliary_").is_empty());
        // Evaluation goes by the main ones.
        let last = batch(shape, 0, 12);
        assert_eq!(
            mixed.evaluate(&last).unwrap(),
            clean.evaluate(&last).unwrap(),
            "{model}"
        );
        // The state is whole, and a network that has never seen other examples takes it up; so it does one without them.
        let mut fresh = network(model, &shape);
        fresh.import(&mixed_state).unwrap();
        assert_eq!(fresh.export().unwrap(), mixed_state, "{model}");
        fresh.import(&clean_state).unwrap();
        assert_eq!(fresh.export().unwrap(), clean_state, "{model}");
    }
}

/// A step begins with the main statistics, whatever the last one ended with.
#[test]
fn a_step_begins_with_the_main_statistics() {
    let shape = vectors(5, Task::Classify { classes: 4 });
    let mut network = network("mlp(12,norm,ghost=3)", &shape);
    network.begin_step(6);
    network.collect_statistics(NormStatistics::Auxiliary);
    network.begin_step(6);
    network.accumulate(&batch(shape, 0, 6), 1.0).unwrap();
    network.end_step();
    let state = network.export().unwrap();
    let of = |kind: &str| statistics(&state, kind)[0].1.to_vec();
    assert!(of("running_").iter().any(|m| *m != 0.0));
    assert!(of("auxiliary_").iter().all(|m| *m == 0.0));
}
