//! Judges the answers of calls.

use std::fmt::Debug;

use tokio::task::JoinHandle;

use super::failure::{Failure, Stop, shown};
use super::isolate::panicked;
use crate::error::Error;

/// Returns the value of a call that must not fail. A failure breaks `id`.
pub(super) fn done<T>(id: &'static str, what: &str, result: Result<T, Error>) -> Result<T, Stop> {
    result.map_err(|error| {
        Failure::new(id, what).expected("no error").got(format!("{error:#}")).into()
    })
}

/// Fails unless the result of a call is the expected one.
pub(super) fn same<T: PartialEq + Debug>(
    id: &'static str,
    what: &str,
    got: &T,
    expected: &T,
) -> Result<(), Stop> {
    if got == expected {
        return Ok(());
    }
    Err(Failure::new(id, what).expected(shown(expected)).got(shown(got)).into())
}

/// Waits for concurrent tasks, and returns their results in order. A panic breaks `id`.
pub(super) async fn joined<T>(
    id: &'static str,
    running: Vec<JoinHandle<Result<T, Stop>>>,
) -> Result<Vec<T>, Stop> {
    let mut results = Vec::with_capacity(running.len());
    for task in running {
        results.push(task.await.map_err(|join| panicked(id, join))??);
    }
    Ok(results)
}
