//! A store that counts, waits and misbehaves on demand, over the memory store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Found, KeysRequest, ListRequest, Lookup,
    MarkChange, Page, PutOptions, PutOutcome, Query, Rewrite, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, MemoryStore, Retry, SnapshotId, SnapshotStore};

use super::{Gate, Yields};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Put,
    Get,
    List,
    Delete,
}

/// Clones share everything.
#[derive(Clone, Default)]
pub struct Store {
    pub inner: MemoryStore,
    /// Before a get is answered.
    pub get_gate: Gate,
    /// Before a put or a rewrite is done.
    pub put_gate: Gate,
    /// At each await point: before and after each call.
    pub yields: Yields,
    /// Whether deltas come without their bases, according to the capabilities.
    pub lacks_bases: bool,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    calls: HashMap<Op, usize>,
    /// How many more calls misbehave.
    failing: HashMap<Op, usize>,
    panicking: HashMap<Op, usize>,
    /// What is found in place of the record at a version of a key.
    tampered: HashMap<(AggregateKey, u64), Record>,
    put_records: usize,
    /// Whose snapshots make a put invalid.
    refused: Option<AggregateKey>,
    /// Whose snapshots make a put panic.
    feared: Option<AggregateKey>,
}

impl Store {
    pub fn calls(&self, op: Op) -> usize {
        self.shared.lock().unwrap().calls.get(&op).copied().unwrap_or(0)
    }

    pub fn put_records(&self) -> usize {
        self.shared.lock().unwrap().put_records
    }

    /// The next `times` calls of `op` fail.
    pub fn fail(&self, op: Op, times: usize) {
        self.shared.lock().unwrap().failing.insert(op, times);
    }

    /// The next `times` calls of `op` panic.
    pub fn panic(&self, op: Op, times: usize) {
        self.shared.lock().unwrap().panicking.insert(op, times);
    }

    /// From now on a put with a snapshot of `key` is refused as a whole.
    pub fn refuse(&self, key: &AggregateKey) {
        self.shared.lock().unwrap().refused = Some(key.clone());
    }

    /// From now on a put with a snapshot of `key` panics.
    pub fn panic_over(&self, key: &AggregateKey) {
        self.shared.lock().unwrap().feared = Some(key.clone());
    }

    /// From now on the store finds `record` under this key and version. It is listed only if its
    /// header can be read.
    pub fn tamper(&self, key: &AggregateKey, version: u64, record: Record) {
        self.shared.lock().unwrap().tampered.insert((key.clone(), version), record);
    }

    /// The same, made from the record that is stored there.
    pub async fn tamper_with(
        &self,
        key: &AggregateKey,
        version: u64,
        change: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) {
        let record = self.record(key, version).await;
        self.tamper(key, version, Record::from_bytes(change(record.as_bytes().to_vec())));
    }

    /// The record that is really stored.
    pub async fn record(&self, key: &AggregateKey, version: u64) -> Record {
        let request = ListRequest::new(key).at_most(version).at_least(version);
        let page = self.inner.list(request).await.unwrap();
        let generation = page.items[0].generation;
        let query = Query::latest(key, generation).at_most(version);
        self.inner.get(query).await.unwrap().into_record().unwrap()
    }

    /// All versions that are really stored, newest first.
    pub async fn versions(&self, key: &AggregateKey) -> Vec<u64> {
        let page = self.inner.list(ListRequest::new(key)).await.unwrap();
        page.items.iter().map(|meta| meta.version).collect()
    }

    /// Everything that is really stored of some aggregates, byte for byte.
    pub async fn dump(&self, keys: &[AggregateKey]) -> Vec<Vec<u8>> {
        let mut dump = Vec::new();
        for key in keys {
            for version in self.versions(key).await {
                dump.push(self.record(key, version).await.as_bytes().to_vec());
            }
        }
        dump
    }

    async fn enter(&self, op: Op) -> Result<(), Error> {
        self.yields.pass().await;
        let (failing, panicking) = {
            let mut shared = self.shared.lock().unwrap();
            *shared.calls.entry(op).or_default() += 1;
            (take(&mut shared.failing, op), take(&mut shared.panicking, op))
        };
        assert!(!panicking, "the store panicked");
        if failing {
            return Err(Error::new(ErrorKind::Store, "use the store", "the disk is on fire")
                .with_retry(Retry::Later));
        }
        Ok(())
    }

    fn tampered(&self, key: &AggregateKey, version: u64) -> Option<Record> {
        self.shared.lock().unwrap().tampered.get(&(key.clone(), version)).cloned()
    }
}

fn take(left: &mut HashMap<Op, usize>, op: Op) -> bool {
    match left.get_mut(&op) {
        Some(times) if *times > 0 => {
            *times -= 1;
            true
        }
        _ => false,
    }
}

#[async_trait]
impl SnapshotStore for Store {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities().returns_bases(!self.lacks_bases)
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.put_gate.pass().await;
        self.enter(Op::Put).await?;
        let (refused, feared) = {
            let shared = self.shared.lock().unwrap();
            (shared.refused.clone(), shared.feared.clone())
        };
        let any_of = |key: Option<AggregateKey>| {
            let Some(key) = key else { return false };
            records.iter().any(|record| record.header().is_ok_and(|header| header.is_of(&key)))
        };
        assert!(!any_of(feared), "the store panicked");
        if any_of(refused) {
            let message = "one of the records cannot be stored";
            return Err(Error::new(ErrorKind::InvalidInput, "put snapshots", message));
        }
        let mut replaced = Vec::new();
        if options.replace {
            for header in records.iter().filter_map(|record| record.header().ok()) {
                let key = AggregateKey::from_stored(header.tenant, header.kind, header.id)?;
                replaced.push((key, header.version));
            }
        }
        let count = records.len();
        let outcomes = self.inner.put(records, options).await?;
        {
            let mut shared = self.shared.lock().unwrap();
            shared.put_records += count;
            for key_and_version in replaced {
                shared.tampered.remove(&key_and_version);
            }
        }
        self.yields.pass().await;
        Ok(outcomes)
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        self.put_gate.pass().await;
        self.inner.rewrite(rewrites).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.get_gate.pass().await;
        self.enter(Op::Get).await?;
        let mut answer = self.inner.get(query).await?;
        if let Lookup::Found(found) = &answer
            && let Some(record) = self.tampered(query.key, found.version)
        {
            answer = Lookup::Found(Found::new(found.version, record));
        }
        self.yields.pass().await;
        Ok(answer)
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.enter(Op::List).await?;
        let mut page = self.inner.list(request).await?;
        page.items.retain(|meta| {
            let tampered = self.tampered(request.key, meta.version);
            tampered.is_none_or(|record| record.header().is_ok())
        });
        self.yields.pass().await;
        Ok(page)
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.inner.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.enter(Op::Delete).await?;
        let deleted = self.inner.delete(key, selection, options).await?;
        self.yields.pass().await;
        Ok(deleted)
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.inner.mark(key, selection, change).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
