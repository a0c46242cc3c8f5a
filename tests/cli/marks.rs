//! `pin`, `unpin`, `retire` and `restore`.

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
