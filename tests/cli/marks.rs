//! `pin`, `unpin`, `retire`, `restore`, `deprecate` and `erase`.

use crate::support::Shop;

#[test]
fn marks_are_set_shown_and_cleared() {
    let shop = Shop::new();
    shop.text(&["pin", "account", "alice", "200", "audit", "--reason", "until June"]);
    shop.text(&["retire", "account", "alice", "1000", "wrong", "--reason", "release 41"]);
    let listed = shop.text(&["ls", "account", "alice"]);
    assert!(listed.contains("pinned by audit") && listed.contains("retired by wrong"), "{listed}");
    let shown = shop.text(&["show", "account", "alice", "--version", "200"]);
    assert!(shown.contains("audit since") && shown.contains("by operator: until June"), "{shown}");
    // The newest one that loads use.
    assert_eq!(shop.json(&["show", "account", "alice"])["snapshot"]["version"], 900);
    let picture = shop.text(&["timeline", "account", "alice"]);
    let line = picture.lines().find(|line| line.starts_with("    ") && line.contains('P')).unwrap();
    assert!(line.trim_end().ends_with('R'), "{picture}");

    let cleared = shop.json(&["unpin", "account", "alice", "200", "audit"]);
    assert_eq!(cleared["changed"], 1);
    assert_eq!(shop.json(&["unpin", "account", "alice", "200", "audit"])["changed"], 0);
    shop.text(&["restore", "account", "alice", "1000", "wrong"]);
    assert_eq!(shop.json(&["show", "account", "alice"])["snapshot"]["version"], 1_000);
    let entries = shop.json(&["audit", "ls"]);
    let actions: Vec<_> = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    let changes = ["set_pin audit", "set_retirement wrong", "clear_pin audit", "clear_pin audit"];
    assert_eq!(actions, [&changes[..], &["clear_retirement wrong"]].concat());
}

#[test]
fn what_is_not_there_cannot_be_marked() {
    let shop = Shop::new();
    assert_eq!(shop.run(&["pin", "account", "alice", "201", "audit"]).code, 1);
    assert_eq!(shop.run(&["pin", "account", "nobody", "1", "audit"]).code, 1);
    assert_eq!(shop.run(&["pin", "account", "alice", "200", ""]).code, 2);
    assert_eq!(shop.run(&["pin", "account", "alice", "200", &"x".repeat(200)]).code, 2);
    // A retirement has a reason.
    assert_eq!(shop.run(&["retire", "account", "alice", "200", "wrong"]).code, 2);
}

#[test]
fn snapshots_with_something_in_common_are_retired_together() {
    let shop = Shop::new();
    let deprecate = |more: &[&str]| {
        let all = [&["deprecate", "account", "may", "--reason", "release 41"][..], more].concat();
        shop.run(&all)
    };
    let refused = deprecate(&[]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(refused.err.contains("no condition was given"), "{}", refused.err);
    let planned = deprecate(&["--created-before", "2100-01-01T00:00:00Z"]);
    assert!(planned.out.contains("dry run: would retire"), "{}", planned.out);
    assert!(planned.err.contains("repeat the command with --yes"), "{}", planned.err);
    assert!(!shop.text(&["ls", "account", "alice"]).contains("retired"));
    let done = deprecate(&["--created-before", "2100-01-01T00:00:00Z", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let listed = shop.text(&["ls", "account", "alice"]);
    assert_eq!(listed.matches("retired by may").count(), shop.versions().len(), "{listed}");
    // Nothing is left to do.
    let again = deprecate(&["--created-before", "2100-01-01T00:00:00Z", "--yes"]);
    assert!(again.out.contains("retired 0 snapshots of 0 aggregates"), "{}", again.out);
    let nobody = deprecate(&["--producer", "nobody", "--yes", "--json"]);
    assert!(nobody.out.contains("\"snapshots\":0"), "{}", nobody.out);
}

#[test]
fn an_aggregate_is_erased_with_a_receipt() {
    let shop = Shop::new();
    shop.text(&["pin", "account", "alice", "200", "audit"]);
    let erase = ["erase", "account", "alice", "--reason", "asked for it"];
    let planned = shop.run(&erase);
    assert!(planned.out.contains("dry run: would erase"), "{}", planned.out);
    assert!(shop.versions().contains(&200));
    let count = shop.versions().len();
    let done = shop.text(&[&erase[..], &["--yes"]].concat());
    assert!(done.contains(&format!("erased {count} snapshots of account alice")), "{done}");
    for place in ["the events, which snapfold never", "backups and copies", "audit trail"] {
        assert!(done.replace('\n', " ").contains(place), "{done}");
    }
    assert!(done.lines().all(|line| line.chars().count() <= 80), "{done}");
    assert_eq!(shop.run(&["ls", "account", "alice"]).code, 1);
    let again = shop.json(&[&erase[..], &["--yes"]].concat());
    assert_eq!((&again["snapshots"], &again["rewritten_files"]), (&0.into(), &0.into()));
    let entries = shop.json(&["audit", "ls"]);
    assert_eq!(entries["entries"][1]["action"], "erase");
    assert_eq!(entries["entries"][1]["reason"], "asked for it");
}
