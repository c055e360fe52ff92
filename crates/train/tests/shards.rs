//! Training sets shared out over replicas: sizes, laws of the draws, and a part as a set of its own.

use std::collections::HashSet;
use std::ops::Range;

use batchscope_core::{
    Batch, DataShape, Examples, ExamplesError, InputShape, Inputs, Labels, Purpose, Sampler,
    SettingError, StepBatch, StreamKey, Task,
};
use batchscope_train::{ShardError, Sharding, Shards, TrainError, class_labels, testing::Blobs};
use proptest::prelude::*;

fn key(seed: u64) -> StreamKey {
    StreamKey {
        study_seed: seed,
        trial: 3,
        purpose: Purpose::Order,
    }
}

/// `count` labels of `classes` classes in turn.
fn labels(count: u32, classes: u32) -> Vec<u32> {
    (0..count).map(|i| i % classes).collect()
}

fn by_class(labels: &[u32], replicas: usize, alpha: f64, seed: u64) -> Shards {
    Shards::by_class(labels, replicas, alpha, key(seed)).unwrap()
}

/// Equal sizes, ascending, no example twice, and what is missing is said to be left over.
fn check_parts(shards: &Shards, examples: u64, replicas: usize) {
    assert_eq!(shards.replicas(), replicas);
    assert_eq!(shards.share(), examples / replicas as u64);
    assert_eq!(shards.left_over(), examples % replicas as u64);
    let mut seen = HashSet::new();
    for replica in 0..replicas {
        let part = shards.indices(replica);
        assert_eq!(part.len() as u64, shards.share());
        assert!(part.is_sorted_by(|a, b| a < b) && part.iter().all(|&i| i < examples));
        assert!(part.iter().all(|&index| seen.insert(index)));
    }
}

/// Mean distance over some seeds.
fn mean_distance(labels: &[u32], shards: impl Fn(u64) -> Shards) -> f64 {
    let distance = |seed| shards(seed).class_spread(labels).mean_distance;
    (0..20).map(distance).sum::<f64>() / 20.0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn parts_are_equal_disjoint_and_repeatable(
        classes in prop::collection::vec(0u32..12, 1..300),
        replicas in 1usize..20,
        log_alpha in -300.0f64..300.0,
        seed in any::<u64>(),
    ) {
        let (n, alpha) = (classes.len() as u64, 10f64.powf(log_alpha));
        prop_assume!(replicas as u64 <= n);
        let even = Shards::even(n, replicas, key(seed)).unwrap();
        check_parts(&even, n, replicas);
        prop_assert_eq!(&even, &Shards::even(n, replicas, key(seed)).unwrap());
        let uneven = by_class(&classes, replicas, alpha, seed);
        check_parts(&uneven, n, replicas);
        prop_assert_eq!(&uneven, &by_class(&classes, replicas, alpha, seed));
        // The names of the classes are nothing but names.
        let named: Vec<u32> = classes.iter().map(|c| u32::MAX - 12 + c).collect();
        prop_assert_eq!(&uneven, &by_class(&named, replicas, alpha, seed));
        let spread = uneven.class_spread(&classes);
        prop_assert!(0.0 <= spread.mean_distance && spread.mean_distance <= spread.largest_distance);
        prop_assert!(spread.largest_distance < 1.0 && spread.mean_classes >= 1.0);
    }

    /// The contract of `Sampler`, as the splits of `batchscope-data` keep it.
    #[test]
    fn any_step_in_any_order_and_any_micro_batch_is_the_same(
        batch_size in 1u64..=30, step in 0u64..200, cut in 0u64..30, before in 0u64..200, replica in 0usize..3,
    ) {
        let whole = Blobs::classes(92, 3, 4, 1000);
        let shards = Shards::even(92, 3, key(1)).unwrap();
        let shard = shards.shard(&whole, replica);
        let cut = cut.min(batch_size);
        let filled = |positions: Range<u64>| {
            let mut batch = Batch::empty(shard.shape());
            let mut sampler = shard.sampler(key(5), batch_size).unwrap();
            sampler.fill(StepBatch::constant(step, batch_size), positions, &mut batch);
            batch
        };
        let (all, first, second) = (filled(0..batch_size), filled(0..cut), filled(cut..batch_size));
        let joined = [values(&first), values(&second)].concat();
        prop_assert_eq!(values(&all), &joined[..]);
        prop_assert_eq!((all.len as u64, all.first_position), (batch_size, 0));
        prop_assert_eq!((second.first_position, second.first_draw), (cut, step * batch_size + cut));
        // A used sampler gives what a new one gives.
        let mut sampler = shard.sampler(key(5), batch_size).unwrap();
        let mut batch = Batch::empty(shard.shape());
        sampler.fill(StepBatch::constant(before, batch_size), 0..batch_size, &mut batch);
        sampler.fill(StepBatch::constant(step, batch_size), 0..batch_size, &mut batch);
        prop_assert_eq!(&batch, &all);
    }

    #[test]
    fn evaluation_does_not_depend_on_how_it_is_cut(k in 1u64..40) {
        let whole = Blobs::classes(92, 3, 4, 1000);
        let shards = Shards::even(92, 3, key(1)).unwrap();
        let shard = shards.shard(&whole, 2);
        let mut batch = Batch::empty(shard.shape());
        let mut found = Vec::new();
        for start in (0..shard.len()).step_by(k as usize) {
            shard.fill_in_order(start..start + k, &mut batch);
            prop_assert_eq!((batch.first_draw, batch.noise), (start, None));
            prop_assert!(batch.fresh_streams);
            found.extend_from_slice(values(&batch));
        }
        whole.fill_these(shards.indices(2), &mut batch);
        prop_assert_eq!(&found[..], values(&batch));
    }
}

