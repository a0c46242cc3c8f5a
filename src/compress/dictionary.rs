//! [`Dictionary`]: what many small states have in common.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use twox_hash::XxHash3_64;

#[cfg(feature = "zstd")]
use super::zstd::PreparedDictionary;
use crate::error::{Error, ErrorKind};

/// What many small states have in common. Zstandard stores such states in fewer bytes if it knows
/// it beforehand.
///
/// A state of 1 KB hardly repeats itself, but it does repeat its neighbours. [Train](Self::train) a
/// dictionary from samples, or let the engine do so from its store
/// ([`train_dictionary`](crate::SnapshotEngine::train_dictionary)). Keep the
/// [bytes](Self::as_bytes) in a file beside the application's code, and give it to each engine:
///
/// ```no_run
/// # #[cfg(all(feature = "zstd", feature = "memory", feature = "postcard"))] {
/// # use snapfold::{Aggregate, EventSource, SnapshotEngine, SnapshotStore};
/// use snapfold::codec::{Compression, Dictionary};
///
/// # fn build<A: Aggregate + serde::Serialize + serde::de::DeserializeOwned>(
/// #     events: impl EventSource<A> + 'static, store: impl SnapshotStore + 'static,
/// # ) -> Result<SnapshotEngine<A>, Box<dyn std::error::Error>> {
/// let dictionary = Dictionary::from_bytes(std::fs::read("account.dictionary")?)?;
/// let engine = SnapshotEngine::<A>::builder(events, store)
///     .compression(Compression::zstd().dictionary(dictionary))
///     .build()?;
/// # Ok(engine)
/// # }
/// # }
/// ```
///
/// A snapshot names the dictionary that it needs. An engine without it treats the snapshot as a
/// miss, and the reason states the id. Before you replace a dictionary by a new one, register the
/// old one with [`EngineBuilder::dictionary`](crate::engine::EngineBuilder::dictionary), so that
/// older snapshots can still be read.
///
/// A dictionary consists of pieces of the samples: treat it like the states themselves. Train one
/// for each tenant if tenants must not see each other's data, and train a new one when you erase
/// somebody's data. Stores never contain dictionaries. A [`Seal`](crate::codec::Seal) does not cover
/// them.
///
/// Cloning is cheap. Two dictionaries are equal if their ids are.
#[derive(Clone)]
pub struct Dictionary(Arc<DictionaryInner>);

struct DictionaryInner {
    id: DictionaryId,
    bytes: Bytes,
    #[cfg(feature = "zstd")]
    prepared: PreparedDictionary,
}

/// Identifies a dictionary in the headers of the snapshots that need it: XXH3-64 of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DictionaryId(u64);

impl DictionaryId {
    /// Creates an id from the number in a header.
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    /// Returns the number that represents the dictionary in a header.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Formats the id as 16 hexadecimal digits.
impl fmt::Display for DictionaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Dictionary {
    /// The maximum size of a dictionary, in bytes (inclusive).
    pub const MAX_BYTES: usize = 1 << 20;

    /// Creates a dictionary from bytes that [`as_bytes`](Self::as_bytes) returned, or from any
    /// other bytes that many states contain.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for fewer than 8 or more than [`MAX_BYTES`](Self::MAX_BYTES)
    /// bytes, or for a damaged dictionary of Zstandard.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        let invalid =
            |message: String| Error::new(ErrorKind::InvalidInput, "read a dictionary", message);
        if !(8..=Self::MAX_BYTES).contains(&bytes.len()) {
            return Err(invalid(format!(
                "a dictionary has 8 to {} bytes, but this one has {}: read it from the file that \
                 the dictionary was saved to",
                Self::MAX_BYTES,
                bytes.len()
            )));
        }
        let contents = DictionaryInner {
            id: DictionaryId(XxHash3_64::oneshot(&bytes)),
            #[cfg(feature = "zstd")]
            prepared: PreparedDictionary::new(&bytes).ok_or_else(|| {
                let message = "Zstandard refuses the dictionary, because it is damaged: read it \
                               from a good copy, or train a new one";
                invalid(message.to_owned())
            })?,
            bytes,
        };
        Ok(Self(Arc::new(contents)))
    }

    /// Returns the id that headers contain. It depends on nothing but the bytes.
    pub fn id(&self) -> DictionaryId {
        self.0.id
    }

    /// Returns the bytes to save.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    #[cfg(feature = "zstd")]
    pub(super) fn prepared(&self) -> &PreparedDictionary {
        &self.0.prepared
    }
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Dictionary {}

/// Does not show the bytes, which are pieces of states.
impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dictionary({}, {} bytes)", self.id(), self.as_bytes().len())
    }
}
