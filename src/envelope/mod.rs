//! The stored bytes of a snapshot: [`Record`] = [`Header`] + payload.
//!
//! `docs/format.md` specifies every byte. The order of checks on read is R3: checksum of the
//! header, identity, generation, checksum of the payload, and only then decompress and decode.

mod base;
mod builder;
mod extension;
mod header;
mod layout;
mod meta;
mod parse;
mod record;
mod reject;
mod wire;

#[cfg(test)]
mod tests;

pub use base::Base;
pub use builder::RecordBuilder;
pub use header::Header;
pub use meta::SnapshotMeta;
pub use record::Record;
pub use reject::Reject;
#[cfg(feature = "file")]
pub(crate) use wire::{put_varint, unzigzag, zigzag};
