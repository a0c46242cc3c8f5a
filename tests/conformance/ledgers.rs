//! Schedules, statistics and audit trails in a snapshot store: several nodes share them, nothing of
//! them is lost when the store is closed or fails, and nobody rewrites a trail unnoticed. (In
//! PostgreSQL they are in tables: `tests/postgres/ledger.rs`.)

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ledger_support::{all_entries, at, holds_what_the_model_holds, key, schedule};
use async_trait::async_trait;
use snapfold::conformance::{self, LedgerFactory};
use snapfold::file::FileStore;
use snapfold::layer::{Fault, Faults, FaultyStore};
use snapfold::ledger::{
    AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRequest, Cadence, DailyStatistics, Day,
    Ledger, Schedule, StoreLedger, TrailCheck,
};
use snapfold::record::{Record, RecordBuilder};
use snapfold::store::{KeysRequest, ListRequest, PutOptions, Query};
use snapfold::{BoxError, Error, ErrorKind, MemoryStore, SnapshotStore};
use tempfile::TempDir;

/// Ledgers in what the function makes; directories live as long as the factory.
struct In<S>(S, Mutex<Vec<TempDir>>);

#[async_trait]
impl<S: Fn(&TempDir) -> Arc<dyn SnapshotStore> + Send + Sync> LedgerFactory for In<S> {
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn Ledger>>, BoxError> {
        let dir = tempfile::tempdir()?;
        let store = (self.0)(&dir);
        self.1.lock().unwrap().push(dir);
        // Each with caches of its own, as in another process.
        let node = || Arc::new(StoreLedger::new(Arc::clone(&store))) as Arc<dyn Ledger>;
        Ok((0..count).map(|_| node()).collect())
    }
}

fn file(dir: &TempDir) -> FileStore {
    FileStore::open(dir.path().join("store")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_in_memory_keeps_every_obligation() {
    let factory =
        In(|_: &TempDir| Arc::new(MemoryStore::new()) as Arc<dyn SnapshotStore>, Mutex::default());
    conformance::ledger(&factory).await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_in_files_keeps_every_obligation() {
    let factory =
        In(|dir: &TempDir| Arc::new(file(dir)) as Arc<dyn SnapshotStore>, Mutex::default());
    conformance::ledger(&factory).await.into_result().unwrap();
}

/// Each node with a handle of its own, as in another process.
#[cfg(feature = "object-store")]
struct InBucket;

#[cfg(feature = "object-store")]
#[async_trait]
impl LedgerFactory for InBucket {
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn Ledger>>, BoxError> {
        use snapfold::object_store::ObjectStoreSnapshots;
        let bucket = Arc::new(object_store::memory::InMemory::new());
        let mut nodes: Vec<Arc<dyn Ledger>> = Vec::new();
        for _ in 0..count {
            let store = ObjectStoreSnapshots::open(bucket.clone(), "ledger").await?;
            nodes.push(Arc::new(StoreLedger::new(store)));
        }
        Ok(nodes)
    }
}

#[cfg(feature = "object-store")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_in_object_storage_keeps_every_obligation() {
    conformance::ledger(&InBucket).await.into_result().unwrap();
}

#[tokio::test]
async fn any_calls_are_answered_as_by_the_model_and_are_still_there_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = file(&dir);
    let ledger = StoreLedger::new(store.clone());
    let model = crate::ledger_support::any_calls_are_answered_as_by_the_model(&ledger).await;
    drop(ledger);
    store.close().unwrap();
    for _ in 0..2 {
        let ledger = StoreLedger::new(file(&dir));
        holds_what_the_model_holds(&ledger, &model).await;
    }
}

#[tokio::test]
async fn a_backup_holds_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let store = file(&dir);
    let ledger = StoreLedger::new(store.clone());
    ledger.append(&AuditEntry::new(at(0), "a", "b")).await.unwrap();
    ledger.put_schedule(&schedule(key("", "a"), 5)).await.unwrap();
    let copy = dir.path().join("copy");
    store.backup(&copy).unwrap();
    let ledger = StoreLedger::new(Arc::new(FileStore::open(copy).unwrap()));
    assert_eq!(ledger.entries(AuditRequest::new()).await.unwrap().items.len(), 1);
    assert_eq!(ledger.due(at(5), 9).await.unwrap(), [schedule(key("", "a"), 5)]);
}

/// All snapshots of all keys in `store`, with the number of versions of each key.
async fn documents(store: &dyn SnapshotStore) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for key in store.keys(KeysRequest::new().reserved(true)).await.unwrap().items {
        let metas = store.list(ListRequest::new(&key)).await.unwrap().items;
        found.push((key.kind().to_owned(), metas.len()));
    }
    found
}

