//! Numbers and money: decimals, big integers, fractions, geometry.

use std::process::ExitCode;

use bigdecimal::BigDecimal;
use fixed::types::I32F32;
use glam::{DVec3, Mat4, Quat, Vec2};
use iso_currency::Currency;
use num_bigint::{BigInt, BigUint};
use num_rational::Ratio;
use ordered_float::{NotNan, OrderedFloat};
use primitive_types::{H160, U256};
use rust_decimal::Decimal;
use snapfold_types::{cases, state, states};

state! {
    struct DecimalText { #[serde(with = "rust_decimal::serde::str")] n: Decimal, after: u32 }
    struct DecimalTextOption { #[serde(with = "rust_decimal::serde::str_option")] n: Option<Decimal>, after: u32 }
    struct DecimalFloat { #[serde(with = "rust_decimal::serde::float")] n: Decimal => |g| Decimal::new(i64::from(g.any::<i32>()) * 2 + 1, 1) }
    struct RoundedMoney { cents: i64, currency: Currency }
    struct BigDecimalText { #[serde(with = "big_text")] n: BigDecimal, after: u32 }
}

/// What the table advises for a type that asks the format what comes next.
mod big_text {
    use bigdecimal::BigDecimal;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(n: &BigDecimal, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(n)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BigDecimal, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

fn main() -> ExitCode {
    states::run(cases! {
        Decimal as "rust_decimal::Decimal",
        Option<Decimal> as "Option of Decimal",
        DecimalText as "Decimal with serde::str",
        DecimalTextOption as "Decimal with str_option",
        DecimalFloat as "Decimal with serde::float",
        BigDecimal, BigDecimalText as "BigDecimal with text",
        BigInt, BigUint, Ratio<i64> as "num_rational::Ratio",
        OrderedFloat<f64>, NotNan<f64>, I32F32 as "fixed::I32F32", half::f16,
        U256 as "primitive_types::U256", H160 as "primitive_types::H160",
        Currency as "iso_currency::Currency", isocountry::CountryCode as "isocountry",
        RoundedMoney as "cents and currency",
        bytesize::ByteSize,
        geo_types::Point<f64>, geo_types::Polygon<f64>, geo_types::Geometry<f64>,
        Vec2 as "glam::Vec2", DVec3 as "glam::DVec3", Quat as "glam::Quat", Mat4 as "glam::Mat4",
    })
}
