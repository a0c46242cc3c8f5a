//! Corruption that no error reports: each is found by a load, or by folding the events again. Which
//! events may be deleted follows from the same comparison.

use serde::{Deserialize, Serialize};
use snapfold::manager::{
    AdminContext, CreateOptions, FoldCause, TruncationLimit, TruncationRequest,
};
use snapfold::record::{Record, RecordBuilder, RejectReason, SnapshotMeta};
use snapfold::store::{Lookup, Mark, MarkChange, Query, Selection};
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, MemoryEvents, MemoryStore, SnapshotEngine,
    SnapshotStore as _,
};

use crate::support::{Account, Event, World, at, key};

/// A release of the code. All have the same shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Loan<const RELEASE: u8> {
    lent: i64,
    repaid: i64,
}

impl<const RELEASE: u8> Aggregate for Loan<RELEASE> {
    type Event = i64;
    const KIND: &'static str = "loan";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { lent: 0, repaid: 0 }
    }

    fn apply(&mut self, cents: &i64) {
        match RELEASE {
            // A rounding was added for large amounts only.
            1 if *cents > 1_000 => self.lent += cents / 10 * 10,
            // The meaning of the two fields was swapped.
            2 if *cents > 0 => self.repaid += cents,
            2 => self.lent -= cents,
            _ if *cents > 0 => self.lent += cents,
            _ => self.repaid -= cents,
        }
    }
}

fn loan<const RELEASE: u8>(
    events: &MemoryEvents<i64>,
    store: &MemoryStore,
) -> SnapshotEngine<Loan<RELEASE>> {
    let builder = SnapshotEngine::builder(events.clone(), store.clone());
    builder.trigger(manual()).build().unwrap()
}

/// Forty events, of which the 25th is large, and snapshots every ten.
async fn lent() -> (MemoryEvents<i64>, MemoryStore, AggregateKey) {
    let (events, store, key) =
        (MemoryEvents::new(), MemoryStore::new(), Loan::<0>::key("l").unwrap());
    for n in 1..=40 {
        events.append(&key, at(n), if n == 25 { 123_456 } else { 7 - (n.cast_signed() % 3) * 5 });
    }
    let engine = loan::<0>(&events, &store);
    for version in [10, 20, 30, 40] {
        engine.create_with(&key, CreateOptions::new().at_version(version)).await.unwrap();
    }
    assert!(engine.compare_with_events(&key).await.unwrap().is_clean());
    (events, store, key)
}

#[tokio::test]
async fn a_changed_apply_is_located_between_two_snapshots() {
    let (events, store, key) = lent().await;
    let found = loan::<1>(&events, &store).compare_with_events(&key).await.unwrap();
    let parts: Vec<_> = found.different.iter().map(|d| (d.equal_at, d.id.version)).collect();
    assert_eq!(parts, [(20, 30), (20, 40)], "{found}");
    let place = Some("lent".to_owned());
    assert_eq!(found.different[0].cause, FoldCause::State { place });
    assert_eq!((found.equal.len(), found.folded_to), (2, 40));
}

#[tokio::test]
async fn a_swapped_meaning_is_found_in_the_first_snapshot() {
    let (events, store, key) = lent().await;
    let found = loan::<2>(&events, &store).compare_with_events(&key).await.unwrap();
    assert_eq!((found.different.len(), found.different[0].equal_at), (4, 0), "{found}");
}

