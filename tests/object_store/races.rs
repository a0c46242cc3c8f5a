//! Single schedules that chance seldom meets: each is a way to lose a snapshot, or to bring one back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _};
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::store::{
    DeleteOptions, Mark, MarkChange, MarkKind, Marks, PutOptions, PutOutcome, Rewrite, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, Retry, SnapshotStore, Timestamp};

use crate::support::unreliable::{Mishap, Unreliable};
use crate::support::{ROOT, get, id, index_of, key, names, opened, opened_with, put, record, run};

const HOURS: Duration = Duration::from_secs(2 * 3_600);

fn reliable() -> Unreliable {
    Unreliable::new(0, Vec::new())
}

/// No copies in the index: a lost record shows.
fn bare() -> ObjectStoreOptions {
    ObjectStoreOptions::new().inline_limit(0).cache_bytes(0)
}

/// A put whose index write is still on its way when it has given up. Nothing is in memory.
async fn give_up(objects: &Unreliable, store: &ObjectStoreSnapshots, key: &AggregateKey) {
    objects.next("x/", Mishap::Late);
    objects.after(1, "x/", Mishap::Denied);
    let late = store.put(vec![record(key, id(2), 2, 50)], PutOptions::default()).await;
    assert_eq!(late.unwrap_err().retry(), Retry::Unknown);
    assert_eq!(objects.pending(), 1);
}

#[test]
fn a_late_index_names_no_record_that_was_swept() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let [slow, other] = [opened_with(&objects, bare()).await, opened(&objects).await];
        put(&slow, &record(&key, id(1), 1, 50)).await;
        give_up(&objects, &slow, &key).await;
        tokio::time::sleep(HOURS).await;
        assert_eq!(other.sweep().await.unwrap().deleted, 1);
        objects.arrive();
        assert_eq!(get(&slow, &key, id(2)).await, None);
        assert!(get(&slow, &key, id(1)).await.is_some());
    });
}

#[test]
fn a_late_first_index_keeps_its_records_from_a_sweep() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let [slow, other] = [opened_with(&objects, bare()).await, opened(&objects).await];
        give_up(&objects, &slow, &key).await;
        tokio::time::sleep(HOURS).await;
        let swept = other.sweep().await.unwrap();
        assert_eq!((swept.deleted, swept.without_index), (0, 1));
        objects.arrive();
        assert_eq!(get(&slow, &key, id(2)).await, Some(record(&key, id(2), 2, 50)));
    });
}

#[test]
fn a_late_index_does_not_undo_a_delete() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let [slow, other] = [opened_with(&objects, bare()).await, opened(&objects).await];
        put(&slow, &record(&key, id(1), 1, 50)).await;
        give_up(&objects, &slow, &key).await;
        let deleted = other.delete(&key, Selection::All, DeleteOptions::default()).await;
        assert_eq!(deleted.unwrap().snapshots, 1);
        objects.arrive();
        assert_eq!(get(&slow, &key, id(1)).await, None);
        assert_eq!(get(&slow, &key, id(2)).await, None);
    });
}

#[test]
fn repeated_requests_that_arrive_after_a_delete_bring_nothing_back() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let store = opened(&objects).await;
        let first = record(&key, id(1), 1, 50);
        objects.next("r/", Mishap::Twice);
        objects.next("x/", Mishap::Twice);
        put(&store, &first).await;
        store.delete(&key, Selection::All, DeleteOptions::default()).await.unwrap();
        objects.arrive();
        assert_eq!(get(&store, &key, id(1)).await, None);
        // The record is an object that nobody names.
        assert_eq!(names(&objects, "r").await.len(), 1);
        // Its deletion is repeated as well, when the snapshot is there again.
        objects.next("r/", Mishap::Twice);
        put(&store, &first).await;
        store.delete(&key, Selection::All, DeleteOptions::default()).await.unwrap();
        assert_eq!(put(&store, &first).await, PutOutcome::Stored);
        objects.arrive();
        tokio::time::sleep(HOURS).await;
        assert!(store.sweep().await.unwrap().deleted >= 1);
        assert_eq!(names(&objects, "r").await.len(), 1);
        let other = opened_with(&objects, bare()).await;
        assert_eq!(get(&other, &key, id(1)).await, Some(first));
    });
}

