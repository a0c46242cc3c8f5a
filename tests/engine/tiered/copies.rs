//! What is found, kept and deleted when the snapshots of an aggregate are in both tiers.

use snapfold::layer::{Fault, Faults, FaultyStore, StoreCall, TieredStore};
use snapfold::record::RecordBuilder;
use snapfold::store::{
    Capabilities, ListRequest, Lookup, Mark, MarkChange, PutOptions, PutOutcome, Query, Selection,
    SnapshotStoreExt,
};
use snapfold::{ErrorKind, MemoryStore, Retry, SnapshotStore, Timestamp};

use crate::support::Limited;

use super::{
    NEW, OLD, Tiers, at, builder, delete, delta, found, id, key, pinned, put, record, versions,
};

#[tokio::test]
async fn archiving_moves_what_is_old_except_the_newest_of_each_generation() {
    let tiers = Tiers::with(&[10, 20, 30, 40], &[]).await;
    let old = |version| {
        let builder = RecordBuilder::new(key(), OLD, version, at(version));
        builder.created_at(at(version)).build(b"old").unwrap()
    };
    put(&tiers.hot, [old(5), old(15)]).await;
    let report = tiers.store.archive(&key(), at(30)).await.unwrap();
    // 30 is not older than 30, and 15 is the newest of its generation.
    assert_eq!((report.keys, report.moved, report.kept), (1, 3, 1));
    assert_eq!(tiers.versions().await, [vec![15, 30, 40], vec![5, 10, 20]]);
    let report = tiers.store.archive(&key(), Timestamp::MAX).await.unwrap();
    assert_eq!((report.moved, report.kept), (1, 2));
    assert_eq!(tiers.versions().await, [vec![15, 40], vec![5, 10, 20, 30]]);
    assert_eq!(versions(&tiers.store).await, [5, 10, 15, 20, 30, 40]);
    let report = tiers.store.restore(&key(), Selection::Below(20)).await.unwrap();
    assert_eq!((report.copied, report.deleted), (2, 2));
    assert_eq!(tiers.versions().await, [vec![5, 10, 15, 40], vec![20, 30]]);
}

#[tokio::test]
async fn what_is_selected_moves_as_it_was_planned() {
    let tiers = Tiers::with(&[10, 20, 30, 40], &[]).await;
    let ids = [id(10), id(30), id(40), id(99)];
    let selection = Selection::Ids(&ids);
    let plan = tiers.store.plan_archive(&key(), selection).await.unwrap();
    assert_eq!((plan.keys, plan.moved, plan.kept), (1, 2, 1));
    assert_eq!(tiers.versions().await, [vec![10, 20, 30, 40], vec![]]);
    let report = tiers.store.archive_selected(&key(), selection).await.unwrap();
    assert_eq!(report, plan);
    // The newest stays, whatever is selected.
    assert_eq!(tiers.versions().await, [vec![20, 40], vec![10, 30]]);
    let again = tiers.store.plan_archive(&key(), Selection::Ids(&ids[..1])).await.unwrap();
    assert_eq!((again.moved, again.kept), (0, 0));
}

#[tokio::test]
async fn the_newest_that_is_not_retired_stays_hot_too() {
    let tiers = Tiers::with(&[10, 20, 30], &[]).await;
    let wrong = Mark::retirement("wrong", at(1));
    tiers.store.mark(&key(), Selection::Ids(&[id(30)]), MarkChange::Set(&wrong)).await.unwrap();
    tiers.store.archive(&key(), Timestamp::MAX).await.unwrap();
    assert_eq!(tiers.versions().await, [vec![20, 30], vec![10]]);
}

/// A correct answer does not depend on the newest snapshot being hot.
#[tokio::test]
async fn the_newest_is_found_in_the_cold_tier_too() {
    let tiers = Tiers::with(&[10, 40], &[20, 30]).await;
    let key = key();
    assert_eq!(found(&tiers.store, Query::latest(&key, NEW)).await, Some(40));
    assert_eq!(found(&tiers.store, Query::latest(&key, NEW).at_most(35)).await, Some(30));
    assert_eq!(found(&tiers.store, Query::latest(&key, NEW).as_of(at(25))).await, Some(20));
    assert_eq!(found(&tiers.store, Query::latest(&key, NEW).at_most(10)).await, Some(10));
    assert_eq!(delete(&tiers.store, Selection::Ids(&[id(40)])).await, (1, 0, 0));
    assert_eq!(found(&tiers.store, Query::latest(&key, NEW)).await, Some(30));
    let wrong = Mark::retirement("wrong", at(1));
    let changed = tiers.store.mark(&key, Selection::Ids(&[id(30)]), MarkChange::Set(&wrong)).await;
    assert_eq!(changed.unwrap(), 1);
    let queries = [Query::latest(&key, NEW), Query::latest(&key, NEW).include_retired(true)];
    let answers = tiers.store.get_many(&queries).await.unwrap();
    let version = |lookup: &Lookup| match lookup {
        Lookup::Found(found) => found.version,
        _ => 0,
    };
    assert_eq!(answers.iter().map(version).collect::<Vec<_>>(), [20, 30]);
}

