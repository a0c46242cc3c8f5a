//! [`PublicationDocuments`]: the documents of publications.

use std::sync::Arc;

use super::content::Content;
use super::marker::{OpenMarker, unmark_open};
use super::operation::{READ, WRITE};
use super::place::PublicationPlace;
use crate::error::Error;
use crate::publication::Publication;
use crate::store::SnapshotStore;
use crate::store::document::Documents;
use crate::store::edition::Editions;

#[derive(Clone)]
pub(super) struct PublicationDocuments {
    pub(super) store: Arc<dyn SnapshotStore>,
    pub(super) documents: Documents,
    /// Documents of which only the last versions are kept.
    pub(super) editions: Editions,
}

impl PublicationDocuments {
    pub(super) fn new(store: Arc<dyn SnapshotStore>) -> Self {
        let documents = Documents::new(Arc::clone(&store), READ);
        Self { editions: Editions::new(documents.clone(), WRITE), documents, store }
    }

    /// Returns the newest version at a place, and its content.
    pub(super) async fn newest(
        &self,
        project: &str,
        place: PublicationPlace,
    ) -> Result<Option<(u64, Content)>, Error> {
        let key = place.key(project)?;
        match self.documents.get(&key, u64::MAX).await? {
            Some(document) => Ok(Some((document.version, Content::read(&document, &key)?))),
            None => Ok(None),
        }
    }

    /// Removes the marker of a publication that has ended.
    pub(super) async fn settled(&self, publication: &Publication) {
        if publication.ended_at.is_some() {
            unmark_open(&self.documents, &OpenMarker::of(publication)).await;
        }
    }
}
