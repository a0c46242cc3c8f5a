//! `archive`: snapshots move to a second store and back, and none is lost.

use std::path::Path;

use serde_json::Value;
use snapfold::record::Base;
use tempfile::TempDir;

use crate::application;
use crate::support::{GENERATION, Shop, account, builder, command, finish, record};

/// The URL of an archive that does not exist yet.
fn archive() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file:{}", dir.path().join("old").display());
    (dir, url)
}

fn move_to<'a>(url: &'a str, keep: &'a str) -> Vec<&'a str> {
    vec!["archive", "move", "account", "alice", "--to", url, "--keep", keep]
}

/// The versions of alice in another store, highest first.
fn versions_in(url: &str) -> Vec<u64> {
    let mut command = command(&["ls", "account", "alice", "--json", "--store", url]);
    let printed = finish(&mut command);
    assert_eq!(printed.code, 0, "{}", printed.err);
    let listed: Value = serde_json::from_str(&printed.out).unwrap();
    let snapshots = listed["snapshots"].as_array().unwrap();
    snapshots.iter().map(|snapshot| snapshot["version"].as_u64().unwrap()).collect()
}

#[test]
fn old_snapshots_move_to_the_archive_and_back() {
    let shop = Shop::new();
    shop.text(&["pin", "account", "alice", "300", "audit"]);
    let all = shop.json(&["ls", "account", "alice"]);
    let (dir, url) = archive();
    let dry = shop.run(&move_to(&url, "last 2"));
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(dry.out.contains("would move 7 snapshots of 1 aggregate"), "{}", dry.out);
    assert!(dry.err.contains("--yes"), "{}", dry.err);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a plan makes no store");
    assert_eq!(shop.versions().len(), 11);

    let planned = shop.json(&move_to(&url, "last 2"));
    let moved =
        shop.json(&[move_to(&url, "last 2"), vec!["--yes", "--reason", "disk is full"]].concat());
    assert_eq!((&planned["dry_run"], &moved["dry_run"]), (&true.into(), &false.into()));
    for name in ["aggregates", "snapshots", "bytes", "kept"] {
        assert_eq!(planned[name], moved[name], "{name}");
    }
    assert_eq!((&moved["snapshots"], &moved["aggregates"][0]["snapshots"]), (&7.into(), &7.into()));
    assert_eq!(shop.versions(), [1_000, 900, 300, 50]);
    assert_eq!(versions_in(&url), [800, 700, 600, 500, 400, 200, 100]);
    let audit = shop.json(&["audit", "ls", "account", "alice"]);
    let last = audit["entries"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["action"], &last["reason"]), (&"archive".into(), &"disk is full".into()));
    let again = shop.json(&[move_to(&url, "last 2"), vec!["--yes"]].concat());
    assert_eq!((&again["snapshots"], &again["aggregates"]), (&0.into(), &serde_json::json!([])));

    let back = ["archive", "restore", "account", "alice", "--from", &url];
    let one = shop.run(&[&back[..], &["--version", "400"]].concat());
    assert!(one.out.contains("dry run: would move 1 snapshot"), "{}{}", one.out, one.err);
    shop.text(&[&back[..], &["--version", "400", "--yes"]].concat());
    assert_eq!(shop.versions(), [1_000, 900, 400, 300, 50]);
    let rest = shop.json(&[&back[..], &["--yes"]].concat());
    assert_eq!((&rest["snapshots"], &rest["dry_run"]), (&6.into(), &false.into()));
    assert_eq!(shop.json(&["ls", "account", "alice"]), all);
    assert_eq!(versions_in_or_none(&url), 1);
    let audit = shop.text(&["audit", "ls"]);
    assert!(audit.contains("restore_archived of account alice"), "{audit}");
}

/// The exit code of a list of alice in another store.
fn versions_in_or_none(url: &str) -> i32 {
    finish(&mut command(&["ls", "account", "alice", "--store", url])).code
}

