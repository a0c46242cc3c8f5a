//! [`merge`]: copies the snapshots of one store to another.

use super::sink::TransferSink;
use super::walk::{MovedSnapshot, StoreWalk};
use super::{TransferOptions, TransferReport};
use crate::error::Error;
use crate::store::SnapshotStore;

/// Copies the snapshots of `from` to `to`, which then has those of both, with their marks.
///
/// Both stores may be in use. Repeating a merge changes nothing. To see what would happen, set
/// [`TransferOptions::dry_run`]. Damaged records are not copied.
///
/// # Errors
/// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if both have a snapshot with different
///   states, and [`OnConflict::Fail`](super::OnConflict::Fail) is set.
/// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if `to` cannot keep what `from`
///   contains: marks, or the bases of deltas.
/// - Any error returned by one of the stores.
///
/// # Cancellation
/// If the future is dropped, what was stored stays.
pub async fn merge(
    from: &dyn SnapshotStore,
    to: &dyn SnapshotStore,
    options: &TransferOptions,
) -> Result<TransferReport, Error> {
    let mut walk = StoreWalk::new(from, &options.filter);
    let mut sink = TransferSink::new(to, options);
    while let Some(moved) = walk.next().await? {
        for MovedSnapshot { key, record, marks } in moved {
            sink.add(key, record, marks).await?;
        }
    }
    sink.finish().await
}