#[tokio::test]
async fn versions_that_were_replaced_give_their_space_back() {
    let store = Arc::new(MemoryStore::new());
    let ledger = StoreLedger::new(store.clone());
    for run in 0..200 {
        ledger.put_schedule(&schedule(key("t", "a"), run)).await.unwrap();
        let more = DailyStatistics::deleted(1);
        let (a, b) = (key("t", "a"), key("t", "b"));
        let batch = [(a, Day::new(0), more), (b, Day::new(i32::from(run % 2 == 0)), more)];
        ledger.add_statistics(&batch).await.unwrap();
    }
    let found = documents(&*store).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|(_, versions)| *versions <= 32), "{found:?}");
    let days = ledger.daily(&key("t", "b"), Day::new(0)..=Day::new(1)).await.unwrap();
    let half = DailyStatistics::deleted(100);
    assert_eq!(days, [(Day::new(0), half), (Day::new(1), half)]);
}

#[tokio::test]
async fn a_page_ends_where_it_would_take_too_much_memory() {
    let ledger = StoreLedger::new(MemoryStore::new());
    let part = "x".repeat(65_535);
    let about = snapfold::AggregateKey::from_parts("t", &part, &part).unwrap();
    let entry = AuditEntry::new(at(0), "", "").about(about);
    ledger.append_all(&vec![entry; 80]).await.unwrap();
    let first = ledger.entries(AuditRequest::new().tenant("t")).await.unwrap();
    assert!((60..70).contains(&first.items.len()), "{}", first.items.len());
    let rest = AuditRequest::new().tenant("t").after(first.next.unwrap());
    let rest = ledger.entries(rest).await.unwrap();
    assert_eq!((first.items.len() + rest.items.len(), rest.next), (80, None));
}

/// A record like the newest one of the trail, or below `at_most`.
async fn block(store: &dyn SnapshotStore, at_most: u64) -> Record {
    let key = snapfold::AggregateKey::from_stored("", "snapfold.audit", "").unwrap();
    let id = store.list(ListRequest::new(&key).at_most(at_most)).await.unwrap().items[0].id();
    let query = Query::latest(&key, id.generation).at_most(id.version);
    store.get(query).await.unwrap().into_record().unwrap()
}

/// The store with `change` made to the payload of the block at `version`, under right checksums, as
/// somebody with access to the store would.
async fn forge(store: &MemoryStore, version: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let record = block(store, version).await;
    let header = record.header().unwrap();
    let mut payload = record.as_bytes()[header.header_bytes()..].to_vec();
    change(&mut payload);
    let key = snapfold::AggregateKey::from_stored("", "snapfold.audit", "").unwrap();
    let forged = RecordBuilder::new(key, header.generation, version, header.as_of)
        .codec(header.codec)
        .build(&payload)
        .unwrap();
    store.put(vec![forged], PutOptions::default().replace(true)).await.unwrap();
}

async fn filled(entries: i64) -> (MemoryStore, StoreLedger) {
    let store = MemoryStore::new();
    let ledger = StoreLedger::new(store.clone());
    for n in 0..entries {
        ledger.append(&AuditEntry::new(at(n), "mallory", "delete")).await.unwrap();
    }
    (store, ledger)
}