/// Runs `then` in the middle of the next write of a record.
fn when_a_record_was_sent(objects: &Unreliable, then: impl Fn() + Send + Sync + 'static) {
    let is_done = AtomicBool::new(false);
    objects.listen(move |path| {
        if path.as_ref().contains("/r/") && !is_done.swap(true, Ordering::Relaxed) {
            then();
        }
    });
}

#[test]
fn a_put_does_not_delete_its_record_if_a_repair_has_named_it() {
    for replace in [false, true] {
        run(0, async {
            let objects = reliable();
            let key = key("a");
            let store = opened_with(&objects, bare()).await;
            let repairing = opened_with(&objects, bare()).await;
            when_a_record_was_sent(&objects, move || {
                let repaired = repairing.repair().now_or_never().unwrap().unwrap();
                assert_eq!(repaired.restored, 1);
            });
            let first = record(&key, id(1), 1, 50);
            let options = PutOptions::default().replace(replace);
            store.put(vec![first.clone()], options).await.unwrap();
            assert_eq!(get(&store, &key, id(1)).await, Some(first));
            assert_eq!(names(&objects, "r").await.len(), 1);
        });
    }
}

#[test]
fn a_rewrite_does_not_delete_its_record_if_a_repair_has_named_it() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let store = opened_with(&objects, bare()).await;
        let first = record(&key, id(1), 1, 50);
        put(&store, &first).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let repairing = opened_with(&objects, bare()).await;
        let (inner, path) = (Arc::clone(&objects.inner), index_of(&key));
        when_a_record_was_sent(&objects, move || {
            let damage = async { inner.put(&path, "SNX1 and what is no index".into()).await };
            damage.now_or_never().unwrap().unwrap();
            let repaired = repairing.repair().now_or_never().unwrap().unwrap();
            assert_eq!((repaired.rebuilt, repaired.restored), (1, 1));
        });
        let second = record(&key, id(1), 2, 50);
        let rewritten = store.rewrite(vec![Rewrite::new(first, second.clone())]).await;
        drop(rewritten);
        assert_eq!(get(&store, &key, id(1)).await, Some(second));
    });
}

#[test]
fn what_others_have_made_room_for_is_not_refused_from_memory() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let [store, other] = [opened(&objects).await, opened(&objects).await];
        let at = Timestamp::from_seconds(1);
        let pin = |number: usize| Mark::pin(format!("pin {number}"), at);
        put(&store, &record(&key, id(1), 1, 50)).await;
        for number in 0..Marks::MAX {
            let marked = store.mark(&key, Selection::All, MarkChange::Set(&pin(number))).await;
            assert_eq!(marked.unwrap(), 1);
        }
        let clear = MarkChange::Clear { kind: MarkKind::Pin, name: "pin 0" };
        other.mark(&key, Selection::All, clear).await.unwrap();
        let set = store.mark(&key, Selection::All, MarkChange::Set(&pin(100))).await;
        assert_eq!(set.unwrap(), 1);
        // The same for a put.
        let clear = MarkChange::Clear { kind: MarkKind::Pin, name: "pin 1" };
        other.mark(&key, Selection::All, clear).await.unwrap();
        let options = PutOptions::default().replace(true);
        let options = options.marks(Marks::new([pin(101)]).unwrap());
        store.put(vec![record(&key, id(1), 2, 50)], options.clone()).await.unwrap();
        // It is refused when there is no room.
        let again = options.marks(Marks::new([pin(102)]).unwrap());
        let refused = store.put(vec![record(&key, id(1), 3, 50)], again).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn an_aggregate_that_others_have_pruned_is_not_full() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let [store, other] = [opened(&objects).await, opened(&objects).await];
        let records = (1..=4_096).map(|version| record(&key, id(version), version, 8));
        store.put(records.collect(), PutOptions::default()).await.unwrap();
        let one_more = record(&key, id(5_000), 1, 8);
        let refused = store.put(vec![one_more.clone()], PutOptions::default()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::OutOfSpace);
        other.delete(&key, Selection::Below(4_000), DeleteOptions::default()).await.unwrap();
        assert_eq!(put(&store, &one_more).await, PutOutcome::Stored);
    });
}

