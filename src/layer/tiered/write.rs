//! Puts, deletes and marks over both tiers.

use std::collections::BTreeSet;

use super::TieredStore;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::mark::{MarkChange, Marks};
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{
    Deletable, DeleteOptions, DeletePlan, Deleted, ListRequest, Lookup, PutOptions, PutOutcome,
    Query, Rewrite, Selection, SnapshotStore, SnapshotStoreExt,
};

type Name = (AggregateKey, SnapshotId);

/// The snapshots of one aggregate by tier. No snapshot is in both, unless `has_copies` is set.
struct Contents {
    hot: Vec<SnapshotMeta>,
    cold: Vec<SnapshotMeta>,
    has_copies: bool,
}

impl TieredStore {
    pub(super) async fn put_where_it_is(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        if !self.capabilities.marks {
            options.refuse_marks()?;
        }
        let names =
            records.iter().map(|record| self.name_of(record)).collect::<Result<Vec<_>, _>>()?;
        let _writes = self.locks.writes.shared_all(names.iter().map(|(key, _)| key)).await;
        let archived = self.archived(&names).await?;
        if archived.is_empty() {
            return self.hot.put(records, options).await;
        }
        // A snapshot that only `cold` has is kept or replaced there, in one atomic step and with
        // its marks. A replacement in `hot` would need a second step for each of these.
        let is_archived: Vec<_> = names.iter().map(|name| archived.contains(name)).collect();
        if options.replace && !options.marks.is_empty() {
            let rest = names.iter().filter(|name| !archived.contains(name));
            self.check_marks(rest, &options).await?;
        }
        let (to_hot, to_cold) = split(records, &is_archived);
        let of_cold = self.cold.put(to_cold, options.clone()).await?;
        let of_hot = if to_hot.is_empty() {
            Vec::new()
        } else {
            // Part of the batch may be stored.
            let put = self.hot.put(to_hot, options).await;
            put.map_err(|error| error.with_retry(Retry::Unknown))?
        };
        joined("put a snapshot", "C-17", &is_archived, of_hot, of_cold)
    }

    /// Rewrites snapshots that only `cold` has there, and all others in `hot`. A copy in `cold` of a
    /// snapshot that `hot` has does not count.
    pub(super) async fn rewrite_where_it_is(
        &self,
        rewrites: Vec<Rewrite>,
    ) -> Result<Vec<bool>, Error> {
        if !self.capabilities.rewrites {
            let message = "one of the two stores does not support rewrites: use stores with \
                           Capabilities::rewrites";
            return Err(Error::new(ErrorKind::Unsupported, "rewrite snapshots", message));
        }
        Rewrite::check_all(&rewrites)?;
        let names = rewrites.iter().map(|rewrite| self.name_of(&rewrite.record));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let _writes = self.locks.writes.shared_all(names.iter().map(|(key, _)| key)).await;
        let archived = self.archived(&names).await?;
        if archived.is_empty() {
            return self.hot.rewrite(rewrites).await;
        }
        let is_archived: Vec<_> = names.iter().map(|name| archived.contains(name)).collect();
        let (to_hot, to_cold) = split(rewrites, &is_archived);
        let of_cold = self.cold.rewrite(to_cold).await?;
        let of_hot = if to_hot.is_empty() { Vec::new() } else { self.hot.rewrite(to_hot).await? };
        joined("rewrite snapshots", "C-70", &is_archived, of_hot, of_cold)
    }

