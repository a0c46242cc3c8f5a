//! `savepoint`: taken with the application's code, and listed, shown and released without it.

use serde_json::Value;

use crate::application::{run, run_read_only, shop};
use crate::support::{Printed, Shop};

fn document(printed: &Printed) -> Value {
    serde_json::from_str(&printed.out).unwrap_or_else(|_| panic!("{}{}", printed.out, printed.err))
}

/// The application's store with the savepoint `before`, which is at 1,000.
fn taken() -> Shop {
    let shop = shop();
    let taken = run(&shop, &["savepoint", "take", "before", "account", "--reason", "release 42"]);
    assert_eq!(taken.code, 0, "{}", taken.err);
    assert_eq!(taken.out, "account: pinned 1 of 1 aggregate\n");
    shop
}

#[test]
fn a_savepoint_is_taken_kept_and_released() {
    let shop = taken();
    let audit = shop.text(&["audit", "ls"]);
    assert!(audit.contains("by operator: done, because release 42"), "{audit}");
    let again = run(&shop, &["savepoint", "take", "before", "account"]);
    assert!(
        again.out.contains("pinned 0 of 1 aggregate; 1 already part of it"),
        "{}{}",
        again.out,
        again.err
    );

    // The binary that knows no application sees it too.
    let listed = shop.json(&["savepoint", "ls"]);
    let savepoint = &listed["savepoints"][0];
    assert_eq!((&savepoint["name"], &savepoint["snapshots"]), (&"before".into(), &1.into()));
    assert_eq!(savepoint["kinds"], serde_json::json!(["account"]));
    let shown = shop.json(&["savepoint", "show", "before"]);
    assert_eq!(shown["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(shown["snapshots"][0]["snapshot"]["version"], 1_000);
    assert_eq!(shown["snapshots"][0]["key"]["id"], "alice");
    assert!(shop.text(&["savepoint", "ls"]).contains("before"));
    assert!(shop.text(&["savepoint", "show", "before"]).contains("account alice"));
    shop.text(&["prune", "account", "--keep", "nothing", "--yes"]);
    assert_eq!(shop.versions(), [1_000]);

    let dry = shop.run(&["savepoint", "release", "before"]);
    assert!(dry.out.contains("would release before: 1 snapshot of 1 aggregate"), "{}", dry.out);
    assert!(dry.err.contains("--yes"), "{}", dry.err);
    assert_eq!(shop.json(&["savepoint", "ls"])["savepoints"].as_array().unwrap().len(), 1);
    let arguments = ["savepoint", "release", "before", "--yes", "--reason", "all is well"];
    let released = shop.json(&arguments);
    assert_eq!((&released["snapshots"], &released["dry_run"]), (&1.into(), &false.into()));
    let audit = shop.json(&["audit", "ls", "account", "alice"]);
    let last = audit["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(last["action"], "clear_pin savepoint before");
    assert_eq!(last["reason"], "all is well");
    assert_eq!(shop.text(&["savepoint", "ls"]), "no savepoints\n");
    assert_eq!(shop.run(&["savepoint", "release", "before", "--yes"]).code, 1);
}

#[test]
fn a_savepoint_is_taken_of_one_moment() {
    let shop = shop();
    let take = |name: &str, time: &str| {
        run(&shop, &["savepoint", "take", name, "account", "--at", time, "--json"])
    };
    let before = document(&take("before", "0001-01-01T00:00:00Z"));
    assert_eq!(
        (&before["kinds"][0]["pinned"], &before["kinds"][0]["failed"]),
        (&0.into(), &0.into())
    );
    assert_eq!(document(&take("after", "9999-01-01T00:00:00Z"))["kinds"][0]["pinned"], 1);
    assert_eq!(
        shop.json(&["savepoint", "show", "after"])["snapshots"][0]["snapshot"]["version"],
        1_000
    );
    assert_eq!(take("never", "yesterday").code, 2);
}

#[test]
fn a_savepoint_is_taken_of_named_aggregates_and_released_through_the_engine() {
    let shop = shop();
    let arguments = ["savepoint", "take", "one", "account", "--id", "alice", "--json"];
    let taken = document(&run(&shop, &arguments));
    assert_eq!(taken["kinds"][0]["pinned"], 1);
    assert_eq!(taken["kinds"][0]["failed"], 0);
    let nobody = run(&shop, &["savepoint", "take", "two", "account", "--id", "nobody"]);
    assert!(
        nobody.out.contains("pinned 0 of 1 aggregate; 1 already part of it, or without"),
        "{}",
        nobody.out
    );
    let released = run(&shop, &["savepoint", "release", "one", "--yes"]);
    assert!(released.out.contains("released one: 1 snapshot"), "{}{}", released.out, released.err);
    assert_eq!(shop.text(&["savepoint", "ls"]), "no savepoints\n");
}

#[test]
fn an_aggregate_that_fails_is_reported() {
    let shop = shop();
    let failed = run_read_only(&shop, &["savepoint", "take", "before", "account"]);
    assert_eq!(failed.code, 1, "{}", failed.err);
    assert!(failed.out.contains("account alice failed: "), "{}", failed.out);
    let failed = run_read_only(&shop, &["savepoint", "take", "before", "account", "--json"]);
    let kinds = document(&failed)["kinds"].clone();
    assert_eq!((&kinds[0]["failed"], &kinds[0]["pinned"]), (&1.into(), &0.into()));
    assert_eq!(kinds[0]["failures"][0]["key"]["id"], "alice");
}

#[test]
fn each_tenant_has_savepoints_of_its_own() {
    let shop = Shop::new();
    // What a savepoint is: pins with a name that begins like this.
    shop.text(&["pin", "account", "alice", "200", "savepoint s"]);
    shop.text(&["pin", "account", "alice", "3", "savepoint s", "--tenant", "north"]);
    shop.text(&["pin", "basket", "b1", "5", "savepoint s"]);
    shop.text(&["pin", "account", "alice", "300", "audit"]);
    let all = shop.json(&["savepoint", "ls"]);
    let counts: Vec<_> = all["savepoints"].as_array().unwrap().iter().collect();
    assert_eq!((&counts[0]["tenant"], &counts[0]["snapshots"]), (&"".into(), &2.into()));
    assert_eq!((&counts[1]["tenant"], &counts[1]["snapshots"]), (&"north".into(), &1.into()));
    assert_eq!(counts[0]["kinds"], serde_json::json!(["account", "basket"]));
    let north = shop.json(&["savepoint", "show", "s", "--tenant", "north"]);
    assert_eq!(north["snapshots"][0]["snapshot"]["version"], 3);
    shop.text(&["savepoint", "release", "s", "--yes"]);
    let left = shop.json(&["savepoint", "ls"]);
    assert_eq!(left["savepoints"].as_array().unwrap().len(), 1);
    assert_eq!(left["savepoints"][0]["tenant"], "north");
    let pins = shop.json(&["show", "account", "alice", "--version", "300"]);
    assert_eq!(pins["snapshot"]["marks"][0]["name"], "audit");
}

#[test]
fn what_cannot_be_done_says_why() {
    let shop = shop();
    let plain = shop.run(&["savepoint", "take", "before", "account"]);
    assert_eq!(plain.code, 2);
    assert!(plain.err.contains("does not know the application"), "{}", plain.err);
    for (arguments, code, part) in [
        (&["savepoint", "take", "before", "account", "basket"][..], 2, "only: account"),
        (&["savepoint", "take", "", "account"], 2, "is empty"),
        (&["savepoint", "take", "before"], 2, "KIND"),
        (&["savepoint", "take", "x", "account", "account", "--id", "alice"], 2, "one KIND"),
        (&["savepoint", "show", "after"], 1, "savepoint ls"),
        (&["savepoint", "release", "after"], 1, "savepoint ls"),
        (&["savepoint", "show", ""], 2, "is empty"),
    ] {
        let printed = run(&shop, arguments);
        assert_eq!(printed.code, code, "{arguments:?}: {}", printed.err);
        assert!(printed.err.contains(part), "{arguments:?}: {}", printed.err);
    }
    assert_eq!(shop.text(&["savepoint", "ls"]), "no savepoints\n");
    assert_eq!(shop.run(&["savepoint"]).code, 2);
}
