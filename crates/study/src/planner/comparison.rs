//! The planner of comparisons: every method gets the same number of tuning trials, in a range in
//! proportion to its optimizer's own rates, and the same fresh seeds.
//!
//! * A method with a rule is tuned at the base batch size, one without at every batch size. Methods that
//!   tune the same optimizer in the same range share the trials.
//! * Runs are as long as the comparison says, in examples; on the way to a target they end there. Nothing
//!   is raced.
//! * Where the schedule decays on the way to a target, its length is searched beside the rate, between a
//!   sixteenth of the longest run and all of it. At the other batch sizes of a method with a rule it is
//!   searched alone, with as many trials, the rate being the rule's.
//! * In runs of equal length the length of the warm-up can be searched beside the rate, between a hundredth and half of
//!   the run; the decay takes the rest.
//! * A method whose controller finds the rate is not tuned. Its runs have no warm-up of the schedule's.
//! * The best trial's own setting is taken, and a range on whose edge it sits is widened, as in a study.

use batchscope_core::{
    Choice, Decay, Direction, Length, Outcome, Schedule, SettingError, Target, TrainerInfo,
    TrialPurpose, TrialRecord, TrialSpec, format::number,
};
use batchscope_rules::{Course, controller, length_of_run, steps_in};
use batchscope_scaling::Endpoint;

use super::{Assessment, Finished, Planner, Stage, fresh::shared};
use crate::{
    Load, Plan, RateRange, StudyError,
    identity::trial_seed,
    plan::{Comparison, Method},
};

/// Runs the [`Comparison`] of a plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct ComparisonPlanner;

impl Planner for ComparisonPlanner {
    fn assess(
        &self,
        plan: &Plan,
        info: &TrainerInfo,
        finished: &Finished,
    ) -> Result<Assessment, StudyError> {
        let comparison = plan.comparison.as_ref().ok_or_else(|| {
            StudyError::from(SettingError::new(
                "methods",
                "are missing: name at least two",
            ))
        })?;
        let mut work = Work {
            plan,
            comparison,
            info,
            finished,
            study: Assessment::default(),
        };
        if let Endpoint::Steps(target) = &comparison.endpoint {
            work.study.target = Some((target.clone(), "fixed beforehand".to_owned()));
        }
        work.run()?;
        let mut study = work.study;
        study.modeled = true;
        study.loads = loads(plan, comparison, info, &study)?;
        Ok(study)
    }
}

/// The searches of optimizers' settings.
fn tuning(round: u32) -> Stage {
    let stage = Stage::new("tuning");
    match round {
        0 => stage,
        round => stage.labeled(format!("tuning (widening {round})")),
    }
}

/// The searches of decays alone.
fn horizons() -> Stage {
    Stage::new("decays")
}

/// The runs that are compared.
fn fresh() -> Stage {
    Stage::new("fresh").labeled("fresh seeds")
}

/// Shortest decay that is searched, as a share of the longest run.
const SHORTEST: f64 = 1.0 / 16.0;

/// Shortest and longest warm-up that is searched, as shares of the run.
const WARM_UPS: (f64, f64) = (0.01, 0.5);

/// Steps of a run at a batch size: at most, where it may end at a target.
fn cap(
    plan: &Plan,
    comparison: &Comparison,
    info: &TrainerInfo,
    batch_size: u64,
) -> Result<u64, SettingError> {
    let steps = match comparison.run_examples {
        Some(examples) => examples.div_ceil(batch_size),
        None => {
            let length = Length::Epochs(comparison.epochs);
            steps_in(length, batch_size, info.train_examples).map_err(|error| {
                let why = format!("{error}; --run-examples gives the length of runs without it");
                SettingError::new("epochs", why)
            })?
        }
    };
    Ok(steps.max(1).min(plan.max_steps.unwrap_or(u64::MAX)))
}

/// What was found for an optimizer at a batch size.
#[derive(Debug, Clone)]
struct Tuned {
    rate: f64,
    schedule: Schedule,
}

