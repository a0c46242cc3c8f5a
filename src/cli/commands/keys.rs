//! [`KeyWalk`]: the aggregates that a command is about.

use crate::cli::failure::CliFailure;
use crate::cli::session::CliSession;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::SnapshotAdmin;
use crate::record::SnapshotMeta;
use crate::store::{
    Cursor, KeyPages, KeysRequest, ListRequest, SnapshotStore, SnapshotStoreExt as _,
};

/// The aggregates of a store, page by page.
pub(super) enum KeyWalk<'a> {
    /// One aggregate, which was named.
    One(Option<AggregateKey>),
    Pages(KeyPages<'a, dyn SnapshotStore + 'a>),
}

impl<'a> KeyWalk<'a> {
    /// Returns the aggregate of this kind and id, all of this kind, or all. Without an id they are
    /// those of the tenant that was asked for, or of all tenants. They begin after the page that ended
    /// with the cursor `after`.
    pub(super) fn new(
        session: &'a CliSession,
        store: &'a dyn SnapshotStore,
        kind: Option<&'a str>,
        id: Option<&str>,
        after: Option<&'a Cursor>,
    ) -> Result<Self, CliFailure> {
        if let (Some(kind), Some(id)) = (kind, id) {
            return Ok(Self::One(Some(session.key(kind, id)?)));
        }
        let request = KeysRequest { after, ..keys_request(session, kind, false) };
        Ok(Self::Pages(store.key_pages(request)))
    }

    /// Returns the next aggregates, or `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<AggregateKey>>, Error> {
        match self {
            Self::One(key) => Ok(key.take().map(|key| vec![key])),
            Self::Pages(pages) => pages.next().await,
        }
    }

    /// Returns the cursor after the page that was returned last, or `None` at the end.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::One(_) => None,
            Self::Pages(pages) => pages.cursor().cloned(),
        }
    }
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

/// Returns the failure for an aggregate without snapshots.
pub(super) fn no_snapshots(key: &AggregateKey) -> CliFailure {
    CliFailure::Absent(format!("{key} has no snapshots in this store: `ls` lists what it has"))
}
