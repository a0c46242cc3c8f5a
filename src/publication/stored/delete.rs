//! Deleting a publication: see the second invariant of the module above.

use super::content::{Content, KeyHolder};
use super::create::claims_key;
use super::documents::PublicationDocuments;
use super::marker::{OpenMarker, unlist, unmark_open};
use super::operation::WRITE;
use super::place::PublicationPlace;
use crate::error::Error;
use crate::publication::{Publication, PublicationId};
use crate::store::document::Race;

/// The number of versions that are overwritten in one call.
const AT_ONCE: u64 = 256;

pub(super) async fn delete(
    publications: &PublicationDocuments,
    project: &str,
    id: PublicationId,
) -> Result<(), Error> {
    Publication::check_project(project)?;
    let place = PublicationPlace::of(id);
    let key = place.key(project)?;
    let mut race = Race::default();
    let last = loop {
        match publications.newest(project, place).await? {
            None => return Ok(()),
            Some((version, Content::Gone)) => break version,
            Some((_, Content::Held(other))) if other.id != id => return Ok(()),
            Some((version, Content::Held(_))) => {
                let next = version.saturating_add(1);
                let gone = [(key.clone(), next, Content::gone())];
                if publications.documents.put(&gone).await?.contains(&true) {
                    break next;
                }
                race.lost(WRITE)?;
            }
        }
    };
    // From here on it is deleted. The rest removes what cannot be seen any more, version 1 last, so
    // that another call finds what is left to do.
    let first = publications.documents.get_versions(&[(key.clone(), 1)]).await?;
    let Some(Some(first)) = first.first() else { return Ok(()) };
    let Content::Held(first) = Content::read(first, &key)? else { return Ok(()) };
    if let Some(request_key) = &first.request_key {
        let claims = claims_key(project, request_key)?;
        if let Some(claim) = publications.documents.get(&claims, u64::MAX).await?
            && matches!(KeyHolder::read(&claim, &claims)?, KeyHolder::Whole(whole) if whole.id == id)
        {
            publications.name_holder(&claims, claim.version, id).await;
        }
    }
    unmark_open(&publications.documents, &OpenMarker::of(&first)).await;
    unlist(&publications.documents, project, place).await;
    let mut end = last;
    while end > 1 {
        let start = end.saturating_sub(AT_ONCE).max(1);
        let gone: Vec<_> =
            (start..end).rev().map(|version| (key.clone(), version, Content::gone())).collect();
        publications.documents.rewrite(&gone).await?;
        end = start;
    }
    Ok(())
}