/// A trial whose steps are made so, beside what all trials have in common.
fn with_steps(mut spec: TrialSpec, steps: &[Choice]) -> TrialSpec {
    spec.methods.extend_from_slice(steps);
    spec
}

/// A search at one batch size.
struct Search {
    /// The methods that it is for.
    methods: Vec<String>,
    optimizer: Choice,
    steps: Vec<Choice>,
    controller: Option<Choice>,
    /// Where it began: with the optimizer and the batch size, what names it.
    rates: RateRange,
    batch_size: u64,
    /// What has been searched so far.
    range: RateRange,
    /// The range of the round to come.
    next: Option<RateRange>,
    /// Records of all rounds so far.
    records: Vec<TrialRecord>,
}

struct Work<'a> {
    plan: &'a Plan,
    comparison: &'a Comparison,
    info: &'a TrainerInfo,
    finished: &'a Finished,
    study: Assessment,
}

impl Work<'_> {
    fn run(&mut self) -> Result<(), StudyError> {
        // Controllers that cannot lead a run are refused before anything is trained.
        controlled_runs(self.plan, self.info)?;
        let Some(searches) = self.tune()? else {
            return Ok(());
        };
        let Some(settings) = self.settings(&searches)? else {
            return Ok(());
        };
        // Seed by seed, so that an interrupted comparison has something to say about every method.
        let mut specs: Vec<TrialSpec> = Vec::new();
        for index in 0..self.plan.seeds {
            let purpose = TrialPurpose::Fresh { index };
            specs.extend(settings.iter().map(|spec| TrialSpec {
                purpose,
                seed: trial_seed(purpose, spec.batch_size),
                diagnostics: self.plan.diagnostics.clone(),
                ..spec.clone()
            }));
        }
        self.study
            .records_of(&fresh(), shared(specs), self.finished)?;
        Ok(())
    }

    /// The setting of a method whose rate its controller finds; of others, one like those that will be tuned.
    fn untuned(&self, method: &Method) -> Tuned {
        let of_controller = |choice: &Choice| choice.number("max");
        let found = method.controller.as_ref().and_then(of_controller);
        let rate = found.unwrap_or(method.rates.low);
        let mut schedule = self.plan.schedule_from(rate);
        if method.finds_rate() {
            schedule.warm_up.length = Length::Steps(0);
        }
        Tuned { rate, schedule }
    }

    /// Tunes the rates, and with them the decays that are tuned; `None` while trials are missing.
    fn tune(&mut self) -> Result<Option<Vec<Search>>, StudyError> {
        let mut searches: Vec<Search> = Vec::new();
        for method in &self.comparison.methods {
            for batch_size in method.tuned_sizes(self.plan) {
                let known = searches
                    .iter_mut()
                    .find(|search| search.is_of(method, batch_size));
                match known {
                    Some(search) => search.methods.push(method.name.clone()),
                    None => searches.push(Search::new(method, batch_size)),
                }
            }
        }
        for round in 0..=self.plan.max_widenings {
            let mut specs = Vec::new();
            for search in &searches {
                specs.extend(self.tuning_specs(search, round)?);
            }
            if specs.is_empty() {
                break;
            }
            let Some(records) = self
                .study
                .records_of(&tuning(round), specs, self.finished)?
            else {
                return Ok(None);
            };
            for search in &mut searches {
                let own = records.iter().filter(|record| {
                    record.spec.batch_size == search.batch_size
                        && record.spec.curves == search.methods
                });
                search.records.extend(own.cloned());
                if let Some(decision) = search.widen(self.plan, self.comparison, round) {
                    self.study.decide(decision);
                }
            }
        }
        for search in &searches {
            self.study.decide(search.decision(self.comparison));
        }
        Ok(Some(searches))
    }

    /// The run of every method at every batch size, its purpose and seed still to come; `None` while the decays of some
    /// are still to be tuned.
    fn settings(&mut self, searches: &[Search]) -> Result<Option<Vec<TrialSpec>>, StudyError> {
        let (plan, comparison) = (self.plan, self.comparison);
        let mut settings = Vec::new();
        let mut specs: Vec<TrialSpec> = Vec::new();
        for method in &comparison.methods {
            for &batch_size in &plan.batch_sizes {
                let own = method.rule.is_none();
                let tuned_at = if own { batch_size } else { plan.base_batch };
                let search = searches
                    .iter()
                    .find(|search| search.is_of(method, tuned_at));
                let tuned = search.map(|search| search.tuned(plan, comparison));
                let tuned = match method.finds_rate() {
                    true => self.untuned(method),
                    false => {
                        tuned.ok_or_else(|| StudyError::Bug("a method was not tuned".to_owned()))?
                    }
                };
                let spec = self.trial(method, &tuned, batch_size)?;
                let was_searched = batch_size == tuned_at && !method.finds_rate();
                if comparison.tunes_horizon(plan) && !was_searched {
                    specs.extend(self.decay_specs(&spec)?);
                }
                settings.push(spec);
            }
        }
        if specs.is_empty() {
            return Ok(Some(settings));
        }
        let specs = shared(specs);
        let Some(records) = self.study.records_of(&horizons(), specs, self.finished)? else {
            return Ok(None);
        };
        for spec in &mut settings {
            let own = records.iter().filter(|record| {
                let asked = &record.spec;
                asked.batch_size == spec.batch_size
                    && spec.curves.iter().all(|name| asked.curves.contains(name))
            });
            let own: Vec<TrialRecord> = own.cloned().collect();
            if let Some(best) = best(&own, &comparison.endpoint) {
                let decay = best.spec.schedule.decay.clone();
                *spec = self.with_decay(spec, decay)?;
            }
        }
        Ok(Some(settings))
    }

    /// A run of a method with what was tuned for it.
    fn trial(
        &self,
        method: &Method,
        tuned: &Tuned,
        batch_size: u64,
    ) -> Result<TrialSpec, StudyError> {
        let (plan, examples) = (self.plan, self.info.train_examples);
        let carried = (tuned.rate, tuned.schedule.clone());
        let setting = method.setting(plan, carried, examples, batch_size)?;
        let cap = cap(plan, self.comparison, self.info, batch_size)?;
        let mut schedule = setting.schedule;
        if self.comparison.tune_warm_up && !method.finds_rate() {
            // The rule has carried the warm-up; the decay takes what it leaves of the run.
            let length = schedule.warm_up.length;
            schedule = Comparison::with_warm_up(schedule, length, (cap, batch_size), examples)?;
        }
        if method.finds_rate() && matches!(self.comparison.endpoint, Endpoint::Metric(_)) {
            // What finds the rate within a run goes by the run's length.
            schedule.decay = Comparison::with_horizon(schedule.decay, cap, 1.0);
        }
        let spec = TrialSpec {
            curves: vec![method.name.clone()],
            schedule,
            optimizer: plan.with_half_life(setting.optimizer, batch_size),
            cap,
            target: self.target(),
            ..with_steps(
                plan.trial(TrialPurpose::Single, batch_size, setting.learning_rate),
                &method.steps,
            )
        };
        self.led(spec, method.controller.as_ref())
    }

    /// A run as its controller leads it: as many examples, in however many steps.
    fn led(&self, mut spec: TrialSpec, choice: Option<&Choice>) -> Result<TrialSpec, StudyError> {
        let Some(choice) = choice else {
            return Ok(spec);
        };
        // A controller may count the schedule in steps of another batch size: lengths go by examples.
        if let (Some(examples), Some(over)) =
            (self.info.train_examples, spec.schedule.decay.length_mut())
            && let Length::Steps(steps) = *over
        {
            *over = Length::Epochs(steps as f64 * spec.batch_size as f64 / examples as f64);
        }
        let course = Course::of(&spec, self.info.train_examples);
        let wrong = |why: String| {
            let at = spec.batch_size;
            SettingError::new("methods", format!("{choice} at batch size {at}: {why}"))
        };
        let led = controller(Some(choice), &course).map_err(|error| wrong(error.to_string()))?;
        if led.batch_sizes().is_some() && matches!(self.comparison.endpoint, Endpoint::Steps(_)) {
            let why = "it changes the batch size, so its steps are not those of the others: leave out the target";
            return Err(wrong(why.to_owned()).into());
        }
        let examples = spec.cap.saturating_mul(spec.batch_size);
        let (steps, max_examples) = length_of_run(&*led, examples);
        Ok(TrialSpec {
            cap: steps.min(self.plan.max_steps.unwrap_or(u64::MAX)),
            max_examples,
            controller: Some(choice.clone()),
            ..spec
        })
    }

    fn target(&self) -> Option<Target> {
        match &self.comparison.endpoint {
            Endpoint::Steps(target) => Some(target.clone()),
            Endpoint::Metric(_) => None,
        }
    }

    /// The trials of a search's round.
    fn tuning_specs(&self, search: &Search, round: u32) -> Result<Vec<TrialSpec>, StudyError> {
        let (plan, batch_size) = (self.plan, search.batch_size);
        let Some(range) = search.next else {
            return Ok(Vec::new());
        };
        let first = round * plan.tune_trials;
        let scramble = trial_seed(
            TrialPurpose::Tune {
                index: first,
                round,
            },
            batch_size,
        );
        let cap = cap(plan, self.comparison, self.info, batch_size)?;
        let points = range.rates_with(plan.tune_trials, plan.study_seed, scramble, |part| part);
        let specs = (first..).zip(points).map(|(index, (rate, part))| {
            let purpose = TrialPurpose::Tune { index, round };
            let mut schedule = plan.schedule_from(rate);
            if self.comparison.tunes_horizon(plan) {
                let share = SHORTEST.powf(1.0 - part);
                schedule.decay = Comparison::with_horizon(schedule.decay, cap, share);
            }
            if self.comparison.tune_warm_up {
                let share = WARM_UPS.0 * (WARM_UPS.1 / WARM_UPS.0).powf(part);
                // In epochs: the same share of a run at any batch size, until a rule says otherwise.
                let length = Length::Epochs(self.comparison.epochs * share);
                let examples = self.info.train_examples;
                schedule = Comparison::with_warm_up(schedule, length, (cap, batch_size), examples)?;
            }
            let spec = TrialSpec {
                curves: search.methods.clone(),
                schedule,
                optimizer: plan.with_half_life(search.optimizer.clone(), batch_size),
                seed: trial_seed(purpose, batch_size),
                cap,
                target: self.target(),
                ..with_steps(plan.trial(purpose, batch_size, rate), &search.steps)
            };
            self.led(spec, search.controller.as_ref())
        });
        specs.collect()
    }

    /// A run with another decay, led anew: what its controller makes of it may be another number of steps.
    fn with_decay(&self, setting: &TrialSpec, decay: Decay) -> Result<TrialSpec, StudyError> {
        let mut spec = setting.clone();
        spec.schedule.decay = decay;
        spec.cap = cap(self.plan, self.comparison, self.info, spec.batch_size)?;
        let choice = spec.controller.take();
        self.led(spec, choice.as_ref())
    }

    /// The trials that search the decay of a setting alone.
    fn decay_specs(&self, setting: &TrialSpec) -> Result<Vec<TrialSpec>, StudyError> {
        let plan = self.plan;
        let longest = cap(plan, self.comparison, self.info, setting.batch_size)?;
        let of = |index: u32| TrialPurpose::Tune { index, round: 0 };
        let scramble = trial_seed(of(0), setting.batch_size);
        let unit = RateRange {
            low: SHORTEST,
            high: 1.0,
        };
        let shares = unit.rates(plan.tune_trials, plan.study_seed, scramble);
        let specs = (0..).zip(shares).map(|(index, share)| {
            let decay = setting.schedule.decay.clone();
            let spec = TrialSpec {
                purpose: of(index),
                seed: trial_seed(of(index), setting.batch_size),
                ..setting.clone()
            };
            self.with_decay(&spec, Comparison::with_horizon(decay, longest, share))
        });
        specs.collect()
    }
}

