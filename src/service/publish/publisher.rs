//! [`Publisher`]: the service of publications, without a transport.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::observer::PublicationObserver;
use super::options::PublishOptions;
use super::pending_room::PendingRoom;
use super::record_intake::RecordIntake;
use super::refusal::{PublishError, PublishRefusal};
use crate::artifact::{ArtifactStore, FoundArtifact};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Retry};
use crate::ledger::{AuditEntry, Ledger, cut};
use crate::publication::{
    Publication, PublicationFailure, PublicationId, PublicationStatus, PublicationStore,
    PublicationsRequest,
};
use crate::store::Page;
use crate::timestamp::Timestamp;

/// How often a change is tried again that others overtook.
pub(super) const MAX_TURNS: usize = 64;

/// Begins publications, takes their artifacts, checks them, and completes what is right. Clones share
/// everything, and any number of nodes may work over the same stores.
///
/// A publication is pending until all of its artifacts are stored and
/// [`finalize`](Self::finalize) has found them right. Then it is completed, in one step, and never
/// changes again. Until it expires, an artifact that is wrong can be sent again: one broken upload
/// does not cost a build its publication.
///
/// An artifact of the project that is stored already need not be sent again: whoever may publish in a
/// project and knows the hash of an artifact of the same project can refer to it.
///
/// Artifacts to which no publication refers any more are removed by [`collect`](Self::collect).
///
/// ```
/// use snapfold::artifact::in_one_piece;
/// use snapfold::publication::{PublicationDetails, PublicationPart};
/// use snapfold::service::publish::{PublishError, PublishRequest, Publisher};
///
/// async fn publish_a_plot(publisher: &Publisher) -> Result<(), PublishError> {
///     let request = PublishRequest::new(PublicationDetails::default())
///         .part("plot", PublicationPart::new());
///     let begun = publisher.publish("north", request, "ci").await?;
///     let id = begun.publication.id;
///     let plot = in_one_piece("<svg/>");
///     publisher.receive("north", id, "plot", Some("image/svg+xml"), plot).await?;
///     publisher.finalize("north", id, "ci").await?;
///     Ok(())
/// }
/// ```
///
/// # Cancel safety
/// If a future is dropped, a publication is as before or completely changed, and nobody sees a part of
/// it. Each call can be repeated. What an observer and the audit trail miss then is said at
/// [`PublicationObserver`].
#[derive(Clone)]
pub struct Publisher(pub(super) Arc<PublisherParts>);

pub(super) struct PublisherParts {
    pub(super) publications: Arc<dyn PublicationStore>,
    pub(super) artifacts: Arc<dyn ArtifactStore>,
    pub(super) options: PublishOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observers: Vec<Arc<dyn PublicationObserver>>,
    pub(super) ledger: Option<Arc<dyn Ledger>>,
    pub(super) records: Option<RecordIntake>,
    pub(super) room: PendingRoom,
    /// A permit for each artifact that is held in memory.
    pub(super) places: Semaphore,
}

impl Publisher {
    /// Returns the limits.
    pub fn options(&self) -> &PublishOptions {
        &self.0.options
    }

    /// Returns the store of the artifacts.
    pub fn artifacts(&self) -> &Arc<dyn ArtifactStore> {
        &self.0.artifacts
    }

