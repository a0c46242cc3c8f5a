//! A process that is killed while it uses a store.

use std::collections::BTreeMap;

use snapfold::object_store::ObjectStoreSnapshots;
use snapfold::store::{ListRequest, SnapshotStoreExt as _};
use snapfold_s3::history::{Answer, Call, Event, is_linear};
use snapfold_s3::{Server, samples};

use crate::node::Node;
use crate::races::every_snapshot_has_its_object;

const ROUNDS: u64 = 32;

/// What one process did until it was killed after `lines` lines, by snapshot.
fn one_round(server: &Server, root: &str, round: u64, lines: u64) -> BTreeMap<u64, Vec<Event>> {
    let mut node = Node::start_all(server, "loop", root, &[round]).remove(0);
    node.go();
    let mut events = Vec::new();
    for _ in 0..lines {
        events.extend(node.line().as_deref().and_then(Event::parse));
    }
    events.extend(node.kill());
    let mut by_version: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in events {
        by_version.entry(event.version).or_default().push(event);
    }
    for events in by_version.values_mut() {
        // Each call has a line before it and one after it. What has no second line may have been
        // made, and may still be.
        let count = events.len();
        let mut at = 0;
        events.retain(|_| {
            at += 1;
            at % 2 == 0 || at == count
        });
    }
    by_version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_process_was_killed_is_so() {
    let server = Server::ceph();
    let root = server.prefix().to_string();
    let key = samples::key("killed");
    let store = ObjectStoreSnapshots::open(server.store(), &root).await.unwrap();
    let (mut acknowledged, mut open) = (0, 0);
    for round in 0..ROUNDS {
        let (process, folder) = (server.clone(), root.clone());
        // Another moment in each round.
        let lines = 8 + round * 37 % 150;
        let events =
            tokio::task::spawn_blocking(move || one_round(&process, &folder, round, lines));
        for (version, mut events) in events.await.unwrap() {
            let is_open = |event: &&Event| event.answer == Answer::Unknown;
            open += events.iter().filter(is_open).count();
            acknowledged += events.len() - events.iter().filter(is_open).count();
            let last = Call::Get.make(&store, &key, version).await;
            assert!(matches!(last.answer, Answer::Found(_) | Answer::Absent), "{last:?}");
            events.push(last);
            assert!(is_linear(&events), "round {round}, version {version}: {events:#?}");
        }
    }
    println!("{acknowledged} calls were acknowledged, {open} were not");
    assert!(acknowledged > 500 && open > 100, "{acknowledged} {open}");
    every_snapshot_has_its_object(&server, &root, &store, "killed").await;

    // What no index names is too young to be deleted.
    let objects = samples::record_objects(&server, &root).await.len() as u64;
    let snapshots = store.list_all(ListRequest::new(&key)).await.unwrap().len() as u64;
    let swept = store.sweep().await.unwrap();
    println!("{snapshots} snapshots, {objects} record objects");
    assert_eq!((swept.listed, swept.deleted, swept.without_index), (objects, 0, 0));
    assert!(objects > snapshots, "no put was interrupted between its two writes");
    assert_eq!(samples::record_objects(&server, &root).await.len() as u64, objects);
    // And nothing that is named is lost by a repair.
    let repaired = store.repair().await.unwrap();
    assert_eq!((repaired.rebuilt, repaired.removed), (0, 0));
}
