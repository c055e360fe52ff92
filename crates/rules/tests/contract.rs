//! One suite for every rule of the registry, and the published rates of each.

use batchscope_core::{Choice, Descriptor, Length, Schedule};
use batchscope_rules::{Base, Moves, RULES, Rule, RuleKind, RulesError, Setting, steps_in};
use proptest::prelude::*;

fn adamw(beta1: f64, beta2: f64, epsilon: f64, weight_decay: f64) -> Choice {
    Choice::new(
        "adamw",
        [
            ("beta1", beta1.into()),
            ("beta2", beta2.into()),
            ("epsilon", epsilon.into()),
            ("weight_decay", weight_decay.into()),
        ],
    )
}

fn base(learning_rate: f64, batch_size: u64) -> Base {
    Base {
        setting: Setting {
            learning_rate,
            schedule: Schedule::warm_up(10),
            optimizer: adamw(0.9, 0.999, 1e-8, 0.1),
        },
        batch_size,
        train_examples: Some(50_000),
        noise_scale: Some(1000.0),
    }
}

fn rate(rule: &Rule, learning_rate: f64, base_batch: u64, batch_size: u64) -> f64 {
    let setting = rule.apply(&base(learning_rate, base_batch), batch_size);
    setting.unwrap().learning_rate
}

#[test]
fn the_registry_is_sound() {
    assert_eq!(RULES.faults(), Vec::<String>::new());
    assert_eq!(Rule::all().len(), RULES.all.len());
}

#[test]
fn names_read_back_in_text_and_json() {
    for rule in Rule::all() {
        assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(json, format!("\"{rule}\""));
        assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
    }
    assert_eq!(" LSR ".parse::<Rule>().unwrap().to_string(), "lsr");
    assert_eq!("sqrt".parse::<Rule>().unwrap().to_string(), "srsr");
    let several: Rule = "timescale + sqrt+half_life".parse().unwrap();
    assert_eq!(several.to_string(), "srsr+half_life+timescale");
    assert_eq!(several.to_string().parse::<Rule>().unwrap(), several);
    let surge: Rule = "surge(noise_scale=1e+3)+timescale".parse().unwrap();
    assert_eq!(surge.to_string(), "surge(noise_scale=1000)+timescale");
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let message = "lsrr".parse::<Rule>().unwrap_err().to_string();
    assert_eq!(
        message,
        "'lsrr' is not a learning-rate rule: choose blr, lsr, srsr, legw, surge, sde, half_life or timescale (did you mean lsr?)"
    );
    for empty in ["", "lsr+", "+lsr", "lsr++timescale"] {
        assert!(empty.parse::<Rule>().is_err(), "{empty}");
    }
    for (both, what) in [
        (
            "lsr+sqrt",
            "lsr and srsr both move the learning rate: keep one of them",
        ),
        (
            "sde+half_life",
            "sde and half_life both move Adam's betas: keep one of them",
        ),
        (
            "legw+legw",
            "legw and legw both move the learning rate: keep one of them",
        ),
    ] {
        assert_eq!(both.parse::<Rule>().unwrap_err().to_string(), what);
    }
}

/// Golmant et al. 2018, section 3, and Goyal et al. 2017: 0.1 at 256 becomes 3.2 at 8192.
#[test]
fn rates_are_the_published_ones() {
    let at = |name: &str| rate(&name.parse().unwrap(), 0.1, 256, 8192);
    assert_eq!(at("blr"), 0.1);
    assert!((at("lsr") - 3.2).abs() < 1e-14);
    assert!((at("srsr") - 0.1 * 32f64.sqrt()).abs() < 1e-14);
}

#[test]
fn a_base_that_cannot_train_is_refused() {
    for rule in Rule::all() {
        for learning_rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(rule.apply(&base(learning_rate, 32), 64).is_err());
        }
        assert!(rule.apply(&base(0.1, 0), 64).is_err());
        assert!(rule.apply(&base(0.1, 32), 0).is_err());
    }
}

