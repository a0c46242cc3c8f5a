//! Values that only the application knows, and application code that panics.

use std::cell::Cell;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::shape::trace;

/// The sum of the digits must be right, and two fields must match each other.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
struct Range {
    code: String,
    from: u32,
    to: u32,
}

#[derive(Deserialize)]
struct Raw {
    code: String,
    from: u32,
    to: u32,
}

impl TryFrom<Raw> for Range {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        if raw.code == "a range" && raw.from + 7 == raw.to {
            Ok(Self { code: raw.code, from: raw.from, to: raw.to })
        } else {
            Err("wrong")
        }
    }
}

fn seven<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.len() == 7 { Ok(list) } else { Err(D::Error::custom("not seven")) }
}

#[derive(Clone, Serialize, Deserialize)]
struct State<T> {
    day: chrono::Weekday,
    range: Range,
    pair: (chrono::Month, u8),
    #[serde(deserialize_with = "seven")]
    list: Vec<u8>,
    last: (Range, T),
}

fn state<T>(last: T) -> State<T> {
    let range = |from| Range { code: "a range".to_owned(), from, to: from + 7 };
    State {
        day: chrono::Weekday::Sun,
        range: range(5),
        pair: (chrono::Month::May, 3),
        list: vec![9; 7],
        last: (range(12), last),
    }
}

#[test]
fn a_sample_opens_what_nobody_guesses() {
    let blind = [trace::<State<u8>>(&[]), trace::<State<u16>>(&[])];
    // Past a tuple's first part, nothing is reached without a value for it.
    assert_eq!(blind[0].fingerprint, blind[1].fingerprint);
    assert!(!blind[0].complete);

    let seen = trace(&[state(1_u8)]);
    assert!(seen.complete);
    assert_ne!(seen.fingerprint, blind[0].fingerprint);
    let other = trace(&[state(1_u16)]);
    assert!(other.complete);
    assert_ne!(seen.fingerprint, other.fingerprint);
    // The values do not matter, and neither do those of a second sample.
    let mut second = state(2_u8);
    second.range.from += 1;
    second.range.to += 1;
    assert_eq!(trace(&[second.clone()]), seen);
    assert_eq!(trace(&[second, state(7)]), seen);
}

#[test]
fn a_sample_shows_fields_that_are_left_out() {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_seven(number: &u8) -> bool {
        *number == 7
    }
    #[derive(Serialize, Deserialize)]
    struct Account {
        #[serde(default, skip_serializing_if = "is_seven")]
        number: u8,
        id: u8,
    }
    assert_eq!(trace::<Account>(&[]).obstacle, None);
    let shown = trace(&[Account { number: 7, id: 1 }]).obstacle.unwrap().to_string();
    assert_eq!(shown, "field `number` of `Account` is left out by skip_serializing_if");
}

#[test]
fn a_large_sample_is_looked_at_in_part() {
    let large = vec![(String::from_utf8(vec![b'x'; 4_000]).unwrap(), 7_u64); 5_000];
    assert_eq!(trace(&[large]), trace::<Vec<(String, u64)>>(&[]));
}

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Panics wherever possible.
struct Mine<T>(T);

impl<T: Serialize> Serialize for Mine<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let done = self.0.serialize(serializer)?;
        assert!(!ARMED.get(), "when it is written");
        Ok(done)
    }
}

impl<'de, T: Deserialize<'de> + PartialEq + Default> Deserialize<'de> for Mine<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = T::deserialize(deserializer)?;
        assert!(!ARMED.get() || value != T::default(), "when it is read");
        Ok(Self(value))
    }
}

impl<T> Drop for Mine<T> {
    fn drop(&mut self) {
        assert!(!ARMED.get() || std::thread::panicking(), "when it is dropped");
    }
}

#[test]
fn a_panic_of_the_type_is_a_refusal() {
    #[derive(Serialize, Deserialize)]
    #[serde(bound(deserialize = "T: Deserialize<'de> + PartialEq + Default"))]
    enum Choice<T> {
        None,
        One(Mine<T>),
        Many { all: Vec<Mine<T>>, last: u8 },
    }
    #[derive(Serialize, Deserialize)]
    #[serde(bound(deserialize = "T: Deserialize<'de> + PartialEq + Default, U: Deserialize<'de>"))]
    struct Account<T, U> {
        first: Mine<T>,
        choice: Choice<T>,
        last: U,
    }
    ARMED.set(true);
    let shapes = [
        trace::<Account<u8, u8>>(&[]),
        trace::<Account<u8, u16>>(&[]),
        trace::<Account<u16, u8>>(&[]),
    ];
    ARMED.set(false);
    let calm = trace::<Account<u8, u8>>(&[]);
    assert!(calm.complete && !shapes[0].complete);
    let mut prints: Vec<_> = shapes.iter().map(|shape| shape.fingerprint).collect();
    prints.push(calm.fingerprint);
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), 4);
}

#[test]
fn a_panic_that_other_values_avoid_leaves_nothing_unseen() {
    #[derive(Serialize, Deserialize)]
    #[serde(from = "String")]
    struct Country(u8);
    impl From<String> for Country {
        fn from(text: String) -> Self {
            Self(text.as_bytes()[1])
        }
    }
    #[derive(Serialize, Deserialize)]
    struct Person {
        country: Country,
        all: Vec<Option<Country>>,
        points: u32,
    }
    assert!(trace::<Person>(&[]).complete);
}
