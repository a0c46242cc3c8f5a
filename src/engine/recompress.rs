//! [`RecompressRequest`]: storing old snapshots in a smaller form.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::SnapshotEngine;
use super::core::{EngineCore, check_kind, off_the_runtime};
use crate::compress::Compression;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::record::{OpenWith, Openers, Record, RecordBuilder};
use crate::state::Aggregate;
use crate::store::{
    Cursor, Found, KeysRequest, ListRequest, Lookup, Query, Rewrite, SnapshotStoreExt,
};
use crate::timestamp::Timestamp;

const RECOMPRESS: &str = "recompress snapshots";
/// A whole snapshot is rewritten if that saves at least this many percent of its record.
const MIN_SAVING_PERCENT: u64 = 5;
/// Rewrites are sent when their records reach this many bytes, or this many.
const BATCH_BYTES: usize = 8 << 20;
const BATCH: usize = 64;
/// Larger states are compressed on a thread for blocking work.
const INLINE_BYTES: u64 = 64 << 10;

/// Which snapshots are recompressed, and how. For [`recompress`](SnapshotEngine::recompress).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecompressRequest {
    /// How the snapshots are stored from now on.
    pub compression: Compression,
    /// Recompresses only snapshots created before this time. All by default.
    pub created_before: Option<Timestamp>,
    /// Whether deltas are stored whole, so that their bases can be deleted. False by default, which
    /// leaves deltas as they are.
    pub whole_deltas: bool,
    /// Whether to report only what would change. Nothing is stored. False by default.
    pub dry_run: bool,
    /// Only this aggregate. All aggregates of the engine's kind by default.
    pub key: Option<AggregateKey>,
    /// Only aggregates of this tenant. `Some("")` is the default tenant.
    pub tenant: Option<String>,
    /// Continues after the aggregates of an earlier report: see [`Recompressed::next`].
    pub after: Option<Cursor>,
    /// The maximum number of aggregates of one call. 256 by default, at least 1.
    pub limit: usize,
}

impl RecompressRequest {
    /// Requests that whole snapshots are stored with `compression`.
    pub const fn new(compression: Compression) -> Self {
        Self {
            compression,
            created_before: None,
            whole_deltas: false,
            dry_run: false,
            key: None,
            tenant: None,
            after: None,
            limit: 256,
        }
    }

    /// Recompresses only snapshots created before `time` (exclusive), by the clocks of the engines
    /// that created them.
    pub const fn created_before(mut self, time: Timestamp) -> Self {
        self.created_before = Some(time);
        self
    }

    /// Sets whether deltas are stored whole.
    pub const fn whole_deltas(mut self, whole: bool) -> Self {
        self.whole_deltas = whole;
        self
    }

    /// Sets whether to report only what would change.
    pub const fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Recompresses only snapshots of this aggregate.
    pub fn key(mut self, key: AggregateKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Recompresses only snapshots of this tenant.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Continues where an earlier call ended.
    pub fn after(mut self, cursor: Option<Cursor>) -> Self {
        self.after = cursor;
        self
    }

    /// Sets the maximum number of aggregates of one call.
    pub const fn limit(mut self, aggregates: usize) -> Self {
        self.limit = aggregates;
        self
    }

    fn keys<'a>(&'a self, kind: &'a str) -> KeysRequest<'a> {
        let mut keys = KeysRequest::new().kind(kind).limit(self.limit);
        keys.tenant = self.tenant.as_deref();
        keys.created_before = self.created_before;
        keys.after = self.after.as_ref();
        keys
    }
}

/// What a call of [`recompress`](SnapshotEngine::recompress) did. `Display` writes it as one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recompressed {
    /// The number of aggregates that were looked at.
    pub aggregates: u64,
    /// The number of snapshots that were rewritten, or would be in a dry run.
    pub rewritten: u64,
    /// The number of rewritten snapshots that were deltas.
    pub made_whole: u64,
    /// The total size of the records that were rewritten, before, in bytes.
    pub bytes_before: u64,
    /// The total size of the same records after that, in bytes.
    pub bytes_after: u64,
    /// The number of snapshots that would not become smaller by at least 5%, and were kept.
    pub kept: u64,
    /// The number of snapshots that were replaced or deleted by others meanwhile. They are as those
    /// left them.
    pub changed: u64,
    /// The number of snapshots that cannot be opened, and were kept: damaged ones, and those whose
    /// base, dictionary or key is missing. Loads report why.
    pub unreadable: u64,
    /// Where the next call continues. `None` if there are no more aggregates.
    pub next: Option<Cursor>,
}

