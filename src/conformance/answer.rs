//! Judges the answers of calls.

use std::fmt::Debug;

use super::failure::{Failure, Stop, shown};
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
