//! Markers: documents that say where publications are, so that they are found.

use super::content::newer;
use super::operation::WRITE;
use super::place::PublicationPlace;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::publication::{Publication, PublicationId};
use crate::store::Selection;
use crate::store::document::{Document, Documents, Race, hash_of, id as document_id};
use crate::timestamp::Timestamp;

/// The first byte of a marker.
const FORMAT: u8 = 1;
const HASH_BITS: u32 = 28;
const SECOND_BITS: u32 = 34;

/// What the marker of an open publication says. All of them are versions of one document of the
/// default tenant. A version is the second of the expiry and a hash of project and id, so that
/// those that expired by a time are the versions up to a number. Two publications that expire in
/// one second have one version with a probability of 2^-28. The second one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenMarker {
    pub(super) project: String,
    pub(super) id: PublicationId,
    pub(super) expires_at: Timestamp,
}

/// Returns the key of the document whose versions are the buckets in which the project has had
/// publications, each plus one.
pub(super) fn buckets_key(project: &str) -> Result<AggregateKey, Error> {
    AggregateKey::reserved(project, "snapfold.publication-buckets", "")
}

/// Returns the key of the document whose versions are the publications of a bucket:
/// [`PublicationPlace::within`] plus one.
pub(super) fn bucket_key(project: &str, bucket: u64) -> Result<AggregateKey, Error> {
    AggregateKey::reserved(project, "snapfold.publication-bucket", &format!("{bucket:06x}"))
}

/// Returns the key of the document whose versions are the publications of all projects that have
/// not ended.
pub(super) fn open_key() -> Result<AggregateKey, Error> {
    AggregateKey::reserved("", "snapfold.publication-open", "")
}

impl OpenMarker {
    pub(super) fn of(publication: &Publication) -> Self {
        let Publication { project, id, expires_at, .. } = publication;
        Self { project: project.clone(), id: *id, expires_at: *expires_at }
    }

    pub(super) fn version(&self) -> u64 {
        let [a, b, c, d, ..] = hash_of(&[&self.project, &self.id.to_string()]);
        let hash = u32::from_be_bytes([a, b, c, d]) >> (32 - HASH_BITS);
        (second(self.expires_at) << HASH_BITS | u64::from(hash)) + 1
    }

    /// Returns the highest version of what expires at or before `now`.
    pub(super) fn newest(now: Timestamp) -> u64 {
        (second(now) + 1) << HASH_BITS
    }

    fn body(&self) -> Vec<u8> {
        let mut body = vec![FORMAT];
        body.extend(self.id.as_bytes());
        body.extend(self.expires_at.as_micros().to_le_bytes());
        body.extend(self.project.as_bytes());
        body
    }

    pub(super) fn read(document: &Document, key: &AggregateKey) -> Result<Self, Error> {
        let parsed = document.read(key, |body| match body.split_first()? {
            (&FORMAT, rest) => {
                let (id, rest) = rest.split_first_chunk()?;
                let (expires_at, project) = rest.split_first_chunk()?;
                Some(Ok(Self {
                    project: std::str::from_utf8(project).ok()?.to_owned(),
                    id: PublicationId::from_bytes(*id),
                    expires_at: Timestamp::from_micros(i64::from_le_bytes(*expires_at)),
                }))
            }
            (format, _) if *format > FORMAT => Some(Err(newer(key))),
            _ => None,
        });
        parsed?
    }
}

fn second(time: Timestamp) -> u64 {
    let second = u64::try_from(time.as_micros().div_euclid(1_000_000)).unwrap_or(0);
    second.min((1 << SECOND_BITS) - 1)
}

/// Marks a publication that is about to be stored.
pub(super) async fn mark(documents: &Documents, publication: &Publication) -> Result<(), Error> {
    let Publication { project, id, .. } = publication;
    let place = PublicationPlace::of(*id);
    let mut listed = vec![FORMAT];
    listed.extend(id.as_bytes());
    let mut markers = vec![
        (buckets_key(project)?, place.bucket + 1, vec![FORMAT]),
        (bucket_key(project, place.bucket)?, place.within + 1, listed),
    ];
    if publication.ended_at.is_none() {
        let open = OpenMarker::of(publication);
        markers.push((open_key()?, open.version(), open.body()));
    }
    let mut race = Race::default();
    while !markers.is_empty() {
        let stored = documents.put(&markers).await?;
        markers = markers.into_iter().zip(stored).filter(|it| !it.1).map(|it| it.0).collect();
        let versions: Vec<_> =
            markers.iter().map(|(key, version, _)| (key.clone(), *version)).collect();
        let found = documents.get_versions(&versions).await?;
        let mut missing = Vec::new();
        for (marker, found) in markers.into_iter().zip(found) {
            match found {
                Some(found) if !found.read(&marker.0, |there| Some(there == marker.2))? => {
                    let message = "another publication has the same time and nearly the same \
                                   random bits: begin it again with a new id";
                    return Err(Error::new(ErrorKind::Conflict, WRITE, message));
                }
                Some(_) => {}
                // Somebody removed it meanwhile.
                None => missing.push(marker),
            }
        }
        markers = missing;
        if !markers.is_empty() {
            race.lost(WRITE)?;
        }
    }
    Ok(())
}

/// Removes the marker of an open publication, which has ended, or can never be stored. An error is
/// ignored: the next search for what has expired finds the marker.
pub(super) async fn unmark_open(documents: &Documents, open: &OpenMarker) {
    if let Ok(key) = open_key() {
        documents.forget(&key, Selection::Ids(&[document_id(open.version())])).await;
    }
}

/// Removes the place of a publication, which was deleted, or can never be stored, from the list. An
/// error is ignored: lists skip the place.
pub(super) async fn unlist(documents: &Documents, project: &str, place: PublicationPlace) {
    if let Ok(key) = bucket_key(project, place.bucket) {
        documents.forget(&key, Selection::Ids(&[document_id(place.within + 1)])).await;
    }
}
