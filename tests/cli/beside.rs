//! The command beside a process that has the store open: what only looks works and changes nothing,
//! and what changes something says who has it open.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use snapfold::store::PutOptions;

use crate::application;
use crate::support::{GENERATION, Shop, account, record};

/// The files of a directory with all that a change would show in.
fn state_of(dir: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let changed = entry.metadata().unwrap().modified().unwrap();
        (entry.file_name().into_string().unwrap(), (fs::read(entry.path()).unwrap(), changed))
    });
    files.collect()
}

#[test]
fn commands_that_look_work_while_a_process_has_the_store_open() {
    let shop = Shop::new();
    shop.text(&["pin", "account", "alice", "300", "audit"]);
    shop.text(&["pin", "account", "alice", "300", "savepoint s"]);
    let writer = shop.open();
    let put = |version| {
        let records = vec![record(&account("alice"), GENERATION, version)];
        writer.put_blocking(records, PutOptions::default()).unwrap();
    };
    put(1_100);
    let before = state_of(shop.path());
    let archive = tempfile::tempdir().unwrap();
    let second = format!("file:{}", archive.path().join("second").display());
    let archive = archive.path().join("archive");
    for arguments in [
        &["ls"][..],
        &["ls", "account"],
        &["ls", "account", "alice"],
        &["show", "account", "alice", "--version", "1100"],
        &["timeline", "account", "alice", "--keep", "last 2"],
        &["stats"],
        &["check"],
        &["check", "account", "alice"],
        &["prune", "account", "--keep", "last 2"],
        &["savepoint", "ls"],
        &["savepoint", "show", "s"],
        &["savepoint", "release", "s"],
        &["archive", "move", "account", "--to", &second, "--keep", "last 2"],
        &["audit", "ls"],
        &["audit", "verify"],
        &["audit", "head"],
        &["schedules", "ls"],
        &["export", archive.to_str().unwrap(), "--all"],
    ] {
        let printed = shop.run(arguments);
        assert_eq!(printed.code, 0, "{arguments:?}: {}{}", printed.out, printed.err);
    }
    assert!(state_of(shop.path()) == before, "a command that only looks changed the store");
    // Each command sees what was written until it began.
    assert_eq!(shop.versions()[0], 1_100);
    put(1_200);
    assert_eq!(shop.versions()[0], 1_200);

    let holder = format!("open in process {}", std::process::id());
    let archive = archive.to_str().unwrap();
    let before = state_of(shop.path());
    for arguments in [
        &["prune", "account", "--keep", "last 2", "--yes"][..],
        &["pin", "account", "alice", "900", "audit"],
        &["unpin", "account", "alice", "300", "audit"],
        &["retire", "account", "alice", "900", "wrong", "--reason", "a test"],
        &["savepoint", "release", "s", "--yes"],
        &["archive", "move", "account", "--to", &second, "--keep", "last 2", "--yes"],
        &["import", archive, "--into-existing"],
    ] {
        let printed = shop.run(arguments);
        assert_eq!(printed.code, 3, "{arguments:?}: {}{}", printed.out, printed.err);
        assert!(printed.err.contains(&holder), "{arguments:?}: {}", printed.err);
    }
    assert!(state_of(shop.path()) == before, "a refused command changed the store");
    writer.close().unwrap();
    shop.text(&["pin", "account", "alice", "900", "audit"]);
}

#[test]
fn an_application_that_opens_its_store_read_only_looks_beside_the_one_that_writes() {
    let shop = application::shop();
    let writer = shop.open();
    let before = state_of(shop.path());
    for arguments in [
        &["verify", "account"][..],
        &["show", "account", "alice", "--version", "250"],
        &["diff", "account", "alice", "100", "200"],
        &["bisect", "account", "alice", "cents", "--is", "1000"],
        &["explain", "account", "alice"],
        &["refold", "account"],
        &["prune", "account", "--keep", "last 2"],
    ] {
        let printed = application::run_read_only(&shop, arguments);
        assert_eq!(printed.code, 0, "{arguments:?}: {}{}", printed.out, printed.err);
    }
    let pinned = application::run_read_only(&shop, &["pin", "account", "alice", "100", "audit"]);
    assert_eq!(pinned.code, 3, "{}{}", pinned.out, pinned.err);
    assert!(pinned.err.contains("read-only"), "{}", pinned.err);
    assert!(state_of(shop.path()) == before, "the store was changed");
    writer.close().unwrap();
}
