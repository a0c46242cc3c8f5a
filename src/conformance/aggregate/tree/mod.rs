//! A state as a tree of values: what is compared where bytes are not enough.
//!
//! Two encodings of one state differ where a hash map iterates in another order. The tree, which
//! any serde type can be written into, tells that from a real difference, and says where it is.

mod compare;
mod node;
mod path;
mod write;

pub(super) use compare::{Compared, Unordered, compare, discover};
pub(super) use node::Node;
pub(super) use path::short_name;
pub(super) use write::write;
