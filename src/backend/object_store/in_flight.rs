//! Several calls at the same time.

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};

use crate::error::Error;

/// Makes all calls, at most `limit` at the same time, and returns their results in order, or the
/// first error once all calls have ended.
pub(super) async fn make_all<T: Send>(
    limit: usize,
    calls: Vec<BoxFuture<'_, Result<T, Error>>>,
) -> Result<Vec<T>, Error> {
    let results: Vec<_> = stream::iter(calls).buffered(limit).collect().await;
    results.into_iter().collect()
}
