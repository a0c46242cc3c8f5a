//! Ids, tenants and labels from strangers do not reach the terminal as they are.

use snapfold::AggregateKey;

use crate::support::{GENERATION, Shop, builder, command, finish};

const ESCAPE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nfake row\u{9b}31m\u{202e}\u{7f}\\";

fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}'))
}

#[test]
fn control_characters_are_escaped_in_every_form() {
    let shop = Shop::empty();
    let key = AggregateKey::from_parts(ESCAPE, "kind\u{1b}[1m", ESCAPE).unwrap();
    let record = builder(&key, GENERATION, 7)
        .label(ESCAPE)
        .origin(ESCAPE)
        .build("{\"text\":\"\u{9b}2J\u{202e}\"}".as_bytes())
        .unwrap();
    shop.put(vec![record]);
    let kind = key.kind();
    let of = ["--tenant", ESCAPE];
    shop.text(&[&["pin", kind, ESCAPE, "7", ESCAPE, "--reason", ESCAPE][..], &of].concat());
    for arguments in [
        &["ls"][..],
        &["ls", kind],
        &["ls", kind, ESCAPE],
        &["show", kind, ESCAPE],
        &["stats"],
        &["check"],
        &["timeline", kind, ESCAPE],
        &["prune", kind, "--keep", "last 1"],
        &["audit", "ls"],
        &["unpin", kind, ESCAPE, "9", ESCAPE],
        &["no such command \u{1b}[2J"],
        &["show", kind, "\u{1b}[2J"],
    ] {
        for json in [&[][..], &["--json"]] {
            for columns in ["", "80"] {
                let arguments = [arguments, &of, json].concat();
                let mut command = command(&arguments);
                command.env("SNAPFOLD_STORE", shop.url()).env("COLUMNS", columns);
                let printed = finish(&mut command);
                assert!(is_harmless(&printed.out), "{arguments:?}: {:?}", printed.out);
                assert!(is_harmless(&printed.err), "{arguments:?}: {:?}", printed.err);
                assert!(!printed.out.is_empty() || !printed.err.is_empty());
            }
        }
    }
    // JSON gives the id as it is.
    let listed = shop.json(&["ls", kind]);
    assert_eq!(listed["aggregates"][0]["key"]["id"], ESCAPE);
    assert_eq!(
        shop.json(&[&["show", kind, ESCAPE][..], &of].concat())["state"]["text"],
        "\u{9b}2J\u{202e}"
    );
}

#[test]
fn an_empty_id_and_one_that_looks_like_an_option_can_be_named() {
    let shop = Shop::empty();
    for id in ["", "--yes", "-", "a b"] {
        let key = AggregateKey::new("account", id).unwrap();
        shop.put(vec![builder(&key, GENERATION, 7).build(b"{}").unwrap()]);
        let listed = shop.text(&["ls", "--json", "--", "account", id]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed["snapshots"][0]["version"], 7, "{id:?}");
    }
    assert!(shop.text(&["ls", "account"]).contains("\"\""));
}
