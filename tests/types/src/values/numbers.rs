//! Values of numbers of other crates: decimals, big integers, fractions, geometry.

use bigdecimal::BigDecimal;
use fixed::types::I32F32;
use glam::{DVec3, Mat4, Quat, Vec2};
use iso_currency::Currency;
use num_bigint::{BigInt, BigUint};
use num_rational::Ratio;
use ordered_float::{NotNan, OrderedFloat};
use primitive_types::{H160, U256};
use rust_decimal::Decimal;

use crate::specimen;

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
