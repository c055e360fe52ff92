//! Advice from a study whose times are known in closed form.

mod common;

use batchscope_core::{EstimateState, StepTiming};
use batchscope_scaling::{AdviceError, AnalysisOptions, Assumptions, Findings, advise, analyze};
use common::World;

/// A device whose step of one micro-batch costs 1 ms and 20 µs for each example.
fn timing(batch_size: u64, micro_batch: u64) -> StepTiming {
    let seconds = (batch_size / micro_batch) as f64 * (1e-3 + 2e-5 * micro_batch as f64);
    StepTiming {
        batch_size,
        micro_batch,
        seconds,
        low: seconds,
        high: seconds,
        n: 20,
    }
}

fn timings() -> Vec<StepTiming> {
    [8, 32, 128, 512].map(|b| timing(b, b)).to_vec()
}

fn assumptions() -> Assumptions {
    Assumptions {
        latency: 1e-5,
        bandwidth: 1e10,
        price_per_hour: Some(2.0),
        watts: Some(300.0),
    }
}

fn findings() -> Findings {
    let world = World {
        sigma: 0.03,
        ..World::default()
    };
    analyze(
        world.summary(),
        world.tuning(),
        &world.records(),
        &AnalysisOptions {
            bootstrap: 20,
            ..Default::default()
        },
    )
}

#[test]
fn one_device_gets_the_fastest_batch_size_or_one_as_fast_with_fewer_examples() {
    let findings = findings();
    let advice = advise(&findings, "tuned", &timings(), &assumptions(), 100_000, 1).unwrap();
    let best = &advice.recommended;
    // time(B) = S(B)·(⌈B/b⌉ms + 20 µs·B) by hand: the overhead of a step makes 64 to 128 best
    let time = |batch: u64, micro: u64| {
        let steps = findings.curves[0]
            .points
            .iter()
            .find(|p| p.batch_size == batch)
            .unwrap()
            .steps
            .value
            .unwrap();
        steps * (batch / micro) as f64 * (1e-3 + 2e-5 * micro as f64)
    };
    let fastest = [
        (8, 8),
        (16, 8),
        (32, 32),
        (64, 32),
        (128, 128),
        (256, 128),
        (512, 512),
        (1024, 512),
        (2048, 512),
    ]
    .map(|(b, m)| time(b, m))
    .into_iter()
    .fold(f64::INFINITY, f64::min);
    assert!(
        best.seconds.low.unwrap() <= fastest && best.seconds.value.unwrap() < 1.15 * fastest,
        "{best:?}"
    );
    assert!((best.seconds.value.unwrap() - time(best.batch_size, best.micro_batch)).abs() < 1e-9);
    assert_eq!(
        (best.devices, best.learning_rate, best.warm_up_steps),
        (1, Some(0.1), 20)
    );
    assert_eq!(best.micro_batch * best.accumulation, best.batch_size);
    assert!(timings().iter().any(|t| t.micro_batch == best.micro_batch));
    let gain = advice.gain(&findings).unwrap();
    assert_eq!(gain.over, 8);
    assert!((gain.faster * best.seconds.value.unwrap() / time(8, 8) - 1.0).abs() < 1e-9);
    assert!(gain.faster > 1.0 && gain.examples > 1.0);
}

#[test]
fn more_devices_are_faster_and_dearer_until_communication_eats_them() {
    let findings = findings();
    let advice = advise(
        &findings,
        "tuned",
        &timings(),
        &assumptions(),
        1_000_000,
        64,
    )
    .unwrap();
    let fastest = |devices: u64| {
        let times = advice
            .options
            .iter()
            .filter(|o| o.devices == devices)
            .filter_map(|o| o.seconds.value);
        times.fold(f64::INFINITY, f64::min)
    };
    assert!(fastest(2) < fastest(1) && fastest(8) < fastest(2));
    for option in &advice.options {
        let hours = option.seconds.value.unwrap() * option.devices as f64 / 3600.0;
        assert!((option.device_hours.value.unwrap() / hours - 1.0).abs() < 1e-12);
        assert!(
            (option.money.as_ref().unwrap().value.unwrap() / (2.0 * hours) - 1.0).abs() < 1e-12
        );
        assert!(
            (option.energy.as_ref().unwrap().value.unwrap() / (0.3 * hours) - 1.0).abs() < 1e-12
        );
        let share = option.batch_size.div_ceil(option.devices);
        assert!(option.micro_batch <= share && option.micro_batch * option.accumulation >= share);
        assert_eq!(option.seconds.state, EstimateState::Estimated);
    }
    // the front: sorted by time, cost falls
    let mut front: Vec<(f64, f64)> = advice
        .options
        .iter()
        .filter(|o| o.pareto)
        .map(|o| (o.seconds.value.unwrap(), o.device_hours.value.unwrap()))
        .collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(
        front.len() > 2 && front.windows(2).all(|w| w[0].1 > w[1].1),
        "{front:?}"
    );
    assert!(
        advice
            .provenance
            .iter()
            .any(|line| line.starts_with("Modeled: more than one device"))
    );

    // a link so slow that a second device only hurts
    let slow = Assumptions {
        bandwidth: 1e6,
        ..assumptions()
    };
    let advice = advise(&findings, "tuned", &timings(), &slow, 1_000_000, 2).unwrap();
    let best = |devices: u64| {
        advice
            .options
            .iter()
            .filter(|o| o.devices == devices)
            .filter_map(|o| o.seconds.value)
            .fold(f64::INFINITY, f64::min)
    };
    assert!(best(2) > best(1));
    assert!(
        advice
            .options
            .iter()
            .filter(|o| o.devices == 2)
            .all(|o| !o.pareto)
    );
}

#[test]
fn what_cannot_be_advised_says_why() {
    let findings = findings();
    let ask = |curve: &str, timings: &[StepTiming], assumptions: &Assumptions| {
        advise(&findings, curve, timings, assumptions, 1000, 4).unwrap_err()
    };
    assert!(
        matches!(ask("lsr", &timings(), &assumptions()), AdviceError::NoCurve { known, .. } if known == "tuned")
    );
    assert_eq!(ask("tuned", &[], &assumptions()), AdviceError::NoTimings);
    assert_eq!(
        ask("tuned", &[timing(4096, 4096)], &assumptions()),
        AdviceError::NoMicroBatch
    );
    let broken = Assumptions {
        bandwidth: 0.0,
        ..assumptions()
    };
    assert!(
        ask("tuned", &timings(), &broken)
            .to_string()
            .contains("bandwidth = 0")
    );
    let broken = Assumptions {
        watts: Some(f64::NAN),
        ..assumptions()
    };
    assert!(
        ask("tuned", &timings(), &broken)
            .to_string()
            .contains("watts")
    );
}
