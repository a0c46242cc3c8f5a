//! What sweeps over many aggregates stand on: which are stored, which moved on, which snapshots are
//! sound. An unchanged aggregate must cost next to nothing, or a sweep of a million is too dear.

use std::sync::Arc;

use snapfold::engine::Verify;
use snapfold::ledger::{AuditRequest, Ledger, StoreLedger};
use snapfold::manager::{AdminContext, CreateOptions, CreateOutcome};
use snapfold::record::{Generation, RecordBuilder, RejectReason};
use snapfold::store::{MarkChange, PutOptions, Selection};
use snapfold::{Aggregate, AggregateKey, ErrorKind, MemoryStore, SnapshotAdmin, SnapshotStore};

use crate::support::{Account, Op, World, at, key};

fn if_changed() -> CreateOptions {
    CreateOptions::new().if_changed()
}

#[tokio::test]
async fn an_unchanged_aggregate_is_neither_read_nor_written() {
    let ledger = StoreLedger::new(MemoryStore::new());
    let world = World::with(|builder| builder.ledger(ledger.clone()));
    let by = AdminContext::new("sweep");
    let a = key("a");
    let create = || world.engine.admin().create(&a, if_changed(), &by);
    assert_eq!(create().await.unwrap(), CreateOutcome::Empty);
    world.grow(&key("a"), 7);
    assert!(matches!(create().await.unwrap(), CreateOutcome::Stored(meta) if meta.version == 7));
    let entries = async || {
        world.engine.flush(std::time::Duration::from_secs(9)).await.unwrap();
        ledger.entries(AuditRequest::new()).await.unwrap().items.len()
    };
    let before = (world.source.reads(), world.store.calls(Op::Get), world.store.calls(Op::Put));
    let written = entries().await;
    for _ in 0..3 {
        let created = create().await.unwrap();
        assert_eq!(created, CreateOutcome::Unchanged { version: 7 });
        assert_eq!(
            (created.meta(), created.to_string()),
            (None, "unchanged since version 7".into())
        );
    }
    let after = (world.source.reads(), world.store.calls(Op::Get), world.store.calls(Op::Put));
    assert_eq!((after, entries().await), (before, written));
    // Without the option it is read and compared.
    let compared = world.engine.create(&key("a")).await.unwrap();
    assert!(matches!(compared, CreateOutcome::Existing { identical: true, .. }));
    world.grow(&key("a"), 8);
    assert!(matches!(create().await.unwrap(), CreateOutcome::Stored(meta) if meta.version == 8));
    // Where a version is asked for, that is what counts.
    let past = world.engine.create_with(&key("a"), if_changed().at_version(3)).await.unwrap();
    assert!(matches!(past, CreateOutcome::Stored(meta) if meta.version == 3));
}

#[tokio::test]
async fn a_retired_snapshot_or_one_of_other_code_does_not_count() {
    let world = World::new();
    world.grow(&key("a"), 5);
    let old = Generation { schema_version: 9, fingerprint: 9 };
    let record = RecordBuilder::new(key("a"), old, 5, at(5)).build(b"old").unwrap();
    world.store.inner.put(vec![record], PutOptions::default()).await.unwrap();
    let created = world.engine.create_with(&key("a"), if_changed()).await.unwrap();
    let CreateOutcome::Stored(meta) = created else { panic!("{created}") };
    let wrong = snapfold::store::Mark::retirement("wrong", at(9));
    let by = AdminContext::new("ops");
    let change = MarkChange::Set(&wrong);
    world.engine.admin().mark(&key("a"), Selection::Ids(&[meta.id()]), change, &by).await.unwrap();
    let again = world.engine.create_with(&key("a"), if_changed()).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing { .. }), "{again}");
}