fn values(batch: &Batch) -> &[f32] {
    match &batch.inputs {
        Inputs::Values(values) => values,
        Inputs::Tokens(_) => panic!("tokens"),
    }
}

/// Another stream or another use of it would be other parts of everybody's runs.
#[test]
fn parts_stay_the_same_from_version_to_version() {
    let even = Shards::even(12, 3, key(1)).unwrap();
    let even: Vec<_> = (0..3).map(|r| even.indices(r)).collect();
    assert_eq!(even, EVEN);
    let uneven = by_class(&labels(12, 4), 3, 0.3, 1);
    let uneven: Vec<_> = (0..3).map(|r| uneven.indices(r)).collect();
    assert_eq!(uneven, UNEVEN);
}

const EVEN: [[u64; 4]; 3] = [[1, 4, 5, 9], [2, 3, 6, 8], [0, 7, 10, 11]];
const UNEVEN: [[u64; 4]; 3] = [[3, 4, 7, 11], [1, 5, 9, 10], [0, 2, 6, 8]];

#[test]
fn other_seeds_and_trials_have_other_parts() {
    let labels = labels(600, 10);
    let how = |key| Shards::by_class(&labels, 4, 1.0, key).unwrap();
    let other = StreamKey { trial: 4, ..key(1) };
    assert_ne!(how(key(1)), how(key(2)));
    assert_ne!(how(key(1)), how(other));
    // Any key of the run's gives the same.
    assert_eq!(how(key(1)), how(key(1).with_purpose(Purpose::Network)));
    assert_ne!(
        Shards::even(600, 4, key(1)).unwrap(),
        Shards::even(600, 4, other).unwrap()
    );
}

#[test]
fn a_single_replica_has_everything() {
    for shards in [
        Shards::even(7, 1, key(1)).unwrap(),
        by_class(&labels(7, 3), 1, 0.1, 1),
    ] {
        assert_eq!(shards.indices(0), [0, 1, 2, 3, 4, 5, 6]);
    }
}

/// Every example is left over or in a part as often as any other.
#[test]
fn even_parts_are_a_uniform_choice() {
    let mut counts = [[0f64; 3]; 7];
    for seed in 0..7000 {
        let shards = Shards::even(7, 2, key(seed)).unwrap();
        for (example, counts) in counts.iter_mut().enumerate() {
            let of = |r: usize| shards.indices(r).contains(&(example as u64));
            counts[if of(0) {
                0
            } else if of(1) {
                1
            } else {
                2
            }] += 1.0;
        }
    }
    // 3/7, 3/7 and 1/7 of 7000: deviations of 4.2 standard deviations.
    for [first, second, nobody] in counts {
        assert!((first - 3000.0).abs() < 175.0 && (second - 3000.0).abs() < 175.0);
        assert!((nobody - 1000.0).abs() < 125.0);
    }
}