/// A part moves what it says and nothing else.
#[test]
fn rules_move_what_they_say() {
    for rule in Rule::all() {
        let mut base = base(0.1, 256);
        base.setting.schedule.warm_up.length = Length::Epochs(2.0);
        let (before, after) = (&base.setting, rule.apply(&base, 1024).unwrap());
        let number = |setting: &Setting, key: &str| setting.optimizer.number(key).unwrap();
        let keys = |keys: &[&str]| {
            keys.iter()
                .any(|key| number(before, key) != number(&after, key))
        };
        let moved = [
            (
                Moves::LearningRate,
                before.learning_rate != after.learning_rate,
            ),
            (Moves::WarmUp, before.schedule != after.schedule),
            (Moves::Betas, keys(&["beta1", "beta2", "epsilon"])),
            (Moves::WeightDecay, keys(&["weight_decay"])),
        ];
        for (what, moved) in moved {
            // The rate that stays is this rule's answer all the same.
            let moved = moved || rule.to_string() == "blr" && what == Moves::LearningRate;
            assert_eq!(rule.moves(what), moved, "{rule}: {what}");
        }
    }
}

/// You et al. 2019: 64 times the batch, 8 times the rate, 64 times the warm-up's epochs, as many steps.
#[test]
fn legw_keeps_the_steps_of_the_warm_up() {
    let rule: Rule = "legw".parse().unwrap();
    let mut base = base(0.1, 128);
    let warm_up = |setting: &Setting, batch: u64| {
        steps_in(setting.schedule.warm_up.length, batch, Some(50_000)).unwrap()
    };
    for length in [
        Length::Epochs(0.25),
        Length::Epochs(5.0),
        Length::Steps(200),
    ] {
        base.setting.schedule.warm_up.length = length;
        let steps = warm_up(&base.setting, 128);
        for batch_size in [32, 256, 1024, 8192] {
            let setting = rule.apply(&base, batch_size).unwrap();
            let factor = (batch_size as f64 / 128.0).sqrt();
            assert!((setting.learning_rate / (0.1 * factor) - 1.0).abs() < 1e-12);
            assert!(warm_up(&setting, batch_size).abs_diff(steps) <= 1);
        }
    }
    let setting = rule.apply(&base, 8192).unwrap();
    assert!((setting.learning_rate - 0.8).abs() < 1e-12);
}

/// Malladi et al. 2022, definition 5.2; at β₁ = 0.9 it ends below ten times the batch.
#[test]
fn the_sde_rule_ends_where_beta1_would_be_0() {
    let rule: Rule = "sde".parse().unwrap();
    let setting = rule.apply(&base(0.1, 64), 256).unwrap();
    let number = |key: &str| setting.optimizer.number(key).unwrap();
    assert!((setting.learning_rate - 0.2).abs() < 1e-15);
    assert!((number("beta1") - 0.6).abs() < 1e-12 && (number("beta2") - 0.996).abs() < 1e-12);
    assert!((number("epsilon") - 5e-9).abs() < 1e-20);
    let refused = rule.apply(&base(0.1, 64), 640).unwrap_err();
    assert!(
        matches!(
            refused,
            RulesError::TooLarge {
                batch_size: 640,
                largest: 639,
                ..
            }
        ),
        "{refused}"
    );
    assert!(rule.apply(&base(0.1, 64), 639).is_ok());
    // Towards small batches there is no end.
    assert!(rule.apply(&base(0.1, 4096), 1).is_ok());
    let mut sgd = base(0.1, 64);
    sgd.setting.optimizer = Choice::new("sgd", [("momentum", 0.9.into())]);
    assert!(rule.apply(&sgd, 128).is_err());
}

