//! A store that damages what it holds and lies about it, as told.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Found, KeysRequest, ListRequest, Lookup,
    MarkChange, Page, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId, SnapshotStore};

/// Lasting damage to one stored record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// One bit is flipped.
    Flip(usize),
    /// Bytes from here on are zero.
    Zero(usize),
    /// The end is missing.
    Cut(usize),
    /// Bytes follow the end.
    Extend(usize),
}

/// What the next get answers instead of the truth.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    /// There is nothing.
    Absent,
    /// There are only other generations.
    OtherGeneration,
    /// A record of another aggregate, under the version that was asked for or under its own.
    OtherAggregate { own_version: bool, which: usize },
    /// A record of this aggregate, outside of the bounds.
    OutOfBounds(usize),
    /// A record of this aggregate under a version that is not its own.
    Mislabelled(u64),
    /// The call fails.
    Fail,
}

#[derive(Clone, Debug)]
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<dyn SnapshotStore>,
    faults: Arc<Mutex<Faults>>,
    failures: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Faults {
    damage: HashMap<(AggregateKey, SnapshotId), Damage>,
    lies: VecDeque<Lie>,
    /// All records that were ever put.
    seen: Vec<(AggregateKey, SnapshotId, Record)>,
}

impl FaultyStore {
    pub(crate) fn over(inner: Arc<dyn SnapshotStore>) -> Self {
        Self { inner, faults: Arc::default(), failures: Arc::default() }
    }

    pub(crate) fn damage(&self, key: &AggregateKey, id: SnapshotId, damage: Damage) {
        self.faults.lock().unwrap().damage.insert((key.clone(), id), damage);
    }

    pub(crate) fn lie(&self, lies: &[Lie]) {
        self.faults.lock().unwrap().lies.extend(lies);
    }

    /// How many calls have failed on purpose.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn told(&self, lie: Lie, query: &Query<'_>) -> Option<Result<Lookup, Error>> {
        let faults = self.faults.lock().unwrap();
        let pick = |which: usize, fits: &dyn Fn(&AggregateKey, &SnapshotId, &Record) -> bool| {
            let fitting: Vec<_> =
                faults.seen.iter().filter(|(key, id, record)| fits(key, id, record)).collect();
            let picked = fitting.get(which.checked_rem(fitting.len())?)?;
            Some((picked.1.version, picked.2.clone()))
        };
        let found = match lie {
            Lie::Absent => return Some(Ok(Lookup::Absent)),
            Lie::OtherGeneration => return Some(Ok(Lookup::OtherGeneration)),
            Lie::Fail => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let error = Error::new(ErrorKind::Store, "get a snapshot", "told to fail");
                return Some(Err(error));
            }
            Lie::OtherAggregate { own_version, which } => {
                let (version, record) = pick(which, &|key, _, _| key != query.key)?;
                Found::new(if own_version { version } else { version.min(query.at_most) }, record)
            }
            Lie::OutOfBounds(which) => {
                let (version, record) = pick(which, &|key, id, record| {
                    key == query.key && !query.admits(id.version, record.header().unwrap().as_of)
                })?;
                Found::new(version, record)
            }
            Lie::Mislabelled(by) => {
                let (version, record) = pick(0, &|key, id, _| {
                    key == query.key && id.version.abs_diff(query.at_most) != by
                })?;
                Found::new(version.saturating_sub(by.max(1)), record)
            }
        };
        Some(Ok(Lookup::Found(found)))
    }
}

fn damaged(record: &Record, damage: Damage) -> Record {
    let mut bytes = record.as_bytes().to_vec();
    let length = bytes.len();
    match damage {
        Damage::Flip(at) => bytes[at / 8 % length] ^= 1 << (at % 8),
        Damage::Zero(at) => bytes[at % length..].fill(0),
        Damage::Cut(at) => bytes.truncate(at % length),
        Damage::Extend(by) => bytes.resize(length + 1 + by % 64, 0xa5),
    }
    Record::from_bytes(bytes)
}

#[async_trait]
impl SnapshotStore for FaultyStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let outcomes = self.inner.put(records.clone(), options).await?;
        let mut faults = self.faults.lock().unwrap();
        for (record, outcome) in records.into_iter().zip(&outcomes) {
            if matches!(outcome, PutOutcome::Existing { .. }) {
                continue;
            }
            let meta = SnapshotMeta::from_header(&record.header().unwrap())?;
            faults.damage.remove(&(meta.key.clone(), meta.id()));
            faults.seen.push((meta.key.clone(), meta.id(), record));
        }
        Ok(outcomes)
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let lie = self.faults.lock().unwrap().lies.pop_front();
        if let Some(answer) = lie.and_then(|lie| self.told(lie, &query)) {
            return answer;
        }
        let answer = self.inner.get(query).await?;
        let Lookup::Found(mut found) = answer else { return Ok(answer) };
        let id = SnapshotId { generation: query.generation, version: found.version };
        let damage = self.faults.lock().unwrap().damage.get(&(query.key.clone(), id)).copied();
        if let Some(damage) = damage {
            found.record = damaged(&found.record, damage);
        }
        Ok(Lookup::Found(found))
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.inner.list(request).await
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
        self.inner.delete(key, selection, options).await
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
