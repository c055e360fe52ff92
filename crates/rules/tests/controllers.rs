//! One suite for every controller of the registry, and the published equations of those that go by noise.

use batchscope_core::{
    Choice, Decay, Length, NoiseMoments, Purpose, Schedule, StreamKey, WarmUp, WarmUpShape,
};
use batchscope_rules::{
    CONTROLLERS, Controller, Course, RulesError, StepSeen, controller, steps_to_draw,
};

const KEY: StreamKey = StreamKey {
    study_seed: 4,
    trial: 2,
    purpose: Purpose::Initialization,
};
const EXAMPLES: u64 = 20_000;
const BATCH: u64 = 32;

/// A choice and a schedule under which each controller acts. A controller without a row here fails the suite.
fn cases() -> Vec<(&'static str, Schedule)> {
    let steps = Schedule {
        decay: Decay::Step {
            at: vec![Length::Steps(40), Length::Steps(90)],
            factor: 0.5,
        },
        ..Schedule::warm_up(5)
    };
    let cosine = |warm_up: u64| Schedule {
        decay: Decay::Cosine {
            over: Length::Steps(200),
            floor: 0.0,
        },
        warm_up: WarmUp {
            length: Length::Steps(warm_up),
            shape: WarmUpShape::Linear,
        },
        ..Schedule::constant()
    };
    vec![
        ("schedule", steps.clone()),
        ("grow(1)", steps),
        ("seesaw(adam, limit=1)", cosine(5)),
        ("late_switch(60, 4)", cosine(5)),
        ("cabs(smallest=8)", Schedule::warm_up(5)),
        ("adascale(8)", cosine(5)),
        ("autowu", cosine(0)),
        (
            "table(0 32 0.1; 50 64 0.1; 51 48 0.02)",
            Schedule::constant(),
        ),
    ]
}

fn begin(choice: &str, schedule: &Schedule) -> Box<dyn Controller> {
    let (_, choice) = CONTROLLERS.read(choice).unwrap();
    let course = Course {
        schedule,
        learning_rate: 0.1,
        batch_size: BATCH,
        train_examples: Some(EXAMPLES),
        key: KEY,
    };
    controller(Some(&choice), &course).unwrap()
}

/// The noise that steps tell, one in three measured.
fn noise(step: u64) -> Option<NoiseMoments> {
    step.is_multiple_of(3).then(|| NoiseMoments {
        steps: 1,
        trace: 900.0 + 300.0 * (step as f64 / 7.0).sin(),
        squared_norm: 2.0 - step as f64 / 150.0,
        ..NoiseMoments::new(BATCH)
    })
}

/// Leads steps `from..to`; what each was made with.
fn lead(led: &mut dyn Controller, from: u64, to: u64) -> Vec<(u64, u64, u64, f64)> {
    let mut made = Vec::new();
    for step in from..to {
        let setting = led.at(step);
        let loss = 2.0 - 1.5 * (step as f64 / 60.0).sin();
        let noise = noise(step).filter(|_| led.watches_noise());
        let seen = StepSeen {
            setting,
            loss,
            noise: noise.as_ref(),
        };
        led.observe(&seen);
        assert_eq!(led.at(step), setting, "a step that was taken changes");
        let batch = setting.batch;
        made.push((
            batch.step,
            batch.first_draw,
            batch.batch_size,
            setting.learning_rate,
        ));
    }
    made
}

#[test]
fn the_registry_is_sound_and_every_controller_is_tried() {
    assert_eq!(CONTROLLERS.faults(), Vec::<String>::new());
    let tried: Vec<String> = cases()
        .iter()
        .map(|(choice, _)| CONTROLLERS.read(choice).unwrap().1.name().to_owned())
        .collect();
    let all: Vec<&str> = CONTROLLERS.names().collect();
    assert_eq!(tried, all);
}

/// Every example of the order is drawn once, rates are finite, and batch sizes stay within what was said.
#[test]
fn examples_are_drawn_once_at_rates_that_are_numbers() {
    for (choice, schedule) in cases() {
        let mut led = begin(choice, &schedule);
        let sizes = led
            .batch_sizes()
            .map_or(BATCH..=BATCH, |sizes| sizes.smallest..=sizes.largest);
        let mut drawn = 0;
        for (at, (step, first_draw, batch_size, rate)) in
            lead(&mut *led, 0, 190).into_iter().enumerate()
        {
            assert_eq!((step, first_draw), (at as u64, drawn), "{choice}");
            assert!(rate.is_finite() && rate >= 0.0, "{choice}: {rate}");
            assert!(sizes.contains(&batch_size), "{choice}: {batch_size}");
            drawn += batch_size;
        }
    }
}

