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