/// Where no class can run out, the first replica's class counts are Dirichlet-multinomial: with `n`
/// draws, `E n_c = n·p_c` and `Cov(n_b, n_c) = n·(n + α)/(1 + α)·(p_b·1{b = c} − p_b·p_c)`.
#[test]
fn class_counts_have_the_moments_of_dirichlet_proportions() {
    const P: [f64; 3] = [0.5, 0.3, 0.2];
    let labels: Vec<u32> = (0..200u32)
        .map(|i| match i % 10 {
            0..5 => 0,
            5..8 => 1,
            _ => 2,
        })
        .collect();
    let (n, runs) = (20.0, 20_000);
    for (alpha, base) in [(0.001, 0), (0.1, 1), (1.0, 2), (30.0, 3), (1e6, 4)] {
        let mut counts = Vec::new();
        for run in 0..runs {
            let shards = by_class(&labels, 10, alpha, base * runs + run);
            let mut count = [0.0; 3];
            for &index in shards.indices(0) {
                count[labels[index as usize] as usize] += 1.0;
            }
            counts.push(count);
        }
        let mean_of = |f: &dyn Fn(&[f64; 3]) -> f64| {
            let sum: f64 = counts.iter().map(f).sum();
            sum / runs as f64
        };
        let inflation = n * (n + alpha) / (1.0 + alpha);
        for b in 0..3 {
            let scale = inflation * P[b] * (1.0 - P[b]);
            let mean = mean_of(&|count| count[b]);
            let error = (scale / runs as f64).sqrt();
            assert!((mean - n * P[b]).abs() < 4.0 * error, "{alpha} {b}: {mean}");
            for c in 0..3 {
                let expected = inflation * (P[b] * f64::from(u8::from(b == c)) - P[b] * P[c]);
                let found = mean_of(&|count| (count[b] - n * P[b]) * (count[c] - n * P[c]));
                assert!(
                    (found - expected).abs() < 0.05 * scale,
                    "{alpha} {b} {c}: {found} {expected}"
                );
            }
        }
    }
}

/// Of frequencies that differ by chance alone, `½·Σ_c E|f_c − p_c|` is that of normal variables.
#[test]
fn a_large_concentration_is_even_but_for_chance() {
    let labels = labels(6000, 10);
    let chance = |variance: f64| 5.0 * (2.0 / std::f64::consts::PI * variance).sqrt();
    let even = mean_distance(&labels, |seed| Shards::even(6000, 10, key(seed)).unwrap());
    // Without replacement: nine tenths of the variance with it.
    let expected = chance(0.9 * 0.09 / 600.0);
    assert!((even / expected - 1.0).abs() < 0.05, "{even} {expected}");
    // Nine draw at random, and the deviation of what they leave is the sum of theirs.
    let expected = chance(0.09 / 600.0) * (9.0 + 3.0) / 10.0;
    for alpha in [1e6, 1e30, f64::MAX] {
        let uneven = mean_distance(&labels, |seed| by_class(&labels, 10, alpha, seed));
        assert!((uneven / expected - 1.0).abs() < 0.05, "{alpha}: {uneven}");
    }
}

/// Ten classes as large as ten parts: a replica that draws one class uses it up.
#[test]
fn a_small_concentration_gives_nearly_one_class_each() {
    let labels = labels(6000, 10);
    let far = mean_distance(&labels, |seed| by_class(&labels, 10, 1e-3, seed));
    assert!((0.88..=0.9).contains(&far), "{far}");
    for alpha in [1e-9, 1e-200, f64::MIN_POSITIVE, 5e-324] {
        let spread = by_class(&labels, 10, alpha, 1).class_spread(&labels);
        assert!(
            (spread.mean_distance - 0.9).abs() < 1e-12,
            "{alpha}: {spread:?}"
        );
        assert!((spread.largest_distance - 0.9).abs() < 1e-12);
        assert!((spread.mean_classes - 1.0).abs() < 1e-12);
    }
    let mut last = far;
    for alpha in [0.1, 1.0, 10.0, 100.0] {
        let distance = mean_distance(&labels, |seed| by_class(&labels, 10, alpha, seed));
        assert!(distance < last, "{alpha}: {distance} {last}");
        last = distance;
    }
}

