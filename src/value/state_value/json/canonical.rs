//! A state as JSON whose bytes depend on nothing but its value.

use crate::value::StateValue;

/// Writes `value` as JSON on one line: fields in declared order, map entries ordered by the bytes of
/// their keys. Bytes, and floats that JSON does not have, are the strings that
/// [`StateValue`] displays.
pub(crate) fn write(value: &StateValue, out: &mut Vec<u8>) {
    match value {
        StateValue::Text(text) => string(text, out),
        StateValue::Some(inner) => write(inner, out),
        StateValue::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                comma(at, out);
                write(item, out);
            }
            out.push(b']');
        }
        StateValue::Struct(fields) => {
            out.push(b'{');
            for (at, (name, field)) in fields.iter().enumerate() {
                comma(at, out);
                member(name, field, out);
            }
            out.push(b'}');
        }
        StateValue::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, it)| (name(key), it)).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.push(b'{');
            for (at, (name, entry)) in entries.iter().enumerate() {
                comma(at, out);
                member(name, entry, out);
            }
            out.push(b'}');
        }
        StateValue::Variant(name, inner) if **inner == StateValue::Null => string(name, out),
        StateValue::Variant(name, inner) => {
            out.push(b'{');
            member(name, inner, out);
            out.push(b'}');
        }
        other => scalar(other, out),
    }
}

/// Writes a value without parts that is no text.
#[inline]
pub(super) fn scalar(value: &StateValue, out: &mut Vec<u8>) {
    match value {
        StateValue::Bool(true) => out.extend_from_slice(b"true"),
        StateValue::Bool(false) => out.extend_from_slice(b"false"),
        StateValue::Null => out.extend_from_slice(b"null"),
        other => match short(other) {
            // Writing to a vector does not fail.
            Some(number) => drop(serde_json::to_writer(out, &number)),
            None => out.extend_from_slice(other.to_string().as_bytes()),
        },
    }
}

fn member(name: &str, value: &StateValue, out: &mut Vec<u8>) {
    string(name, out);
    out.push(b':');
    write(value, out);
}

/// An integer of 64 bits, as most are. It is written faster than one of 128 bits.
fn short(value: &StateValue) -> Option<i64> {
    match value {
        StateValue::Int(number) => i64::try_from(*number).ok(),
        StateValue::UInt(number) => i64::try_from(*number).ok(),
        _ => None,
    }
}

fn comma(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

/// Writes a JSON string.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// The name that an entry of a map gets.
pub(super) fn name(key: &StateValue) -> String {
    match key {
        StateValue::Text(text) => text.clone(),
        StateValue::Variant(name, inner) if **inner == StateValue::Null => name.clone(),
        StateValue::Some(inner) => name(inner),
        other => {
            let shown = other.to_string();
            // A character or bytes, which are displayed as strings.
            serde_json::from_str::<String>(&shown).unwrap_or(shown)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use serde::Serialize;

    use super::*;

    fn written(state: &impl Serialize) -> String {
        let mut out = Vec::new();
        write(&StateValue::of(state).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[derive(Serialize)]
    enum Status {
        Open,
        Closed { by: String },
        Moved(u8, u8),
    }

    #[test]
    fn the_order_of_a_map_in_memory_is_not_seen() {
        let numbers = 0..200_u32;
        let expected: BTreeMap<String, u32> = numbers.clone().map(|n| (n.to_string(), n)).collect();
        let expected = serde_json::to_string(&expected).unwrap();
        for _ in 0..3 {
            let map: HashMap<u32, u32> = numbers.clone().map(|n| (n, n)).collect();
            assert_eq!(written(&map), expected);
        }
        let sets: HashSet<String> =
            (0..3).map(|_| written(&numbers.clone().collect::<HashSet<u32>>())).collect();
        assert_eq!(sets.len(), 1);
    }

    #[test]
    fn it_is_what_serde_json_writes_where_that_is_determined() {
        #[derive(Serialize)]
        struct State {
            z: i64,
            a: Option<Vec<Status>>,
            none: Option<u8>,
            text: &'static str,
            float: f64,
            large: u64,
            pair: (char, bool),
            by_char: BTreeMap<char, u8>,
        }
        let state = State {
            z: -1,
            a: Some(vec![
                Status::Open,
                Status::Closed { by: "\u{7}\"\\\u{2028}\u{10ffff}/".into() },
                Status::Moved(1, 2),
            ]),
            none: None,
            text: "\u{e9}\n",
            float: 0.1 + 0.2,
            large: u64::MAX,
            pair: ('"', true),
            by_char: [('a', 1), ('"', 2)].into_iter().collect(),
        };
        let (ours, theirs) = (written(&state), serde_json::to_string(&state).unwrap());
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&ours), parse(&theirs), "{ours}");
        assert!(ours.starts_with(r#"{"z":-1,"a":["Open",{"Closed":{"by":"#), "{ours}");
    }

    #[test]
    fn what_json_lacks_is_a_string() {
        assert_eq!(written(&[f64::NAN, f64::INFINITY, -0.0]), r#"["NaN","inf",-0.0]"#);
        assert_eq!(written(&i128::MIN), i128::MIN.to_string());
        assert_eq!(
            written(&BTreeMap::from([(f64::MAX.to_bits(), 1)])),
            r#"{"9218868437227405311":1}"#
        );
    }
}
