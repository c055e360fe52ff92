//! From plan to critical batch size, on a trainer whose critical batch size is known.

use batchscope_core::EstimateState;
use batchscope_scaling::{AnalysisOptions, analyze};
use batchscope_study::{FakeTrainer, MemoryStore, Plan, StopToken, parse_batch_sizes, run};

#[test]
fn the_fakes_critical_batch_size_lies_in_the_interval() {
    // σ of the noise is large against what is left of mistuning: the interval is about noise.
    let truths = [64.0, 256.0, 700.0];
    let mut inside = 0;
    for (study_seed, truth) in truths.into_iter().enumerate() {
        let trainer = FakeTrainer {
            critical_batch: truth,
            rate_batch: truth,
            noise: 0.1,
            curvature: 0.05,
            ..FakeTrainer::default()
        };
        let plan = Plan {
            batch_sizes: parse_batch_sizes("8..4096").unwrap(),
            target: "val-error=0.08".parse().unwrap(),
            study_seed: study_seed as u64,
            ..Plan::default()
        };
        let result = run(
            &plan,
            &trainer,
            &mut MemoryStore::new(),
            &StopToken::new(),
            &[],
        )
        .unwrap();
        let findings = analyze(
            result.summary.unwrap(),
            result.tuning,
            &result.records,
            &AnalysisOptions::default(),
        );
        let knee = &findings.critical_batch_size["tuned"].hyperbola;
        assert_eq!(knee.state, EstimateState::Estimated, "{knee}");
        let (value, low, high) = (knee.value.unwrap(), knee.low.unwrap(), knee.high.unwrap());
        assert!(high / low <= 4.0, "{knee}");
        assert!(
            (0.7..1.4).contains(&(value / truth)),
            "{knee}, truth {truth}"
        );
        inside += u32::from(low <= truth && truth <= high);
    }
    // The interval holds the truth in 95 % of studies: two of three at least.
    assert!(inside >= 2, "{inside} of {} inside", truths.len());
}