/// As many classes as examples, and more replicas than classes.
#[test]
fn odd_numbers_of_classes_are_shared_out() {
    let distinct: Vec<u32> = (0..5000).map(|i| i * 7919).collect();
    check_parts(&by_class(&distinct, 7, 0.1, 1), 5000, 7);
    let single = by_class(&[5; 100], 30, 0.1, 1);
    check_parts(&single, 100, 30);
    let spread = single.class_spread(&[5; 100]);
    assert_eq!((spread.mean_distance, spread.largest_distance), (0.0, 0.0));
}

#[test]
fn what_cannot_be_shared_out_is_refused_by_its_key() {
    let uneven = |labels: &[u32], replicas, alpha| {
        let error = Shards::by_class(labels, replicas, alpha, key(1)).unwrap_err();
        let setting = SettingError::from(error.clone());
        assert_eq!(
            (&*setting.key, setting.why),
            (error.key(), error.to_string())
        );
        assert!(matches!(
            TrainError::from(error.clone()),
            TrainError::Setting(_)
        ));
        error
    };
    let even = |examples, replicas| Shards::even(examples, replicas, key(1)).unwrap_err();
    assert_eq!(even(5, 0), ShardError::NoReplicas);
    assert_eq!(uneven(&[], 0, 1.0), ShardError::NoReplicas);
    for (examples, replicas) in [(0, 1), (5, 6), (5, usize::MAX)] {
        let expected = ShardError::TooManyReplicas { replicas, examples };
        assert_eq!(even(examples, replicas), expected);
        assert_eq!(uneven(&labels(examples as u32, 2), replicas, 1.0), expected);
        assert_eq!(expected.key(), "method");
    }
    for examples in [1 << 32, u64::MAX] {
        assert_eq!(even(examples, 2), ShardError::TooManyExamples { examples });
    }
    for alpha in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = uneven(&[0, 1, 2], 2, alpha);
        assert!(matches!(error, ShardError::Alpha { .. }), "{alpha}");
        assert_eq!(error.key(), "method");
    }
}

/// A set of this shape, which nobody reads.
struct Unread(DataShape);

impl Examples for Unread {
    fn shape(&self) -> DataShape {
        self.0
    }

    fn len(&self) -> u64 {
        100
    }

    fn sampler(&self, _: StreamKey, _: u64) -> Result<Box<dyn Sampler + '_>, ExamplesError> {
        Err(ExamplesError::BatchOfZero)
    }

    fn fill_in_order(&self, _: Range<u64>, _: &mut Batch) {
        panic!("read")
    }
}

#[test]
fn texts_and_examples_without_classes_are_refused_unread() {
    let text = Unread(DataShape {
        input: InputShape::Tokens {
            sequence: 5,
            vocabulary: 9,
        },
        task: Task::NextToken,
    });
    let uneven = Sharding::Dirichlet { alpha: 1.0 };
    let refused = |set: &Unread, how| Shards::new(set, 2, how, key(1)).err();
    assert_eq!(refused(&text, Sharding::Even), Some(ShardError::Text));
    assert_eq!(refused(&text, uneven), Some(ShardError::Text));
    assert_eq!(class_labels(&text), Err(ShardError::Text));
    let image = InputShape::Image {
        height: 2,
        width: 2,
        channels: 1,
    };
    for task in [Task::Regress { outputs: 2 }, Task::Segment { classes: 3 }] {
        let set = Unread(DataShape { input: image, task });
        assert_eq!(refused(&set, uneven), Some(ShardError::NoClasses));
        assert_eq!(refused(&set, Sharding::Even), None);
    }
}

