//! Numbers and money: decimals, big integers, fractions, geometry.

use bigdecimal::BigDecimal;
use fixed::types::I32F32;
use glam::{DVec3, Mat4, Quat, Vec2};
use iso_currency::Currency;
use num_bigint::{BigInt, BigUint};
use num_rational::Ratio;
use ordered_float::{NotNan, OrderedFloat};
use primitive_types::{H160, U256};
use rust_decimal::Decimal;

use super::types;
use crate::{specimen, state};

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

specimen! {
    Decimal => |g| {
        let edges = [Decimal::ZERO, Decimal::MAX, Decimal::MIN, Decimal::new(-10, 3), Decimal::new(100, 2)];
        if g.once_in(3) { g.pick(&edges) } else { Decimal::new(g.any(), g.below(28) as u32) }
    };
    // The scale is not compared: the text of 0.00 is 0.
    BigDecimal => |g| BigDecimal::new(BigInt::from(g.any::<i128>()), g.below(40) as i64 - 10),
        same |a, b| a == b;
    BigInt => |g| BigInt::from(g.any::<i128>()) * BigInt::from(g.any::<i128>());
    BigUint => |g| BigUint::from(g.any::<u128>()) << g.below(100);
    Ratio<i64> => |g| Ratio::new(g.any::<i32>().into(), i64::from(g.any::<u16>()) + 1);
    OrderedFloat<f64> => |g| OrderedFloat(g.any()), same |a, b| a.0.to_bits() == b.0.to_bits();
    NotNan<f64> => |g| NotNan::new(g.any()).unwrap(), same |a, b| a.to_bits() == b.to_bits();
    I32F32 => |g| I32F32::from_bits(g.any());
    half::f16 => |g| half::f16::from_bits(g.any::<u16>() & 0x7bff), same |a, b| a.to_bits() == b.to_bits();
    U256 => |g| U256([g.any(), g.any(), g.any(), g.any()]);
    H160 => |g| H160(g.any());
    Currency => |g| g.pick(&[Currency::EUR, Currency::USD, Currency::XXX, Currency::ZWL]);
    isocountry::CountryCode => |g| g.pick(&[isocountry::CountryCode::DEU, isocountry::CountryCode::USA]);
    bytesize::ByteSize => |g| bytesize::ByteSize(g.any()), same |a, b| a.0 == b.0;
    geo_types::Point<f64> => |g| geo_types::Point::new(g.any(), g.any());
    geo_types::Polygon<f64> => |g| geo_types::Polygon::new(
        geo_types::LineString::new((0..g.len()).map(|_| geo_types::Coord { x: g.any(), y: g.any() }).collect()),
        Vec::new(),
    );
    geo_types::Geometry<f64> => |g| if g.once_in(2) {
        geo_types::Geometry::Point(g.any())
    } else {
        geo_types::Geometry::Polygon(g.any())
    };
    Vec2 => |g| Vec2::new(g.any(), g.any());
    DVec3 => |g| DVec3::new(g.any(), g.any(), g.any());
    Quat => |g| Quat::from_xyzw(g.any(), g.any(), g.any(), g.any());
    Mat4 => |g| Mat4::from_cols_array(&g.any::<[f32; 16]>());
}

types! {
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
}
