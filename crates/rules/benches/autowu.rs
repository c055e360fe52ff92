//! What AutoWU's test at the end of an epoch costs: `cargo bench -p batchscope-rules`.
//!
//! The longest climb of a run of 90 epochs of ResNet-20 on 50,000 images in steps of 128: 17,595 losses, of which a fit takes
//! 100 and each of five predictions 500.

use std::{hint::black_box, time::Instant};

use batchscope_core::{Decay, Length, Purpose, Schedule, StreamKey, statistics::quantile};
use batchscope_rules::{CONTROLLERS, Controller, Course, StepSeen, controller};

/// Tests that are timed.
const TESTS: usize = 60;

fn main() {
    let schedule = Schedule {
        decay: Decay::Cosine {
            over: Length::Epochs(90.0),
            floor: 0.0,
        },
        ..Schedule::constant()
    };
    let course = Course {
        schedule: &schedule,
        learning_rate: 1.0,
        batch_size: 128,
        train_examples: Some(50_000),
        key: StreamKey {
            study_seed: 0,
            trial: 0,
            purpose: Purpose::Controller,
        },
    };
    let (_, choice) = CONTROLLERS.read("autowu").expect("the registry's");
    let mut led = controller(Some(&choice), &course).expect("a course with a cosine");
    // 44 epochs of 391 steps, all but the step after which the last is tested.
    let before = 44 * 391 - 1;
    for step in 0..before {
        see(&mut *led, step);
    }
    let state = led.state();
    let mut seconds: Vec<f64> = (0..TESTS)
        .map(|_| {
            led.load(&state).expect("its own state");
            let clock = Instant::now();
            see(black_box(&mut *led), before);
            clock.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|p| 1e3 * quantile(&seconds, p));
    println!(
        "a test on {} losses: {middle:.2} ms ({low:.2}-{high:.2})",
        before + 1
    );
}

fn see(led: &mut dyn Controller, step: u64) {
    let setting = led.at(step);
    let loss = 2.3 - 1e-4 * step as f64 + 0.05 * (step as f64 * 12.9898).sin();
    led.observe(&StepSeen {
        setting,
        loss,
        noise: None,
    });
}
