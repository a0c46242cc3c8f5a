//! The search for publications that have expired. It also removes markers in vain.

use std::time::Duration;

use super::content::Content;
use super::documents::PublicationDocuments;
use super::marker::{OpenMarker, open_key, unlist, unmark_open};
use super::place::PublicationPlace;
use crate::error::Error;
use crate::publication::Publication;
use crate::timestamp::Timestamp;

/// The number of markers that are read together.
const AT_ONCE: usize = 64;
/// A creator that has not stored what it has marked is given this long after the expiry. Afterwards
/// the place is taken, and the creator is told.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

pub(super) async fn expired(
    publications: &PublicationDocuments,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Publication>, Error> {
    let limit = limit.max(1);
    let key = open_key()?;
    let mut at_most = OpenMarker::newest(now);
    let mut found = Vec::new();
    loop {
        let (versions, more) = publications.documents.versions(&key, at_most, AT_ONCE).await?;
        let wanted: Vec<_> = versions.iter().map(|version| (key.clone(), *version)).collect();
        let documents = publications.documents.get_versions(&wanted).await?;
        let markers = documents.iter().flatten().map(|document| OpenMarker::read(document, &key));
        let markers = markers.collect::<Result<Vec<_>, _>>()?;
        let keys =
            markers.iter().map(|marker| PublicationPlace::of(marker.id).key(&marker.project));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let documents = publications.documents.get_many(&keys).await?;
        for ((marker, key), document) in markers.iter().zip(&keys).zip(documents) {
            let content = match &document {
                Some(document) => Some(Content::read(document, key)?),
                None => None,
            };
            match content {
                Some(Content::Held(publication))
                    if publication.id == marker.id && publication.ended_at.is_none() =>
                {
                    if publication.expires_at <= now {
                        found.push(*publication);
                    }
                }
                other => publications.clean(marker, other, now).await,
            }
            if found.len() >= limit {
                return Ok(found);
            }
        }
        match versions.last() {
            Some(last) if more => at_most = last.saturating_sub(1),
            _ => return Ok(found),
        }
    }
}

impl PublicationDocuments {
    /// Removes a marker that is in vain. An error is ignored: the next search finds it again.
    async fn clean(&self, marker: &OpenMarker, content: Option<Content>, now: Timestamp) {
        let place = PublicationPlace::of(marker.id);
        match content {
            Some(Content::Held(_)) => {}
            Some(Content::Gone) => unlist(&self.documents, &marker.project, place).await,
            None => {
                let Ok(key) = place.key(&marker.project) else { return };
                let given_up = marker.expires_at.saturating_add(PATIENCE) <= now;
                let first = [(key, 1, Content::gone())];
                if !given_up
                    || !self.documents.put(&first).await.is_ok_and(|stored| stored.contains(&true))
                {
                    return;
                }
                unlist(&self.documents, &marker.project, place).await;
            }
        }
        unmark_open(&self.documents, marker).await;
    }
}
