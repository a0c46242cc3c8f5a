//! [`Annotations`]: what a record says about its snapshot, and requests that are repeated.

use super::core::EngineCore;
use super::reconstructed::Reconstructed;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{AdminContext, CreateOptions, CreateOutcome, Fetched};
use crate::record::{ChangeSummary, SnapshotDetails, SnapshotMeta, SnapshotSource};
use crate::state::Aggregate;
use crate::store::{ListRequest, SnapshotStoreExt as _};
use crate::value::StateDiff;

/// The labels and details of a record. The default is that of a background snapshot.
#[derive(Clone, Default)]
pub(super) struct Annotations {
    pub(super) labels: Vec<String>,
    /// The engine adds the predecessor and the producer.
    pub(super) details: SnapshotDetails,
}

impl Annotations {
    /// What a request asks for.
    pub(super) fn of(options: &CreateOptions, context: &AdminContext) -> Self {
        let details = SnapshotDetails {
            source: options.source.unwrap_or(SnapshotSource::Manual),
            created_by: (!context.actor.is_empty()).then(|| context.actor.clone()),
            idempotency_key: context.idempotency_key.clone(),
            fields: options.fields.clone(),
            warnings: options.warnings.clone(),
            ..SnapshotDetails::default()
        };
        Self { labels: options.labels.clone(), details }
    }

    /// What is kept of the snapshot that is replaced.
    pub(super) fn rebuilt(replaced: Option<&SnapshotMeta>) -> Self {
        let kept = replaced.map(|replaced| (replaced.labels.clone(), replaced.details().clone()));
        let (labels, details) = kept.unwrap_or_default();
        // The changes described the state that is replaced.
        let details = SnapshotDetails { source: SnapshotSource::Rebuild, changes: None, ..details };
        Self { labels, details }
    }
}

impl<A: Aggregate> EngineCore<A> {
    /// Returns the outcome of the first attempt if this request is a repeated one.
    pub(super) async fn first_attempt(
        &self,
        key: &AggregateKey,
        options: &CreateOptions,
        context: &AdminContext,
    ) -> Result<Option<CreateOutcome>, Error> {
        let Some(wanted) = &context.idempotency_key else { return Ok(None) };
        let mut pages = self.store.list_pages(ListRequest::new(key));
        while let Some(page) = pages.next().await? {
            let is_first =
                |meta: &SnapshotMeta| meta.details().idempotency_key.as_ref() == Some(wanted);
            let mut first = None;
            for meta in page.into_iter().filter(is_first) {
                if self.signed(key, Some(&meta)).await?.is_some() {
                    first = Some(meta);
                    break;
                }
            }
            let Some(meta) = first else { continue };
            let asked = Annotations::of(options, context);
            let details = meta.details();
            let is_same = options.version.is_none_or(|version| version == meta.version)
                && asked.labels == meta.labels
                && asked.details.fields == details.fields
                && asked.details.warnings == details.warnings
                && (asked.details.source == details.source
                    || details.source == SnapshotSource::Rebuild);
            if is_same {
                return Ok(Some(CreateOutcome::Existing { meta, identical: true }));
            }
            let message = format!(
                "the idempotency key {wanted:?} was used for the snapshot of {key} at version {}, \
                 with other options: use a new key for a new request",
                meta.version
            );
            return Err(Error::new(ErrorKind::Conflict, "create a snapshot", message));
        }
        Ok(None)
    }

    /// Summarizes what changed since the snapshot that a state was built from. `None` if there is
    /// none, or it cannot be read any more.
    pub(super) async fn changes(
        &self,
        loaded: &Reconstructed<A>,
    ) -> Result<Option<ChangeSummary>, Error> {
        let Some(used) = &loaded.provenance.snapshot else { return Ok(None) };
        let viewer = self.viewer()?;
        let failed = |source| {
            let message = format!("the viewer failed for {}", loaded.key);
            Error::new(ErrorKind::Encode, "summarize changes", message).with_source(source)
        };
        let before = match self.fetch(&loaded.key, Some(used.id.version)).await? {
            Fetched::Usable(snapshot) => viewer.view(&snapshot.state).map_err(failed)?,
            Fetched::Rejected(_) | Fetched::Absent => return Ok(None),
        };
        let after = viewer.view(&loaded.progress.state).map_err(failed)?;
        let diff = StateDiff::between(&before, &after);
        let mut summary = ChangeSummary::default();
        (summary.added, summary.changed, summary.removed) =
            (diff.added, diff.changed, diff.removed);
        if self.openers.seal.is_none() {
            summary.set_paths(diff.changes.iter().map(|change| change.path().to_string()));
        }
        Ok(Some(summary))
    }
}
