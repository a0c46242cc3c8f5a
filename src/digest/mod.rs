//! The digest of a state's *value*: [`StateDigest`].
//!
//! A snapshot contains the digest of the state that it was made from. After decoding, the digest is
//! computed again and compared. If the decoded state differs from the written one, the snapshot is
//! a miss, whatever the cause (a changed type, a lossy codec, a bug in a `Serialize`).
//! `docs/format.md` specifies the digest with known answers.
//!
//! The digest covers what `Serialize` emits: names of fields and variants, values, lengths, and
//! omitted fields. Integers of different widths differ, floats are compared by their bits,
//! `Some(x)` differs from `x`, newtypes are transparent, and the names of types do not count. The
//! digest does not depend on the codec.
//!
//! # Order
//!
//! A reordered `Vec` is a different value, a reordered `HashSet` is not. serde does not distinguish
//! them, so there are two kinds of digest: *ordered* digests, and digests that are *free* of the
//! order of elements and entries. A record contains an ordered digest only if all containers of the
//! state are known to keep their order ([`order`]). A write is verified by a *survey*, in which
//! known containers are ordered and the others are free.

mod failed;
mod hash;
mod order;
mod state_digest;
#[cfg(test)]
mod tests;
mod write;

use std::any::type_name;

use serde::Serialize;

use crate::walker::{Walker, What};

pub(crate) use failed::Failed;
pub(crate) use order::{is_hash_set, keeps_order};
pub use state_digest::{DigestKind, StateDigest};

use hash::{Hash, tag};
use write::{Digest, DigestScope, DigestWrite, Sink, Surveyed};

/// The result of surveying a state that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Depends on the names of types, so it may only be compared within this process.
    pub(crate) bytes: [u8; 16],
    /// Whether all containers are known to keep their order. If so, `bytes` is the ordered digest.
    pub(crate) is_ordered: bool,
}

/// Surveys `value`, which may nest at most `max_depth` levels.
pub(crate) fn survey<T: Serialize>(value: &T, max_depth: u16) -> Result<Survey, Failed> {
    let scope = Surveyed { of: type_name::<T>(), left: max_depth };
    let (bytes, met_free) = run(value, scope)?;
    Ok(Survey { bytes, is_ordered: !met_free })
}

/// Computes the digest of `value`: ordered, or free of the order of elements and entries.
pub(crate) fn digest<T: Serialize>(value: &T, is_free: bool) -> Result<[u8; 16], Failed> {
    let (bytes, _) =
        if is_free { run(value, Digest::<true>)? } else { run(value, Digest::<false>)? };
    Ok(bytes)
}

fn run<T: Serialize>(value: &T, scope: impl DigestScope) -> Result<([u8; 16], bool), Failed> {
    let mut sink = Sink::NEW;
    value.serialize(Walker(DigestWrite::new(&mut sink, scope)))?;
    let (low, high) = sink.hash.finish();
    Ok(((u128::from(low) | u128::from(high) << 64).to_le_bytes(), sink.met_free))
}

/// Hashes a value without parts to 64 bits: its kind and its bytes.
pub(crate) fn leaf(what: What, bytes: &[u8]) -> u64 {
    let mut hash = Hash::NEW;
    hash.bytes(tag(what as u64), bytes);
    hash.finish().0
}