#[tokio::test]
async fn a_put_over_an_archived_snapshot_leaves_one_snapshot() {
    let tiers = Tiers::with(&[40], &[]).await;
    let own = record(20);
    tiers.cold.put(vec![own.clone()], pinned()).await.unwrap();
    let other = builder(20).build(b"another state").unwrap();
    let batch = vec![own.clone(), other.clone(), record(50)];
    let outcomes = tiers.store.put(batch, PutOptions::default()).await.unwrap();
    let kept = |identical| PutOutcome::Existing { identical };
    assert_eq!(outcomes, [kept(true), kept(false), PutOutcome::Stored]);
    let spare = PutOptions::default().replace(true).spare_pinned(true);
    let outcomes = tiers.store.put(vec![other.clone()], spare).await.unwrap();
    assert_eq!(outcomes, [kept(false)]);
    let replace = PutOptions::default().replace(true);
    let outcomes = tiers.store.put(vec![other.clone()], replace).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Replaced]);
    let (key, exact) = (key(), id(20));
    let answer = tiers.store.get(Query::exact(&key, exact)).await.unwrap();
    assert_eq!(answer.into_record(), Some(other));
    let metas = tiers.store.list_all(ListRequest::new(&key)).await.unwrap();
    let pins: Vec<_> = metas.iter().map(|meta| (meta.version, meta.is_pinned())).collect();
    assert_eq!(pins, [(50, false), (40, false), (20, true)]);
    assert_eq!(delete(&tiers.store, Selection::All).await, (2, 1, 0));
}

/// The state after a move that was cut off, and after a replacement that followed.
#[tokio::test]
async fn of_two_copies_the_hot_one_counts_and_the_other_never_comes_back() {
    let tiers = Tiers::with(&[20, 40], &[10, 20]).await;
    let key = key();
    let new = builder(20).build(b"corrected").unwrap();
    let replace = PutOptions::default().replace(true);
    tiers.store.put(vec![new.clone()], replace).await.unwrap();
    let wrong = Mark::retirement("wrong", at(1));
    tiers.hot.mark(&key, Selection::Ids(&[id(20)]), MarkChange::Set(&wrong)).await.unwrap();
    // The copy that counts is retired.
    let below = Query::latest(&key, NEW).at_most(30);
    assert_eq!(found(&tiers.store, below).await, Some(10));
    let retired = tiers.store.get(below.include_retired(true)).await.unwrap();
    assert_eq!(retired.into_record(), Some(new.clone()));
    let metas = tiers.store.list_all(ListRequest::new(&key)).await.unwrap();
    let listed: Vec<_> = metas.iter().map(|meta| (meta.version, meta.is_retired())).collect();
    assert_eq!(listed, [(40, false), (20, true), (10, false)]);

    // Moving it replaces the old copy, with its marks.
    tiers.cold.mark(&key, Selection::All, MarkChange::Set(&Mark::pin("a", at(1)))).await.unwrap();
    tiers.store.archive(&key, Timestamp::MAX).await.unwrap();
    assert_eq!(tiers.versions().await, [vec![40], vec![10, 20]]);
    let moved = tiers.cold.get(Query::exact(&key, id(20))).await.unwrap();
    assert_eq!(moved.into_record(), Some(new));
    let metas = tiers.cold.list_all(ListRequest::new(&key)).await.unwrap();
    assert!(metas[0].is_retired() && !metas[0].is_pinned() && metas[1].is_pinned());

    let tiers = Tiers::with(&[20, 40], &[10, 20]).await;
    assert_eq!(delete(&tiers.store, Selection::Below(30)).await, (2, 0, 0));
    assert_eq!(tiers.versions().await, [vec![40], vec![]]);
}

#[tokio::test]
async fn a_delta_and_its_base_are_found_and_protected_across_tiers() {
    for base_is_hot in [false, true] {
        let tiers = Tiers::with(&[50], &[]).await;
        let (of_base, of_delta) =
            if base_is_hot { (&tiers.hot, &tiers.cold) } else { (&tiers.cold, &tiers.hot) };
        put(of_base, [record(10)]).await;
        put(of_delta, [delta(20, 10), delta(30, 20)]).await;
        let key = key();
        let Lookup::Found(found) = tiers.store.get(Query::exact(&key, id(30))).await.unwrap()
        else {
            panic!("not found")
        };
        assert_eq!(found.bases, [delta(20, 10), record(10)]);
        assert_eq!(delete(&tiers.store, Selection::Below(30)).await, (0, 0, 2));
        assert_eq!(delete(&tiers.store, Selection::Ids(&[id(10), id(30)])).await, (1, 0, 1));
        assert_eq!(delete(&tiers.store, Selection::Below(30)).await, (2, 0, 0));
    }
}

