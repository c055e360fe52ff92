//! Runs of several replicas: on threads of this process, or on the processes of a group.
//!
//! Member 0 leads: it has the trial, the events and the files. The others do the same steps because they are told the same
//! [`Job`], and are told before every step what only member 0 can know.

use std::sync::Arc;

use batchscope_core::{
    Group, GroupError, NeverStop, SettingError, Solo, TrainerError, TrainerInfo, TrialSpec,
};
use batchscope_group::ThreadGroup;
use serde::{Deserialize, Serialize};

use crate::{BuiltIn, NoiseRequest, TimedExchange, TrainError, built_in::Saving, methods};

/// Who makes the steps of a run together.
#[derive(Clone)]
pub enum Replicas {
    /// So many threads of this process, at least 1, each with a network of its own.
    Threads(usize),
    /// The processes of a group. Member 0 runs trials; the others [`follow`](Call::follow) it.
    Processes(Arc<dyn Group>),
}

/// What the replicas do together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Job {
    /// A run.
    Run {
        spec: Box<TrialSpec>,
        saving: Saving,
    },
    /// Steps against the clock of member 0.
    Time { spec: Box<TrialSpec> },
    /// The gradient noise of a network as it is.
    Noise(NoiseRequest),
}

/// What member 0 of a group of processes tells the others to do next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call(Kind);

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Kind {
    /// To open a trainer from settings, which only the program knows.
    Open(String),
    /// To see that it is the trainer of member 0.
    Compare(Box<TrainerInfo>),
    Work(Job),
    /// To exchange vectors against the clock.
    Exchange(TimedExchange),
    End,
}

impl Call {
    /// To open a trainer from these settings, in whatever form the program writes them.
    pub fn open(settings: String) -> Self {
        Self(Kind::Open(settings))
    }

    /// To exchange vectors against the clock.
    pub(crate) fn exchange(exchange: TimedExchange) -> Self {
        Self(Kind::Exchange(exchange))
    }

    /// To see that their trainer, the last they were told to open, is this one: the same model on the same data.
    pub fn compare(info: TrainerInfo) -> Self {
        Self(Kind::Compare(Box::new(info)))
    }

    /// To end: there is no more to do.
    pub fn end() -> Self {
        Self(Kind::End)
    }

    /// Tells the other members; called on member 0.
    ///
    /// # Errors
    /// When a member is lost.
    pub fn tell(&self, group: &dyn Group) -> Result<(), TrainError> {
        let text = serde_json::to_vec(self)
            .map_err(|e| TrainError::Bug(format!("a job cannot be written: {e}")))?;
        // What was read is what was told.
        let _ = crate::checkpoint::from_first(group, || Ok(text))?;
        Ok(())
    }

    fn hear(group: &dyn Group) -> Result<Self, TrainError> {
        let bug = |why: String| TrainError::Bug(format!("a job cannot be read: {why}"));
        let told = crate::checkpoint::from_first(group, || Err("nobody leads".to_owned()))?;
        serde_json::from_slice(&told.map_err(bug)?).map_err(|e| bug(e.to_string()))
    }

    /// Does what member 0 tells, until it tells to end; called on the other members. `open` makes a trainer from settings.
    ///
    /// # Errors
    /// When a member is lost, or this one cannot open a trainer although member 0 could: the group should be
    /// [abandoned](Group::abandon) then.
    pub fn follow<E: From<TrainerError>>(
        group: &dyn Group,
        open: impl Fn(&str) -> Result<BuiltIn, E>,
    ) -> Result<(), E> {
        let mut trainer: Option<Result<BuiltIn, E>> = None;
        loop {
            match Self::hear(group).map_err(TrainerError::from)?.0 {
                // Member 0 may not have come as far as this one: whether it matters shows at the first job.
                Kind::Open(settings) => trainer = Some(open(&settings)),
                Kind::Compare(info) => {
                    trainer = trainer.map(|opened| opened.and_then(|own| same(own, &info)));
                }
                Kind::Work(job) => match trainer.take() {
                    None => {
                        let why = "there is a job, and no trainer".to_owned();
                        return Err(TrainerError::from(TrainError::Bug(why)).into());
                    }
                    Some(Err(error)) => return Err(error),
                    Some(Ok(opened)) => {
                        opened
                            .pools()
                            .run(|| opened.take_part(&job, group))
                            .and_then(|done| done)
                            .map_err(TrainerError::from)?;
                        trainer = Some(Ok(opened));
                    }
                },
                Kind::Exchange(exchange) => {
                    exchange.take_part(group).map_err(TrainerError::from)?;
                }
                Kind::End => return Ok(()),
            }
        }
    }
}