/// How good a run is: the lower the better, those that reached their target first.
fn score(record: &TrialRecord, endpoint: &Endpoint) -> Option<(u8, f64)> {
    let ended = |metric, direction: Direction| {
        let value: f64 = *record.measurements.last()?.metrics.get(metric)?;
        let sign = if direction.better(1.0, 0.0) {
            -1.0
        } else {
            1.0
        };
        value.is_finite().then_some(sign * value)
    };
    match (endpoint, &record.outcome) {
        (Endpoint::Metric(metric), Outcome::Completed { .. }) => {
            Some((0, ended(metric, metric.natural_direction())?))
        }
        (Endpoint::Steps(_), Outcome::Reached { step, .. }) => Some((0, *step as f64)),
        (Endpoint::Steps(target), Outcome::NotReached { .. }) => {
            Some((1, ended(&target.metric, target.direction)?))
        }
        _ => None,
    }
}

/// The best of some runs, the lower rate of two that are as good; where none has a score, the lowest
/// rate.
fn best<'a>(records: &'a [TrialRecord], endpoint: &Endpoint) -> Option<&'a TrialRecord> {
    let rate = |record: &TrialRecord| record.spec.learning_rate;
    let scored = records
        .iter()
        .filter_map(|r| Some((score(r, endpoint)?, r)));
    let best = scored.min_by(|((a_class, a), x), ((b_class, b), y)| {
        a_class
            .cmp(b_class)
            .then(a.total_cmp(b))
            .then(rate(x).total_cmp(&rate(y)))
    });
    let lowest = || records.iter().min_by(|a, b| rate(a).total_cmp(&rate(b)));
    best.map(|(_, record)| record).or_else(lowest)
}

