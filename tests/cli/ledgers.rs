//! `audit` and `schedules`.

use std::time::Duration;

use snapfold::Timestamp;
use snapfold::ledger::{Cadence, Ledger as _, Schedule, ScheduleKey, StoreLedger};

use crate::support::{Shop, account};

#[test]
fn the_trail_is_listed_and_verified() {
    let shop = Shop::new();
    for n in ["100", "200", "300"] {
        shop.text(&["pin", "account", "alice", n, "audit", "--reason", "because"]);
    }
    shop.text(&["pin", "account", "bob", "7", "audit"]);
    let last = shop.json(&["audit", "ls", "--last", "2"]);
    assert_eq!(last["entries"][0]["sequence"], 3);
    let page = shop.json(&["audit", "ls", "--limit", "2"]);
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["next_after"]), (2, &2.into()));
    let rest = shop.json(&["audit", "ls", "--after", "2"]);
    assert_eq!(rest["entries"][1]["key"]["id"], "bob");
    let alice = shop.json(&["audit", "ls", "account", "alice"]);
    assert_eq!(alice["entries"].as_array().unwrap().len(), 3);
    let text = shop.text(&["audit", "ls"]);
    assert!(
        text.contains("set_pin audit of account alice at version 100 by operator: done"),
        "{text}"
    );

    let head = shop.text(&["audit", "head"]);
    let head = head.trim();
    assert!(head.starts_with("4:"), "{head}");
    assert!(shop.text(&["audit", "verify"]).contains("4 entries checked"));
    assert_eq!(shop.json(&["audit", "verify", "--head", head])["whole"], true);
    let other = format!("4:{}", "0".repeat(64));
    let broken = shop.run(&["audit", "verify", "--head", &other]);
    assert_eq!(broken.code, 1, "{}", broken.out);
    assert!(broken.out.contains("broken at entry 4"), "{}", broken.out);
    assert_eq!(shop.run(&["audit", "verify", "--head", "4"]).code, 2);
    assert!(shop.text(&["audit", "ls", "--tenant", "north"]).contains("no entries"));
}

#[test]
fn the_trail_is_signed_with_keys_from_a_file() {
    let shop = Shop::new();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, theirs) = ("5e".repeat(32), "0d".repeat(32));
    let keys = file("keys", &format!("k1:{ours}\n\nk0:{theirs}\r\n"));
    assert_eq!(shop.text(&["audit", "sign", "--key-file", &keys]), "");
    shop.text(&["pin", "account", "alice", "100", "audit"]);
    let line = shop.text(&["audit", "sign", "--key-file", &keys]);
    let line = line.trim_end();
    assert!(line.starts_with("snapfold-trail-1 1 ") && line.ends_with(" k1"), "{line}");
    assert_eq!(
        shop.json(&["audit", "sign", "--key-file", &keys])["signed"],
        serde_json::Value::Null
    );
    let entries = shop.json(&["audit", "ls"]);
    assert_eq!(
        (&entries["entries"][1]["action"], &entries["entries"][1]["meta"]),
        (&"sign".into(), &line.into())
    );
    shop.text(&["pin", "account", "alice", "200", "audit"]);
    let verified = shop.text(&["audit", "verify", "--key-file", &keys]);
    assert!(verified.contains("3 entries checked"), "{verified}");
    assert!(verified.contains("signed up to entry 1 with the key k1; 1 entry after"), "{verified}");
    let verified = shop.json(&["audit", "verify", "--key-file", &keys, "--signed", line]);
    assert_eq!((&verified["signed"]["sequence"], &verified["unsigned"]), (&1.into(), &1.into()));

    // Another secret under the same id.
    let other = file("other", &format!("k1:{theirs}\n"));
    let broken = shop.run(&["audit", "verify", "--key-file", &other]);
    assert_eq!(broken.code, 1, "{}", broken.out);
    assert!(
        broken.out.contains("broken at entry 2: its signature does not match"),
        "{}",
        broken.out
    );
    assert_eq!(shop.run(&["audit", "verify", "--key-file", &other, "--signed", line]).code, 2);
    assert_eq!(shop.run(&["audit", "verify", "--signed", line]).code, 2);
    assert_eq!(shop.run(&["audit", "sign", "--key-file", &other]).code, 3);
    // No message shows what may be a secret.
    for (name, text) in [
        ("short", format!("k1:{}", &ours[2..])),
        ("swapped", format!("{ours}:k1")),
        ("long id", format!("{ours}{ours}:{ours}")),
        ("bare", ours.clone()),
        ("twice", format!("k1:{ours}\nk1:{ours}")),
        ("empty", String::new()),
    ] {
        let path = file("bad", &text);
        let failed = shop.run(&["audit", "sign", "--key-file", &path]);
        assert_eq!(failed.code, 2, "{name}");
        let all = format!("{}{}", failed.out, failed.err);
        assert!(all.contains("key file") && !all.contains("5e5e"), "{name}: {all}");
    }
    assert_eq!(shop.run(&["audit", "sign", "--key-file", "/no/such/file"]).code, 2);
}

#[test]
fn schedules_are_listed_with_their_state() {
    let shop = Shop::new();
    let store = shop.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = StoreLedger::new(store.clone());
        let daily = Cadence::every(Duration::from_secs(86_400)).unwrap();
        let whole = ScheduleKey::kind_wide("", "account").unwrap().named("nightly").unwrap();
        let past = Timestamp::from_seconds(1_700_000_000);
        ledger.put_schedule(&Schedule::new(whole, daily.clone(), past).unwrap()).await.unwrap();
        let one = Schedule::new(account("alice"), daily, past).unwrap().enabled(false);
        ledger.put_schedule(&one).await.unwrap();
    });
    store.close().unwrap();
    let text = shop.text(&["schedules", "ls"]);
    assert!(text.contains("all of account: nightly") && text.contains("overdue by"), "{text}");
    assert!(text.contains("account alice") && text.contains("disabled"), "{text}");
    let json = shop.json(&["schedules", "ls", "account", "--limit", "1"]);
    assert_eq!(json["schedules"].as_array().unwrap().len(), 1);
    assert!(shop.text(&["schedules", "ls", "basket"]).contains("no schedules"));
}