#[tokio::test]
async fn a_base_and_its_deltas_move_together() {
    let tiers = Tiers::with(&[10, 40], &[]).await;
    put(&tiers.hot, [delta(20, 10), delta(30, 10), delta(50, 40), delta(60, 99)]).await;
    // 30 is too young, so 10 and 20 stay as well.
    let report = tiers.store.archive(&key(), at(30)).await.unwrap();
    assert_eq!((report.moved, report.kept), (0, 2));
    // 60 is the newest. 40 and 50 move together.
    let report = tiers.store.archive(&key(), Timestamp::MAX).await.unwrap();
    assert_eq!((report.moved, report.kept), (5, 1));
    // The base of 20 stays for 30, and is copied.
    let report = tiers.store.restore(&key(), Selection::Ids(&[id(20)])).await.unwrap();
    assert_eq!((report.copied, report.deleted), (2, 1));
    assert_eq!(tiers.versions().await, [vec![10, 20, 60], vec![10, 30, 40, 50]]);
    assert_eq!(versions(&tiers.store).await, [10, 20, 30, 40, 50, 60]);
    // The copy does not count twice.
    assert_eq!(delete(&tiers.store, Selection::All).await, (6, 0, 0));
    assert_eq!(tiers.versions().await, [[0; 0], [0; 0]]);
}

#[tokio::test]
async fn what_the_cold_tier_does_not_return_as_it_was_is_not_deleted() {
    let faults = [
        (StoreCall::Put, Fault::Lost),
        (StoreCall::Get, Fault::Torn),
        (StoreCall::Get, Fault::Flipped),
        (StoreCall::Put, Fault::Unacknowledged),
        (StoreCall::Put, Fault::Refused),
        (StoreCall::List, Fault::Refused),
    ];
    for (call, fault) in faults {
        let (hot, inner) = (MemoryStore::new(), MemoryStore::new());
        let cold = FaultyStore::new(inner.clone(), Faults::new(1));
        let store = TieredStore::new(hot.clone(), cold.clone());
        hot.put((1..=5).map(record).collect(), pinned()).await.unwrap();
        cold.fail_next(call, fault).unwrap();
        let error = store.archive(&key(), Timestamp::MAX).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store, "{fault}");
        assert_eq!(cold.report().count(fault), 1);
        assert_eq!(versions(&hot).await, [1, 2, 3, 4, 5], "{fault}");
        assert_eq!(store.archive(&key(), Timestamp::MAX).await.unwrap().moved, 4, "{fault}");
        assert_eq!(versions(&inner).await, [1, 2, 3, 4]);
        assert_eq!(versions(&hot).await, [5]);
    }
}

#[tokio::test]
async fn an_outage_of_a_tier_is_not_a_missing_snapshot() {
    let inner = [MemoryStore::new(), MemoryStore::new()];
    let down = |store: &MemoryStore| {
        FaultyStore::new(store.clone(), Faults::new(1).rate(Fault::Refused, 1.0))
    };
    let key = key();
    for cold_is_down in [false, true] {
        let store = if cold_is_down {
            TieredStore::new(inner[0].clone(), down(&inner[1]))
        } else {
            TieredStore::new(down(&inner[0]), inner[1].clone())
        };
        let errors = [
            store.get(Query::latest(&key, NEW)).await.map(drop).unwrap_err(),
            store.list(ListRequest::new(&key)).await.map(drop).unwrap_err(),
            store.put(vec![record(1)], PutOptions::default()).await.map(drop).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.retry() == Retry::Later), "{errors:?}");
    }
    assert_eq!(versions(&inner[0]).await, [0; 0]);
}

#[tokio::test]
async fn the_weaker_tier_limits_both_and_what_it_cannot_store_stays() {
    let strong = MemoryStore::new().capabilities().durable(true);
    let weak = Capabilities::new("weak").max_version(40).max_record_bytes(200).durable(true);
    let hot = MemoryStore::new();
    let (a, b) = (Limited(hot.clone(), strong), Limited(MemoryStore::new(), weak));
    let store = TieredStore::new(a, b);
    let own = store.capabilities();
    assert_eq!(
        (own.name, own.durable, own.marks, own.returns_bases),
        ("tiered", true, false, false)
    );
    assert_eq!((own.max_version, own.max_record_bytes), (40, 200));
    assert!(!own.atomic_batches);
    let large = builder(7).build(&fastrand::Rng::with_seed(1).u128(..).to_le_bytes().repeat(40));
    for refused in [record(41), large.clone().unwrap()] {
        let put = store.put(vec![record(9), refused], PutOptions::default()).await;
        assert_eq!(put.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let marked = store.put(vec![record(9)], pinned()).await.unwrap_err();
    assert_eq!(marked.kind(), ErrorKind::Unsupported);
    let pin = Mark::pin("a", at(1));
    let marked = store.mark(&key(), Selection::All, MarkChange::Set(&pin)).await.unwrap_err();
    assert_eq!(marked.kind(), ErrorKind::Unsupported);
    // They are in the hot tier from before.
    hot.put(vec![record(3)], pinned()).await.unwrap();
    put(&hot, [record(41), large.unwrap(), record(9), record(50)]).await;
    let report = store.archive(&key(), Timestamp::MAX).await.unwrap();
    assert_eq!((report.moved, report.kept), (1, 4));
    assert_eq!(versions(&hot).await, [3, 7, 41, 50]);
}