impl Search {
    fn new(method: &Method, batch_size: u64) -> Self {
        Self {
            methods: vec![method.name.clone()],
            optimizer: method.optimizer.clone(),
            steps: method.steps.clone(),
            controller: method.controller.clone(),
            rates: method.rates,
            batch_size,
            range: method.rates,
            next: Some(method.rates),
            records: Vec::new(),
        }
    }

    fn is_of(&self, method: &Method, batch_size: u64) -> bool {
        self.optimizer == method.optimizer
            && self.steps == method.steps
            && self.controller == method.controller
            && self.rates == method.rates
            && self.batch_size == batch_size
    }

    /// What is searched for, in words.
    fn name(&self) -> String {
        let parts = self.steps.iter().chain(&self.controller);
        parts.fold(self.optimizer.name().to_owned(), |name, part| {
            format!("{name}+{part}")
        })
    }

    /// Plans the next round if the best sits on an edge.
    fn widen(&mut self, plan: &Plan, comparison: &Comparison, round: u32) -> Option<String> {
        self.next.take()?;
        let best = best(&self.records, &comparison.endpoint)?;
        if matches!(
            best.outcome,
            Outcome::Failed { .. } | Outcome::Infeasible { .. }
        ) {
            return None; // Another rate would not help.
        }
        let rate = best.spec.learning_rate;
        let mut rates = self.records.iter().map(|record| record.spec.learning_rate);
        let is_lowest = rates.clone().all(|other| other >= rate);
        let (next, side) = match is_lowest {
            true => (self.range.below(plan.widen_factor), "lower"),
            false if rates.all(|other| other <= rate) => {
                (self.range.above(plan.widen_factor), "upper")
            }
            false => return None,
        };
        if round >= plan.max_widenings {
            return None;
        }
        let old = self.range;
        self.range = RateRange {
            low: old.low.min(next.low),
            high: old.high.max(next.high),
        };
        self.next = Some(next);
        Some(format!(
            "{} at batch size {}: the best sat on the {side} edge of {}..{}: widened by a factor of {}",
            self.name(),
            self.batch_size,
            number(old.low),
            number(old.high),
            plan.widen_factor
        ))
    }

