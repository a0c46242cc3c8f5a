//! Nothing that another crate switches on in serde_json changes a stored byte or a result of the
//! JSON codec, except for one map that it then takes for a number. `tests/types` shows the same for
//! hundreds of types, with its features `json_*`.

use std::collections::BTreeMap;
use std::fmt::Debug;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snapfold::codec::{Codec, DecodeLimits, Json};

/// What serde buffers before it reads, beside what it does not.
#[derive(Debug, Serialize, Deserialize)]
struct Held<T> {
    plain: T,
    #[serde(flatten)]
    flat: Flat<T>,
    tagged: Tagged<T>,
    untagged: Untagged<T>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Flat<T> {
    flat: T,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is")]
enum Tagged<T> {
    Here { it: T },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged<T> {
    Here { it: T },
}

fn held<T: Clone>(it: T) -> Held<T> {
    Held {
        plain: it.clone(),
        flat: Flat { flat: it.clone() },
        tagged: Tagged::Here { it: it.clone() },
        untagged: Untagged::Here { it },
    }
}

/// Each of the values is written as this text, wherever it stands, and is read back.
fn exact<T: Clone + Debug + Serialize + DeserializeOwned + 'static>(values: &[(T, &str)]) {
    for (value, text) in values {
        let state = held(value.clone());
        let mut bytes = Vec::new();
        Json.encode(&state, &mut bytes).unwrap();
        let expected = format!(
            r#"{{"plain":{text},"flat":{text},"tagged":{{"is":"Here","it":{text}}},"untagged":{{"it":{text}}}}}"#
        );
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        for limits in [DecodeLimits::UNLIMITED, DecodeLimits::RECURSIVE] {
            let back: Held<T> = Json.decode(&bytes, limits).unwrap();
            assert_eq!(format!("{back:?}"), format!("{state:?}"), "{expected}");
            let digester = Codec::<Held<T>>::digester(&Json);
            assert_eq!(digester.digest(&back).unwrap(), digester.digest(&state).unwrap());
        }
    }
}

#[test]
fn the_features_are_on() {
    let number: serde_json::Number = serde_json::from_str("1e400").unwrap();
    assert_eq!(number.to_string(), "1e+400", "arbitrary_precision");
    let value: serde_json::Value = serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap();
    assert_eq!(value.to_string(), r#"{"b":1,"a":2}"#, "preserve_order");
}

#[test]
fn numbers_are_what_they_were() {
    exact(&[(0_u64, "0"), (u64::MAX, "18446744073709551615"), (1 << 53 | 1, "9007199254740993")]);
    exact(&[(i64::MIN, "-9223372036854775808"), (-1, "-1")]);
    exact(&[
        (117.633_311_394_000_17_f64, "117.63331139400017"),
        (5e-324, "5e-324"),
        (-0.0, "-0.0"),
    ]);
    exact(&[(0.1_f32, "0.1"), (f32::MAX, "3.4028235e+38"), (1e10, "10000000000.0")]);
    exact(&[(vec![Some(1.5_f64), None], "[1.5,null]")]);
}

#[test]
fn entries_keep_their_order_and_keys_their_text() {
    let entries = |keys: [&str; 3]| keys.map(|key| (key.to_owned(), 1));
    let map = |keys| IndexMap::<String, u32>::from(entries(keys));
    exact(&[(map(["b", "a", "c"]), r#"{"b":1,"a":1,"c":1}"#)]);
    exact(&[(BTreeMap::from(entries(["b", "a", "c"])), r#"{"a":1,"b":1,"c":1}"#)]);
    // The key of numbers, not first.
    let private = "$serde_json::private::Number";
    exact(&[(map(["a", private, "c"]), r#"{"a":1,"$serde_json::private::Number":1,"c":1}"#)]);
}

#[test]
fn free_form_values_are_what_they_were() {
    let value = serde_json::json!({"a": [1, -2, 2.5, null, true], "b": {"c": "1", "z": u64::MAX}});
    exact(&[(value, r#"{"a":[1,-2,2.5,null,true],"b":{"c":"1","z":18446744073709551615}}"#)]);
}

#[test]
fn a_buffered_map_that_looks_like_a_number_is_refused_and_never_misread() {
    for text in ["1", "\"1\"", "null", "[1]"] {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let map = BTreeMap::from([("$serde_json::private::Number".to_owned(), value)]);
        let mut bytes = Vec::new();
        Json.encode(&held(map), &mut bytes).unwrap();
        type State = Held<BTreeMap<String, serde_json::Value>>;
        let back: Result<State, _> = Json.decode(&bytes, DecodeLimits::UNLIMITED);
        assert!(back.is_err(), "{text}: {back:?}");
    }
}
