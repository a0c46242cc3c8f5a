//! A state as a tree of values, for comparisons in which encoded bytes are not enough.
//!
//! Two encodings of one state can differ because a hash map iterates in a different order. The
//! tree, which can be made from any serde type, distinguishes that from a real difference and
//! locates the difference.

#[cfg(feature = "conformance")]
mod compare;
mod node;
mod path;
mod state_diff;
mod state_value;
mod walk;
mod write;

#[cfg(feature = "conformance")]
pub(crate) use compare::{Compared, Unordered, compare, discover};
pub(crate) use node::ValueNode;
#[cfg(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json"))]
pub(crate) use path::short_name;
pub use state_diff::{StateChange, StateDiff, StatePath, StateStep};
pub use state_value::StateValue;
#[cfg(feature = "http")]
pub(crate) use state_value::{canonical, write_state};
pub(crate) use walk::{difference, fragile, has_field, skipped};
pub(crate) use write::write;