    /// What was found, or the lowest rate that was tried.
    fn tuned(&self, plan: &Plan, comparison: &Comparison) -> Tuned {
        let best = best(&self.records, &comparison.endpoint);
        best.map_or_else(
            || Tuned {
                rate: self.range.low,
                schedule: plan.schedule_from(self.range.low),
            },
            |record| Tuned {
                rate: record.spec.learning_rate,
                schedule: record.spec.schedule.clone(),
            },
        )
    }

    fn decision(&self, comparison: &Comparison) -> String {
        let found = best(&self.records, &comparison.endpoint);
        let scored = found.is_some_and(|record| score(record, &comparison.endpoint).is_some());
        format!(
            "{} at batch size {}: {} of {} trials{}",
            self.name(),
            self.batch_size,
            found.map_or_else(
                || "no rate".to_owned(),
                |record| format!("learning rate {}", number(record.spec.learning_rate))
            ),
            self.records.len(),
            if scored {
                ""
            } else {
                ", none of which came to an end: the lowest"
            }
        )
    }
}

/// A run of every method with a controller, or with steps of its own, at every batch size, as it will be but for what is tuned:
/// for a trainer's check.
///
/// # Errors
/// When a controller cannot lead it.
pub fn controlled_runs(plan: &Plan, info: &TrainerInfo) -> Result<Vec<TrialSpec>, StudyError> {
    let Some(comparison) = &plan.comparison else {
        return Ok(Vec::new());
    };
    let work = Work {
        plan,
        comparison,
        info,
        finished: &Finished::default(),
        study: Assessment::default(),
    };
    let mut specs = Vec::new();
    let special = |method: &&Method| method.controller.is_some() || !method.steps.is_empty();
    for method in comparison.methods.iter().filter(special) {
        for &batch_size in &plan.batch_sizes {
            specs.push(work.trial(method, &work.untuned(method), batch_size)?);
        }
    }
    Ok(specs)
}

