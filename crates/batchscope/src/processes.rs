//! The processes that mpirun has started together with this one, where they train one model.
//!
//! Process 0 runs the command as if it were alone. The others hear what it opens and trains, and do their part. All that is
//! printed and written is its.

use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use batchscope_core::Group;
use batchscope_train::{Call, Replicas};

use crate::{
    args::Command,
    error::CliError,
    settings::{ComputeArgs, StudySettings, Workload},
    signals::Signals,
    trainers::opened_from,
};

/// The group, from [`join`] to [`leave`].
static GROUP: Mutex<Option<Arc<dyn Group>>> = Mutex::new(None);

/// Members of it that share this machine.
static HERE: AtomicUsize = AtomicUsize::new(0);

/// What this process is to do.
pub enum Place {
    /// To run the command, alone or as process 0.
    Runs,
    /// Nothing more: it has followed process 0 to the end.
    Done(ExitCode),
}

/// What the launchers of Open MPI and of MPICH and its kin tell of a process.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];
const RANKS: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"];

fn told(names: &[&str]) -> Option<usize> {
    let told = names.iter().find_map(|name| std::env::var(name).ok());
    told.and_then(|number| number.parse().ok())
}

/// True for a process other than process 0, which alone speaks.
pub fn is_silent() -> bool {
    told(&SIZES).is_some_and(|size| size > 1) && told(&RANKS).is_some_and(|rank| rank > 0)
}

/// Joins the processes that were started together for this command, and follows process 0 as any other.
///
/// # Errors
/// When several were started and they cannot train together: each would do the whole work by itself.
pub fn join(command: &Command) -> Result<Place, CliError> {
    let started = told(&SIZES).unwrap_or(1);
    if started < 2 {
        return Ok(Place::Runs);
    }
    let trains = matches!(
        command,
        Command::Train(_)
            | Command::Study(_)
            | Command::Compare(_)
            | Command::Branch(_)
            | Command::Noise(_)
            | Command::Exchange(_)
    );
    if !trains {
        return Err(CliError::Usage(format!(
            "{started} processes were started, and this command needs one: only train, study, compare, branch, noise and exchange work on several"
        )));
    }
    let group = connected(started)?;
    if group.rank() == 0 {
        *lock() = Some(group);
        return Ok(Place::Runs);
    }
    Ok(Place::Done(follow(group)))
}

#[cfg(feature = "mpi")]
fn connected(started: usize) -> Result<Arc<dyn Group>, CliError> {
    let group = batchscope_group::MpiGroup::join().map_err(CliError::failed)?;
    if group.size() != started {
        return Err(CliError::Usage(format!(
            "{started} processes were started, and MPI connects {} here: start them by the mpirun of the MPI library that this program was built with",
            group.size()
        )));
    }
    // Processes of one machine share its cores.
    let here = group.members_here();
    HERE.store(here, Ordering::Relaxed);
    batchscope_train::start_threads(here).map_err(CliError::failed)?;
    Ok(Arc::new(group))
}

#[cfg(not(feature = "mpi"))]
fn connected(started: usize) -> Result<Arc<dyn Group>, CliError> {
    Err(CliError::Usage(format!(
        "{started} processes were started, and this program was built without MPI: build it with --features mpi, or start one with --ranks {started}, which trains on threads"
    )))
}

/// Does what process 0 says, until it says to end.
fn follow(group: Arc<dyn Group>) -> ExitCode {
    // Signals reach every process; process 0 decides what becomes of them.
    let followed = Signals::listen().and_then(|_| {
        Call::follow(group.as_ref(), |settings| {
            opened_from(settings, Replicas::Processes(Arc::clone(&group)))
        })
    });
    match followed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            group.abandon(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Tells the others that the command is over.
pub fn leave() {
    if let Some(group) = lock().take() {
        // A member that is gone has nothing to be told.
        let _ = Call::end().tell(group.as_ref());
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Arc<dyn Group>>> {
    GROUP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True where several processes train together.
pub fn are_several() -> bool {
    lock().is_some()
}

/// The processes that were started together, where this is their first.
pub fn group() -> Option<Arc<dyn Group>> {
    lock().clone()
}

/// True where all of them run on this machine.
pub fn share_a_machine() -> bool {
    group().is_none_or(|group| group.size() == HERE.load(Ordering::Relaxed))
}

/// Who makes the steps of runs: the processes that were started, or threads. The other processes are told to open the same
/// trainer.
///
/// # Errors
/// When `--ranks` says otherwise than mpirun.
pub fn replicas(workload: &Workload) -> Result<Replicas, CliError> {
    let ComputeArgs { ranks, .. } = workload.compute;
    let Some(group) = lock().clone() else {
        return Ok(Replicas::Threads(ranks.unwrap_or(1) as usize));
    };
    if let Some(ranks) = ranks
        && ranks != group.size() as u64
    {
        let why = format!(
            "{ranks} are asked for, and {} processes were started: leave --ranks out, or start as many",
            group.size()
        );
        return Err(CliError::flag("ranks", why));
    }
    let settings = StudySettings {
        workload: workload.clone(),
        ..StudySettings::default()
    };
    let call = Call::open(settings.to_table().to_string());
    call.tell(group.as_ref()).map_err(CliError::failed)?;
    Ok(Replicas::Processes(group))
}