impl fmt::Display for Recompressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aggregates, rewritten, bytes_before, bytes_after, .. } = self;
        write!(
            f,
            "{rewritten} snapshots of {aggregates} aggregates rewritten, {bytes_before} bytes now \
             {bytes_after}"
        )?;
        for (count, what) in [
            (self.made_whole, "made whole"),
            (self.kept, "kept"),
            (self.changed, "changed meanwhile"),
            (self.unreadable, "unreadable"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

impl<A: Aggregate> SnapshotEngine<A> {
    /// Stores the snapshots of a page of aggregates with another compression, of all generations.
    /// For old snapshots, which are read seldom and can be compressed harder, or to move to a new
    /// dictionary.
    ///
    /// Only the form changes: the encoded state, the digest, the times, the labels and the marks
    /// stay the same. Each new record is opened and compared before the old one is replaced, and an
    /// old one is replaced only if nobody has changed it meanwhile. Deltas of a rewritten snapshot
    /// remain usable. A snapshot that would not become smaller by at least 5% is kept.
    ///
    /// With [`whole_deltas`](RecompressRequest::whole_deltas), deltas are stored whole, which
    /// usually takes more space. A retention can then remove their bases.
    ///
    /// If the engine has a [`Seal`](crate::codec::Seal), the new records are sealed. Snapshots that
    /// are stored in clear, or sealed with another key than new ones, are rewritten in any case. The
    /// same holds for [`SigningKeys`](crate::record::SigningKeys). An engine without such keys leaves
    /// signed snapshots as they are, and counts them as unreadable. With
    /// [`accept_unsigned`](crate::record::SigningKeys::accept_unsigned), the call signs whatever
    /// unsigned snapshots the store has: if you do not trust the store, use
    /// [`rebuild`](Self::rebuild), which folds the events.
    ///
    /// Processes one snapshot after the other, large ones on a thread for blocking work if there is
    /// a tokio runtime.
    ///
    /// ```no_run
    /// use snapfold::codec::Compression;
    /// use snapfold::engine::RecompressRequest;
    /// # use snapfold::{Aggregate, SnapshotEngine, Timestamp};
    /// # async fn recompress<A: Aggregate>(engine: &SnapshotEngine<A>, last_month: Timestamp) -> Result<(), snapfold::Error> {
    ///
    /// let harder = Compression::zstd().level(15);
    /// let mut request = RecompressRequest::new(harder).created_before(last_month);
    /// loop {
    ///     let report = engine.recompress(&request).await?;
    ///     println!("{report}");
    ///     if report.next.is_none() {
    ///         break;
    ///     }
    ///     request = request.after(report.next);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - Any error returned by the store. Snapshots that were rewritten before it stay rewritten,
    ///   and the call can be repeated.
    /// - [`ErrorKind::Unsupported`] if the store does not support
    ///   [`rewrites`](crate::store::Capabilities::rewrites).
    /// - [`ErrorKind::FeatureDisabled`] if the compression is compiled out.
    /// - [`ErrorKind::InvalidInput`] if the key is of another kind, or if two compressors have the
    ///   same id.
    /// - [`ErrorKind::Encode`] if the compression or the seal fails, or does not read back.
    ///
    /// # Cancellation
    /// If the future is dropped, each snapshot is either as before or rewritten.
    pub async fn recompress(&self, request: &RecompressRequest) -> Result<Recompressed, Error> {
        let compression = request.compression.clone();
        compression.check_available()?;
        let openers = self.core.openers.clone().with_those_of(&compression)?;
        let form = Arc::new(NewForm { compression, openers });
        if !self.core.store.capabilities().rewrites {
            let message = "this store does not support rewrites: use a store with \
                           Capabilities::rewrites";
            return Err(Error::new(ErrorKind::Unsupported, RECOMPRESS, message));
        }
        let mut report = Recompressed::default();
        let keys = if let Some(key) = &request.key {
            check_kind::<A>(key)?;
            vec![key.clone()]
        } else {
            let page = self.core.store.keys(request.keys(A::KIND)).await?;
            report.next = page.next;
            page.items
        };
        for key in &keys {
            report.aggregates += 1;
            self.core.recompress(key, request, &form, &mut report).await?;
        }
        Ok(report)
    }
}

/// How snapshots are stored from now on, and what opens the old and the new ones.
struct NewForm {
    compression: Compression,
    openers: Openers,
}

/// Rewrites on their way to the store. The flag tells whether the old record is a delta.
#[derive(Default)]
struct RewriteBatch {
    rewrites: Vec<(Rewrite, bool)>,
    bytes: usize,
}

impl<A: Aggregate> EngineCore<A> {
    async fn recompress(
        self: &Arc<Self>,
        key: &AggregateKey,
        request: &RecompressRequest,
        form: &Arc<NewForm>,
        report: &mut Recompressed,
    ) -> Result<(), Error> {
        let keys = request.keys(A::KIND);
        let mut batch = RewriteBatch::default();
        for meta in self.store.list_all(ListRequest::new(key)).await? {
            let (is_old, is_delta) = (keys.admits_created_at(meta.created_at), meta.base.is_some());
            if !is_old || (is_delta && !request.whole_deltas) {
                continue;
            }
            let Lookup::Found(found) = self.store.get(Query::exact(key, meta.id())).await? else {
                report.changed += 1;
                continue;
            };
            let old = found.record.clone();
            let Some(new) = self.recompressed(found, meta.raw_bytes, form).await? else {
                report.unreadable += 1;
                continue;
            };
            let (old_bytes, new_bytes) = (old.as_bytes().len() as u64, new.as_bytes().len() as u64);
            let saved = old_bytes.saturating_sub(new_bytes);
            let keys = new.header().ok().map(|header| (header.seal_key, header.signing_key));
            let old_keys = (meta.seal_key.as_deref(), meta.signing_key.as_deref());
            let has_other_keys = keys != Some(old_keys);
            let is_smaller = saved.saturating_mul(100) >= old_bytes * MIN_SAVING_PERCENT;
            if !(is_delta || has_other_keys || is_smaller) {
                report.kept += 1;
                continue;
            }
            batch.bytes += old.as_bytes().len() + new.as_bytes().len();
            batch.rewrites.push((Rewrite::new(old, new), is_delta));
            if batch.rewrites.len() >= BATCH || batch.bytes >= BATCH_BYTES {
                self.rewrite(std::mem::take(&mut batch), request, report).await?;
            }
        }
        self.rewrite(batch, request, report).await
    }

    /// Returns the same snapshot in its new form, or `None` if it cannot be opened.
    async fn recompressed(
        self: &Arc<Self>,
        found: Found,
        raw_bytes: u64,
        form: &Arc<NewForm>,
    ) -> Result<Option<Record>, Error> {
        if raw_bytes <= INLINE_BYTES || Handle::try_current().is_err() {
            return self.reformed(&found, form);
        }
        let (core, form) = (Arc::clone(self), Arc::clone(form));
        let shut_down = "the runtime shut down before the state was compressed";
        let reform = move || core.reformed(&found, &form);
        off_the_runtime(RECOMPRESS, shut_down, reform).await?
    }

    fn reformed(&self, found: &Found, form: &NewForm) -> Result<Option<Record>, Error> {
        let NewForm { compression, openers } = form;
        let with = OpenWith { openers, ..self.open_with(&found.bases) };
        let Ok(header) = found.record.header() else { return Ok(None) };
        let Some(builder) = RecordBuilder::of(&header)? else { return Ok(None) };
        // Without keys, the new record would not be signed.
        if openers.signing.is_none() && header.signing_key.is_some() {
            return Ok(None);
        }
        let mut builder = builder.compression(compression.clone());
        if let Some(seal) = &openers.seal {
            builder = builder.seal(Arc::clone(seal));
        }
        if let Some(keys) = &openers.signing {
            builder = builder.signing_keys(keys);
        }
        let build = |raw: &[u8]| {
            let new = builder.build(raw)?;
            let same = |header| new.open(&header, with, |opened| Ok(opened == raw));
            if new.header().and_then(same) == Ok(true) {
                return Ok(new);
            }
            let message = "the recompressed state does not read back as it was: the compression \
                           is faulty, and the old snapshot is kept";
            Err(Error::new(ErrorKind::Encode, RECOMPRESS, message))
        };
        found.record.open(&header, with, |raw| Ok(build(raw))).ok().transpose()
    }

    async fn rewrite(
        &self,
        batch: RewriteBatch,
        request: &RecompressRequest,
        report: &mut Recompressed,
    ) -> Result<(), Error> {
        if batch.rewrites.is_empty() {
            return Ok(());
        }
        let rewritten = if request.dry_run {
            vec![true; batch.rewrites.len()]
        } else {
            let rewrites = batch.rewrites.iter().map(|(rewrite, _)| rewrite.clone()).collect();
            self.store.rewrite(rewrites).await?
        };
        for ((rewrite, is_delta), done) in batch.rewrites.into_iter().zip(rewritten) {
            if done {
                report.rewritten += 1;
                report.made_whole += u64::from(is_delta);
                report.bytes_before += rewrite.expected.as_bytes().len() as u64;
                report.bytes_after += rewrite.record.as_bytes().len() as u64;
            } else {
                report.changed += 1;
            }
        }
        Ok(())
    }
}
