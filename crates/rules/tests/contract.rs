//! One suite for every rule of the registry, and the published rates of each.

use batchscope_core::{Choice, Descriptor, Schedule};
use batchscope_rules::{Base, RULES, Rule, RuleKind, Setting};
use proptest::prelude::*;

fn base(learning_rate: f64, batch_size: u64) -> Base {
    Base {
        setting: Setting {
            learning_rate,
            schedule: Schedule::warm_up(10),
            optimizer: Choice::new("adam", [("beta2", 0.999.into())]),
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
    assert_eq!(" LSR ".parse::<Rule>().unwrap().name(), "lsr");
    assert_eq!("sqrt".parse::<Rule>().unwrap().name(), "srsr");
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let message = "lsrr".parse::<Rule>().unwrap_err().to_string();
    assert_eq!(
        message,
        "'lsrr' is not a learning-rate rule: choose blr, lsr or srsr (did you mean lsr?)"
    );
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

/// A rule of somebody's own: one descriptor and one function, which may move every setting.
static MINE: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: "mine",
        aliases: &[],
        about: "The rate stays, and the warm-up grows with the batch size",
        source: "",
        parameters: &[],
    },
    is_linear: false,
    limits: "nobody has tried it",
    apply: |_, base, batch_size| {
        Ok(Setting {
            schedule: Schedule::warm_up(10 * batch_size / base.batch_size),
            ..base.setting.clone()
        })
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