/// Most event sources know their head. For one that does not, a load tells.
#[tokio::test]
async fn without_a_head_an_unchanged_aggregate_costs_a_load() {
    use async_trait::async_trait;
    use snapfold::{BoxError, EventRange, EventSource, MemoryEvents, Replay, SnapshotEngine};

    struct Headless(MemoryEvents<crate::support::Event>);

    #[async_trait]
    impl EventSource<Account> for Headless {
        async fn read(
            &self,
            key: &AggregateKey,
            range: EventRange,
            replay: &mut Replay<'_, Account>,
        ) -> Result<(), BoxError> {
            self.0.read(key, range, replay).await
        }
    }

    let events = MemoryEvents::new();
    for second in 1..=4 {
        events.append(&key("a"), at(second), crate::support::Event::Deposited(1));
    }
    let store = crate::support::Store::default();
    let engine = SnapshotEngine::<Account>::builder(Headless(events.clone()), store.clone());
    let engine = engine.build().unwrap();
    let key = key("a");
    let first = engine.create_with(&key, if_changed()).await.unwrap();
    assert!(matches!(first, CreateOutcome::Stored(_)), "{first}");
    let (gets, puts) = (store.calls(Op::Get), store.calls(Op::Put));
    let again = engine.create_with(&key, if_changed()).await.unwrap();
    assert_eq!(again, CreateOutcome::Unchanged { version: 4 });
    assert_eq!((store.calls(Op::Get), store.calls(Op::Put)), (gets + 1, puts));
    events.append(&key, at(5), crate::support::Event::Deposited(1));
    let moved = engine.create_with(&key, if_changed()).await.unwrap();
    assert!(matches!(moved, CreateOutcome::Stored(_)), "{moved}");
}

#[tokio::test]
async fn stored_aggregates_are_listed_by_tenant_in_pages() {
    let world = World::new();
    let mut expected = Vec::new();
    for n in 0..25 {
        for tenant in ["", "north"] {
            let key = AggregateKey::from_parts(tenant, Account::KIND, &format!("{n:02}")).unwrap();
            world.grow(&key, 1);
            world.engine.create(&key).await.unwrap();
            expected.push(key);
        }
    }
    // Another kind in the same store.
    let other = AggregateKey::new("order", "1").unwrap();
    let generation = Generation { schema_version: 1, fingerprint: 1 };
    let record = RecordBuilder::new(other, generation, 1, at(1)).build(b"x").unwrap();
    world.store.inner.put(vec![record], PutOptions::default()).await.unwrap();
    let admin: Arc<dyn SnapshotAdmin> = Arc::new(world.engine.clone());
    for tenant in ["", "north", "south"] {
        let mut own: Vec<_> = expected.iter().filter(|key| key.tenant() == tenant).collect();
        own.sort();
        for limit in [0, 1, 7, 25, 1_000] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = admin.keys(tenant, after.as_ref(), limit).await.unwrap();
                assert!(page.items.len() <= limit.max(1));
                found.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            found.sort();
            assert!(found.iter().eq(own.iter().copied()), "{tenant} by {limit}");
        }
    }
}

#[tokio::test]
async fn verify_finds_every_damaged_snapshot_however_few_loads_are_verified() {
    let world = World::with(|builder| builder.verify(Verify::Sampled(u64::MAX)));
    world.grow(&key("a"), 9);
    world.snapshots_at(&key("a"), &[2, 4, 6, 8]).await;
    let foreign = Generation { schema_version: 9, fingerprint: 9 };
    let record = RecordBuilder::new(key("a"), foreign, 9, at(9)).build(b"of newer code").unwrap();
    world.store.inner.put(vec![record.clone()], PutOptions::default()).await.unwrap();
    let verified = world.engine.admin().verify(&key("a")).await.unwrap();
    assert_eq!((verified.proved, verified.unproved), (4, 1));
    assert!(verified.is_clean());
    assert_eq!(verified.to_string(), "4 proved, 1 not proved, 0 rejected");
    // A flipped bit, and another state with valid checksums.
    let own = world.engine.generation();
    let flip = |mut bytes: Vec<u8>| {
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    world.store.tamper_with(&key("a"), 4, flip).await;
    let header = world.store.record(&key("a"), 6).await;
    let digest = header.header().unwrap().digest.unwrap();
    let other = RecordBuilder::new(key("a"), own, 6, at(6)).last_recorded_at(at(6));
    let state = Account { owner: "mallory".into(), ..Account::default() };
    let raw = postcard::to_stdvec(&state).unwrap();
    let codec = header.header().unwrap().codec;
    world.store.tamper(&key("a"), 6, other.codec(codec).digest(digest).build(&raw).unwrap());
    let verified = world.engine.admin().verify(&key("a")).await.unwrap();
    assert_eq!((verified.proved, verified.unproved), (2, 1));
    let found: Vec<_> =
        verified.rejected.iter().map(|it| (it.version, it.reason.clone())).collect();
    assert_eq!(
        found,
        [(Some(6), RejectReason::OtherState), (Some(4), RejectReason::PayloadChecksum)]
    );
    let wrong = AggregateKey::new("order", "a").unwrap();
    let error = world.engine.admin().verify(&wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
