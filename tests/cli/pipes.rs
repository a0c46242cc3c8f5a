//! A reader that goes away is no failure.

use std::io::Read as _;
use std::process::Stdio;

use snapfold::store::{Mark, Marks, PutOptions};
use snapfold::{AggregateKey, Timestamp};

use crate::support::{GENERATION, Shop, account, builder, command, record};

/// A store whose lists are larger than a pipe.
fn large() -> Shop {
    let shop = Shop::empty();
    let ids = (0..4_000).map(|n| AggregateKey::new("account", &format!("{n}-{}", "x".repeat(60))));
    let keys: Vec<_> = ids.map(|key| key.unwrap()).collect();
    let at = |version| keys.iter().map(move |key| record(key, GENERATION, version)).collect();
    shop.put(at(1));
    let store = shop.open();
    let pin = Mark::pin("savepoint large", Timestamp::from_seconds(1));
    let pinned = PutOptions::default().marks(Marks::new([pin]).unwrap());
    store.put_blocking(at(2), pinned).unwrap();
    store.close().unwrap();
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    shop.put(vec![builder(&account("noise"), GENERATION, 1).build(&noise).unwrap()]);
    shop
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let shop = large();
    let to = format!("file:{}", shop.path().join("missing").display());
    for arguments in [
        &["ls", "account", "--limit", "100000"][..],
        &["ls", "account", "--limit", "100000", "--json"],
        &["prune", "account", "--keep", "last 1"],
        &["prune", "account", "--keep", "last 1", "--json"],
        &["archive", "move", "account", "--to", &to, "--keep", "last 1"],
        &["archive", "move", "account", "--to", &to, "--keep", "last 1", "--json"],
        &["savepoint", "show", "large"],
        &["savepoint", "show", "large", "--json"],
        &["export", "-"],
        &["completions", "bash"],
    ] {
        let mut child = command(arguments)
            .env("SNAPFOLD_STORE", shop.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 10];
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut first).unwrap();
        drop(out);
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {err}");
        assert_eq!(err, "", "{arguments:?}");
    }
}

#[test]
fn a_full_device_is_a_failure() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let shop = Shop::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = command(&["ls"])
        .env("SNAPFOLD_STORE", shop.url())
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(3));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("standard output"));
}