    /// Checks a record against the limits of both tiers, so that each can be moved.
    fn name_of(&self, record: &Record) -> Result<Name, Error> {
        let invalid = |message| Error::new(ErrorKind::InvalidInput, "put a snapshot", message);
        let limits = &self.capabilities;
        let (bytes, limit) = (record.as_bytes().len() as u64, limits.max_record_bytes);
        if bytes > limit {
            return Err(invalid(format!(
                "the record is {bytes} bytes long, but the limit is {limit}: shrink the state"
            )));
        }
        let header = record.header().map_err(|reject| {
            invalid(format!("the record is invalid: {reject}")).with_source(reject)
        })?;
        let (version, limit) = (header.version, limits.max_version);
        if version > limit {
            return Err(invalid(format!("version {version} is above the store's limit {limit}")));
        }
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id)?;
        let (bytes, limit) = (key_bytes(&key), limits.max_key_bytes);
        if bytes > limit {
            return Err(invalid(format!(
                "the key is {bytes} bytes long, but the limit is {limit}: use a shorter id"
            )));
        }
        Ok((key, SnapshotId { generation: header.generation, version }))
    }

    /// Returns the snapshots among these that only `cold` has.
    async fn archived(&self, names: &[Name]) -> Result<BTreeSet<Name>, Error> {
        let mut archived = BTreeSet::new();
        let queries: Vec<_> = names.iter().map(|(key, id)| Query::exact(key, *id)).collect();
        let lookups = self.cold.get_many(&queries).await?;
        for (name, lookup) in names.iter().zip(lookups) {
            let is_there = matches!(lookup, Lookup::Found(_));
            if is_there && !archived.contains(name) && !self.is_hot(&name.0, name.1).await? {
                archived.insert(name.clone());
            }
        }
        Ok(archived)
    }

    /// Checks that the marks of a put fit all snapshots of `hot` that it replaces. Otherwise the
    /// put could fail after it replaced some in `cold`.
    async fn check_marks(
        &self,
        names: impl Iterator<Item = &Name> + Send,
        options: &PutOptions,
    ) -> Result<(), Error> {
        for (key, id) in names {
            let request = ListRequest::new(key).at_most(id.version).at_least(id.version);
            let metas = self.hot.list_all(request).await?;
            let there = metas.into_iter().find(|meta| meta.id() == *id);
            let marks = there.map_or(Marks::NONE, |meta| meta.marks);
            if options.replaces(&marks) {
                marks.merged(&options.marks)?;
            }
        }
        Ok(())
    }

    pub(super) async fn delete_both(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        let _writes = self.locks.writes.exclusive(key).await;
        let contents = self.contents(key).await?;
        let hot = self.deletables(&contents.hot);
        let cold = self.deletables(&contents.cold);
        let mut all = hot.clone();
        let known: BTreeSet<_> = hot.iter().map(|one| one.id).collect();
        all.extend(cold.iter().filter(|one| !known.contains(&one.id)));
        let plan = DeletePlan::new(selection, options, &all);
        let agrees = |tier: &[Deletable]| {
            let own = DeletePlan::new(selection, options, tier);
            tier.iter().all(|one| own.removes(one.id) == plan.removes(one.id))
        };
        // `cold` comes first: after a crash, no old copy may be left without the one that counts.
        if !contents.has_copies && agrees(&hot) && agrees(&cold) {
            let of_cold = self.cold.delete(key, selection, options).await?;
            let of_hot = self.hot.delete(key, selection, options).await?;
            return Ok([of_cold, of_hot].into_iter().sum());
        }
        // A delta in one tier needs a base in the other one.
        for (tier, metas) in [(&self.cold, &cold), (&self.hot, &hot)] {
            let ids = metas.iter().map(|one| one.id).filter(|id| plan.removes(*id));
            let ids: Vec<_> = ids.collect();
            if !ids.is_empty() {
                tier.delete(key, Selection::Ids(&ids), options).await?;
            }
        }
        Ok(plan.deleted)
    }

    pub(super) async fn mark_both(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        if !self.capabilities.marks {
            let message = "one of the two stores does not support marks: use stores with \
                           Capabilities::marks";
            return Err(Error::new(ErrorKind::Unsupported, "mark snapshots", message));
        }
        change.check()?;
        let _writes = self.locks.writes.exclusive(key).await;
        let contents = self.contents(key).await?;
        // Check both tiers before either is changed.
        for meta in contents.hot.iter().chain(&contents.cold) {
            if selection.admits(meta.id()) {
                meta.marks.changed(change)?;
            }
        }
        let of_hot = self.hot.mark(key, selection, change).await?;
        if !contents.has_copies {
            return Ok(of_hot.saturating_add(self.cold.mark(key, selection, change).await?));
        }
        let known: BTreeSet<_> = contents.hot.iter().map(SnapshotMeta::id).collect();
        let rest = contents.cold.iter().map(SnapshotMeta::id);
        let rest: Vec<_> = rest.filter(|id| selection.admits(*id) && !known.contains(id)).collect();
        Ok(of_hot.saturating_add(self.cold.mark(key, Selection::Ids(&rest), change).await?))
    }

    /// Lists an aggregate, and removes spare copies from `cold`. Needs the exclusive lock, because
    /// a move makes such copies.
    async fn contents(&self, key: &AggregateKey) -> Result<Contents, Error> {
        let hot = self.hot.list_all(ListRequest::new(key)).await?;
        let mut cold = self.cold.list_all(ListRequest::new(key)).await?;
        let known: BTreeSet<_> = hot.iter().map(SnapshotMeta::id).collect();
        let copies = cold.iter().map(SnapshotMeta::id).filter(|id| known.contains(id));
        let copies: Vec<_> = copies.collect();
        let mut has_copies = false;
        if !copies.is_empty() {
            let spare = self.intact_in_hot(key, &copies).await?;
            let options = DeleteOptions::default().overrule_pins(true);
            let deleted = self.cold.delete(key, Selection::Ids(&spare), options).await?;
            // `cold` keeps a copy on which a delta in `cold` is based.
            has_copies = deleted.snapshots < copies.len() as u64;
            if has_copies {
                self.renew_copies(key, &spare).await?;
            } else {
                cold.retain(|meta| !known.contains(&meta.id()));
            }
        }
        Ok(Contents { hot, cold, has_copies })
    }

    /// Makes the copies that `cold` kept equal to those in `hot`. An old copy could need a base that
    /// the copy which counts does not need, and `cold` would never delete that base.
    async fn renew_copies(&self, key: &AggregateKey, spare: &[SnapshotId]) -> Result<(), Error> {
        for id in spare {
            let exact = Query::exact(key, *id);
            let Some(copy) = self.cold.get(exact).await?.into_record() else { continue };
            let Some(record) = self.hot.get(exact).await?.into_record() else { continue };
            if record != copy {
                self.cold.put(vec![record], PutOptions::default().replace(true)).await?;
            }
        }
        Ok(())
    }

    fn deletables(&self, metas: &[SnapshotMeta]) -> Vec<Deletable> {
        let bases = self.capabilities.returns_bases;
        let deletable = |meta: &SnapshotMeta| {
            let base = meta.base.map(|base| base.version).filter(|_| bases);
            Deletable::new(meta.id(), meta.stored_bytes).pinned(meta.is_pinned()).base(base)
        };
        metas.iter().map(deletable).collect()
    }
}

