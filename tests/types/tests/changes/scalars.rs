//! Fields of one number or text that get another type under the same schema version.
//!
//! The values differ where the new code folds something that the old one did not.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, TimeZone as _, Utc, Weekday};
use rust_decimal::Decimal;
use snapfold_types::changes::{self, Expected};
use uuid::Uuid;

fn main() -> ExitCode {
    changes::run(all(), Expected::ExactBut(&[]))
}

fn text(n: u32) -> String {
    format!("text {n}")
}

fn uuid(n: u32) -> Uuid {
    Uuid::from_u128(u128::from(n) + 1)
}

fn time(n: u32) -> DateTime<Utc> {
    Utc.timestamp_opt(1_700_000_000 + i64::from(n), 0).unwrap()
}

snapfold_types::changes! {
    widened
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u64 } } |n| Part { a: u64::from(n) + (1 << 40) };
    narrowed
        { struct Part { a: u64 } } |n| Part { a: n.into() };
        { struct Part { a: u32 } } |n| Part { a: n + 1 };
    signed
        { struct Part { a: u64 } } |n| Part { a: 1_000 + u64::from(n) };
        { struct Part { a: i64 } } |n| Part { a: -1 - i64::from(n) };
    unsigned
        { struct Part { a: i32 } } |n| Part { a: -5 };
        { struct Part { a: u32 } } |n| Part { a: n };
    integer_to_float
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: f64 } } |n| Part { a: f64::from(n) / 3.0 };
    float_widened
        { struct Part { a: f32 } } |n| Part { a: 0.1 };
        { struct Part { a: f64 } } |n| Part { a: 0.1 };
    integer_to_text
        { struct Part { a: i64 } } |n| Part { a: n.into() };
        { struct Part { a: String } } |n| Part { a: text(n) };
    bool_to_number
        { struct Part { a: bool } } |n| Part { a: true };
        { struct Part { a: u8 } } |n| Part { a: 2 };
    char_to_text
        { struct Part { a: char } } |n| Part { a: 'x' };
        { struct Part { a: String } } |n| Part { a: text(n) };
    bytes_to_text
        { struct Part { a: Vec<u8> } } |n| Part { a: b"abc".to_vec() };
        { struct Part { a: String } } |n| Part { a: text(n) };
    to_non_zero
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: Option<NonZeroU32> } } |n| Part { a: NonZeroU32::new(n + 1) };
    sum_to_struct
        { struct Part { a: i64 } } |n| Part { a: n.into() };
        { struct Part { a: Money } struct Money { cents: i64, currency: String } }
        |n| Part { a: Money { cents: n.into(), currency: text(n) } };
    text_to_enum
        { struct Part { a: String } } |n| Part { a: "Open".to_owned() };
        { struct Part { a: Status } enum Status { Open, Closed } } |n| Part { a: Status::Closed };
    uuid_to_text
        { struct Part { a: Uuid } } |n| Part { a: uuid(n) };
        { struct Part { a: String } } |n| Part { a: text(n) };
    address_to_text
        { struct Part { a: IpAddr } } |n| Part { a: Ipv4Addr::from_bits(n).into() };
        { struct Part { a: String } } |n| Part { a: text(n) };
    weekday_to_number
        { struct Part { a: Weekday, b: u32 } } |n| Part { a: Weekday::Tue, b: n };
        { struct Part { a: u8, b: u32 } } |n| Part { a: 1, b: n };
    time_to_number
        { struct Part { a: DateTime<Utc> } } |n| Part { a: time(n) };
        { struct Part { #[serde(with = "chrono::serde::ts_seconds")] a: DateTime<Utc> } } |n| Part { a: time(n + 1) };
    duration_to_number
        { struct Part { a: Duration } } |n| Part { a: Duration::from_secs(n.into()) };
        { struct Part { a: u64 } } |n| Part { a: 1_000 * u64::from(n) };
    // The same text in both: it may be read.
    decimal_to_text
        { struct Part { a: Decimal } } |n| Part { a: Decimal::new(n.into(), 2) };
        { struct Part { #[serde(with = "rust_decimal::serde::str")] a: Decimal } } |n| Part { a: Decimal::new(n.into(), 2) };
}
