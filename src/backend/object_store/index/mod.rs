//! The index of an aggregate: which snapshots it has, and the newest of them.

mod aggregate_index;
mod encode;
mod parse;
#[cfg(test)]
mod tests;

pub(super) use aggregate_index::{
    AggregateIndex, ChangeFate, EMPTY_BYTES, Indexed, MAX_INDEX_BYTES,
};
pub(super) use encode::encode_index;
pub(super) use parse::{BadIndex, parse_index};
