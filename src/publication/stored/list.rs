//! Lists of a project's publications.

use super::content::Content;
use super::documents::PublicationDocuments;
use super::marker::{bucket_key, buckets_key, unlist};
use super::place::PublicationPlace;
use crate::error::Error;
use crate::publication::{Publication, PublicationId, PublicationsRequest};
use crate::store::Page;

/// The maximum number of items in one page, whatever the requested limit.
const MAX_ITEMS: usize = 256;
/// A page ends when so many publications were looked at, listed or not.
const MAX_LOOKED: usize = 256;
/// A page ends with the publication that reaches this size in memory.
const MAX_BYTES: usize = 16 << 20;
/// The number of buckets that a page looks into.
const MAX_BUCKETS: usize = 16;
/// The number of publications that are read together.
const AT_ONCE: usize = 64;

type Listed = Page<Publication, PublicationId>;

pub(super) async fn list(
    publications: &PublicationDocuments,
    request: PublicationsRequest<'_>,
) -> Result<Listed, Error> {
    Publication::check_project(request.project)?;
    let below = request.after.map(PublicationPlace::below);
    let key = buckets_key(request.project)?;
    let newest = below.map_or(u64::MAX, |below| below.bucket + 1);
    let (buckets, more) = publications.documents.versions(&key, newest, MAX_BUCKETS).await?;
    let mut page = ListPage { request, items: Vec::new(), looked: 0, bytes: 0 };
    for bucket in buckets.iter().map(|version| version.saturating_sub(1)) {
        let within = below.filter(|below| below.bucket == bucket).map(|below| below.within);
        if let Some(next) = page.bucket(publications, bucket, within).await? {
            return Ok(Page::new(page.items, Some(next)));
        }
    }
    let last = buckets.last().filter(|_| more);
    let next =
        last.map(|last| PublicationPlace { bucket: last.saturating_sub(1), within: 0 }.lowest());
    Ok(Page::new(page.items, next))
}

/// A page in the making.
struct ListPage<'a> {
    request: PublicationsRequest<'a>,
    items: Vec<Publication>,
    looked: usize,
    bytes: usize,
}

impl ListPage<'_> {
    /// Adds the publications of a bucket from a place downwards. Returns the end of the page if it
    /// is full.
    async fn bucket(
        &mut self,
        publications: &PublicationDocuments,
        bucket: u64,
        within: Option<u64>,
    ) -> Result<Option<PublicationId>, Error> {
        let project = self.request.project;
        let key = bucket_key(project, bucket)?;
        let mut at_most = within.map_or(u64::MAX, |within| within + 1);
        loop {
            // One more, because the page begins with the end of the one before.
            let wanted = self.request.limit.clamp(1, AT_ONCE).saturating_add(1);
            let (versions, more) = publications.documents.versions(&key, at_most, wanted).await?;
            let place =
                |version: &u64| PublicationPlace { bucket, within: version.saturating_sub(1) };
            let places: Vec<_> = versions.iter().map(place).collect();
            let keys = places.iter().map(|place| place.key(project));
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            let documents = publications.documents.get_many(&keys).await?;
            for ((place, key), document) in places.iter().zip(&keys).zip(documents) {
                self.looked += 1;
                let Some(document) = document else { continue };
                match Content::read(&document, key)? {
                    Content::Gone => unlist(&publications.documents, project, *place).await,
                    Content::Held(publication) => {
                        if let Some(end) = self.add(*publication) {
                            return Ok(Some(end));
                        }
                    }
                }
            }
            let Some(last) = places.last().filter(|_| more) else { return Ok(None) };
            if self.looked >= MAX_LOOKED {
                return Ok(Some(last.lowest()));
            }
            if last.within == 0 {
                return Ok(None);
            }
            at_most = last.within;
        }
    }

    /// Adds a publication if it is listed. Returns its id if the page is full.
    fn add(&mut self, publication: Publication) -> Option<PublicationId> {
        let id = publication.id;
        if !self.request.admits(&publication) || self.request.after.is_some_and(|after| id >= after)
        {
            return None;
        }
        self.bytes = self.bytes.saturating_add(size_of(&publication));
        self.items.push(publication);
        let limit = self.request.limit.clamp(1, MAX_ITEMS);
        (self.items.len() >= limit || self.bytes >= MAX_BYTES).then_some(id)
    }
}

/// Estimates the memory size of a publication.
fn size_of(publication: &Publication) -> usize {
    let details = &publication.details;
    let description = details.description.as_ref().map_or(0, String::len);
    4_096 + description + 1_024 * (details.tags.len() + publication.parts.len())
}