#[tokio::test]
async fn retiring_or_rebuilding_what_differs_makes_the_loads_right() {
    for rebuilds in [false, true] {
        let (events, store, key) = lent().await;
        let engine = loan::<1>(&events, &store);
        let found = engine.compare_with_events(&key).await.unwrap();
        if rebuilds {
            for id in found.ids_that_differ() {
                engine.admin().rebuild(&key, id.version, &AdminContext::default()).await.unwrap();
            }
        } else {
            let retirement = Mark::retirement("refold", at(1)).note(found.different[0].to_string());
            let (ids, set) = (found.ids_that_differ(), MarkChange::Set(&retirement));
            let selection = Selection::Ids(&ids);
            engine.admin().mark(&key, selection, set, &AdminContext::default()).await.unwrap();
            // The records are still there as evidence.
            assert_eq!(engine.admin().snapshots(&key, 30..=40).await.unwrap().len(), 2);
        }
        let again = engine.compare_with_events(&key).await.unwrap();
        assert!(again.is_clean(), "{again}");
        assert_eq!(again.skipped, if rebuilds { 0 } else { 2 });
        let loaded = engine.load(&key).await.unwrap();
        let replay = snapfold::engine::ReplayLoader::<Loan<1>>::new(events.clone());
        let truth = snapfold::Loader::load(&replay, &key).await.unwrap();
        assert_eq!(loaded.state, truth.state);
    }
}

async fn stored(world: &World, key: &AggregateKey, version: u64) -> (Record, SnapshotMeta) {
    let query = Query::latest(key, world.engine.generation()).at_most(version);
    let Lookup::Found(found) = world.store.get(query).await.unwrap() else { panic!("not there") };
    let meta = SnapshotMeta::from_header(&found.record.header().unwrap()).unwrap();
    (found.record, meta)
}

/// A record that only its content gives away.
fn forged(meta: &SnapshotMeta, state: &Account) -> RecordBuilder {
    RecordBuilder::new(meta.key.clone(), meta.generation, meta.version, meta.as_of)
        .codec(meta.codec)
        .last_recorded_at(meta.last_recorded_at)
        .anchor(meta.anchor.clone().unwrap_or_default())
        .created_at(meta.created_at)
        .origin(format!("{}", state.balance))
}

fn world() -> World {
    World::with(|builder| builder.trigger(manual()))
}

async fn grown() -> (World, AggregateKey) {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 40);
    world.snapshots_at(&key, &[10, 20, 30, 40]).await;
    (world, key)
}

#[tokio::test]
async fn an_edited_event_is_located_between_two_snapshots() {
    let (world, key) = grown().await;
    // Not the event that a load compares.
    world.edit(&key, 40, 27);
    let found = world.engine.compare_with_events(&key).await.unwrap();
    let parts: Vec<_> = found.different.iter().map(|d| (d.equal_at, d.id.version)).collect();
    assert_eq!(parts, [(20, 30), (20, 40)], "{found}");
}

#[tokio::test]
async fn an_edited_payload_under_right_checksums_is_found() {
    let (world, key) = grown().await;
    let (_, meta) = stored(&world, &key, 40).await;
    let mut state = world.truth(&key).await;
    state.balance += 1;
    let raw = postcard::to_stdvec(&state).unwrap();
    // With the digest of the old state, a load notices it.
    let with_old = forged(&meta, &state).digest(meta.digest.unwrap()).build(&raw).unwrap();
    world.store.tamper(&key, 40, with_old);
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::OtherState);
    let found = world.engine.compare_with_events(&key).await.unwrap();
    assert_eq!(found.unreadable[0].reason, RejectReason::OtherState);
    // With the digest of the new one, only the events tell.
    let digest = snapfold::codec::Digester::<Account>::serde().digest(&state).unwrap().unwrap();
    world.store.tamper(&key, 40, forged(&meta, &state).digest(digest).build(&raw).unwrap());
    let found = world.engine.compare_with_events(&key).await.unwrap();
    let parts: Vec<_> = found.different.iter().map(|d| (d.equal_at, d.id.version)).collect();
    assert_eq!(parts, [(30, 40)], "{found}");
    let place = Some("balance".to_owned());
    assert_eq!(found.different[0].cause, FoldCause::State { place });
}

