//! The aggregates that a command is about, and their snapshots.

use crate::cli::failure::CliFailure;
use crate::cli::session::CliSession;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::SnapshotAdmin;
use crate::record::SnapshotMeta;
use crate::store::{Cursor, KeysRequest, ListRequest, SnapshotStore, SnapshotStoreExt as _};

/// The number of aggregates whose snapshots are listed together.
const BATCH: usize = 64;

/// Returns the aggregate of this kind and id, or a page of those of this kind, or of all, and where
/// the list continues. Without an id they are those of the tenant that was asked for, or of all
/// tenants.
pub(super) async fn stored_keys(
    session: &CliSession,
    store: &dyn SnapshotStore,
    kind: Option<&str>,
    id: Option<&str>,
    after: Option<&Cursor>,
) -> Result<(Vec<AggregateKey>, Option<Cursor>), CliFailure> {
    if let (Some(kind), Some(id)) = (kind, id) {
        return Ok((vec![session.key(kind, id)?], None));
    }
    let page = store.keys(KeysRequest { after, ..keys_request(session, kind, false) }).await?;
    // A store that does not go on would be asked without end.
    Ok((page.items, page.next.filter(|next| Some(next) != after)))
}

/// Requests the aggregates of a kind, or of all. Those of snapfold's own documents only if they are
/// asked for.
pub(super) fn keys_request<'a>(
    session: &'a CliSession,
    kind: Option<&'a str>,
    reserved: bool,
) -> KeysRequest<'a> {
    let is_reserved = kind.is_some_and(|kind| kind.starts_with(AggregateKey::RESERVED_PREFIX));
    let mut request = KeysRequest::new().reserved(reserved || is_reserved);
    request.tenant = session.tenant.as_deref();
    request.kind = kind;
    request
}

/// Returns a page of the aggregates that an engine knows, or the one that was named, and where the
/// list continues. They are of the tenant that was asked for, or of the default one.
pub(super) async fn known_keys(
    session: &CliSession,
    admin: &dyn SnapshotAdmin,
    id: Option<&str>,
    after: Option<&Cursor>,
) -> Result<(Vec<AggregateKey>, Option<Cursor>), CliFailure> {
    if let Some(id) = id {
        return Ok((vec![session.key_to_change(admin.kind(), id)?], None));
    }
    let tenant = session.tenant.as_deref().unwrap_or_default();
    let page = admin.keys(tenant, after, 256).await?;
    Ok((page.items, page.next.filter(|next| Some(next) != after)))
}

/// Returns all snapshots of an aggregate, highest version first.
pub(super) async fn snapshots_of(
    store: &dyn SnapshotStore,
    key: &AggregateKey,
) -> Result<Vec<SnapshotMeta>, Error> {
    store.list_all(ListRequest::new(key)).await
}

/// Returns all snapshots of each aggregate, in the order of the keys.
pub(super) async fn snapshots_of_each(
    store: &dyn SnapshotStore,
    keys: &[AggregateKey],
) -> Result<Vec<Vec<SnapshotMeta>>, Error> {
    let mut all = Vec::with_capacity(keys.len());
    for keys in keys.chunks(BATCH) {
        let requests: Vec<_> = keys.iter().map(ListRequest::new).collect();
        for (request, page) in requests.iter().zip(store.list_many(&requests).await?) {
            let mut metas = page.items;
            if let Some(next) = page.next {
                metas.extend(store.list_all(request.after(next)).await?);
            }
            all.push(metas);
        }
    }
    Ok(all)
}

/// Returns the failure for an aggregate without snapshots.
pub(super) fn no_snapshots(key: &AggregateKey) -> CliFailure {
    CliFailure::Absent(format!("{key} has no snapshots in this store: `ls` lists what it has"))
}