/// Splits the items of a batch into those for `hot` and those for `cold`.
fn split<T>(items: Vec<T>, is_archived: &[bool]) -> (Vec<T>, Vec<T>) {
    let (mut to_hot, mut to_cold) = (Vec::new(), Vec::new());
    for (item, is_archived) in items.into_iter().zip(is_archived) {
        if *is_archived { to_cold.push(item) } else { to_hot.push(item) }
    }
    (to_hot, to_cold)
}

/// Returns the answers of both tiers in the order of the items that were [`split`]. `broken` is the
/// obligation that a tier with too few answers breaks.
fn joined<T>(
    operation: &'static str,
    broken: &str,
    is_archived: &[bool],
    of_hot: Vec<T>,
    of_cold: Vec<T>,
) -> Result<Vec<T>, Error> {
    let (mut of_hot, mut of_cold) = (of_hot.into_iter(), of_cold.into_iter());
    let next = |is_archived: &bool| {
        let next = if *is_archived { of_cold.next() } else { of_hot.next() };
        next.ok_or_else(|| {
            let message = format!(
                "the store returned too few outcomes: check it with the conformance kit ({broken})"
            );
            Error::new(ErrorKind::Store, operation, message).with_retry(Retry::Unknown)
        })
    };
    is_archived.iter().map(next).collect()
}

/// Returns the length of a key as [`Capabilities::max_key_bytes`](crate::store::Capabilities)
/// counts it.
pub(super) fn key_bytes(key: &AggregateKey) -> u64 {
    (key.tenant().len() + key.kind().len() + key.id().len()) as u64
}
