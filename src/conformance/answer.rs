//! Judges the answers of calls.

use std::fmt::Debug;

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

/// Runs `work` with each of `tasks` nodes concurrently, and returns the results in order. A panic
/// breaks `id`.
pub(super) async fn at_once<N, T, F>(
    id: &'static str,
    tasks: usize,
    node: impl Fn(usize) -> Result<N, Stop>,
    work: impl Fn(usize, N) -> F,
) -> Result<Vec<T>, Stop>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Stop>> + Send + 'static,
{
    let mut running = Vec::with_capacity(tasks);
    for number in 0..tasks {
        running.push(tokio::spawn(work(number, node(number)?)));
    }
    let mut results = Vec::with_capacity(tasks);
    for task in running {
        results.push(task.await.map_err(|join| panicked(id, join))??);
    }
    Ok(results)
}
