//! Commands through cqrs-es' own framework, with any database: what is loaded is the fold of the
//! events, with and without snapshots.

use std::collections::HashMap;
use std::time::Duration;

use cqrs_es::persist::{PersistedEventStore, SemanticVersionEventUpcaster, SerializedEvent};
use cqrs_es::{AggregateError, CqrsFramework, EventStore};
use serde_json::json;
use snapfold::trigger::every_events;
use snapfold::{MemoryStore, SnapshotEngine};
use snapfold_cqrs_es::doc::{Account, AccountCommand, AccountEvent, Overdrawn, Repository};
use snapfold_cqrs_es::{RepositoryEvents, SnapfoldEventStore, State};

type Events = RepositoryEvents<Repository, Account>;
type Store = SnapfoldEventStore<Repository, Account>;

fn engine(events: &Events, snapshots: MemoryStore) -> SnapshotEngine<State<Account>> {
    SnapshotEngine::builder(events.clone(), snapshots).trigger(every_events(10)).build().unwrap()
}

fn store(repository: &Repository) -> Store {
    let events = Events::new(repository.clone());
    Store::new(events.clone(), engine(&events, MemoryStore::new()))
}

async fn folded(repository: &Repository, id: &str) -> Account {
    let theirs = PersistedEventStore::<_, Account>::new_event_store(repository.clone());
    theirs.load_aggregate(id).await.unwrap().aggregate
}

#[tokio::test]
async fn commands_through_the_framework_give_the_fold_of_the_events() {
    let repository = Repository::default();
    let events = Events::new(repository.clone());
    let engine = engine(&events, MemoryStore::new());
    let cqrs = CqrsFramework::new(Store::new(events, engine.clone()), vec![], ());
    for number in 1..=57 {
        cqrs.execute("a", AccountCommand::Deposit { cents: number }).await.unwrap();
        if number % 7 == 0 {
            cqrs.execute("a", AccountCommand::Withdraw { cents: 3 }).await.unwrap();
            engine.flush(Duration::from_secs(10)).await.unwrap();
        }
    }
    let loaded = store(&repository).load_aggregate("a").await.unwrap();
    assert_eq!(loaded.aggregate, folded(&repository, "a").await);
    assert_eq!((loaded.current_sequence, loaded.current_snapshot), (65, None));

    let loaded = engine.load(&State::<Account>::aggregate_key("a").unwrap()).await.unwrap();
    assert!(loaded.provenance.snapshot.is_some(), "{}", loaded.provenance);
    assert!(loaded.provenance.events_replayed < 20, "{}", loaded.provenance);
    assert_eq!(loaded.state.0, folded(&repository, "a").await);
    let past = engine.at_version(&State::<Account>::aggregate_key("a").unwrap(), 8).await.unwrap();
    assert_eq!(past.state.0.entries, [1, 2, 3, 4, 5, 6, 7, -3]);
}

#[tokio::test]
async fn what_a_command_refuses_is_told_and_changes_nothing() {
    let repository = Repository::default();
    let cqrs = CqrsFramework::new(store(&repository), vec![], ());
    let refused = cqrs.execute("a", AccountCommand::Withdraw { cents: 1 }).await;
    assert!(matches!(refused, Err(AggregateError::UserError(Overdrawn))), "{refused:?}");
    assert_eq!(store(&repository).load_events("a").await.unwrap().len(), 0);
}

#[tokio::test]
async fn whoever_is_second_hears_of_the_conflict() {
    let store = store(&Repository::default());
    let [first, second] =
        [store.load_aggregate("a").await.unwrap(), store.load_aggregate("a").await.unwrap()];
    let deposit = || vec![AccountEvent::Deposited { cents: 5 }];
    store.commit(deposit(), first, HashMap::new()).await.unwrap();
    let refused = store.commit(deposit(), second, HashMap::new()).await;
    assert!(matches!(refused, Err(AggregateError::AggregateConflict)), "{refused:?}");
    assert_eq!(store.load_aggregate("a").await.unwrap().aggregate.entries, [5]);
}

#[tokio::test]
async fn events_of_former_releases_are_upcast() {
    let repository = Repository::default();
    let old = |sequence, payload| {
        let id = "a".to_owned();
        let version = "1.0".to_owned();
        SerializedEvent::new(
            id,
            sequence,
            "account".into(),
            "Deposited".into(),
            version,
            payload,
            json!({}),
        )
    };
    repository.add(old(1, json!({ "Deposited": { "euros": 3 } })));
    repository.add(old(2, json!({ "Deposited": { "euros": 4 } })));
    let upcaster = || {
        SemanticVersionEventUpcaster::new(
            "Deposited",
            "2.0",
            Box::new(|event| {
                let euros = event["Deposited"]["euros"].as_i64().unwrap();
                json!({ "Deposited": { "cents": euros * 100 } })
            }),
        )
    };
    let events = Events::new(repository.clone()).upcasters(vec![Box::new(upcaster())]);
    let store = Store::new(events.clone(), engine(&events, MemoryStore::new()));
    let deposit = vec![AccountEvent::Deposited { cents: 1 }];
    let context = store.load_aggregate("a").await.unwrap();
    assert_eq!(context.aggregate.entries, [300, 400]);
    store.commit(deposit, context, HashMap::new()).await.unwrap();
    assert_eq!(store.load_aggregate("a").await.unwrap().aggregate.entries, [300, 400, 1]);
    assert_eq!(store.load_events("a").await.unwrap().len(), 3);
}

#[tokio::test]
async fn another_version_of_the_fold_uses_no_snapshot_of_the_former_one() {
    let repository = Repository::default();
    let events = Events::new(repository.clone());
    let snapshots = MemoryStore::new();
    let cqrs = CqrsFramework::new(
        Store::new(events.clone(), engine(&events, snapshots.clone())),
        vec![],
        (),
    );
    for _ in 0..12 {
        cqrs.execute("a", AccountCommand::Deposit { cents: 1 }).await.unwrap();
    }
    let key = State::<Account>::aggregate_key("a").unwrap();
    let former = engine(&events, snapshots.clone());
    former.create(&key).await.unwrap();
    assert!(former.load(&key).await.unwrap().provenance.snapshot.is_some());
    let next = SnapshotEngine::<State<Account, 2>>::builder(events, snapshots).build().unwrap();
    let loaded = next.load(&key).await.unwrap();
    assert_eq!((loaded.provenance.snapshot, loaded.state.0.cents), (None, 12));
}
