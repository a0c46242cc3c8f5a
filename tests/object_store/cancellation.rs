//! Calls that end in the middle: dropped before or after each of their requests, or killed with the
//! process. What is acknowledged is there, and what is not is there as a whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::Record;
use snapfold::store::{
    DeleteOptions, ListRequest, Mark, MarkChange, PutOptions, PutOutcome, Rewrite, Selection,
};
use snapfold::{Error, SnapshotStore, Timestamp};

use crate::support::counted::Counted;
use crate::support::{bytes, get, id, key, names, opened_with, put, record, run};

/// Far below the time limit of a call.
const SHORT: Duration = Duration::from_secs(1);

fn old() -> [Record; 2] {
    [record(&key("a"), id(1), 1, 50), record(&key("a"), id(2), 1, 50)]
}

fn new() -> Record {
    record(&key("a"), id(2), 2, 60)
}

/// A call, and whether what there is afterwards is as before it, or as after it.
#[derive(Clone, Copy, Debug)]
enum Call {
    Put,
    Replace,
    Rewrite,
    Delete,
    Erase,
    Mark,
}

const CALLS: [Call; 6] =
    [Call::Put, Call::Replace, Call::Rewrite, Call::Delete, Call::Erase, Call::Mark];

impl Call {
    async fn make(self, store: &ObjectStoreSnapshots) -> Result<(), Error> {
        let key = key("a");
        match self {
            Self::Put => {
                let batch = vec![record(&key, id(3), 1, 50), record(&key, id(4), 1, 50)];
                store.put(batch, PutOptions::default()).await.map(drop)
            }
            Self::Replace => {
                store.put(vec![new()], PutOptions::default().replace(true)).await.map(drop)
            }
            Self::Rewrite => {
                let [_, there] = old();
                store.rewrite(vec![Rewrite::new(there, new())]).await.map(drop)
            }
            Self::Delete => {
                let options = DeleteOptions::default();
                store.delete(&key, Selection::All, options).await.map(drop)
            }
            Self::Erase => store.erase(&key).await.map(drop),
            Self::Mark => {
                let mark = Mark::pin("audit", Timestamp::from_seconds(1));
                store.mark(&key, Selection::All, MarkChange::Set(&mark)).await.map(drop)
            }
        }
    }
}

/// Everything that a store says about the aggregate.
async fn seen(store: &ObjectStoreSnapshots) -> Vec<(Record, bool)> {
    let listed = store.list(ListRequest::new(&key("a"))).await.unwrap();
    let mut seen = Vec::new();
    for meta in listed.items {
        let record = get(store, &key("a"), meta.id()).await.unwrap();
        assert!(record.verify().is_ok(), "{} lost its record", meta.id());
        seen.push((record, meta.is_pinned()));
    }
    seen
}

async fn bucket(inline: u64) -> (Counted, ObjectStoreOptions, ObjectStoreSnapshots) {
    let objects = Counted::new(Arc::new(InMemory::new()));
    let options = ObjectStoreOptions::new().inline_limit(inline);
    let store = opened_with(&objects, options.clone()).await;
    for record in old() {
        put(&store, &record).await;
    }
    (objects, options, store)
}

/// Stops a call after so many requests, the last of which has its effect and is not answered. `None`
/// if the call needs no more than that. Returns what there is then.
async fn stopped(
    call: Call,
    requests: u64,
    is_cold: bool,
    inline: u64,
) -> Option<Vec<(Record, bool)>> {
    let (objects, options, warm) = bucket(inline).await;
    let cold = opened_with(&objects, options.clone()).await;
    let store = if is_cold { &cold } else { &warm };
    objects.stop_after(Some(requests));
    let made = tokio::time::timeout(SHORT, call.make(store)).await;
    objects.stop_after(None);
    if let Ok(made) = made {
        made.unwrap();
        return None;
    }
    let other = opened_with(&objects, options).await;
    let there = seen(&other).await;
    // The handle is in order, and so are others that had everything in memory.
    assert_eq!(seen(store).await, there);
    assert_eq!(seen(&warm).await, there);
    // The call can be repeated, and has then been made.
    call.make(store).await.unwrap();
    let repeated = seen(&other).await;
    assert_eq!(repeated, after(call, inline).await, "{call:?} after {requests} requests");
    // So can others.
    assert_eq!(put(&warm, &record(&key("a"), id(9), 1, 50)).await, PutOutcome::Stored);
    assert!(get(&other, &key("a"), id(9)).await.is_some());
    Some(there)
}

async fn after(call: Call, inline: u64) -> Vec<(Record, bool)> {
    let (_, _, store) = bucket(inline).await;
    call.make(&store).await.unwrap();
    seen(&store).await
}

#[test]
fn a_call_that_is_dropped_at_any_request_was_made_or_was_not() {
    for call in CALLS {
        for (is_cold, inline) in [(false, 0), (false, 64 << 10), (true, 0), (true, 64 << 10)] {
            run(0, async {
                let before = seen(&bucket(inline).await.2).await;
                let after = after(call, inline).await;
                assert_ne!(before, after, "{call:?}");
                let (mut is_made, mut requests) = (false, 1);
                while let Some(there) = stopped(call, requests, is_cold, inline).await {
                    // Once it is made, it is made.
                    is_made |= there == after;
                    let expected = if is_made { &after } else { &before };
                    assert_eq!(&there, expected, "{call:?} after {requests} requests");
                    requests += 1;
                }
                assert!(requests > 1, "{call:?} was never stopped");
            });
        }
    }
}

/// What an interrupted call leaves behind is in no index, and what an index names is there.
#[test]
fn an_interrupted_call_leaves_only_records_that_nobody_names() {
    for call in CALLS {
        run(0, async {
            for requests in 1..10 {
                let (objects, options, store) = bucket(0).await;
                objects.stop_after(Some(requests));
                let made = tokio::time::timeout(SHORT, call.make(&store)).await;
                objects.stop_after(None);
                // The process is gone, and others go on.
                drop(store);
                let other = opened_with(&objects, options).await;
                let there = seen(&other).await;
                let objects_there = names(&objects, "r").await;
                let mut contents = Vec::new();
                for path in &objects_there {
                    contents.push(bytes(&objects, path).await);
                }
                for (record, _) in &there {
                    assert!(contents.contains(&record.as_bytes().to_vec()));
                }
                if made.is_ok() {
                    assert_eq!(contents.len(), there.len(), "{call:?}");
                    break;
                }
            }
        });
    }
}
