//! `check`, on stores that are well and on those that are not.

use std::fs;

use crate::support::{GENERATION, Shop, account, record};

#[test]
fn a_store_that_is_well_passes() {
    let shop = Shop::new();
    let report = shop.json(&["check"]);
    assert_eq!((&report["snapshots"], &report["aggregates"]), (&14.into(), &4.into()));
    assert_eq!(report["files"]["records"], 14);
    assert_eq!(report["problem_count"], 0);
    let one = shop.json(&["check", "account", "alice"]);
    assert_eq!((&one["snapshots"], &one["files"]), (&11.into(), &serde_json::Value::Null));
    assert_eq!(shop.run(&["check", "account", "nobody"]).code, 1);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let shop = Shop::empty();
    shop.put((1..=4).map(|n| record(&account("alice"), GENERATION, n)).collect());
    let log = fs::read_dir(shop.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| !path.ends_with("RESERVE"))
        .max_by_key(|path| {
            let bytes = fs::read(path).unwrap();
            bytes.windows(7).filter(|window| window == b"account").count()
        })
        .unwrap();
    let whole = fs::read(&log).unwrap();
    let record = record(&account("alice"), GENERATION, 3);
    let at = whole.windows(record.as_bytes().len()).position(|at| at == record.as_bytes()).unwrap();
    // In the header, and in the payload.
    for offset in [9, record.as_bytes().len() - 3] {
        let mut bytes = whole.clone();
        bytes[at + offset] ^= 4;
        fs::write(&log, bytes).unwrap();
        let report = shop.run(&["check", "--json"]);
        assert_eq!(report.code, 1, "{offset}: {}{}", report.out, report.err);
        let report: serde_json::Value = serde_json::from_str(&report.out).unwrap();
        assert!(report["problem_count"].as_u64().unwrap() >= 1, "{report}");
        let text = shop.run(&["check"]);
        assert_eq!(text.code, 1);
        assert!(text.out.contains("problem"), "{}", text.out);
    }
    fs::write(&log, whole).unwrap();
    assert_eq!(shop.run(&["check"]).code, 0);
}
