//! The store that fails on purpose fails as it says, and the same way again for the same seed.
//!
//! The defect: a fault layer that is wrong itself. A fault that is announced and does nothing makes
//! the tests above it prove nothing; one that does more than it says (a "refused" put that is
//! stored all the same) accuses an engine that is right; and one that cannot be brought about again
//! finds defects that nobody can repair.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use snapfold::layer::{Fault, Faults, FaultyStore, StoreCall};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, ListRequest, Lookup, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, MemoryStore, Retry, SnapshotStore, Timestamp};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn key() -> AggregateKey {
    AggregateKey::new("account", "a").unwrap()
}

fn record(version: u64) -> Record {
    let as_of = Timestamp::from_seconds(i64::try_from(version).unwrap());
    let payload: Vec<u8> = (0..100).map(|i: u8| i.wrapping_mul(version.to_le_bytes()[0])).collect();
    RecordBuilder::new(key(), GENERATION, version, as_of).build(&payload).unwrap()
}

/// Runs on a runtime with a paused clock: time passes only where a fault waits.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(test)
}

/// A store on which nothing happens by chance, and what is under it.
fn told() -> (FaultyStore, MemoryStore) {
    let inner = MemoryStore::new();
    (FaultyStore::new(inner.clone(), Faults::new(1)), inner)
}

async fn put(store: &impl SnapshotStore, version: u64) -> Result<Vec<PutOutcome>, Error> {
    store.put(vec![record(version)], PutOptions::default()).await
}

async fn newest(store: &impl SnapshotStore) -> Result<Option<u64>, Error> {
    let key = key();
    let lookup = store.get(Query::latest(&key, GENERATION)).await?;
    Ok(match lookup {
        Lookup::Found(found) => Some(found.version),
        _ => None,
    })
}

async fn versions(store: &impl SnapshotStore) -> Vec<u64> {
    let key = key();
    let page = store.list(ListRequest::new(&key)).await.unwrap();
    page.items.iter().map(|meta| meta.version).collect()
}

#[test]
fn a_refused_call_did_not_happen_and_may_be_tried_again() {
    run(async {
        let (store, inner) = told();
        let key = key();
        put(&inner, 1).await.unwrap();
        for call in
            [StoreCall::Put, StoreCall::Get, StoreCall::List, StoreCall::Keys, StoreCall::Delete]
        {
            store.fail_next(call, Fault::Refused).unwrap();
            let error = match call {
                StoreCall::Put => put(&store, 2).await.map(drop),
                StoreCall::Get => newest(&store).await.map(drop),
                StoreCall::List => store.list(ListRequest::new(&key)).await.map(drop),
                StoreCall::Keys => store.keys(KeysRequest::new()).await.map(drop),
                _ => store.delete(&key, Selection::All, DeleteOptions::default()).await.map(drop),
            }
            .unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Later), "{call}");
            assert_eq!(store.report().count_on(call, Fault::Refused), 1);
        }
        assert_eq!(versions(&inner).await, [1]);
        assert_eq!(put(&store, 2).await.unwrap(), [PutOutcome::Stored]);
        assert_eq!(newest(&store).await.unwrap(), Some(2));
        assert_eq!(versions(&store).await, [2, 1]);
        assert_eq!(store.keys(KeysRequest::new()).await.unwrap().items.len(), 1);
        assert_eq!(
            store.delete(&key, Selection::All, DeleteOptions::default()).await.unwrap().snapshots,
            2
        );
    });
}

#[test]
fn an_unacknowledged_write_has_happened_and_says_that_it_is_not_known() {
    run(async {
        let (store, inner) = told();
        store.fail_next(StoreCall::Put, Fault::Unacknowledged).unwrap();
        let error = put(&store, 3).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Unknown));
        assert_eq!(versions(&inner).await, [3]);

        store.fail_next(StoreCall::Delete, Fault::Unacknowledged).unwrap();
        let error =
            store.delete(&key(), Selection::All, DeleteOptions::default()).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Unknown);
        assert_eq!(versions(&inner).await, [0_u64; 0]);
    });
}