/// What a controller remembers is all that it goes by: taken up at any step, it leads on alike.
#[test]
fn a_controller_taken_up_from_its_state_leads_on_alike() {
    for (choice, schedule) in cases() {
        let mut whole = begin(choice, &schedule);
        let made = lead(&mut *whole, 0, 150);
        for at in [0, 1, 13, 49, 50, 99, 130] {
            let mut first = begin(choice, &schedule);
            lead(&mut *first, 0, at);
            let state = first.state();
            assert!(state.iter().all(|x| !x.is_nan()), "{choice}");
            let mut second = begin(choice, &schedule);
            second.load(&state).unwrap();
            if at > 0 {
                assert_eq!(second.at(at - 1), first.at(at - 1), "{choice} at {at}");
            }
            assert_eq!(second.decision(at), first.decision(at), "{choice} at {at}");
            assert_eq!(
                lead(&mut *second, at, 150),
                made[at as usize..],
                "{choice} at {at}"
            );
            assert_eq!(second.state(), whole.state(), "{choice} at {at}");
            assert_eq!(second.has_ended(), whole.has_ended());
        }
    }
}

#[test]
fn a_foreign_state_is_refused_and_changes_nothing() {
    for (choice, schedule) in cases() {
        let mut led = begin(choice, &schedule);
        lead(&mut *led, 0, 20);
        let state = led.state();
        let foreign = vec![1.0; state.len() % 3 + 1];
        if foreign.len() != state.len() {
            assert_eq!(
                led.load(&foreign),
                Err(RulesError::ForeignState),
                "{choice}"
            );
        }
        assert_eq!(led.state(), state, "{choice}");
        // No number of a state may be anything at all: those that lead no run are refused.
        for at in 0..state.len() {
            for wrong in [f64::NAN, f64::INFINITY, 1e300, -0.5] {
                let mut state = state.clone();
                state[at] = wrong;
                let mut led = begin(choice, &schedule);
                if led.load(&state).is_ok() {
                    let setting = led.at(20);
                    assert!(
                        setting.learning_rate.is_finite() && setting.batch.batch_size > 0,
                        "{choice}"
                    );
                }
            }
        }
    }
}

/// Equation 17: batch 32 at rate 0.1, variance 2560 and loss 2 asks for 128; noise that is new counts a twentieth.
#[test]
fn cabs_is_rate_times_variance_over_loss() {
    let mut led = begin("cabs(smallest=8, largest=256)", &Schedule::constant());
    let mut see = |trace: f64, loss: f64, step: u64| {
        let noise = NoiseMoments {
            steps: 1,
            trace,
            ..NoiseMoments::new(32)
        };
        let setting = led.at(step);
        led.observe(&StepSeen {
            setting,
            loss,
            noise: Some(&noise),
        });
        led.at(step + 1).batch.batch_size
    };
    assert_eq!(see(2560.0, 2.0, 0), 128);
    // 0.95·2560 + 0.05·0 = 2432: 0.1·2432/2 = 121.6, to a multiple of 8.
    assert_eq!(see(0.0, 2.0, 1), 120);
    assert_eq!(see(1e9, 2.0, 2), 256);
    assert_eq!(see(0.0, 1e9, 3), 8);
}

/// The second step's rate, of batch 32 from a base of 8 at 0.1, after a first step with this noise.
fn rates_after(trace: f64, squared_norm: f64) -> f64 {
    let mut led = begin("adascale(8)", &Schedule::constant());
    let noise = NoiseMoments {
        steps: 1,
        trace,
        squared_norm,
        ..NoiseMoments::new(32)
    };
    let setting = led.at(0);
    assert_eq!(setting.learning_rate, 0.1);
    led.observe(&StepSeen {
        setting,
        loss: 1.0,
        noise: Some(&noise),
    });
    led.at(1).learning_rate
}

