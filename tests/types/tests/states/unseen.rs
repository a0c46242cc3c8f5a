//! What `Serialize` does not tell, and so neither bytes nor digest can show: an application's own
//! comparison finds it, `EngineBuilder::compare`.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use rust_decimal::Decimal;
use snapfold_types::{Case, Outcome, cases, silence_panics, specimen, state};

fn one() -> u32 {
    1
}

/// Whole euros: the cents are lost.
mod euros {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(cents: &i64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(cents / 100)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
        Ok(i64::deserialize(d)? * 100)
    }
}

state! {
    struct Skipped { n: u32, #[serde(skip)] cache: Option<u32> => |g| Some(g.any()) }
    struct SkippedDefault { n: u32, #[serde(skip, default = "one")] rate: u32 => |g| 2 + g.any::<u32>() / 2 }
    struct VariantSkips { what: Draft }
    enum Draft { Open { n: u32, #[serde(skip)] touched: bool => |g| { let _ = g; true } } }
    struct Rounding { #[serde(with = "euros")] cents: i64 => |g| 1 + 100 * i64::from(g.any::<i32>().max(0)) }
    struct DecimalScale { #[serde(with = "rust_decimal::serde::float")] n: Decimal => |g| {
        Decimal::new(10 + 20 * i64::from(g.any::<i32>()), 2) } }
    #[serde(untagged)]
    enum Twins { Gross { cents: u32 }, Net { cents: u32 } }
}

/// Compared unit by unit.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct SpanUnits(jiff::Span);

/// Compared by its digits.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct ZeroScale(bigdecimal::BigDecimal);

specimen! {
    SpanUnits => |g| SpanUnits(jiff::Span::new().nanoseconds(1_000_000_000 * (1 + i64::from(g.any::<u8>())))),
        same |a, b| a.0.fieldwise() == b.0.fieldwise();
    ZeroScale => |g| ZeroScale(bigdecimal::BigDecimal::new(0.into(), 1 + i64::from(g.any::<u8>() % 9)));
}

/// Wrong unless the application compares; then refused when it is written.
fn found_by_compare(case: &Case) -> Result<(), Failed> {
    match case.judge_with_compare().outcome {
        Outcome::Build(_) => Ok(()),
        Outcome::Write(text) | Outcome::Some(text) if text.contains("compare()") => Ok(()),
        Outcome::Write(_) if matches!(case.judge().outcome, Outcome::Write(_)) => Ok(()),
        outcome => Err(format!("{outcome}: {}", outcome.text()).into()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    silence_panics();
    let cases = cases! {
        Skipped as "skip",
        SkippedDefault as "skip, default = path",
        VariantSkips as "skip in a variant",
        Rounding as "with that rounds",
        DecimalScale as "Decimal's scale, serde::float",
        Twins as "untagged twins",
        SpanUnits as "jiff::Span's units",
        ZeroScale as "BigDecimal's scale of 0",
    };
    let trial = |case: Case| {
        Trial::test(format!("unseen: {}", case.title()), move || found_by_compare(&case))
    };
    libtest_mimic::run(&arguments, cases.into_iter().map(trial).collect()).exit_code()
}
