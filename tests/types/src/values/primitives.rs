//! Primitives as specimens: numbers, text, and what the standard library wraps around them.

use std::num::{NonZeroI64, NonZeroU8, NonZeroU32, NonZeroU128, Saturating};

use serde::{Deserialize, Serialize};

use crate::{Gen, Value, specimen};

macro_rules! integers {
    ($($t:ident)*) => {$(
        impl Value for $t {
            #[allow(clippy::cast_lossless, clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
            fn make(g: &mut Gen) -> Self {
                const EDGES: [$t; 10] = [0, 1, $t::MAX, $t::MIN, $t::MAX - 1, $t::MIN + 1,
                    $t::MAX / 2, 32, 100, 127];
                match g.below(3) {
                    0 => g.pick(&EDGES),
                    1 => g.scaled() as $t,
                    _ => (((g.bits() as u128) << 64) | (g.bits() as u128)) as $t,
                }
            }

            fn same(&self, other: &Self) -> bool {
                self == other
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl Value for f64 {
    /// Finite. [`AnyF64`] has all of them.
    fn make(g: &mut Gen) -> Self {
        const EDGES: [f64; 12] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            f64::MIN,
            f64::EPSILON,
            117.633_311_394_000_17,
            9_007_199_254_740_993.0,
        ];
        match g.below(3) {
            0 => g.pick(&EDGES),
            1 => (g.bits() % 100_000) as f64 / 1000.0 * 1.1,
            _ => Some(f64::from_bits(g.bits())).filter(|f| f.is_finite()).unwrap_or(0.3),
        }
    }

    fn same(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

impl Value for f32 {
    /// Finite. [`AnyF32`] has all of them.
    fn make(g: &mut Gen) -> Self {
        const EDGES: [f32; 8] =
            [0.0, -0.0, 1.0, 0.1, f32::MIN_POSITIVE, 1e-45, f32::MAX, 16_777_217.0];
        match g.below(2) {
            0 => g.pick(&EDGES),
            _ => Some(f32::from_bits(g.bits() as u32)).filter(|f| f.is_finite()).unwrap_or(0.3),
        }
    }

    fn same(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

/// A double that may be NaN (with any payload) or infinite.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnyF64(f64);

impl Value for AnyF64 {
    fn make(g: &mut Gen) -> Self {
        let payload = f64::from_bits(0x7ff8_0000_dead_beef);
        Self(match g.below(5) {
            0 => g.pick(&[f64::NAN, -f64::NAN, payload, f64::INFINITY, f64::NEG_INFINITY]),
            1 => f64::from_bits(g.bits()),
            _ => g.any(),
        })
    }

    fn same(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

/// A float that may be NaN or infinite.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnyF32(f32);

impl Value for AnyF32 {
    fn make(g: &mut Gen) -> Self {
        Self(match g.below(4) {
            0 => g.pick(&[f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
            _ => g.any(),
        })
    }

    fn same(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

specimen! {
    bool => |g| g.once_in(2);
    char => |g| g.pick(&['a', '0', '\0', '"', '\\', 'ß', '\u{d7ff}', '\u{e000}', '\u{10ffff}', '𝄞']);
    String => |g| g.text();
    () => |g| ();
    Saturating<i32> => |g| Saturating(g.any());
    NonZeroU8 => |g| NonZeroU8::new(g.any()).unwrap_or(NonZeroU8::MAX);
    NonZeroU32 => |g| NonZeroU32::new(g.any()).unwrap_or(NonZeroU32::MIN);
    NonZeroI64 => |g| NonZeroI64::new(g.any()).unwrap_or(NonZeroI64::MIN);
    NonZeroU128 => |g| NonZeroU128::new(g.any()).unwrap_or(NonZeroU128::MAX);
}
