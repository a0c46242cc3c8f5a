//! Two processes, each with 32 tasks and four clients, that use one aggregate at the same time.

use std::collections::BTreeMap;

use snapfold::SnapshotStore as _;
use snapfold::object_store::ObjectStoreSnapshots;
use snapfold::store::{ListRequest, Query, SnapshotStoreExt as _};
use snapfold_s3::history::{Answer, Call, Event, is_linear};
use snapfold_s3::{Server, samples};

use crate::node::Node;

/// What both processes did, by snapshot.
async fn run(server: &Server, what: &'static str) -> (String, BTreeMap<u64, Vec<Event>>) {
    let root = server.prefix().to_string();
    let (server, folder) = (server.clone(), root.clone());
    let events = tokio::task::spawn_blocking(move || {
        let mut nodes = Node::start_all(&server, what, &folder, &[0, 1]);
        nodes.iter_mut().for_each(Node::go);
        nodes.iter_mut().flat_map(Node::events).collect::<Vec<_>>()
    });
    let mut by_version: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in events.await.unwrap() {
        by_version.entry(event.version).or_default().push(event);
    }
    (root, by_version)
}

/// Lets both put the same snapshots, and some of their own. Says what is wrong then.
async fn race(server: &Server) -> Result<(), String> {
    let (root, events) = run(server, "race").await;
    assert_eq!(events.len(), 8 + 128);
    let store = ObjectStoreSnapshots::open(server.store(), &root).await;
    let store = store.map_err(|error| error.to_string())?;
    let key = samples::key("race");
    let objects = samples::record_objects(server, &root).await;
    let mut stored = 0;
    for (version, events) in &events {
        assert_eq!(events.len(), if *version <= 8 { 64 } else { 1 });
        let told = |answer| events.iter().filter(move |event| event.answer == answer);
        let winners: Vec<_> = told(Answer::Stored).collect();
        let unknown: Vec<_> = told(Answer::Unknown).collect();
        let losers = told(Answer::Existing).count();
        if winners.len() > 1 || winners.len() + unknown.len() + losers != events.len() {
            return Err(format!("version {version}: {events:?}"));
        }
        let found = Call::Get.try_on(&store, &key, *version).await;
        let found = found.map_err(|error| error.to_string())?;
        let Answer::Found(payload) = found else {
            if winners.is_empty() && losers == 0 {
                continue;
            }
            return Err(format!("version {version} is lost"));
        };
        stored += 1;
        let candidates = if winners.is_empty() { unknown } else { winners };
        if !candidates.iter().any(|event| event.call == Call::Put(payload)) {
            return Err(format!("version {version} has a record of another put"));
        }
        // The object itself, and not only the copy in the index.
        if !objects.contains(&samples::record(&key, *version, payload)) {
            return Err(format!("version {version} has no object"));
        }
    }
    let listed = store.list_all(ListRequest::new(&key)).await.map_err(|it| it.to_string())?;
    if listed.len() != stored {
        return Err(format!("{stored} snapshots are found, and {} listed", listed.len()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_64_tasks_in_two_processes_stores_each_snapshot() {
    race(&Server::ceph()).await.unwrap();
}

/// Its conditions are not atomic. This is what shows that the test above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_race_shows_that_s3s_loses_snapshots() {
    let server = Server::s3s().await;
    for _ in 0..10 {
        if let Err(lost) = race(&server).await {
            println!("{lost}");
            return;
        }
    }
    panic!("nothing was lost in ten races");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_all_kinds_from_two_processes_have_one_order() {
    let server = Server::ceph();
    let (root, mut events) = run(&server, "history").await;
    assert!(events.values().map(Vec::len).sum::<usize>() == 64 * 6);
    let store = ObjectStoreSnapshots::open(server.store(), &root).await.unwrap();
    let key = samples::key("history");
    for (version, events) in &mut events {
        let last = Call::Get.make(&store, &key, *version).await;
        events.push(last);
        assert!(is_linear(events), "version {version}: {events:#?}");
        // The order is one of the answers: with another last one there is none.
        let wrong = Answer::Found(1 << 40);
        *events.last_mut().unwrap() = Event { answer: wrong, ..last };
        assert!(!is_linear(events), "version {version}");
    }
    let failed = events.values().flatten().filter(|event| event.answer == Answer::Failed).count();
    assert_eq!(failed, 0);
    every_snapshot_has_its_object(&server, &root, &store, "history").await;
}

/// What the index names is there byte for byte.
pub async fn every_snapshot_has_its_object(
    server: &Server,
    root: &str,
    store: &ObjectStoreSnapshots,
    id: &str,
) {
    let key = samples::key(id);
    let objects = samples::record_objects(server, root).await;
    for meta in store.list_all(ListRequest::new(&key)).await.unwrap() {
        let found = store.get(Query::exact(&key, meta.id())).await.unwrap().into_record().unwrap();
        assert!(objects.contains(&found), "{meta:?}");
    }
}