/// The work, as far as it can be foreseen.
fn loads(
    plan: &Plan,
    comparison: &Comparison,
    info: &TrainerInfo,
    study: &Assessment,
) -> Result<Vec<Load>, StudyError> {
    let mut loads: Vec<Load> = Vec::new();
    let mut add = |stage: Stage, batch_size: u64, trials: u64| -> Result<(), StudyError> {
        let steps = cap(plan, comparison, info, batch_size)? as f64;
        let is_fresh = stage.name == "fresh";
        let done = study.records.iter().filter(|record| {
            record.spec.batch_size == batch_size
                && matches!(record.spec.purpose, TrialPurpose::Fresh { .. }) == is_fresh
        });
        let done = done.count() as u64;
        loads.push(Load {
            stage,
            batch_size,
            trials: trials.max(done),
            done,
            expected_steps: steps,
            most_steps: steps,
        });
        Ok(())
    };
    let trials = u64::from(plan.tune_trials);
    for &batch_size in &plan.batch_sizes {
        let mut optimizers: Vec<(&Choice, &Option<Choice>, RateRange)> = Vec::new();
        let mut decays = 0;
        for method in &comparison.methods {
            let key = (&method.optimizer, &method.controller, method.rates);
            if method.tuned_sizes(plan).contains(&batch_size) {
                if !optimizers.contains(&key) {
                    optimizers.push(key);
                }
            } else if comparison.tunes_horizon(plan) {
                decays += 1;
            }
        }
        add(
            tuning(0),
            batch_size,
            trials * (optimizers.len() as u64 + decays),
        )?;
    }
    if !plan.batch_sizes.contains(&plan.base_batch) {
        let with_rule = comparison
            .methods
            .iter()
            .filter(|method| method.rule.is_some());
        add(
            tuning(0),
            plan.base_batch,
            trials * with_rule.count() as u64,
        )?;
    }
    for &batch_size in &plan.batch_sizes {
        let runs = comparison.methods.len() as u64 * u64::from(plan.seeds);
        add(fresh(), batch_size, runs)?;
    }
    Ok(loads)
}
