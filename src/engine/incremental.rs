//! [`Incremental`]: stores a snapshot as the difference to an earlier, whole one.

use super::core::EngineCore;
use crate::compress::Compression;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{DeleteOptions, ListRequest, Lookup, Query, Selection, SnapshotStore};

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
/// most. The store keeps the whole snapshot as long as a delta needs it, whatever the retention
/// policy. If it is lost nevertheless, its deltas are misses.
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
    compression: Compression,
    max_deltas: u32,
    max_percent: u8,
    min_bytes: u64,
    max_bytes: u64,
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

/// The whole snapshot that a new one may be a delta of.
pub(super) struct DeltaBase {
    pub(super) version: u64,
    /// Its encoded state.
    pub(super) raw: Vec<u8>,
    /// The maximum size of a delta, in bytes.
    pub(super) most: usize,
    pub(super) compression: Compression,
}

impl<A: Aggregate> EngineCore<A> {
    /// Returns the snapshot that a new one at `version` may be a delta of. `None` if it must be
    /// stored whole. A failure of the store is not reported here, because the put will meet it too.
    pub(super) async fn delta_base(&self, key: &AggregateKey, version: u64) -> Option<DeltaBase> {
        let settings = self.incremental.as_ref().filter(|settings| settings.max_deltas > 0)?;
        let below = version.checked_sub(1)?.min(SnapshotId::MAX_VERSION);
        let wanted = usize::try_from(settings.max_deltas).unwrap_or(usize::MAX).saturating_add(1);
        let request = ListRequest::new(key).at_most(below).limit(wanted.min(1_000));
        let page = self.store.list(request).await.ok()?;
        let own = |meta: &&SnapshotMeta| {
            meta.generation == self.generation && !meta.is_retired() && meta.version <= below
        };
        let newest = page.items.iter().find(own)?;
        if !(settings.min_bytes..=settings.max_bytes).contains(&newest.raw_bytes) {
            return None;
        }
        let base = |meta: &SnapshotMeta| meta.base.map(|base| base.version);
        let at = base(newest).unwrap_or(newest.version);
        let deltas = page.items.iter().filter(own).filter(|meta| base(meta) == Some(at)).count();
        if deltas >= settings.max_deltas as usize {
            return None;
        }
        let query = Query::exact(key, self.own(at)).include_retired(false);
        let Ok(Lookup::Found(found)) = self.store.get(query).await else { return None };
        let header = found.record.header().ok()?;
        let is_whole = header.is_of(key)
            && (header.generation, header.version) == (self.generation, at)
            && header.codec == self.codec.id()
            && header.base.is_none();
        if !is_whole {
            return None;
        }
        let raw = found.record.open(&header, &[], self.max_state_bytes, |raw| Ok(raw.to_vec()));
        let most = u64::from(header.payload_bytes) * u64::from(settings.max_percent) / 100;
        Some(DeltaBase {
            version: at,
            raw: raw.ok()?,
            most: usize::try_from(most).unwrap_or(usize::MAX),
            compression: settings.compression.clone(),
        })
    }

    /// Checks that a delta that was stored just now has its base, which may have been deleted while
    /// the delta was made. From then on, the store keeps the base. Otherwise deletes the delta and
    /// returns an error.
    pub(super) async fn confirm_delta(&self, meta: &SnapshotMeta) -> Result<(), Error> {
        let Some(base) = meta.base else { return Ok(()) };
        let lookup = self.store.get(Query::exact(&meta.key, meta.id())).await?;
        let Lookup::Found(found) = &lookup else { return Ok(()) };
        let stored = found.bases.first().and_then(|record| record.header().ok());
        if stored.is_some_and(|stored| stored.version == base.version) {
            return Ok(());
        }
        let ids = [meta.id()];
        self.store.delete(&meta.key, Selection::Ids(&ids), DeleteOptions::default()).await?;
        let message = format!(
            "the snapshot of {} at version {}, on which the new one is based, was deleted at the \
             same time, so nothing was stored: try again",
            meta.key, base.version
        );
        Err(Error::new(ErrorKind::Conflict, "take a snapshot", message).with_retry(Retry::Later))
    }
}
