//! Taking one snapshot: loads a state, encodes it and stores the record.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;

use super::annotations::Annotations;
use super::capture::meta;
use super::captured::Capture;
use super::core::{EngineCore, off_the_runtime};
use super::reconstructed::Reconstructed;
use super::sizes::Weight;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{AdminContext, CreateOptions, CreateOutcome, Origin, SnapshotUsed};
use crate::mark::{Mark, MarkChange, Marks};
use crate::record::{Record, SnapshotMeta};
use crate::state::Aggregate;
use crate::store::{PutOptions, Selection};

/// What a request for a snapshot comes to before anything is stored.
pub(super) enum PreparedSnapshot<A: Aggregate> {
    /// There is nothing to store.
    Done(Box<CreateOutcome>),
    Captured(Capture<A>),
}

impl<A: Aggregate> From<CreateOutcome> for PreparedSnapshot<A> {
    fn from(outcome: CreateOutcome) -> Self {
        Self::Done(Box::new(outcome))
    }
}

impl<A: Aggregate> EngineCore<A> {
    pub(super) async fn create(
        self: &Arc<Self>,
        key: &AggregateKey,
        options: &CreateOptions,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        let marks = self.pins(options, &context.actor)?;
        let prepared = self.prepare(key, options, context).await?;
        let Capture { record, bytes, took, .. } = match prepared {
            PreparedSnapshot::Done(outcome) => return Ok(*outcome),
            PreparedSnapshot::Captured(capture) => capture,
        };
        let started = self.clock.monotonic();
        let created = self.create_marked(&record, marks, options.or_replace).await?;
        if let (Some(learning), CreateOutcome::Stored(_)) = (&self.learning, &created) {
            let put = self.clock.monotonic().saturating_sub(started);
            learning.stored(bytes, took.saturating_add(put));
        }
        Ok(created)
    }

    /// Returns the pins that the options ask for.
    pub(super) fn pins(&self, options: &CreateOptions, actor: &str) -> Result<Marks, Error> {
        let now = self.clock.now();
        Marks::new(options.pins.iter().map(|name| Mark::pin(name.as_str(), now).actor(actor)))
    }