/// Algorithm 1: no noise makes a step worth one of the base batch size, noise alone worth `S`.
#[test]
fn adascale_scales_the_rate_by_its_gain() {
    assert!((rates_after(0.0, 1e6) - 0.1).abs() < 1e-9);
    assert!((rates_after(1e6, 0.0) - 0.4).abs() < 1e-9);
    // σ² = 80/8 = 10, μ² = 5: (10 + 5)/(10/4 + 5) = 2.
    assert!((rates_after(80.0, 5.0) - 0.2).abs() < 1e-9);
    // A negative estimate of μ² counts as 0.
    assert!((rates_after(80.0, -5.0) - 0.4).abs() < 1e-9);
}

/// Against the paper's estimators from the gradients themselves: `σ̂² = Σ‖g_i‖²/(S−1) − S‖ḡ‖²/(S−1)`, `μ̂² = ‖ḡ‖² − σ̂²/S`.
#[test]
fn adascale_s_gain_is_that_of_the_paper_s_own_estimators() {
    let gradients = [[1.0, 2.0], [0.0, 2.5], [2.0, 1.0], [1.0, 3.5]];
    let s = gradients.len() as f64;
    let norm = |g: &[f64; 2]| g[0] * g[0] + g[1] * g[1];
    let mean = norm(&[4.0 / s, 9.0 / s]);
    let sum: f64 = gradients.iter().map(norm).sum();
    let variance = sum / (s - 1.0) - s * mean / (s - 1.0);
    let signal = mean - variance / s;
    let gain = (variance + signal) / (variance / s + signal);
    // The variance of 8 examples' gradient is an eighth of one's.
    assert!((rates_after(8.0 * variance, signal) - 0.1 * gain).abs() < 1e-12);
}

/// A schedule of 200 steps of 8 is over after 50 steps of 32 that are worth four each.
#[test]
fn adascale_ends_where_its_schedule_does() {
    let schedule = Schedule {
        decay: Decay::Linear {
            over: Length::Steps(200),
            floor: 0.0,
        },
        ..Schedule::constant()
    };
    let mut led = begin("adascale(8)", &schedule);
    let noise = NoiseMoments {
        steps: 1,
        trace: 1e6,
        squared_norm: 0.0,
        ..NoiseMoments::new(32)
    };
    let mut step = 0;
    while !led.has_ended() {
        let setting = led.at(step);
        led.observe(&StepSeen {
            setting,
            loss: 1.0,
            noise: Some(&noise),
        });
        step += 1;
    }
    assert_eq!(step, 1 + 50);
}

#[test]
fn the_most_steps_are_known_where_batch_sizes_follow_noise() {
    let led = begin("cabs(smallest=8)", &Schedule::constant());
    assert_eq!(steps_to_draw(&*led, 1000), 125);
    let led = begin("late_switch(10, 2)", &Schedule::constant());
    assert_eq!(steps_to_draw(&*led, 320 + 64 * 5), 15);
}

#[test]
fn what_cannot_be_led_is_refused_with_the_remedy() {
    let cosine = Schedule {
        decay: Decay::Cosine {
            over: Length::Steps(100),
            floor: 0.0,
        },
        ..Schedule::constant()
    };
    let with_warm_up = Schedule {
        warm_up: Schedule::warm_up(5).warm_up,
        ..cosine.clone()
    };
    for (choice, schedule, what) in [
        ("autowu", &Schedule::constant(), "give that as the schedule"),
        ("autowu", &with_warm_up, "without warm-up"),
        ("autowu(min=2)", &cosine, "below max"),
        ("grow", &cosine, "replaces the marks of a step schedule"),
        ("seesaw(adam)", &Schedule::constant(), "cosine(30ep)"),
        ("late_switch(soon, 2)", &cosine, "'soon' is not a length"),
        ("cabs(smallest=64)", &cosine, "a multiple of the smallest"),
        ("cabs(smallest=24)", &cosine, "a multiple of the smallest"),
        ("table(0 32 0.1)", &cosine, "leave out the schedule"),
        ("adascale(64)", &cosine, "at most the batch size"),
        (
            "table(0 64 0.1)",
            &Schedule::constant(),
            "its first batch size is 64",
        ),
    ] {
        let (_, choice): (_, Choice) = CONTROLLERS.read(choice).unwrap();
        let course = Course {
            schedule,
            learning_rate: 0.1,
            batch_size: BATCH,
            train_examples: Some(EXAMPLES),
            key: KEY,
        };
        let message = controller(Some(&choice), &course)
            .err()
            .unwrap()
            .to_string();
        assert!(message.contains(what), "{choice}: {message}");
    }
}
