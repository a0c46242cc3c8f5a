//! A judge of state types: is what snapfold loads what was folded, for any type that serde takes?
//!
//! It knows snapfold by its public API only and compares with an oracle of its own,
//! [`Value::same`], never with snapfold's digest.

#![forbid(unsafe_code)]

mod advice;
pub mod changes;
mod erased;
mod generator;
mod hand;
mod judge;
mod outcome;
mod positions;
pub mod refusals;
mod release;
mod specimen;
mod state;
pub mod states;
mod values;

pub use erased::{AnyState, Erased, SharedCodec};
pub use generator::Gen;
pub use hand::Hand;
pub use judge::Case;
pub use outcome::{Outcome, Report};
pub use positions::{Held, Opaque, Place, Untagged};
pub use release::{Change, Release, judge_change};
pub use specimen::{Specimen, Value, by_debug, seq_same};
pub use values::{AnyF32, AnyF64, Weekday};

/// The formats, in the order of every table. The last two hold the type inside a flattened struct,
/// an internally tagged and an untagged enum; positional codecs refuse those by design.
pub const COLUMNS: [&str; 6] =
    ["postcard", "bincode", "msgpack", "json", "msgpack, opaque", "json, opaque"];

/// A panic is an outcome here; the judge reports its text.
pub fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