#[test]
fn a_whole_kind_moves_and_bases_stay_with_their_deltas() {
    let shop = Shop::empty();
    let key = account("alice");
    let delta = |version, base| {
        let base = Base { version: base, checksum: 0 };
        builder(&key, GENERATION, version).base(base).build(b"{}").unwrap()
    };
    let mut records: Vec<_> = [1, 2, 4].map(|n| record(&key, GENERATION, n)).into();
    records.extend([delta(3, 1), delta(5, 4)]);
    records.extend([1, 2].map(|n| record(&account("bob"), GENERATION, n)));
    shop.put(records);
    let (_dir, url) = archive();
    let moved =
        shop.json(&["archive", "move", "account", "--to", &url, "--keep", "last 1", "--yes"]);
    assert_eq!(moved["aggregates"].as_array().unwrap().len(), 2);
    // 4 is the base of the newest.
    assert_eq!(shop.versions(), [5, 4]);
    assert_eq!(versions_in(&url), [3, 2, 1]);
    let back = ["archive", "restore", "account", "alice", "--from", &url, "--version", "3"];
    shop.text(&[&back[..], &["--yes"]].concat());
    assert_eq!(shop.versions(), [5, 4, 3, 1]);
}

#[test]
fn loads_of_the_application_stay_the_same() {
    let shop = application::shop();
    let (_dir, url) = archive();
    let arguments =
        ["archive", "move", "account", "--to", &url, "--keep", "last 1", "--yes", "--json"];
    let moved = application::run(&shop, &arguments);
    let document: Value = serde_json::from_str(&moved.out).unwrap();
    assert_eq!(document["snapshots"], 8, "{}", moved.err);
    for version in ["1000", "950", "450", "1"] {
        let arguments = ["show", "account", "alice", "--version", version, "--json"];
        let shown: Value = serde_json::from_str(&application::run(&shop, &arguments).out).unwrap();
        assert_eq!(shown["state"]["cents"].to_string(), version);
    }
    let refolded = application::run(&shop, &["refold", "account"]);
    assert!(refolded.out.contains("1 equal, 0 skipped, 0 wrong"), "{}", refolded.out);
}

#[test]
fn one_store_under_two_names_is_refused_and_loses_nothing() {
    let shop = Shop::new();
    let url = shop.url();
    let dotted = format!("file:{}/.", shop.path().display());
    // Another directory with the same snapshots: what another URL of one database looks like.
    let dir = tempfile::tempdir().unwrap();
    copy(shop.path(), dir.path());
    let copied = format!("file:{}", dir.path().display());
    for to in [&url, &dotted, &copied] {
        for yes in [&[][..], &["--yes"]] {
            let printed = shop.run(&[&move_to(to, "last 1")[..], yes].concat());
            assert_eq!(printed.code, 2, "{to} {yes:?}: {}{}", printed.out, printed.err);
            let back = ["archive", "restore", "account", "alice", "--from", to];
            let printed = shop.run(&[&back[..], yes].concat());
            assert_eq!(printed.code, 2, "{to} {yes:?}: {}{}", printed.out, printed.err);
        }
        assert_eq!(shop.versions().len(), 11);
        assert_eq!(versions_in(to).len(), 11);
    }
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn what_cannot_be_done_says_why() {
    let shop = Shop::new();
    let (_dir, url) = archive();
    for (arguments, code, part) in [
        (&["archive", "move", "account", "--to", &url][..], 2, "--keep"),
        (&["archive", "move", "account", "--to", &url, "--keep", "lots"], 2, "lots"),
        (&["archive", "move", "account", "--to", "x", "--keep", "all"], 2, "no scheme"),
        (&["archive", "move", "account", "nobody", "--to", &url, "--keep", "all"], 1, "nobody"),
        (&["archive", "move", "snapfold.audit", "--to", &url, "--keep", "nothing"], 2, "snapfold"),
        (&["archive", "restore", "account", "--from", &url], 1, "no directory"),
        (&["archive", "restore", "account", "--from", &url, "--version", "1"], 2, "ID"),
    ] {
        let printed = shop.run(arguments);
        assert_eq!(printed.code, code, "{arguments:?}: {}", printed.err);
        assert!(printed.err.contains(part), "{arguments:?}: {}", printed.err);
    }
    // The password of the second store is a secret too.
    let database = "postgres://u:hunter2@127.0.0.1:1/d";
    let printed = shop.run(&move_to(database, "all"));
    assert_eq!(printed.code, 3, "{}", printed.err);
    assert!(!printed.err.contains("hunter2"), "{}", printed.err);
    assert_eq!(shop.versions().len(), 11);
    // Only what is there comes back.
    shop.text(&[move_to(&url, "last 2"), vec!["--yes"]].concat());
    let back = ["archive", "restore", "account", "alice", "--from", &url, "--version", "1000"];
    assert_eq!(shop.run(&back).code, 1);
}
