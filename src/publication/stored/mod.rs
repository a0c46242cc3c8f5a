//! Publications as documents in a snapshot store.
//!
//! A document is an ordinary record under a reserved kind. Writing a version is a compare-and-set:
//! [`PutOutcome::Stored`](crate::store::PutOutcome::Stored) means that nobody took it first.
//!
//! | kind | tenant | id | version | content |
//! |---|---|---|---|---|
//! | `snapfold.publication` | project | [`PublicationPlace`](place::PublicationPlace) | revision | the publication, or "gone" |
//! | `snapfold.publication-key` | project | request key | 1, 2, 3, ... | who claimed it |
//! | `snapfold.publication-buckets` | project | empty | bucket + 1 | a bucket that has been used |
//! | `snapfold.publication-bucket` | project | bucket | place + 1 | an entry of the list |
//! | `snapfold.publication-open` | empty | empty | expiry and hash | a publication that has not ended |
//! | `snapfold.publication-removal` | project | empty | revision | the artifacts that are being removed |
//!
//! # Invariants
//! 1. *The first kind is the truth.* A publication exists if its newest version there is not "gone".
//!    The next four only lead to it, and what they say in vain is skipped.
//! 2. *A version that was taken stays taken.* Nothing of the first two kinds is deleted. Deleting
//!    takes the next version for "gone" and overwrites the earlier ones with "gone". So a node that
//!    stalled can neither bring a publication back nor replace another one.
//! 3. *What has ended or is gone stays so.* [`replace`](PublicationStore::replace) reads the version
//!    before the one that it takes.
//! 4. *What exists is marked.* Entry and marker are stored before version 1, and removed only when
//!    the publication is gone, or has ended (the marker). By 3 no later call needs them.
//! 5. *A request key belongs to the publication in its newest version* if that exists, has this key
//!    and has not failed. Nobody takes the next version before version 1 of that publication is
//!    taken. Whoever finds that it is not stores it, because the claim contains it. So of many
//!    creators one takes the next version of the key, whatever happens to it afterwards, and a
//!    claim of the past is never fulfilled later.
//!
//! What [`create`](PublicationStore::create) leaves if it stops halfway: entry and marker in vain
//! (the search for what has expired removes them, after it has taken version 1 for "gone"), or a
//! claim, which the next creator with the key fulfils.

mod content;
mod create;
mod delete;
mod documents;
mod expired;
mod json;
mod list;
mod marker;
mod operation;
mod place;
mod removal;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    ArtifactRemoval, Publication, PublicationCreated, PublicationId, PublicationStore,
    PublicationsRequest,
};
use crate::error::Error;
use crate::store::document::Race;
use crate::store::{Page, SnapshotStore};
use crate::timestamp::Timestamp;
use content::Content;
use documents::PublicationDocuments;
use operation::WRITE;
use place::PublicationPlace;

