//! `bench`: what is measured and counted. How long it took is not for a test.

use serde_json::Value;

use crate::application::{run, run_at_80, shop};
use crate::support::Shop;

fn bench(shop: &Shop, arguments: &[&str]) -> Value {
    let printed = run(shop, &[&["bench", "account", "--json"], arguments].concat());
    assert_eq!(printed.code, 0, "{}", printed.err);
    serde_json::from_str(&printed.out).unwrap()
}

#[test]
fn replays_and_loads_are_measured_and_nothing_changes() {
    let shop = shop();
    let document = bench(&shop, &["--repeat", "3"]);
    assert_eq!((&document["kind"], &document["repeat"]), (&"account".into(), &3.into()));
    let of = &document["aggregates"][0];
    assert_eq!(document["aggregates"].as_array().unwrap().len(), 1);
    assert_eq!(of["key"]["id"], "alice");
    assert_eq!((&of["events"], &of["tail"]), (&1_000.into(), &100.into()));
    assert_eq!(of["snapshot_version"], 900);
    assert!(of["stored_bytes"].as_u64() > of["raw_bytes"].as_u64(), "{of}");
    for name in ["replay", "load", "snapshot_load"] {
        let sample = &of[name];
        assert_eq!(sample["count"], 3, "{name}");
        let [lowest, median, highest] =
            ["lowest_ns", "median_ns", "highest_ns"].map(|of| sample[of].as_u64().unwrap());
        assert!(lowest <= median && median <= highest, "{sample}");
    }
    assert_eq!(of["snapshot_save"], Value::Null);
    assert_eq!(document["median"]["pays_from_events"], Value::Null);
    assert!(document["median"]["per_event_ps"].is_u64());
    assert_eq!(shop.versions(), [900, 800, 700, 600, 500, 400, 300, 200, 100]);
    assert_eq!(changes(&shop), []);
}

#[test]
fn saves_are_measured_on_request_and_leave_no_snapshot() {
    let shop = shop();
    let document = bench(&shop, &["alice", "--repeat", "4", "--save"]);
    let of = &document["aggregates"][0];
    assert_eq!(of["snapshot_save"]["count"], 4);
    assert!(document["median"]["snapshot_save_ns"].is_u64(), "{document}");
    assert_eq!(shop.versions(), [900, 800, 700, 600, 500, 400, 300, 200, 100]);
    let expected = [1_000, 999, 998, 997]
        .map(|version| [("create".to_owned(), version), ("delete".to_owned(), version)]);
    assert_eq!(changes(&shop), expected.as_flattened());
}

/// The changes that the command made.
fn changes(shop: &Shop) -> Vec<(String, u64)> {
    let audit = shop.json(&["audit", "ls", "account", "alice"]);
    let entries = audit["entries"].as_array().unwrap().iter();
    entries
        .filter(|entry| entry["actor"] == "operator")
        .map(|entry| {
            let version = entry["version"].as_u64().unwrap();
            (entry["action"].as_str().unwrap().to_owned(), version)
        })
        .collect()
}

#[test]
fn the_table_fits_a_screen_and_says_from_where_a_snapshot_pays() {
    let shop = shop();
    let text = run_at_80(&shop, &["bench", "account", "--save"]).out;
    assert!(text.contains("account: 1 aggregate, each measured 5 times"), "{text}");
    for part in ["REPLAY", "alice", "1000", "An event takes", "to load", "to save"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let without = shop_without_snapshots();
    let text = run_at_80(&without, &["bench", "account", "alice"]).out;
    assert!(text.contains("no snapshot"), "{text}");
    assert!(text.contains("No snapshot was used"), "{text}");
}

fn shop_without_snapshots() -> Shop {
    let shop = shop();
    shop.text(&["erase", "account", "alice", "--reason", "test", "--yes"]);
    assert_eq!(shop.run(&["ls", "account", "alice"]).code, 1);
    shop
}

#[test]
fn what_cannot_be_measured_says_why() {
    let shop = shop();
    let plain = shop.run(&["bench", "account"]);
    assert_eq!(plain.code, 2);
    assert!(plain.err.contains("does not know the application"), "{}", plain.err);
    for (arguments, code, part) in [
        (&["bench", "basket"][..], 2, "only: account"),
        (&["bench", "account", "nobody"], 1, "account nobody is left out: it has no events"),
        (&["bench", "account", "--repeat", "0"], 2, "repeat"),
        (&["bench", "account", "--tenant", "north"], 1, "no aggregate of this kind"),
    ] {
        let printed = run(&shop, arguments);
        assert_eq!(printed.code, code, "{arguments:?}: {}", printed.err);
        assert!(printed.err.contains(part), "{arguments:?}: {}", printed.err);
    }
    let help = shop.run(&["--help"]);
    assert!(!help.out.contains("bench"), "without code it could only fail: {}", help.out);
    assert!(run(&shop, &["--help"]).out.contains("bench"));
}
