//! [`Incremental`]: stores a snapshot as the difference to an earlier, whole one.

use crate::compress::Compression;
use crate::error::{Error, ErrorKind};
use crate::store::SnapshotStore;

/// When a snapshot is stored as a delta: the difference between its encoded state and that of an
/// earlier snapshot, which is stored whole. For [`EngineBuilder::incremental`].
///
/// A delta takes the fewer bytes the less of the state has changed: about 1% of a whole snapshot if
/// 1% of the entries changed, 4% for 5%. It makes loads and saves slower, not faster, because both
/// need the earlier snapshot too. Use it to keep long histories of states of 4 KB or more.
///
/// A state that contains a `HashMap` or `HashSet` is encoded in another order each time, which makes
/// its deltas large. Use a `BTreeMap`, or sort the entries when you serialize them.
///
/// A delta is based on a whole snapshot, never on another delta, so a load reads two records at
/// most. The store must return both together, as the memory, file and PostgreSQL stores do. It keeps
/// the whole snapshot as long as a delta needs it, whatever the retention policy. If the whole
/// snapshot is lost nevertheless, its deltas are misses.
///
/// ```
/// use snapfold::engine::Incremental;
///
/// let history = Incremental::lz4().max_deltas(50).min_bytes(1_000);
/// ```
///
/// [`EngineBuilder::incremental`]: crate::engine::EngineBuilder::incremental
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incremental {
    pub(super) compression: Compression,
    pub(super) max_deltas: u32,
    pub(super) max_percent: u8,
    pub(super) min_bytes: u64,
    pub(super) max_bytes: u64,
}

impl Incremental {
    /// Makes deltas with LZ4 (feature `lz4`), which finds nothing that is more than 64 KiB away:
    /// states of more than 48 KiB are stored whole.
    pub const fn lz4() -> Self {
        Self::new(Compression::lz4(), 48 << 10)
    }

    /// Makes deltas with Zstandard (feature `zstd`), for states of any size.
    pub const fn zstd() -> Self {
        Self::new(Compression::zstd(), u64::MAX)
    }

    const fn new(compression: Compression, max_bytes: u64) -> Self {
        Self { compression, max_deltas: 16, max_percent: 25, min_bytes: 4_096, max_bytes }
    }

    /// Sets how many deltas are based on the same whole snapshot (inclusive). 16 by default; 0
    /// stores every snapshot whole.
    pub const fn max_deltas(mut self, deltas: u32) -> Self {
        self.max_deltas = deltas;
        self
    }

    /// Sets the maximum size of a delta, in percent of the stored whole snapshot (inclusive). 25 by
    /// default. A larger delta is not stored; the snapshot is then stored whole.
    pub const fn max_percent(mut self, percent: u8) -> Self {
        self.max_percent = percent;
        self
    }

    /// Sets the size of the smallest state, in encoded bytes (inclusive), that is stored as a delta.
    /// 4,096 by default.
    pub const fn min_bytes(mut self, bytes: u64) -> Self {
        self.min_bytes = bytes;
        self
    }

    /// Fails if this build cannot make deltas, or if the store cannot keep them.
    pub(super) fn check(&self, store: &dyn SnapshotStore) -> Result<(), Error> {
        self.compression.check_available()?;
        let capabilities = store.capabilities();
        if capabilities.returns_bases {
            return Ok(());
        }
        let name = capabilities.name;
        let message = format!(
            "the {name} store cannot keep deltas, because it does not return their bases: leave \
             out incremental(), or use a store with Capabilities::returns_bases"
        );
        Err(Error::new(ErrorKind::Unsupported, "build the engine", message))
    }
}