#[tokio::test]
async fn versions_that_were_used_again_after_a_restore_are_found() {
    let (world, key) = grown().await;
    world.source.events.rewind(&key, 25);
    for version in 26..=45 {
        world.source.append(&key, version + 1_000, Event::Deposited(1));
    }
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.rejected.len(), 2, "{}", loaded.provenance);
    let found = world.engine.compare_with_events(&key).await.unwrap();
    let causes: Vec<_> = found.different.iter().map(|d| (d.equal_at, &d.cause)).collect();
    assert_eq!(causes, [(20, &FoldCause::History), (20, &FoldCause::History)]);
}

#[tokio::test]
async fn a_snapshot_of_events_that_never_were_is_found() {
    let (world, key) = grown().await;
    world.source.events.rewind(&key, 25);
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.rejected.len(), 2);
    let found = world.engine.compare_with_events(&key).await.unwrap();
    let causes: Vec<_> = found.different.iter().map(|d| (d.equal_at, &d.cause)).collect();
    assert_eq!(causes, [(20, &FoldCause::Ahead), (20, &FoldCause::Ahead)]);
    assert_eq!(found.folded_to, 25);
}

#[tokio::test]
async fn a_stale_generation_a_wrong_tenant_and_torn_or_rotten_records_are_found() {
    let (world, key) = grown().await;
    let (record, meta) = stored(&world, &key, 40).await;
    let other = AggregateKey::new("account", "a").unwrap().with_tenant("other").unwrap();
    let raw = postcard::to_stdvec(&world.truth(&key).await).unwrap();
    let wrong_tenant = RecordBuilder::new(other, meta.generation, 40, meta.as_of);
    let stale = {
        let mut generation = meta.generation;
        generation.fingerprint ^= 1;
        RecordBuilder::new(key.clone(), generation, 40, meta.as_of)
    };
    let torn = record.as_bytes()[..record.as_bytes().len() - 3].to_vec();
    let mut rotten = record.as_bytes().to_vec();
    *rotten.last_mut().unwrap() ^= 0x10;
    for (record, expected) in [
        (wrong_tenant.codec(meta.codec).build(&raw).unwrap(), "WrongAggregate"),
        (stale.codec(meta.codec).build(&raw).unwrap(), "Stale"),
        (Record::from_bytes(torn), "Truncated"),
        (Record::from_bytes(rotten), "PayloadChecksum"),
    ] {
        world.store.tamper(&key, 40, record);
        let loaded = world.load_checked(&key).await;
        assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 30);
        let found = world.engine.compare_with_events(&key).await.unwrap();
        assert_eq!((found.equal.len(), found.unreadable.len()), (3, 1), "{found}");
        let reason = format!("{:?}", found.unreadable[0].reason);
        assert!(reason.starts_with(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_clock_that_went_back_and_was_corrected_is_found() {
    let (world, key) = grown().await;
    // The same events, with other times.
    world.source.events.rewind(&key, 0);
    for version in 1..=40 {
        let amount = i64::try_from(version).unwrap();
        world.source.append(&key, version + u64::from(version > 15), Event::Deposited(amount));
    }
    let found = world.engine.compare_with_events(&key).await.unwrap();
    let versions: Vec<_> = found.different.iter().map(|d| d.id.version).collect();
    assert_eq!(versions, [20, 30, 40], "{found}");
    assert!(found.different.iter().all(|d| d.cause == FoldCause::History && d.equal_at == 10));
}

#[tokio::test]
async fn a_truncated_history_is_compared_from_its_lowest_usable_snapshot() {
    let (world, key) = grown().await;
    world.source.events.truncate_below(&key, 19);
    let found = world.engine.compare_with_events(&key).await.unwrap();
    assert_eq!((found.began_at, found.equal.len(), found.skipped), (20, 2, 2), "{found}");
    world.source.events.truncate_below(&key, 40);
    world.engine.admin().delete(&key, 40, &AdminContext::default()).await.unwrap();
    let gone = world.engine.compare_with_events(&key).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Unrecoverable);
    let load = world.engine.at_version(&key, 15).await.unwrap_err();
    assert_eq!(load.kind(), ErrorKind::Unrecoverable);
}

#[tokio::test]
async fn events_may_be_deleted_below_the_second_newest_snapshot() {
    let (world, key) = grown().await;
    let ask = async |request: TruncationRequest| {
        world.engine.safe_to_truncate_below(&key, &request).await.unwrap()
    };
    let safe = ask(TruncationRequest::new()).await;
    assert_eq!((safe.below, safe.limit), (30, TruncationLimit::Snapshots));
    let versions: Vec<_> = safe.snapshots.iter().map(|id| id.version).collect();
    assert_eq!(versions, [40, 30]);
    assert_eq!(ask(TruncationRequest::new().snapshots(0)).await.below, 40);
    assert_eq!(ask(TruncationRequest::new().snapshots(4)).await.below, 10);
    assert_eq!(ask(TruncationRequest::new().snapshots(5)).await.below, 0);
    let since = ask(TruncationRequest::new().loads_since(at(25))).await;
    assert_eq!((since.below, since.limit), (20, TruncationLimit::Request));
    let from = ask(TruncationRequest::new().loads_from_version(20)).await;
    assert_eq!((from.below, from.limit), (20, TruncationLimit::Request));
    assert_eq!(ask(TruncationRequest::new().loads_from_version(9)).await.below, 0);
    let pin = Mark::pin("audit", at(1));
    let ids = [stored(&world, &key, 10).await.1.id()];
    world.store.mark(&key, Selection::Ids(&ids), MarkChange::Set(&pin)).await.unwrap();
    let pinned = ask(TruncationRequest::new()).await;
    assert_eq!((pinned.below, pinned.limit), (10, TruncationLimit::Pin(10)));
}

#[tokio::test]
async fn after_a_safe_truncation_every_promised_load_is_right() {
    for request in [
        TruncationRequest::new(),
        TruncationRequest::new().snapshots(1),
        TruncationRequest::new().loads_since(at(22)),
        TruncationRequest::new().loads_from_version(37).snapshots(3),
    ] {
        let (world, key) = grown().await;
        let mut truth = Vec::new();
        for version in 0..=40 {
            truth.push(world.engine.at_version(&key, version).await.unwrap().state);
        }
        let safe = world.engine.safe_to_truncate_below(&key, &request).await.unwrap();
        assert!(safe.below > 0);
        // Up to and including that version.
        world.source.events.truncate_below(&key, safe.below - 1);
        let promised = safe.below.min(request.from_version.unwrap_or(safe.below));
        for version in promised..=40 {
            let loaded = world.engine.at_version(&key, version).await.unwrap();
            assert_eq!(loaded.state, truth[usize::try_from(version).unwrap()]);
            assert!(loaded.provenance.snapshot.unwrap().is_compared);
        }
        if let Some(since) = request.since {
            let loaded = world.engine.at_time(&key, since).await.unwrap();
            assert_eq!(loaded.state, truth[22]);
        }
        let below = world.engine.at_version(&key, safe.below - 1).await.unwrap_err();
        assert_eq!(below.kind(), ErrorKind::Unrecoverable);
    }
}

#[tokio::test]
async fn nothing_may_be_deleted_while_a_snapshot_differs() {
    let (world, key) = grown().await;
    world.edit(&key, 40, 27);
    let safe = world.engine.safe_to_truncate_below(&key, &TruncationRequest::new()).await.unwrap();
    assert_eq!((safe.below, safe.limit), (0, TruncationLimit::Different(30)));
    let none = world
        .engine
        .safe_to_truncate_below(&crate::support::key("b"), &TruncationRequest::new())
        .await;
    assert_eq!(none.unwrap().to_string(), {
        "no event may be deleted; limited by the number of snapshots that must remain"
    });
}