    /// Returns a publication, whatever its status.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn get(
        &self,
        project: &str,
        id: PublicationId,
    ) -> Result<Option<Publication>, Error> {
        self.0.publications.get(project, id).await
    }

    /// Lists publications.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(
        &self,
        request: PublicationsRequest<'_>,
    ) -> Result<Page<Publication, PublicationId>, Error> {
        self.0.publications.list(request).await
    }

    /// Opens an artifact of a publication for reading, or a range of it. `None` if there is no such
    /// artifact or it has not arrived.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn open(
        &self,
        publication: &Publication,
        name: &str,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<Option<FoundArtifact>, Error> {
        let stored = publication.parts.get(name).and_then(|part| part.stored.as_ref());
        let Some(artifact) = stored else { return Ok(None) };
        self.0.artifacts.get(&publication.project, &artifact.id, range).await
    }

    /// Gives up a pending publication. One that has failed before is returned as it is.
    ///
    /// # Errors
    /// [`PublishRefusal::Unknown`], [`PublishRefusal::Completed`], or a store failed.
    pub async fn abort(
        &self,
        project: &str,
        id: PublicationId,
        by: &str,
    ) -> Result<Publication, PublishError> {
        for _ in 0..MAX_TURNS {
            let publication = self.known(project, id).await?;
            match publication.status {
                PublicationStatus::Completed => return Err(PublishRefusal::Completed.into()),
                PublicationStatus::Failed(_) => return Ok(publication),
                PublicationStatus::Generating => {}
            }
            let failure = PublicationFailure::Aborted;
            if let Some(ended) = self.end(publication, failure, by).await? {
                return Ok(ended);
            }
        }
        Err(overtaken().into())
    }

    /// The time by the clock of the publisher.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// A publication that exists.
    pub(super) async fn known(
        &self,
        project: &str,
        id: PublicationId,
    ) -> Result<Publication, PublishError> {
        let found = self.0.publications.get(project, id).await?;
        found.ok_or_else(|| PublishRefusal::Unknown.into())
    }

    /// A publication that is pending. Refuses others, and ends one that has expired.
    pub(super) async fn pending(
        &self,
        project: &str,
        id: PublicationId,
    ) -> Result<Publication, PublishError> {
        let publication = self.known(project, id).await?;
        match publication.status {
            PublicationStatus::Completed => Err(PublishRefusal::Completed.into()),
            PublicationStatus::Failed(why) => Err(PublishRefusal::Failed(why).into()),
            PublicationStatus::Generating if self.now() < publication.expires_at => Ok(publication),
            PublicationStatus::Generating => {
                let failure = PublicationFailure::Expired;
                // Whoever overtakes this has seen the same time, or it is ended by the sweep.
                self.end(publication, failure, "").await?;
                Err(PublishRefusal::Failed(failure).into())
            }
        }
    }

    /// Ends a pending publication as failed; `None` if another change overtook this one.
    pub(super) async fn end(
        &self,
        mut publication: Publication,
        failure: PublicationFailure,
        by: &str,
    ) -> Result<Option<Publication>, Error> {
        publication.status = PublicationStatus::Failed(failure);
        publication.ended_at = Some(self.now());
        self.changed(publication, by).await
    }

    /// Replaces a publication by its next revision. Its status has changed. `None` if another change
    /// overtook this one.
    pub(super) async fn changed(
        &self,
        mut publication: Publication,
        by: &str,
    ) -> Result<Option<Publication>, Error> {
        publication.revision = publication.revision.saturating_add(1);
        if !self.0.publications.replace(&publication).await? {
            return Ok(None);
        }
        self.tell(&publication, by).await?;
        Ok(Some(publication))
    }

    /// Tells the observers about a status that is durable.
    pub(super) async fn announce(&self, publication: &Publication) -> Result<(), Error> {
        for observer in &self.0.observers {
            observer.changed(publication).await?;
        }
        Ok(())
    }

    /// Tells the audit trail and the observers about a status that is durable.
    pub(super) async fn tell(&self, publication: &Publication, by: &str) -> Result<(), Error> {
        self.audit(publication, by).await;
        self.announce(publication).await
    }

    async fn audit(&self, publication: &Publication, by: &str) {
        let Some(ledger) = &self.0.ledger else { return };
        let action = match publication.status {
            PublicationStatus::Generating => "publish",
            PublicationStatus::Completed => "finalize",
            PublicationStatus::Failed(PublicationFailure::Expired) => "expire",
            PublicationStatus::Failed(_) => "abort",
        };
        let actor = cut(by.to_owned(), AuditEntry::MAX_NAME_BYTES);
        let meta = serde_json::json!({ "publication": publication.id.to_string() });
        let entry = AuditEntry::new(self.now(), actor, action)
            .in_tenant(publication.project.as_str())
            .meta(meta.to_string());
        if let Err(error) = ledger.append(&entry).await {
            for observer in &self.0.observers {
                observer.unrecorded(publication, &error);
            }
        }
    }
}

/// Others changed the same publication each time.
pub(super) fn overtaken() -> Error {
    let message = "others changed the publication at the same time";
    Error::new(ErrorKind::Store, "change a publication", message).with_retry(Retry::Later)
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("publications", &self.0.publications)
            .field("artifacts", &self.0.artifacts)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
