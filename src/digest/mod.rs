//! The digest of a state's *value*: [`StateDigest`].
//!
//! A snapshot carries the digest of the state that it was made from. Whatever its payload decodes
//! to is digested again and compared: a state that is not the one written is a miss, whoever is to
//! blame (a changed type, a lossy codec, a bug in a `Serialize`). `docs/format.md` specifies the
//! digest with known answers.
//!
//! It covers what `Serialize` tells: names of fields and variants, values, lengths, fields that are
//! left out. Integers count by their width, floats by their bits, `Some(x)` differs from `x`,
//! newtypes are transparent, and the names of types do not count. It does not depend on the codec.
//!
//! # Order
//!
//! A `Vec` that comes back in another order is another value; a `HashSet` is not. serde does not
//! tell them apart, so there are two kinds of digest: *ordered*, and *free* of the order of
//! elements and entries. A record holds an ordered one only if all containers of the state are
//! known to keep their order ([`order`]); the write itself is judged by a *survey*, in which the
//! known containers are ordered and the others free.

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
pub(crate) use order::keeps_order;
pub use state_digest::{DigestKind, StateDigest};

use hash::{Hash, tag};
use write::{Digest, DigestScope, DigestWrite, Sink, Surveyed};

/// What a write learns about its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Depends on the names of types: only for a comparison within this process.
    pub(crate) bytes: [u8; 16],
    /// All containers are known to keep their order, so that `bytes` are those of an ordered
    /// digest.
    pub(crate) is_ordered: bool,
}

/// Surveys `value`, which may nest at most `max_depth` levels.
pub(crate) fn survey<T: Serialize>(value: &T, max_depth: u16) -> Result<Survey, Failed> {
    let scope = Surveyed { of: type_name::<T>(), left: max_depth };
    let (bytes, met_free) = run(value, scope)?;
    Ok(Survey { bytes, is_ordered: !met_free })
}

/// The digest of `value`: ordered, or free of the order of elements and entries.
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

/// A hash of 64 bits of a value without parts: what it is, and its bytes.
pub(crate) fn leaf(what: What, bytes: &[u8]) -> u64 {
    let mut hash = Hash::NEW;
    hash.bytes(tag(what as u64), bytes);
    hash.finish().0
}