#[test]
fn a_call_that_hangs_ends_at_its_bound_and_a_write_may_have_happened() {
    run(async {
        let mut happened = 0;
        for seed in 0..40 {
            let inner = MemoryStore::new();
            let hang = Duration::from_secs(30);
            let store = FaultyStore::new(inner.clone(), Faults::new(seed).hang(hang));
            store.fail_next(StoreCall::Put, Fault::Hung).unwrap();
            let began = tokio::time::Instant::now();
            let error = put(&store, 3).await.unwrap_err();
            assert_eq!(began.elapsed(), hang);
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Unknown));
            happened += versions(&inner).await.len();

            store.fail_next(StoreCall::Get, Fault::Hung).unwrap();
            assert_eq!(newest(&store).await.unwrap_err().retry(), Retry::Later);
        }
        assert!((10..=30).contains(&happened), "{happened} of 40 hanging puts happened");
    });
}

#[test]
fn a_lost_put_is_acknowledged_and_not_there() {
    run(async {
        let (store, inner) = told();
        store.fail_next(StoreCall::Put, Fault::Lost).unwrap();
        let outcomes = store.put(vec![record(1), record(2)], PutOptions::default()).await.unwrap();
        assert_eq!(outcomes, [PutOutcome::Stored; 2]);
        assert_eq!(versions(&inner).await, [0_u64; 0]);
        assert_eq!(store.report().count(Fault::Lost), 1);
    });
}

#[test]
fn torn_and_flipped_records_are_damaged_once_and_never_underneath() {
    run(async {
        for seed in 0..200 {
            let inner = MemoryStore::new();
            let store = FaultyStore::new(inner.clone(), Faults::new(seed));
            put(&store, 5).await.unwrap();
            let (key, whole) = (key(), record(5));
            let query = Query::latest(&key, GENERATION);

            store.fail_next(StoreCall::Get, Fault::Torn).unwrap();
            let torn = store.get(query).await.unwrap().into_record().unwrap();
            assert!(torn.as_bytes().len() < whole.as_bytes().len());
            assert!(whole.as_bytes().starts_with(torn.as_bytes()));
            assert!(torn.verify().is_err());

            store.fail_next(StoreCall::Get, Fault::Flipped).unwrap();
            let flipped = store.get(query).await.unwrap().into_record().unwrap();
            let pairs = flipped.as_bytes().iter().zip(whole.as_bytes());
            let bits: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!((bits, flipped.as_bytes().len()), (1, whole.as_bytes().len()));
            assert!(flipped.verify().is_err(), "seed {seed}: a flipped bit goes unnoticed");

            assert_eq!(store.get(query).await.unwrap().into_record(), Some(whole));
        }
    });
}

#[test]
fn a_stale_read_answers_what_was_true_before() {
    run(async {
        for seed in 0..50 {
            let inner = MemoryStore::new();
            let store = FaultyStore::new(inner.clone(), Faults::new(seed));
            // Nothing was ever different yet: there is nothing to lag behind.
            store.fail_next(StoreCall::Get, Fault::Stale).unwrap();
            assert_eq!(newest(&store).await.unwrap(), None);
            assert_eq!(store.report().count(Fault::Stale), 0);

            put(&store, 5).await.unwrap();
            put(&store, 9).await.unwrap();
            store.fail_next(StoreCall::Get, Fault::Stale).unwrap();
            assert!(matches!(newest(&store).await.unwrap(), None | Some(5)));
            assert_eq!(newest(&store).await.unwrap(), Some(9));

            // What was deleted comes back.
            store.delete(&key(), Selection::All, DeleteOptions::default()).await.unwrap();
            store.fail_next(StoreCall::Get, Fault::Stale).unwrap();
            assert_eq!(newest(&store).await.unwrap(), Some(9));
            assert_eq!(newest(&store).await.unwrap(), None);
            assert_eq!(store.report().count(Fault::Stale), 2);
        }
    });
}