#[tokio::test]
async fn a_trail_that_somebody_rewrote_is_found_out_with_the_first_wrong_record() {
    let checked = async |ledger: &StoreLedger, from| ledger.check_trail("", from).await;
    // Another actor, and the hash of before.
    let (store, ledger) = filled(5).await;
    let TrailCheck::Whole(known) = checked(&ledger, AuditHead::START).await.unwrap() else {
        panic!("a whole trail")
    };
    assert_eq!(known.sequence, 5);
    forge(&store, 3, |payload| {
        let at = payload.windows(7).position(|part| part == b"mallory").unwrap();
        payload[at..at + 7].copy_from_slice(b"alice !");
    })
    .await;
    let found = checked(&ledger, AuditHead::START).await.unwrap();
    assert!(matches!(found, TrailCheck::Broken { sequence: 3, .. }), "{found:?}");
    // The hash made to match: the next record names another one.
    let (store, ledger) = filled(5).await;
    let second = all_entries(&ledger, "", 9).await[1].hash;
    let forged = AuditEntry::new(at(2), "alice", "delete");
    let hash = AuditHash::of(&second, 3, &forged);
    let (lone, before) = (MemoryStore::new(), AuditHead { sequence: 2, hash: second });
    let record = before.append(forged);
    assert_eq!(record.hash, hash);
    let alone = StoreLedger::new(lone.clone());
    alone.append(&record.entry).await.unwrap();
    let other = block(&lone, 1).await;
    let other = other.as_bytes()[other.header().unwrap().header_bytes()..].to_vec();
    forge(&store, 3, |payload| {
        *payload = other;
        payload[..32].copy_from_slice(second.as_bytes());
        let end = payload.len() - 32;
        payload[end..].copy_from_slice(hash.as_bytes());
    })
    .await;
    let found = checked(&ledger, AuditHead::START).await.unwrap();
    assert!(matches!(found, TrailCheck::Broken { sequence: 4, .. }), "{found:?}");
    // A record in the middle is gone; nobody takes what is left for the whole.
    let (store, ledger) = filled(5).await;
    let key = snapfold::AggregateKey::from_stored("", "snapfold.audit", "").unwrap();
    let id = store.list(ListRequest::new(&key).at_most(3)).await.unwrap().items[0].id();
    store
        .delete(
            &key,
            snapfold::store::Selection::Ids(&[id]),
            snapfold::store::DeleteOptions::default(),
        )
        .await
        .unwrap();
    let error = checked(&ledger, AuditHead::START).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptStore);
    assert!(error.to_string().contains("version 3"), "{error}");
    // The end is cut off: only a head that was kept elsewhere shows it.
    let (store, ledger) = filled(5).await;
    let id = store.list(ListRequest::new(&key)).await.unwrap().items[0].id();
    store
        .delete(
            &key,
            snapfold::store::Selection::Ids(&[id]),
            snapfold::store::DeleteOptions::default(),
        )
        .await
        .unwrap();
    let found = checked(&ledger, AuditHead::START).await.unwrap();
    assert!(matches!(found, TrailCheck::Whole(AuditHead { sequence: 4, .. })), "{found:?}");
    let found = checked(&ledger, known).await.unwrap();
    assert!(matches!(found, TrailCheck::Broken { sequence: 5, .. }), "{found:?}");
    // All of it written anew by another hand.
    let (_, anew) = filled(0).await;
    for n in 0..6 {
        anew.append(&AuditEntry::new(at(n), "alice", "delete")).await.unwrap();
    }
    let found = checked(&anew, known).await.unwrap();
    assert!(matches!(found, TrailCheck::Broken { sequence: 5, .. }), "{found:?}");
}

