use super::*;

#[test]
fn the_default_plan_is_sound_and_survives_toml_and_json() {
    let plan = Plan::default().resolved(None);
    plan.check().unwrap();
    assert_eq!(plan.pilot_batch, Some(1024));
    let text = toml::to_string(&plan).unwrap();
    assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let error = toml::from_str::<Plan>("sedes = 3").unwrap_err().to_string();
    assert!(
        error.contains("sedes") && error.contains("seeds"),
        "{error}"
    );
}

#[test]
fn targets_read_back_as_written() {
    for text in [
        "val-error=0.03",
        "auto:val-loss",
        "quartile:train-loss",
        "val-reward>=12",
    ] {
        assert_eq!(text.parse::<TargetChoice>().unwrap().to_string(), text);
    }
    assert_eq!(
        "auto".parse::<TargetChoice>().unwrap().to_string(),
        "auto:val-error"
    );
    for text in ["", "autox", "auto:loss", "quartile:x-y", "val-error=nan"] {
        assert_eq!(
            text.parse::<TargetChoice>().unwrap_err().key,
            "target",
            "{text}"
        );
    }
}

#[test]
fn each_broken_setting_is_named() {
    type Break = fn(&mut Plan);
    let cases: [(&str, Break); 20] = [
        ("batch-sizes", |p| p.batch_sizes.clear()),
        ("batch-sizes", |p| p.batch_sizes = vec![8, 8]),
        ("batch-sizes", |p| p.batch_sizes = vec![0, 8]),
        ("base-batch", |p| p.base_batch = 0),
        ("tune-trials", |p| p.tune_trials = 0),
        ("learning-rates", |p| p.learning_rates.low = 0.0),
        ("learning-rates", |p| p.learning_rates.high = f64::NAN),
        ("tune-width", |p| p.tune_width = Some(1.0)),
        ("widen-factor", |p| p.widen_factor = f64::INFINITY),
        ("max-widenings", |p| p.max_widenings = u32::MAX),
        ("seeds", |p| p.seeds = 0),
        ("seed", |p| p.study_seed = u64::MAX),
        ("target", |p| p.target = "test-error=0.1".parse().unwrap()),
        ("clip", |p| p.clip = Some(-1.0)),
        ("eval-ratio", |p| p.evaluation.ratio = 1.0),
        ("cap-factor", |p| p.cap_factor = 0.5),
        ("pilot-epochs", |p| p.pilot_epochs = 0.0),
        ("jobs", |p| p.jobs = 0),
        ("token-half-life", |p| {
            p.token_half_life = true;
            p.optimizer = Choice::new("adam", [("beta2", 0.0.into())]);
        }),
        ("rules", |p| {
            p.tune = Tune::Base;
            p.rules.clear();
        }),
    ];
    for (key, spoil) in cases {
        let mut plan = Plan::default();
        spoil(&mut plan);
        assert_eq!(plan.check().unwrap_err().key, key);
    }
}

/// A study that searches the whole range was refused when it was resumed: its stored plan came back
/// with the default width.
#[test]
fn a_plan_reads_back_as_stored() {
    let whole = Plan {
        tune_width: None,
        ..Plan::default()
    };
    for plan in [Plan::default(), whole] {
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }
}
