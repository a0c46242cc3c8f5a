//! Several calls at the same time.

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};

use crate::error::Error;

/// A call that is not made yet.
type PendingCall<'c, T> = BoxFuture<'c, Result<T, Error>>;

/// Makes all calls, at most `limit` at the same time, and returns their results in order, or the
/// first error once all calls have ended.
pub(super) async fn make_all<T: Send>(
    limit: usize,
    calls: Vec<PendingCall<'_, T>>,
) -> Result<Vec<T>, Error> {
    let results: Vec<_> = stream::iter(calls).buffered(limit).collect().await;
    results.into_iter().collect()
}

/// Makes calls that each return several results with their places in `results`, and returns all of
/// them there.
pub(super) async fn make_grouped<T: Send>(
    limit: usize,
    calls: Vec<PendingCall<'_, Vec<(usize, T)>>>,
    mut results: Vec<T>,
) -> Result<Vec<T>, Error> {
    for (position, result) in make_all(limit, calls).await?.into_iter().flatten() {
        if let Some(place) = results.get_mut(position) {
            *place = result;
        }
    }
    Ok(results)
}
