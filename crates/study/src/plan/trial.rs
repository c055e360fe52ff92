use batchscope_core::{TrialPurpose, TrialSpec};

use super::Plan;

impl Plan {
    /// A trial of this plan at a batch size and a learning rate: what all its trials have in common.
    /// The planner gives it a seed ([`crate::seed`]; here 0), a cap (here the plan's most steps),
    /// and whatever else it needs: a target, curves, diagnostics, a base rate of its warm-up other than
    /// its own.
    pub fn trial(&self, purpose: TrialPurpose, batch_size: u64, learning_rate: f64) -> TrialSpec {
        TrialSpec {
            id: 0,
            purpose,
            curves: Vec::new(),
            batch_size,
            micro_batch: self.micro_batch,
            learning_rate,
            schedule: self.schedule_from(learning_rate),
            optimizer: self.optimizer_at(batch_size),
            methods: self.methods.clone(),
            controller: None,
            max_examples: None,
            start: None,
            clip: self.clip,
            decay: self.decay,
            study_seed: self.study_seed,
            seed: 0,
            cap: self.max_steps.unwrap_or(u64::MAX),
            target: None,
            evaluation: self.evaluation,
            diagnostics: Vec::new(),
        }
    }
}
