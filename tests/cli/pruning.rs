//! `prune`: a plan by default, and deletes that keep what must stay.

use snapfold::file::FileStore;
use snapfold::record::Base;
use snapfold::store::{DeleteOptions, PutOptions, Query, Selection};
use snapfold::{SnapshotId, SnapshotStore as _};

use crate::support::{GENERATION, OLDER, Shop, account, builder, record};

#[test]
fn a_dry_run_deletes_nothing_and_names_every_reason() {
    let shop = Shop::new();
    let before = shop.versions();
    let plan = shop.json(&["prune", "account", "alice", "--keep", "last 2"]);
    assert_eq!(plan["dry_run"], true);
    assert_eq!((&plan["dropped"], &plan["deleted"]), (&8.into(), &0.into()));
    let snapshots = plan["aggregates"][0]["snapshots"].as_array().unwrap();
    assert_eq!(snapshots.len(), 11);
    assert!(snapshots.iter().all(|snapshot| !snapshot["reason"].as_str().unwrap().is_empty()));
    let printed = shop.run(&["prune", "account", "--keep", "last 2"]);
    assert_eq!(printed.code, 0);
    assert!(
        printed.out.contains("dry run: would delete 8 snapshots of 3 aggregates"),
        "{}",
        printed.out
    );
    assert!(printed.err.contains("--yes"), "{}", printed.err);
    assert_eq!(shop.versions(), before);
    assert_eq!(shop.json(&["audit", "ls"])["entries"].as_array().unwrap().len(), 0);
}

#[test]
fn deletes_keep_pins_and_the_newest_of_each_generation_and_are_audited() {
    let shop = Shop::new();
    shop.text(&["pin", "account", "alice", "300", "audit"]);
    let done = shop.json(&[
        "prune",
        "account",
        "alice",
        "--keep",
        "last 2",
        "--yes",
        "--reason",
        "disk is full",
        "--actor",
        "ops",
    ]);
    assert_eq!((&done["dropped"], &done["deleted"]), (&7.into(), &7.into()));
    assert_eq!(shop.versions(), [1_000, 900, 300, 50]);
    let entries = shop.json(&["audit", "ls", "account", "alice"]);
    let entry = &entries["entries"][1];
    assert_eq!(entry["action"], "apply_retention");
    assert_eq!((&entry["actor"], &entry["reason"]), (&"ops".into(), &"disk is full".into()));
    // Again, there is nothing left to do, which leaves no entry.
    shop.text(&["prune", "account", "alice", "--keep", "last 2", "--yes"]);
    assert_eq!(shop.json(&["audit", "ls"])["entries"].as_array().unwrap().len(), 2);
    // Others were not touched.
    assert_eq!(shop.json(&["ls"])["total"]["snapshots"], 7);
}

#[test]
fn the_space_is_free_afterwards() {
    let shop = Shop::empty();
    let key = account("big");
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let records = (1..=10).map(|n| builder(&key, GENERATION, n).build(&noise).unwrap());
    // The log file that is written to is not compacted, so there are several.
    let store = FileStore::builder(shop.path()).segment_bytes(1 << 20).open().unwrap();
    for record in records {
        store.put_blocking(vec![record], PutOptions::default()).unwrap();
    }
    store.close().unwrap();
    let bytes = || -> u64 {
        let files = std::fs::read_dir(shop.path()).unwrap().map(|file| file.unwrap());
        let logs = files.filter(|file| file.file_name() != "RESERVE");
        logs.map(|file| file.metadata().unwrap().len()).sum()
    };
    let before = bytes();
    shop.text(&["prune", "account", "--keep", "last 1", "--yes"]);
    assert!(bytes() < before / 2, "{} of {before}", bytes());
    assert_eq!(shop.json(&["ls"])["total"]["snapshots"], 1);
}

#[test]
fn bases_of_kept_deltas_stay() {
    let shop = Shop::empty();
    let key = account("alice");
    let delta = builder(&key, GENERATION, 3).base(Base { version: 1, checksum: 0 });
    shop.put(vec![
        record(&key, GENERATION, 1),
        record(&key, GENERATION, 2),
        delta.build(b"{}").unwrap(),
    ]);
    shop.text(&["prune", "account", "--keep", "last 1", "--yes"]);
    assert_eq!(shop.versions(), [3, 1]);
}

#[test]
fn a_generation_without_an_undamaged_snapshot_keeps_all() {
    let shop = Shop::new();
    // The newest snapshot of alice, with a flipped bit in its payload.
    let marker = record(&account("alice"), GENERATION, 1_000);
    let header_bytes = marker.header().unwrap().header_bytes();
    let payload = marker.as_bytes()[header_bytes..].to_vec();
    let mut damaged = 0;
    for file in std::fs::read_dir(shop.path()).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(payload.len()).position(|window| window == payload) {
            bytes[at + 5] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    let plan = shop.json(&["prune", "account", "alice", "--keep", "last 1"]);
    let kept: Vec<_> = plan["aggregates"][0]["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|snapshot| snapshot["action"] == "keep")
        .map(|snapshot| snapshot["version"].as_u64().unwrap())
        .collect();
    // The newest is damaged, so the one below it is kept as well.
    assert_eq!(kept, [1_000, 900, 50]);
    let check = shop.run(&["check", "account", "alice"]);
    assert_eq!(check.code, 1, "{}", check.out);
    assert!(check.out.contains("1 problem"), "{}", check.out);
}

#[test]
fn a_replay_floor_keeps_the_lowest_snapshot_above_it() {
    let shop = Shop::new();
    let arguments =
        ["prune", "account", "alice", "--keep", "last 1", "--floor", "350", "--yes", "--summary"];
    let text = shop.text(&arguments);
    assert!(!text.contains("REASON"), "{text}");
    assert_eq!(shop.versions(), [1_000, 400, 50]);
}

#[test]
fn snapfolds_own_documents_and_wrong_policies_are_refused() {
    let shop = Shop::new();
    shop.text(&["pin", "account", "alice", "300", "audit"]);
    assert_eq!(shop.json(&["ls", "--all"])["kinds"].as_array().unwrap().len(), 4);
    let refused = shop.run(&["prune", "snapfold.audit", "--keep", "nothing", "--yes"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    let refused = shop.run(&["prune", "account", "--keep", "lots"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("lots"), "{}", refused.err);
    assert_eq!(shop.run(&["prune", "account"]).code, 2);
    assert_eq!(shop.run(&["prune", "account", "nobody", "--keep", "all"]).code, 1);
}

#[test]
fn the_store_sees_the_same_as_the_command() {
    let shop = Shop::new();
    shop.text(&["prune", "account", "--keep", "last 1", "--yes"]);
    let store = shop.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (key, id) = (account("alice"), SnapshotId { generation: OLDER, version: 50 });
    let found = runtime.block_on(store.get(Query::exact(&key, id))).unwrap();
    assert!(found.into_record().is_some());
    let all = store.delete_blocking(&key, Selection::All, DeleteOptions::default()).unwrap();
    assert_eq!(all.snapshots, 2);
}