#[test]
fn a_stale_page_lacks_the_newest_or_is_an_earlier_one() {
    run(async {
        for seed in 0..50 {
            let store = FaultyStore::new(MemoryStore::new(), Faults::new(seed));
            for version in 1..=3 {
                put(&store, version).await.unwrap();
            }
            assert_eq!(versions(&store).await, [3, 2, 1]);
            put(&store, 4).await.unwrap();
            assert_eq!(versions(&store).await, [4, 3, 2, 1]);
            store.fail_next(StoreCall::List, Fault::Stale).unwrap();
            assert_eq!(versions(&store).await, [3, 2, 1]);

            let key = key();
            let one = ListRequest::new(&key).limit(1);
            store.fail_next(StoreCall::List, Fault::Stale).unwrap();
            let page = store.list(one).await.unwrap();
            assert!(!page.items.is_empty() || page.next.is_none(), "an empty page goes on (C-31)");
        }
    });
}

#[test]
fn a_delayed_call_takes_at_most_the_longest_delay_and_succeeds() {
    run(async {
        let longest = Duration::from_millis(100);
        let faults = Faults::new(3).max_delay(longest).rate(Fault::Delayed, 1.0);
        let store = FaultyStore::new(MemoryStore::new(), faults);
        let began = tokio::time::Instant::now();
        for version in 1..=200 {
            let call = tokio::time::Instant::now();
            put(&store, version).await.unwrap();
            // A timer may be late by its granularity, once before and once after the call.
            assert!(call.elapsed() <= longest + Duration::from_millis(2), "{:?}", call.elapsed());
        }
        let mean = began.elapsed() / 200;
        assert!((40..60).contains(&mean.as_millis()), "{mean:?} on average");
        assert_eq!(store.report().count_on(StoreCall::Put, Fault::Delayed), 200);
    });
}

/// What a number of calls answered, in words.
async fn answers(store: &FaultyStore) -> Vec<String> {
    let key = key();
    let mut answers = Vec::new();
    for version in 1..=60 {
        answers.push(format!("{:?}", put(store, version).await));
        answers.push(format!("{:?}", store.get(Query::latest(&key, GENERATION)).await));
        answers.push(format!("{:?}", store.list(ListRequest::new(&key).limit(3)).await));
        answers.push(format!(
            "{:?}",
            store.delete(&key, Selection::Below(version / 2), DeleteOptions::default()).await
        ));
    }
    answers
}

#[test]
fn the_same_seed_brings_the_same_faults_and_another_seed_others() {
    run(async {
        let faulty = |seed| FaultyStore::new(MemoryStore::new(), Faults::mixed(seed, 0.1));
        let (first, again, other) = (faulty(11), faulty(11), faulty(12));
        let expected = answers(&first).await;
        assert_eq!(answers(&again).await, expected);
        assert_eq!(again.report(), first.report());
        assert_ne!(answers(&other).await, expected);
        let report = first.report();
        for fault in [
            Fault::Delayed,
            Fault::Flipped,
            Fault::Hung,
            Fault::Refused,
            Fault::Stale,
            Fault::Torn,
            Fault::Unacknowledged,
        ] {
            assert!(report.count(fault) > 0, "{fault} never happened: {report}");
        }
        assert_eq!(report.count(Fault::Lost), 0);
        assert!(report.to_string().starts_with("seed 11: "), "{report}");
        assert!(format!("{first:?}").contains("seed 11: "), "{first:?}");
    });
}

#[test]
fn calls_of_one_method_do_not_change_what_befalls_another() {
    run(async {
        let refused = async |gets_between: u32| {
            let faults = Faults::new(5).rate(Fault::Refused, 0.3);
            let store = FaultyStore::new(MemoryStore::new(), faults);
            let mut refused = Vec::new();
            for version in 1..=50 {
                for _ in 0..gets_between {
                    let _ = newest(&store).await;
                }
                refused.push(put(&store, version).await.is_err());
            }
            refused
        };
        let alone = refused(0).await;
        assert_eq!(refused(3).await, alone);
        assert!(alone.contains(&true) && alone.contains(&false));
    });
}