#[tokio::test]
async fn damaged_documents_are_errors_and_never_an_empty_ledger() {
    let (store, ledger) = filled(2).await;
    forge(&store, 2, |payload| payload.truncate(40)).await;
    for error in [
        ledger.entries(AuditRequest::new()).await.unwrap_err(),
        StoreLedger::new(store).append(&AuditEntry::new(at(0), "", "")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
    }
}

/// The kinds of failure that a store may have: nothing was done, or all of it and nobody was told.
async fn survives(faults: Faults) {
    let memory = MemoryStore::new();
    let ledger = StoreLedger::new(Arc::new(FaultyStore::new(memory.clone(), faults)));
    let (mut told, mut tried) = (Vec::new(), 0);
    let (account, day) = (key("", "a"), Day::new(0));
    let mut counted = 0;
    for n in 0..200 {
        let batch: Vec<_> =
            (0..=n % 3).map(|m| AuditEntry::new(at(n), "a", m.to_string())).collect();
        tried += batch.len();
        if let Ok(sequences) = ledger.append_all(&batch).await {
            told.extend(sequences.into_iter().zip(batch));
        }
        let more = [(account.clone(), day, DailyStatistics::deleted(1))];
        counted += u64::from(ledger.add_statistics(&more).await.is_ok());
        let _ = ledger.put_schedule(&schedule(account.clone(), n)).await;
    }
    let whole = StoreLedger::new(memory);
    let found = all_entries(&whole, "", 50).await;
    assert!(found.len() >= told.len() && found.len() <= tried);
    for (sequence, entry) in &told {
        let place = usize::try_from(*sequence).unwrap() - 1;
        assert_eq!((&found[place].entry, found[place].sequence), (entry, *sequence));
    }
    assert!(matches!(
        whole.check_trail("", AuditHead::START).await.unwrap(),
        TrailCheck::Whole(AuditHead { sequence, .. }) if sequence == found.len() as u64
    ));
    let sum = whole.daily(&account, day..=day).await.unwrap()[0].1.deleted;
    assert!((counted..=200).contains(&sum), "{counted} {sum}");
    assert!(told.len() < tried && counted > 0, "{} of {tried}, {counted}", told.len());
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_there_however_the_store_fails() {
    for seed in 0..8 {
        survives(Faults::new(seed).rate(Fault::Refused, 0.2)).await;
        survives(Faults::new(seed).rate(Fault::Unacknowledged, 0.2).rate(Fault::Stale, 0.2)).await;
    }
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_a_whole_trail_and_a_ledger_that_works() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = StoreLedger::new(file(&dir));
    let entry = AuditEntry::new(at(0), "a", "b");
    for n in 1..=20 {
        let mut append = ledger.append(&entry);
        let waker = std::task::Waker::noop();
        let _ = append.as_mut().poll(&mut std::task::Context::from_waker(waker));
        drop(append);
        let whole = ledger.append(&entry).await.unwrap();
        assert!((n..=2 * n).contains(&whole), "{whole}");
    }
    let check = ledger.check_trail("", AuditHead::START).await.unwrap();
    assert!(matches!(check, TrailCheck::Whole(AuditHead { sequence: 20..=40, .. })), "{check:?}");
}

#[test]
fn the_outcome_of_a_failure_names_its_kind_and_cuts_its_message() {
    assert_eq!(AuditOutcome::of::<()>(&Ok(())), AuditOutcome::Ok);
    let error: Error = snapfold::AggregateKey::new("snapfold.audit", "").unwrap_err();
    let long = error.clone().with_source(std::io::Error::other("\u{e9}".repeat(20_000)));
    for error in [error, long] {
        let outcome = AuditOutcome::of::<()>(&Err(error.clone()));
        let AuditOutcome::Failed { kind, message } = &outcome else { panic!("a failure") };
        assert_eq!(kind, "InvalidInput");
        assert!(format!("{error:#}").starts_with(message.as_str()));
        AuditEntry::new(at(0), "", "").outcome(outcome).check().unwrap();
    }
}

#[test]
fn a_schedule_is_due_first_at_the_first_time_of_its_cadence() {
    let cadence = Cadence::every(Duration::from_secs(90)).unwrap();
    let schedule = Schedule::new(key("", "a"), cadence, at(10)).unwrap();
    assert_eq!((schedule.next_run, schedule.created_at), (Some(at(100)), at(10)));
}

/// Holds the next put back until it is told to go on.
#[derive(Debug)]
struct Sleepy {
    store: MemoryStore,
    wakes: tokio::sync::Semaphore,
}

#[async_trait]
impl SnapshotStore for Sleepy {
    fn capabilities(&self) -> snapfold::store::Capabilities {
        self.store.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<snapfold::store::PutOutcome>, Error> {
        let _awake = self.wakes.acquire().await;
        self.store.put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<snapfold::store::Lookup, Error> {
        self.store.get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<snapfold::store::Page<snapfold::record::SnapshotMeta, snapfold::SnapshotId>, Error>
    {
        self.store.list(request).await
    }

    async fn keys(
        &self,
        request: KeysRequest<'_>,
    ) -> Result<snapfold::store::Page<snapfold::AggregateKey, snapfold::store::Cursor>, Error> {
        self.store.keys(request).await
    }

    async fn delete(
        &self,
        key: &snapfold::AggregateKey,
        selection: snapfold::store::Selection<'_>,
        options: snapfold::store::DeleteOptions,
    ) -> Result<snapfold::store::Deleted, Error> {
        self.store.delete(key, selection, options).await
    }
}

/// A version that was deleted can be stored again. Both nodes would have the run, and an addition
/// would be lost.
#[tokio::test]
async fn a_node_that_slept_while_others_wrote_and_tidied_up_wins_no_race() {
    let store = MemoryStore::new();
    let awake = StoreLedger::new(store.clone());
    let (account, day, one) = (key("", "a"), Day::new(0), DailyStatistics::deleted(1));
    for writes in [1, 15, 16, 40, 100] {
        awake.put_schedule(&schedule(account.clone(), 0)).await.unwrap();
        awake.add_statistics(&[(account.clone(), day, one)]).await.unwrap();
        let before = awake.daily(&account, day..=day).await.unwrap()[0].1.deleted;
        let wakes = tokio::sync::Semaphore::new(0);
        let sleepy = Arc::new(Sleepy { store: store.clone(), wakes });
        let asleep = StoreLedger::new(sleepy.clone());
        let target = account.clone().into();
        let batch = [(account.clone(), day, one)];
        let mut claim = Box::pin(asleep.claim(&target, at(0), "late", at(0), at(9)));
        let mut add = Box::pin(asleep.add_statistics(&batch));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(claim.as_mut().poll(&mut context).is_pending());
        assert!(add.as_mut().poll(&mut context).is_pending());
        let won = awake.claim(&target, at(0), "early", at(0), at(9)).await.unwrap().unwrap();
        for n in 0..writes {
            awake.renew(&won, at(9 + n)).await.unwrap();
            awake.add_statistics(&batch).await.unwrap();
        }
        sleepy.wakes.add_permits(9);
        assert_eq!(claim.await.unwrap(), None, "after {writes} writes");
        add.await.unwrap();
        assert!(awake.complete(&won, None).await.unwrap());
        let sum = awake.daily(&account, day..=day).await.unwrap()[0].1.deleted;
        assert_eq!(sum, before + writes.cast_unsigned() + 1, "after {writes} writes");
    }
}