#[test]
fn classes_are_read_over_chunks_and_shared_out() {
    let whole = Blobs::classes(9001, 2, 4, 1000);
    let found = class_labels(&whole).unwrap();
    let mut batch = Batch::empty(whole.shape());
    whole.fill_in_order(0..9001, &mut batch);
    assert_eq!(Labels::Classes(found.clone()), batch.labels);
    let how = Sharding::Dirichlet { alpha: 0.2 };
    let shards = Shards::new(&whole, 8, how, key(1)).unwrap();
    assert_eq!(shards, by_class(&found, 8, 0.2, 1));
    assert_eq!(shards.left_over(), 1);
    let even = Shards::new(&whole, 8, Sharding::Even, key(1)).unwrap();
    assert_eq!(even, Shards::even(9001, 8, key(1)).unwrap());
}

#[test]
fn each_epoch_of_a_part_visits_its_examples_once_in_orders_of_its_own() {
    let whole = Blobs::classes(62, 3, 4, 1000);
    let shards = Shards::even(62, 2, key(1)).unwrap();
    let mut orders = HashSet::new();
    for replica in 0..2 {
        let shard = shards.shard(&whole, replica);
        assert_eq!((shard.len(), shard.shape()), (31, whole.shape()));
        let mut sampler = shard.sampler(key(5), 7).unwrap();
        let mut batch = Batch::empty(whole.shape());
        let row = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        shard.fill_in_order(0..31, &mut batch);
        let own: Vec<_> = values(&batch).chunks(3).map(row).collect();
        let mut seen = Vec::new();
        for step in 0..31 {
            sampler.fill(StepBatch::constant(step, 7), 0..7, &mut batch);
            let place = |r| own.iter().position(|o| *o == row(r)).unwrap();
            seen.extend(values(&batch).chunks(3).map(place));
        }
        for epoch in seen.chunks(31) {
            assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), 31);
            assert!(orders.insert(epoch.to_vec()), "an order of its own");
        }
    }
    assert_eq!(orders.len(), 14);
}

#[test]
fn batch_sizes_that_a_part_cannot_give_are_refused() {
    let whole = Blobs::classes(62, 3, 4, 1000);
    let shards = Shards::even(62, 4, key(1)).unwrap();
    let shard = shards.shard(&whole, 1);
    let error = |b| shard.sampler(key(0), b).err();
    let (batch_size, examples) = (16, 15);
    let too_large = ExamplesError::BatchTooLarge {
        batch_size,
        examples,
    };
    assert_eq!(error(0), Some(ExamplesError::BatchOfZero));
    assert_eq!(error(16), Some(too_large));
    assert_eq!(error(15), None);
}

/// Regression targets go along, and a part can be shared out again.
#[test]
fn parts_of_parts_hold_the_examples_of_the_whole() {
    let shape = DataShape {
        input: InputShape::Vector { features: 3 },
        task: Task::Regress { outputs: 2 },
    };
    let whole = Blobs::new(40, shape, 1000);
    let outer = Shards::even(40, 2, key(1)).unwrap();
    let part = outer.shard(&whole, 1);
    let inner = Shards::new(&part, 3, Sharding::Even, key(2)).unwrap();
    let shard = inner.shard(&part, 2);
    let (mut found, mut expected) = (Batch::empty(shape), Batch::empty(shape));
    // A batch that was filled before, and indices out of order and twice.
    part.fill_in_order(0..9, &mut found);
    shard.fill_these(&[5, 0, 0, 1], &mut found);
    let index = |i: usize| outer.indices(1)[inner.indices(2)[i] as usize];
    let indices = [5, 0, 0, 1].map(index);
    whole.fill_these(&indices, &mut expected);
    assert_eq!(found, expected);
    assert_eq!((found.len, found.first_draw), (4, 0));
    let mut one = Batch::empty(shape);
    for (place, &index) in indices.iter().enumerate() {
        whole.fill_in_order(index..index + 1, &mut one);
        assert_eq!(values(&one), &values(&found)[place * 3..][..3]);
        let (Labels::Values(one), Labels::Values(found)) = (&one.labels, &found.labels) else {
            panic!("targets")
        };
        assert_eq!(one, &found[place * 2..][..2]);
    }
}

#[test]
#[should_panic(expected = "the set that was shared out")]
fn parts_of_another_set_are_a_mistake() {
    let shards = Shards::even(40, 2, key(1)).unwrap();
    shards.shard(&Blobs::classes(41, 3, 4, 1000), 0);
}