#[test]
fn rates_are_kept_and_senseless_ones_are_harmless() {
    run(async {
        let faults = Faults::new(9)
            .rate(Fault::Refused, f64::NAN)
            .rate_on(StoreCall::Get, Fault::Refused, 0.25)
            .rate_on(StoreCall::Put, Fault::Refused, -3.0)
            .rate_on(StoreCall::Put, Fault::Torn, 1.0)
            .rate_on(StoreCall::List, Fault::Refused, 7.0);
        let store = FaultyStore::new(MemoryStore::new(), faults);
        for version in 1..=2_000 {
            put(&store, version).await.unwrap();
            let _ = newest(&store).await;
            assert!(store.list(ListRequest::new(&key())).await.is_err());
        }
        let refused = store.report().count_on(StoreCall::Get, Fault::Refused);
        assert!((400..600).contains(&refused), "{refused} of 2,000, expected about 500");
        assert_eq!(store.report().calls(StoreCall::Put), 2_000);
        assert_eq!(store.report().total(), refused + 2_000);
    });
}

#[test]
fn stopped_faults_are_over_until_they_are_started_again() {
    run(async {
        let store = FaultyStore::new(MemoryStore::new(), Faults::mixed(4, 0.14));
        let _ = answers(&store).await;
        store.fail_next(StoreCall::Put, Fault::Refused).unwrap();
        store.stop();
        let before = store.report().total();
        for version in 100..200 {
            put(&store, version).await.unwrap();
            assert_eq!(newest(&store).await.unwrap(), Some(version));
        }
        assert_eq!(store.report().total(), before);
        // One that is asked for comes all the same.
        store.fail_next(StoreCall::Put, Fault::Refused).unwrap();
        assert!(put(&store, 200).await.is_err());
        store.start();
        let _ = answers(&store).await;
        assert!(store.report().total() > before + 1);
    });
}

#[test]
fn a_fault_that_a_call_cannot_meet_is_refused_in_advance() {
    let (store, _) = told();
    for (call, fault) in [
        (StoreCall::Put, Fault::Torn),
        (StoreCall::List, Fault::Flipped),
        (StoreCall::Get, Fault::Unacknowledged),
        (StoreCall::Delete, Fault::Lost),
        (StoreCall::Keys, Fault::Stale),
    ] {
        assert!(!fault.can_befall(call));
        let error = store.fail_next(call, fault).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&format!("{call} call cannot be {fault}")), "{error}");
    }
}

#[test]
fn a_call_that_is_dropped_has_happened_or_not_and_nothing_follows() {
    run(async {
        let mut happened = 0;
        for seed in 0..60 {
            let inner = MemoryStore::new();
            let faults = Faults::new(seed).max_delay(Duration::from_millis(100));
            let store = FaultyStore::new(inner.clone(), faults);
            store.fail_next(StoreCall::Put, Fault::Delayed).unwrap();
            let _ = tokio::time::timeout(Duration::from_millis(20), put(&store, 1)).await;
            let then = versions(&inner).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(versions(&inner).await, then);
            happened += then.len();
            store.stop();
            put(&store, 2).await.unwrap();
        }
        assert!((5..55).contains(&happened), "{happened} of 60");
    });
}

#[test]
fn without_a_runtime_a_fault_that_waits_is_an_error_and_no_panic() {
    let (store, _) = told();
    let poll = |fault| {
        store.fail_next(StoreCall::Get, fault).unwrap();
        let mut get = Box::pin(newest(&store));
        match get.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("it waits"),
        }
    };
    for fault in [Fault::Hung, Fault::Delayed] {
        assert_eq!(poll(fault).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(poll(Fault::Refused).unwrap_err().kind(), ErrorKind::Store);
}

#[test]
fn any_store_can_be_wrapped_also_a_shared_one_and_keeps_its_capabilities() {
    run(async {
        let shared: Arc<dyn SnapshotStore> = Arc::new(MemoryStore::new());
        let store = FaultyStore::new(Arc::clone(&shared), Faults::new(0));
        assert_eq!(store.capabilities(), shared.capabilities());
        put(&store.clone(), 1).await.unwrap();
        assert_eq!(newest(&shared).await.unwrap(), Some(1));
        // Clones share the faults and the counts.
        assert_eq!(store.report().calls(StoreCall::Put), 1);
    });
}
