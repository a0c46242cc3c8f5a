//! [`PublicationStore`]: what is published, and how far each publication is.
//!
//! A publication begins with its details and the names of its artifacts. When all artifacts are
//! stored ([`ArtifactStore`](crate::artifact::ArtifactStore)), it is completed, and can be seen. If
//! that does not happen in time, it fails.

mod content;
mod details;
mod id;
mod list;
mod part;
mod removal;
mod status;
mod stored;

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::store::Page;
use crate::timestamp::Timestamp;

pub use content::Publication;
pub use details::PublicationDetails;
pub use id::PublicationId;
pub use list::PublicationsRequest;
pub use part::PublicationPart;
pub use removal::ArtifactRemoval;
pub use status::{PublicationFailure, PublicationStatus};
pub use stored::StorePublications;

/// What came of [`PublicationStore::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicationCreated {
    /// It is stored.
    New,
    /// Another one of the project has the same [`Publication::request_key`], or the same id. It is
    /// returned, and nothing was stored.
    Existing(Box<Publication>),
}

/// Stores publications. Object-safe. Any number of nodes may share one store.
///
/// # Obligations on every method
/// Each obligation has an id, which the conformance kit (`conformance::publications`) reports.
/// - **P-01** Projects are isolated: a call for one project never returns or changes what another
///   one has, whatever bytes their names contain. Ids and request keys may be equal in several.
/// - **P-02** `Err` means that the store failed or does not support the request. No input causes a
///   panic or a hang. A call with a publication that [`Publication::check`] refuses fails with
///   [`InvalidInput`](crate::ErrorKind::InvalidInput) and stores nothing. The same holds for a
///   project with more than [`MAX_PROJECT_BYTES`](Publication::MAX_PROJECT_BYTES).
/// - **P-03** When a call has returned `Ok`, its changes are visible to every call that starts later,
///   on any node, and survive a crash if the store is durable.
/// - **P-04** If a returned future is dropped, at any time, or the call fails, its change is made
///   completely or not at all, and the store remains usable. A change that was begun may also be
///   completed afterwards, by the store or by a later call.
///
/// # Errors
/// [`Store`](crate::ErrorKind::Store) or a more specific kind.
#[async_trait]
pub trait PublicationStore: fmt::Debug + Send + Sync {
    /// Stores a new publication.
    ///
    /// # Obligations
    /// - **P-10** Of several publications with one id in one project, exactly one is stored. Each of
    ///   the others is told [`Existing`](PublicationCreated::Existing) with that one.
    /// - **P-11** The same holds for one [`request_key`](Publication::request_key), unless the one
    ///   that has it has failed. Then the new one gets the key.
    /// - **P-12** What is returned later equals what was stored, byte for byte.
    /// - **P-13** The revision of a new one is 1. Another one fails with
    ///   [`InvalidInput`](crate::ErrorKind::InvalidInput).
    ///
    /// The id of a deleted publication is not used again: a store may refuse it with
    /// [`Conflict`](crate::ErrorKind::Conflict).
    async fn create(&self, publication: &Publication) -> Result<PublicationCreated, Error>;

    /// Returns a publication.
    async fn get(&self, project: &str, id: PublicationId) -> Result<Option<Publication>, Error>;

    /// Replaces the publication with the same id, whose revision is the one before. Returns whether
    /// it was replaced.
    ///
    /// # Obligations
    /// - **P-20** It is replaced if and only if it exists, its revision is exactly one lower, and it
    ///   has not ended. Of several calls with one revision and different publications, at most one
    ///   returns true.
    /// - **P-21** A call whose answer is lost can be repeated: if the stored one equals the new one,
    ///   the answer is true.
    /// - **P-22** `request_key`, `created_by`, `created_at` and `expires_at` never change: a call
    ///   that would replace one with a publication that differs in them fails with
    ///   [`InvalidInput`](crate::ErrorKind::InvalidInput).
    async fn replace(&self, publication: &Publication) -> Result<bool, Error>;

    /// Lists publications of a project, by descending id.
    ///
    /// # Obligations
    /// - **P-30** Exactly those that [`PublicationsRequest::admits`], in descending order of their
    ///   ids. [`Page::next`] is an id at or above which all were looked at, if more may follow. A page
    ///   may be empty and have a `next`, so that a page costs a bounded number of reads. Following
    ///   `next` lists each one that is admitted the whole time exactly once.
    async fn list(
        &self,
        request: PublicationsRequest<'_>,
    ) -> Result<Page<Publication, PublicationId>, Error>;

    /// Returns at most `limit` (0 is treated as 1) publications of all projects that are
    /// [`Generating`](PublicationStatus::Generating) and whose
    /// [`expires_at`](Publication::expires_at) is at or before `now`.
    ///
    /// # Obligations
    /// - **P-40** If fewer than `limit` are returned, there are no others. The cost does not depend
    ///   on how many have ended.
    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Publication>, Error>;

    /// Deletes a publication. Its artifacts remain.
    ///
    /// # Obligations
    /// - **P-50** After the call has returned, it is neither found nor listed, and its request key is
    ///   free. Deleting a missing one does nothing.
    /// - **P-51** A call that began before does not bring it back.
    async fn delete(&self, project: &str, id: PublicationId) -> Result<(), Error>;

    /// Returns which artifacts of a project are being removed; `None` if that was never stored.
    ///
    /// The default implementation is for stores that keep no removals, and returns `None`. Artifacts
    /// to which no publication refers then remain.
    async fn removal(&self, project: &str) -> Result<Option<ArtifactRemoval>, Error> {
        let _ = project;
        Ok(None)
    }

    /// Replaces the removal of a project. Returns whether it was replaced.
    ///
    /// The default implementation fails with [`Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// # Obligations (unless it is unsupported)
    /// - **P-60** It is replaced if and only if the revision of the stored one is exactly one lower;
    ///   0 if there is none. Of several calls with one revision and different removals, at most one
    ///   returns true.
    /// - **P-61** A call whose answer is lost can be repeated: if the stored one equals the new one,
    ///   the answer is true.
    /// - **P-62** What is returned later equals what was stored. A call with a removal that
    ///   [`ArtifactRemoval::check`] refuses fails with
    ///   [`InvalidInput`](crate::ErrorKind::InvalidInput) and stores nothing.
    async fn replace_removal(
        &self,
        project: &str,
        removal: &ArtifactRemoval,
    ) -> Result<bool, Error> {
        let _ = (project, removal);
        let message = "this store keeps no removals of artifacts";
        Err(Error::new(ErrorKind::Unsupported, "remove artifacts", message))
    }
}
