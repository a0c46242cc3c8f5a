//! [`Incremental`]: stores a snapshot as the difference to an earlier, whole one.

use std::sync::Mutex;

use super::delta_plan::DeltaPlan;
use crate::compress::{Compression, CompressionId};
use crate::error::{Error, ErrorKind};
use crate::store::SnapshotStore;

/// LZ4 finds nothing that is farther away than 64 KiB.
const LZ4_MAX_BYTES: u64 = 48 << 10;

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
/// An attempt costs the read of the earlier snapshot, whether the delta is small enough or not.
/// [`auto`](Self::auto) stops trying where deltas do not pay.
///
/// [`EngineBuilder::incremental`]: crate::engine::EngineBuilder::incremental
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incremental {
    /// `None` for that of the engine.
    compression: Option<Compression>,
    max_deltas: u32,
    max_percent: u8,
    min_bytes: u64,
    max_bytes: u64,
}

impl Incremental {
    /// Makes deltas with LZ4 (feature `lz4`), which finds nothing that is more than 64 KiB away:
    /// states of more than 48 KiB are stored whole.
    pub const fn lz4() -> Self {
        Self::new(Some(Compression::lz4()), LZ4_MAX_BYTES)
    }

    /// Makes deltas with Zstandard (feature `zstd`), for states of any size.
    pub const fn zstd() -> Self {
        Self::new(Some(Compression::zstd()), u64::MAX)
    }

    /// Makes deltas with the [compression](crate::engine::EngineBuilder::compression) of the engine,
    /// at its level, and backs off where they do not pay: after eight deltas in a row that were too
    /// large, only every 16th snapshot of the engine tries again, until one is small enough. The
    /// snapshots between are stored whole, and no earlier one is read for them. All aggregates of
    /// the engine count together. The count is in memory, and starts anew with each engine.
    ///
    /// The compression must be LZ4 or Zstandard. With none, or with one of the application, the
    /// engine is not built ([`Unsupported`](ErrorKind::Unsupported)).
    pub const fn auto() -> Self {
        Self::new(None, u64::MAX)
    }

    const fn new(compression: Option<Compression>, max_bytes: u64) -> Self {
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

    /// Returns how an engine with this compression and this store makes deltas. Fails if it cannot,
    /// or if the store cannot keep them.
    pub(super) fn plan(
        mut self,
        engine: &Compression,
        store: &dyn SnapshotStore,
    ) -> Result<DeltaPlan, Error> {
        let unsupported =
            |message: String| Error::new(ErrorKind::Unsupported, "build the engine", message);
        let is_auto = self.compression.is_none();
        let compression = self.compression.take().unwrap_or_else(|| engine.clone());
        match compression.id() {
            CompressionId::LZ4 => self.max_bytes = self.max_bytes.min(LZ4_MAX_BYTES),
            CompressionId::ZSTD => {}
            other => {
                return Err(unsupported(format!(
                    "Incremental::auto() uses the engine's compression, but no deltas are made \
                     with {other}: use Incremental::lz4() or Incremental::zstd(), or leave out \
                     incremental()"
                )));
            }
        }
        compression.check_available()?;
        let capabilities = store.capabilities();
        if capabilities.returns_bases {
            let pace = is_auto.then(Mutex::default);
            let Self { max_deltas, max_percent, min_bytes, max_bytes, .. } = self;
            return Ok(DeltaPlan {
                compression,
                max_deltas,
                max_percent,
                min_bytes,
                max_bytes,
                pace,
            });
        }
        let name = capabilities.name;
        Err(unsupported(format!(
            "the {name} store cannot keep deltas, because it does not return their bases: leave \
             out incremental(), or use a store with Capabilities::returns_bases"
        )))
    }
}