/// Li et al. 2024: the best rate peaks at the noise scale, is the same at `B` and `B_noise²/B`, and grows with the root of
/// the batch far below.
#[test]
fn the_surge_law_peaks_at_the_noise_scale() {
    let rule: Rule = "surge".parse().unwrap();
    let at = |batch: u64| rate(&rule, 0.1, 1000, batch);
    assert!(at(500) < 0.1 && at(2000) < 0.1);
    assert!((at(250) / at(4000) - 1.0).abs() < 1e-12);
    assert!((at(4) / at(1) - 2.0).abs() < 0.01);
    assert!((at(1000) / at(4000) - 1.25).abs() < 1e-12);
    let given: Rule = "surge(noise_scale=250)".parse().unwrap();
    assert!(rate(&given, 0.1, 1000, 250) > 0.1);
    let mut unknown = base(0.1, 64);
    unknown.noise_scale = None;
    assert_eq!(rule.apply(&unknown, 128), Err(RulesError::NoNoiseScale));
}

/// The fraction of a run that weights are averaged over, `B/(η·λ·D)`, stays.
#[test]
fn the_time_scale_of_weight_decay_stays() {
    for (rule, factor) in [
        ("timescale", 8.0),
        ("timescale+sqrt", 8f64.sqrt()),
        ("timescale+lsr", 1.0),
    ] {
        let setting = rule
            .parse::<Rule>()
            .unwrap()
            .apply(&base(0.1, 64), 512)
            .unwrap();
        let decay = setting.optimizer.number("weight_decay").unwrap();
        assert!((decay / (0.1 * factor) - 1.0).abs() < 1e-12, "{rule}");
        let time = 512.0 / (setting.learning_rate * decay);
        assert!((time / (64.0 / (0.1 * 0.1)) - 1.0).abs() < 1e-12);
    }
    let mut none = base(0.1, 64);
    none.setting.optimizer.set("weight_decay", 0.0);
    let rule: Rule = "timescale".parse().unwrap();
    assert_eq!(rule.apply(&none, 128), Err(RulesError::NoWeightDecay));
}

/// A rule of somebody's own: one descriptor and one function, which may move every setting.
static MINE: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: "mine",
        aliases: &[],
        about: "The rate stays, and the warm-up grows with the batch size",
        source: "",
        parameters: &[],
    },
    moves: &[Moves::WarmUp],
    is_linear: false,
    limits: "nobody has tried it",
    apply: |_, base, setting, batch_size| {
        setting.schedule = Schedule::warm_up(10 * batch_size / base.batch_size);
        Ok(())
    },
};

#[test]
fn a_rule_of_ones_own_may_move_the_schedule() {
    let rule = Rule::new(&MINE, MINE.descriptor.defaults().unwrap());
    let setting = rule.apply(&base(0.1, 32), 128).unwrap();
    assert_eq!(setting.schedule, Schedule::warm_up(40));
    assert_eq!(setting.learning_rate, 0.1);
}

proptest! {
    #[test]
    fn at_the_base_batch_size_every_rule_is_the_base(rate in 1e-6..10.0f64, b0 in 1u64..100_000) {
        for rule in Rule::all() {
            let base = base(rate, b0);
            prop_assert_eq!(rule.apply(&base, b0).unwrap(), base.setting);
        }
    }

    #[test]
    fn the_three_power_laws_compose(eta in 1e-6..10.0f64, b0 in 1u64..100_000, b1 in 1u64..100_000, b2 in 1u64..100_000) {
        for (name, exponent) in [("blr", 0.0), ("lsr", 1.0), ("srsr", 0.5)] {
            let rule: Rule = name.parse().unwrap();
            let direct = rate(&rule, eta, b0, b2);
            let by_way = rate(&rule, rate(&rule, eta, b0, b1), b1, b2);
            prop_assert!((direct / by_way - 1.0).abs() < 1e-12);
            let power = eta * (b1 as f64 / b0 as f64).powf(exponent);
            prop_assert!((rate(&rule, eta, b0, b1) / power - 1.0).abs() < 1e-12);
        }
    }
}