/// Refuses a trainer that is not the one of member 0.
fn same<E: From<TrainerError>>(own: BuiltIn, first: &TrainerInfo) -> Result<BuiltIn, E> {
    let describe = |info: &TrainerInfo| {
        let examples = info.train_examples.unwrap_or_default();
        format!(
            "{} on {}, {examples} training examples, with {} parameters",
            info.model, info.data, info.parameters
        )
    };
    let (here, there) = (describe(&own.info), describe(first));
    match here == there {
        true => Ok(own),
        false => Err(TrainerError::Refused(format!(
            "it trains {here}, and process 0 trains {there}: give all processes the same files"
        ))
        .into()),
    }
}

impl BuiltIn {
    /// Replicas of a run by these methods; some methods say how many.
    ///
    /// # Errors
    /// Key `method`, when a method needs another number than there are processes.
    pub(crate) fn replicas(
        &self,
        methods: &[batchscope_core::Choice],
    ) -> Result<usize, TrainError> {
        let (own, here) = (methods::own_replicas(methods), &self.config().replicas);
        match (own, here) {
            (Some(own), Replicas::Processes(group)) if own.replicas != group.size() => {
                let why = format!(
                    "{} has {} replicas, and {} processes were started: start as many, or one for replicas on threads",
                    own.name,
                    own.replicas,
                    group.size()
                );
                Err(SettingError::new("method", why).into())
            }
            (Some(own), Replicas::Threads(threads)) if ![1, own.replicas].contains(threads) => {
                let why = format!(
                    "{threads} are asked for, and {} has {} replicas: leave it out",
                    own.name, own.replicas
                );
                Err(SettingError::new("ranks", why).into())
            }
            (Some(own), _) => Ok(own.replicas),
            (None, Replicas::Threads(threads)) => Ok((*threads).max(1)),
            (None, Replicas::Processes(group)) => Ok(group.size()),
        }
    }

    /// Does a job with all replicas: `lead` as member 0, [`BuiltIn::take_part`] as the others.
    pub(crate) fn together<R: Send>(
        &self,
        replicas: usize,
        job: &Job,
        lead: impl FnOnce(&dyn Group) -> Result<R, TrainError> + Send,
    ) -> Result<R, TrainError> {
        match &self.config().replicas {
            Replicas::Processes(group) => {
                Call(Kind::Work(job.clone())).tell(group.as_ref())?;
                self.pools().run(|| lead(group.as_ref()))?
            }
            Replicas::Threads(_) if replicas == 1 => self.pools().run(|| lead(&Solo))?,
            Replicas::Threads(_) => self.on_threads(replicas, job, lead),
        }
    }

    fn on_threads<R: Send>(
        &self,
        replicas: usize,
        job: &Job,
        lead: impl FnOnce(&dyn Group) -> Result<R, TrainError> + Send,
    ) -> Result<R, TrainError> {
        // Each computes in threads of its own: one that waits for the others keeps its thread.
        let shares = self.pools().shares(replicas)?;
        let mut members = ThreadGroup::members(replicas).into_iter().zip(shares);
        let (first, pool) = members
            .next()
            .ok_or_else(|| TrainError::Bug("a run without replicas".to_owned()))?;
        std::thread::scope(|scope| {
            let spawned = members.map(|(member, pool)| {
                std::thread::Builder::new().spawn_scoped(scope, move || {
                    pool.install(move || self.take_part(job, &member))
                })
            });
            // Those that wait already are freed: the members that they wait for are gone.
            let others = spawned.collect::<Result<Vec<_>, _>>().map_err(|error| {
                let why = format!("no thread for a replica: {error}; ask for fewer");
                SettingError::new("ranks", why)
            })?;
            let led = pool.install(move || lead(&first));
            for other in others {
                let done = other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                // What has happened to another member, member 0 has heard of.
                if let (Ok(_), Err(error)) = (&led, done) {
                    return Err(error);
                }
            }
            led
        })
    }

    /// Does this member's part of a job, which member 0 leads and answers for: errors that all members come to are its.
    ///
    /// # Errors
    /// When another member is lost, or this one alone fails.
    fn take_part(&self, job: &Job, group: &dyn Group) -> Result<(), TrainError> {
        let never = &NeverStop;
        let done = match job {
            Job::Run { spec, saving } => self
                .run_here(spec, saving, group, never, &mut |_| {})
                .map(|_| ()),
            Job::Time { spec } => self
                .time_here(spec, f64::INFINITY, group, never)
                .map(|_| ()),
            Job::Noise(request) => self
                .measure_noise_here(request, group, never, &mut |_, _| {})
                .map(|_| ()),
        };
        match done {
            Err(error) if is_ours_alone(&error) || matches!(error, TrainError::Group(_)) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

/// True for a failure of one member alone, which the others do not know of.
pub(crate) fn is_ours_alone(error: &TrainError) -> bool {
    matches!(
        error,
        TrainError::Bug(_)
            | TrainError::Network(batchscope_core::NetworkError::Device(_))
            | TrainError::Group(GroupError::Length { .. } | GroupError::NoSuchRank { .. })
    )
}
