//! A state as a tree of values: what is compared where bytes are not enough.
//!
//! Two encodings of one state differ where a hash map iterates in another order. The tree, which
//! any serde type can be written into, tells that from a real difference, and says where it is.

#[cfg(feature = "conformance")]
mod compare;
mod node;
mod path;
mod state_value;
mod walk;
mod write;

#[cfg(feature = "conformance")]
pub(crate) use compare::{Compared, Unordered, compare, discover};
pub(crate) use node::ValueNode;
#[cfg(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json"))]
pub(crate) use path::short_name;
pub use state_value::StateValue;
pub(crate) use walk::{difference, fragile, has_field, skipped};
pub(crate) use write::write;
