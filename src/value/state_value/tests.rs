use std::collections::BTreeMap;

use serde::Serialize;

use super::StateValue;

#[derive(Serialize)]
enum Status {
    Open,
    Paid(u32),
    Sent { carrier: &'static str, boxes: (u8, i8) },
}

#[derive(Serialize)]
struct State {
    id: u128,
    rate: f64,
    note: Option<Box<Option<char>>>,
    lots: BTreeMap<u16, Vec<Status>>,
    #[serde(serialize_with = "bytes")]
    raw: Vec<u8>,
}

fn bytes<S: serde::Serializer>(raw: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(raw)
}

fn state() -> State {
    let sent = Status::Sent { carrier: "a \"b\"\n\u{1}", boxes: (1, -1) };
    State {
        id: u128::MAX,
        rate: f64::NAN,
        note: Some(Box::new(None)),
        lots: BTreeMap::from([(7, vec![Status::Open, Status::Paid(3), sent]), (9, vec![])]),
        raw: vec![0, 15, 255],
    }
}

#[test]
fn a_state_is_shown_whole() {
    let value = StateValue::of(&state()).unwrap();
    assert_eq!(
        value.to_string(),
        "{\"id\":340282366920938463463374607431768211455,\"rate\":\"NaN\",\"note\":null,\
         \"lots\":{\"7\":[\"Open\",{\"Paid\":3},{\"Sent\":{\"carrier\":\
         \"a \\\"b\\\"\\n\\u0001\",\"boxes\":[1,-1]}}],\"9\":[]},\"raw\":\"0x000fff\"}"
    );
    let lines = format!("{:#}", StateValue::of(&[(1, "x")]).unwrap());
    assert_eq!(lines, "[\n  [\n    1,\n    \"x\"\n  ]\n]");
}

#[test]
fn parts_are_found_and_redacted_by_path() {
    let mut value = StateValue::of(&state()).unwrap();
    let text = |value: &StateValue, path| value.get(path).map(ToString::to_string);
    assert_eq!(text(&value, "lots.7[2].boxes[1]"), Some("-1".to_owned()));
    assert_eq!(text(&value, "lots.7[1]"), Some("{\"Paid\":3}".to_owned()));
    for nowhere in ["lots.8", "lots.7[3]", "id.x", "raw[0]", "lots.7[x]", "[", "lots]", "lots..7"] {
        assert_eq!(text(&value, nowhere), None, "{nowhere}");
        assert_eq!(value.redact(nowhere), 0, "{nowhere}");
    }
    assert_eq!(value.redact("lots.7[].carrier"), 1);
    assert_eq!(text(&value, "lots.7[2].carrier"), Some("\"[redacted]\"".to_owned()));
    assert_eq!(value.redact("lots[]"), 2);
    assert_eq!(value.redact(""), 1);
}

#[test]
fn values_are_equal_as_the_states_are() {
    let of = |value: &dyn Fn() -> Result<StateValue, crate::error::BoxError>| value().unwrap();
    assert_eq!(StateValue::of(&state()).unwrap(), StateValue::of(&state()).unwrap());
    for (a, b) in [
        (of(&|| StateValue::of(&0.0)), of(&|| StateValue::of(&-0.0))),
        (of(&|| StateValue::of(&1_u8)), of(&|| StateValue::of(&1_i8))),
        (of(&|| StateValue::of(&Some(()))), of(&|| StateValue::of(&None::<()>))),
        (of(&|| StateValue::of("a")), of(&|| StateValue::of(&'a'))),
    ] {
        assert_ne!(a, b);
    }
}
