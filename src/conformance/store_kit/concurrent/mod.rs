//! Many concurrent tasks.

pub(crate) mod cancel;
pub(super) mod readers;
pub(super) mod writers;

use tokio::task::{JoinSet, yield_now};

use crate::conformance::failure::Stop;
use crate::conformance::isolate::panicked;
use crate::conformance::probe::Probe;
use crate::conformance::samples::{key, record};

pub(crate) const TASKS: u64 = 8;

pub(crate) type Tasks = JoinSet<Result<(), Stop>>;

/// Waits for all tasks, and returns the first failure or panic.
pub(crate) async fn join(mut tasks: Tasks) -> Result<(), Stop> {
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|join| Err(panicked("C-03", join).into()));
        if first.is_ok() {
            first = ended;
        }
    }
    first
}

/// Yields to other tasks for a varying time, because tasks in lockstep would always meet at the
/// same points.
async fn pause(random: &mut fastrand::Rng) {
    for _ in 0..random.u8(0..4) {
        yield_now().await;
    }
}

/// Returns the result of a race. If the race failed because the store loses concurrent puts of one
/// aggregate, reports that instead.
async fn unless_lossy<T>(store: &Probe, raced: Result<T, Stop>) -> Result<T, Stop> {
    if raced.is_err() {
        let mut tasks = Tasks::new();
        let key = key("control")?;
        for task in 0..TASKS {
            let (store, key) = (store.clone(), key.clone());
            tasks.spawn(async move {
                for step in 0..25 {
                    store.put(&[record(&key, step * TASKS + task + 1)?]).await?;
                }
                Ok(())
            });
        }
        join(tasks).await?;
        for version in 1..=25 * TASKS {
            store.holds(&record(&key, version)?).await?;
        }
    }
    raced
}