    /// Loads the state that the options ask for, and encodes it.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        key: &AggregateKey,
        options: &CreateOptions,
        context: &AdminContext,
    ) -> Result<PreparedSnapshot<A>, Error> {
        let mut annotations = Annotations::of(options, context);
        annotations.details.check()?;
        // Boxed, like the other rare steps, because it would make each future larger.
        if context.idempotency_key.is_some()
            && let Some(first) = Box::pin(self.first_attempt(key, options, context)).await?
        {
            return Ok(first.into());
        }
        let if_changed = options.if_changed && options.version.is_none();
        if if_changed && let Some(version) = self.snapshot_of_head(key).await? {
            return Ok(CreateOutcome::Unchanged { version }.into());
        }
        let loaded = match options.version {
            None => self.load_now(key).await?,
            Some(version) => self.reconstruct_strictly(key, version).await?,
        };
        // For an event source that does not know its head.
        let provenance = &loaded.provenance;
        let is_stored = |used: &SnapshotUsed| used.id == self.own(loaded.version());
        if if_changed
            && provenance.origin == Origin::Snapshot
            && provenance.snapshot.as_ref().is_some_and(is_stored)
        {
            return Ok(CreateOutcome::Unchanged { version: loaded.version() }.into());
        }
        if options.summarize_changes {
            annotations.details.changes = Box::pin(self.changes(&loaded)).await?;
        }
        self.encode_loaded(loaded, &annotations).await
    }

    /// Loads the current state for the saver and encodes it. Returns `None` for an aggregate
    /// without events.
    pub(super) async fn capture(
        self: &Arc<Self>,
        key: &AggregateKey,
    ) -> Result<Option<Capture<A>>, Error> {
        let loaded = self.load_now(key).await?;
        match self.encode_loaded(loaded, &Annotations::default()).await? {
            PreparedSnapshot::Done(_) => Ok(None),
            PreparedSnapshot::Captured(capture) => Ok(Some(capture)),
        }
    }

    /// Encodes a state into a record, and drops the state. Large states are encoded on a thread for
    /// blocking work. Without a runtime, all are encoded in place.
    pub(super) async fn encode_loaded(
        self: &Arc<Self>,
        loaded: Reconstructed<A>,
        annotations: &Annotations,
    ) -> Result<PreparedSnapshot<A>, Error> {
        if loaded.version() == 0 {
            return Ok(CreateOutcome::Empty.into());
        }
        let stored = loaded.provenance.snapshot.as_ref().map(|used| used.raw_bytes);
        let known = stored.max(loaded.weight.map(|weight| weight.bytes));
        let expected = known.unwrap_or_else(|| self.largest_saved.load(Ordering::Relaxed));
        let is_small = (1..=self.encode_in_place).contains(&expected);
        let (version, timings) = (loaded.version(), loaded.provenance.timings);
        let before = self.learning.as_ref().map(|_| self.before(&loaded));
        let base = self.delta_base(&loaded.key, version).await;
        let encode = move |core: &Self, annotations: &Annotations| {
            let started = core.clock.monotonic();
            let record = core.record(&loaded, annotations, base.as_ref())?;
            Ok::<_, Error>((record, core.clock.monotonic().saturating_sub(started)))
        };
        let (record, encoding) =
            if is_small || self.encode_in_place == u64::MAX || Handle::try_current().is_err() {
                encode(self, annotations)?
            } else {
                let (core, annotations) = (Arc::clone(self), annotations.clone());
                let shut_down = "the runtime shut down before the state was encoded";
                let encode = move || encode(&core, &annotations);
                off_the_runtime("take a snapshot", shut_down, encode).await??
            };
        let bytes = record.header().map_or(0, |header| u64::from(header.raw_bytes));
        self.largest_saved.fetch_max(bytes, Ordering::Relaxed);
        if let (Some(learning), Some(before)) = (&self.learning, before) {
            learning.captured(version, bytes, before);
        }
        let took = timings.without_fold().saturating_add(encoding);
        Ok(PreparedSnapshot::Captured(Capture { record, bytes, took, held: None }))
    }

    /// The size of the snapshot that a state was built from, or of the empty state.
    fn before(&self, loaded: &Reconstructed<A>) -> Weight {
        match &loaded.provenance.snapshot {
            Some(used) => Weight { bytes: used.raw_bytes, at_version: used.id.version },
            None => Weight {
                bytes: self.encoded_bytes(&A::initial(&loaded.key)).unwrap_or(0),
                at_version: 0,
            },
        }
    }

    /// Puts one record with its pins. If the snapshot exists, the pins are set in a second step. If
    /// `replaces`, one with another state is refolded.
    pub(super) async fn create_marked(
        &self,
        record: &Record,
        marks: Marks,
        replaces: bool,
    ) -> Result<CreateOutcome, Error> {
        let options = PutOptions::default().marks(marks.clone());
        let mut outcomes = self.put(vec![record.clone()], options).await?;
        let mut created = match self.settled(record, outcomes.pop()).await {
            Err(conflict) if replaces && conflict.kind() == ErrorKind::Conflict => {
                let SnapshotMeta { key, version, .. } = meta(record)?;
                Box::pin(self.refold(&key, Some(version))).await?
            }
            settled => settled?,
        };
        match &mut created {
            CreateOutcome::Existing { meta, .. } | CreateOutcome::Replaced(meta) => {
                let ids = [meta.id()];
                for mark in marks.iter() {
                    let set = MarkChange::Set(mark);
                    self.store.mark(&meta.key, Selection::Ids(&ids), set).await?;
                }
            }
            CreateOutcome::Stored(meta) => meta.marks = marks,
            _ => {}
        }
        Ok(created)
    }
}