#[test]
fn a_write_that_was_made_before_the_credentials_ended_was_made() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let store = opened(&objects).await;
        objects.next("x/", Mishap::DeniedAfter);
        assert_eq!(put(&store, &record(&key, id(1), 1, 50)).await, PutOutcome::Stored);
        objects.next("x/", Mishap::DeniedAfter);
        let deleted = store.delete(&key, Selection::All, DeleteOptions::default()).await;
        assert_eq!(deleted.unwrap().snapshots, 1);
        // One that was not allowed fails, and says that it will fail again.
        objects.next("x/", Mishap::Denied);
        let denied = store.put(vec![record(&key, id(1), 1, 50)], PutOptions::default()).await;
        assert_eq!(denied.unwrap_err().retry(), Retry::Never);
        assert_eq!(get(&store, &key, id(1)).await, None);
    });
}

#[test]
fn a_batch_that_is_stored_is_not_reported_as_failed_for_sure() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let store = opened_with(&objects, bare()).await;
        let first = record(&key, id(1), 1, 50);
        put(&store, &first).await;
        // Two records are written, and then it cannot be read whether the one that was there is the
        // same.
        objects.after(2, "r/", Mishap::Denied);
        let batch = vec![record(&key, id(1), 2, 50), record(&key, id(2), 2, 50)];
        let error = store.put(batch, PutOptions::default()).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Unknown);
        assert!(get(&store, &key, id(2)).await.is_some());
    });
}

#[test]
fn an_erasure_that_was_interrupted_does_not_say_that_nothing_happened() {
    run(0, async {
        let objects = reliable();
        let key = key("a");
        let store = opened(&objects).await;
        put(&store, &record(&key, id(1), 1, 50)).await;
        objects.next("r/", Mishap::Denied);
        let error = store.erase(&key).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Unknown);
        assert_eq!(get(&store, &key, id(1)).await, None);
    });
}

/// A put whose answer was lost, and which then reads an index that others have changed so many times.
async fn lost_before(others: u64) -> Result<PutOutcome, Error> {
    let objects = reliable();
    let key = key("a");
    let [store, other] = [opened(&objects).await, opened(&objects).await];
    put(&store, &record(&key, id(1), 1, 50)).await;
    put(&other, &record(&key, id(3), 1, 50)).await;
    put(&store, &record(&key, id(4), 1, 50)).await;
    // It waits until it reads again, and the others make all their puts meanwhile.
    objects.next("x/", Mishap::Lost);
    objects.next("x/", Mishap::Refused);
    let busy = async {
        tokio::task::yield_now().await;
        let other = opened_with(&Unreliable::over(&objects), ObjectStoreOptions::new()).await;
        for version in 0..others {
            put(&other, &record(&key, id(100 + version), 1, 50)).await;
        }
    };
    let records = vec![record(&key, id(2), 2, 50)];
    let (lost, ()) = tokio::join!(store.put(records, PutOptions::default()), busy);
    lost.map(|outcomes| outcomes[0])
}

#[test]
fn a_lost_answer_is_found_out_as_long_as_the_index_knows_it() {
    assert_eq!(run(0, lost_before(255)).unwrap(), PutOutcome::Stored);
    let error = run(0, lost_before(256)).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Unknown));
}

#[test]
fn objects_in_another_order_are_no_list_that_can_be_continued() {
    run(0, async {
        let objects = reliable();
        let store = opened(&objects).await;
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            put(&store, &record(&key(name), id(1), 1, 50)).await;
        }
        let listed: Vec<_> = names(&objects as &dyn ObjectStore, "x").await;
        assert!(listed[0].as_ref().starts_with(ROOT));
        objects.next("", Mishap::Disorder);
        let keys = store.keys(snapfold::store::KeysRequest::new()).await;
        assert_eq!(keys.unwrap_err().kind(), ErrorKind::Unsupported);
    });
}
