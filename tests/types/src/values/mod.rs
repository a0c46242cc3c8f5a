//! How values of other crates' types are made and compared. The state types themselves are in
//! `tests/states`, so that this library stays quick to compile.

mod collections;
mod containers;
mod json;
mod numbers;
mod primitives;
mod standard;
mod text;
mod time;

pub use collections::Weekday;
pub use primitives::{AnyF32, AnyF64};
