//! What needs the code of aggregates: explanations, differences, bisection, refolds, rollbacks.

use serde_json::Value;

use crate::application::{forge, run, shop};
use crate::support::Shop;

fn json(shop: &Shop, arguments: &[&str]) -> Value {
    let printed = run(shop, &[arguments, &["--json"]].concat());
    serde_json::from_str(&printed.out).unwrap_or_else(|_| panic!("{}{}", printed.out, printed.err))
}

#[test]
fn a_load_is_explained() {
    let shop = shop();
    let explained = json(&shop, &["explain", "account", "alice", "450"]);
    assert_eq!((&explained["version"], &explained["events"]), (&450.into(), &50.into()));
    let roles: Vec<_> =
        explained["snapshots"].as_array().unwrap().iter().map(|of| &of["role"]).collect();
    assert_eq!(
        (roles[0], roles[5], roles[8]),
        (&"too new".into(), &"used".into(), &"not needed".into())
    );
    let text = run(&shop, &["explain", "account", "alice"]);
    assert!(text.out.contains("from the snapshot at 900 and 100 events"), "{}", text.out);
    assert!(text.out.lines().all(|line| line.chars().count() <= 80), "{}", text.out);
}

#[test]
fn two_points_are_compared() {
    let shop = shop();
    let printed = run(&shop, &["diff", "account", "alice", "1970-01-01T00:00:30Z", "450"]);
    assert!(printed.out.contains("~ cents: 30 -> 450"), "{}{}", printed.out, printed.err);
    let diff = json(&shop, &["diff", "account", "alice", "30"]);
    assert_eq!(diff["diff"]["changed"], 1);
    assert_eq!(diff["diff"]["changes"][0]["to"], 1_000);
    let wrong = run(&shop, &["diff", "account", "alice", "yesterday"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("2026-11-30T08:00:00Z, or now"), "{}", wrong.err);
    assert_eq!(run(&shop, &["diff", "account", "alice", "1", "2000"]).code, 2);
    assert_eq!(run(&shop, &["diff", "order", "alice", "1"]).code, 2);
}

#[test]
fn the_first_version_with_a_value_is_found() {
    let shop = shop();
    let found = json(&shop, &["bisect", "account", "alice", "cents", "--is", "1000"]);
    assert_eq!(found["first"], 1_000);
    assert!(found["reconstructions"].as_u64().unwrap() <= 10, "{found}");
    let exists = run(&shop, &["bisect", "account", "alice", "cents"]);
    assert!(exists.out.contains("cents exists first at version 0"), "{}", exists.out);
    let never = run(&shop, &["bisect", "account", "alice", "owner.name"]);
    assert_eq!(never.code, 1, "{}{}", never.out, never.err);
}

#[test]
fn snapshots_are_compared_with_the_events_and_retired() {
    let shop = shop();
    let clean = run(&shop, &["refold", "account"]);
    assert_eq!(clean.code, 0, "{}", clean.err);
    assert!(clean.out.contains("1 aggregate: 9 equal, 0 skipped, 0 wrong"), "{}", clean.out);
    forge(&shop, 500);
    let found = run(&shop, &["refold", "account", "alice"]);
    assert_eq!(found.code, 1);
    let message = "the snapshot at 500 parts from the events after 400: its state differs at cents";
    assert!(found.out.replace('\n', " ").contains(message), "{}", found.out);
    assert_eq!(run(&shop, &["refold", "account", "--retire"]).code, 2, "a reason is required");
    run(&shop, &["refold", "account", "--retire", "--reason", "ticket"]);
    let after = run(&shop, &["refold", "account"]);
    assert!(after.out.contains("8 equal, 1 skipped, 0 wrong"), "{}", after.out);
    let audit = run(&shop, &["audit", "ls"]);
    assert!(audit.out.contains("retire_different of account alice"), "{}", audit.out);
}

#[test]
fn a_rollback_is_made_and_undone() {
    let shop = shop();
    let done = run(&shop, &["rollback", "account", "alice", "300", "--reason", "ticket"]);
    assert!(done.out.contains("6 snapshots are retired"), "{}{}", done.out, done.err);
    let events = || json(&shop, &["explain", "account", "alice"])["events"].clone();
    assert_eq!(events(), 700);
    let none = run(&shop, &["rollback", "account", "alice", "350", "--reason", "ticket"]);
    assert_eq!(none.code, 2, "{}", none.err);
    let undone = run(&shop, &["rollback", "account", "alice", "--undo", "--reason", "ticket"]);
    assert!(undone.out.contains("6 snapshots are no longer retired"), "{}", undone.out);
    assert_eq!(events(), 100);
}