/// A [`PublicationStore`] in any [`SnapshotStore`], next to its snapshots: in memory with
/// `MemoryStore`, in files with `FileStore`, in object storage with `ObjectStoreSnapshots`. Backups
/// and copies of the store include the publications.
///
/// It is as durable as the store. Any number of nodes may use the same store at the same time.
/// Clones share the store. Retention never deletes the records, and applications cannot access
/// them, because their kinds are reserved.
///
/// | call | cost |
/// |---|---|
/// | [`create`](PublicationStore::create) | 1 read and 2 puts; with a request key 2 reads and 4 puts |
/// | [`get`](PublicationStore::get) | 1 read |
/// | [`replace`](PublicationStore::replace) | 1 read and 1 put; at the end a delete too |
/// | [`list`](PublicationStore::list) | at most 18 lists and reads of 320 publications |
/// | [`expired`](PublicationStore::expired) | a list and 2 reads for each 64 that have expired |
/// | [`delete`](PublicationStore::delete) | overwrites every revision with a byte |
/// | [`removal`](PublicationStore::removal) | 1 read |
/// | [`replace_removal`](PublicationStore::replace_removal) | 2 reads and 1 put |
///
/// Each revision stays in the store. Where a store limits the snapshots of one aggregate (object
/// storage: 4,096), that limits the revisions of a publication, the publications of a project in
/// 18.6 hours, the publications that have not ended, and the days on which a project publishes.
///
/// # Errors
/// Any error returned by the store, and
/// - [`CorruptStore`](crate::ErrorKind::CorruptStore) for a damaged document,
/// - [`Unsupported`](crate::ErrorKind::Unsupported) for a document that a newer release wrote,
/// - [`Conflict`](crate::ErrorKind::Conflict) if the id was used before, or a call lost the race to
///   other nodes 1,000 times in a row.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use snapfold::publication::{
///     Publication, PublicationCreated, PublicationId, PublicationStore, StorePublications,
/// };
/// use snapfold::{MemoryStore, Timestamp};
///
/// let publications = StorePublications::new(MemoryStore::new());
/// let now = Timestamp::from_seconds(1_754_654_400);
/// let id = PublicationId::new(now)?;
/// let new = Publication::new("north", id, now, Timestamp::from_seconds(1_754_658_000));
/// assert_eq!(publications.create(&new).await?, PublicationCreated::New);
/// assert_eq!(publications.get("north", id).await?, Some(new));
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct StorePublications(PublicationDocuments);

impl StorePublications {
    /// Creates a store of publications in `store`. Does not access it yet.
    pub fn new(store: impl SnapshotStore + 'static) -> Self {
        Self(PublicationDocuments::new(Arc::new(store)))
    }
}

#[async_trait]
impl PublicationStore for StorePublications {
    async fn create(&self, publication: &Publication) -> Result<PublicationCreated, Error> {
        create::create(&self.0, publication).await
    }

    async fn get(&self, project: &str, id: PublicationId) -> Result<Option<Publication>, Error> {
        Publication::check_project(project)?;
        match self.0.newest(project, PublicationPlace::of(id)).await? {
            Some((_, Content::Held(publication))) if publication.id == id => Ok(Some(*publication)),
            _ => Ok(None),
        }
    }

    async fn replace(&self, publication: &Publication) -> Result<bool, Error> {
        publication.check()?;
        let place = PublicationPlace::of(publication.id);
        let mut race = Race::default();
        loop {
            let found = self.0.newest(&publication.project, place).await?;
            let Some((version, Content::Held(old))) = found else { return Ok(false) };
            if *old == *publication {
                self.0.settled(publication).await;
                return Ok(true);
            }
            let is_next = version.checked_add(1) == Some(publication.revision);
            if old.id != publication.id || !is_next || old.ended_at.is_some() {
                return Ok(false);
            }
            old.check_unchanged(publication)?;
            let body = Content::whole(publication);
            let next = [(place.key(&publication.project)?, publication.revision, body)];
            if self.0.documents.put(&next).await?.contains(&true) {
                self.0.settled(publication).await;
                return Ok(true);
            }
            race.lost(WRITE)?;
        }
    }

    async fn list(
        &self,
        request: PublicationsRequest<'_>,
    ) -> Result<Page<Publication, PublicationId>, Error> {
        list::list(&self.0, request).await
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Publication>, Error> {
        expired::expired(&self.0, now, limit).await
    }

    async fn delete(&self, project: &str, id: PublicationId) -> Result<(), Error> {
        delete::delete(&self.0, project, id).await
    }

    async fn removal(&self, project: &str) -> Result<Option<ArtifactRemoval>, Error> {
        removal::get(&self.0, project).await
    }

    async fn replace_removal(
        &self,
        project: &str,
        removal: &ArtifactRemoval,
    ) -> Result<bool, Error> {
        removal::replace(&self.0, project, removal).await
    }
}

impl fmt::Debug for StorePublications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorePublications").field("store", &self.0.store).finish_non_exhaustive()
    }
}
