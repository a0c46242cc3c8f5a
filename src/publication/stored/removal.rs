//! Which artifacts of a project are being removed, as a document that is rewritten at each change.

use super::content::newer;
use super::documents::PublicationDocuments;
use crate::artifact::ArtifactId;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::publication::{ArtifactRemoval, Publication};
use crate::store::Selection;
use crate::store::edition::{self, Edit, Edition};
use crate::timestamp::Timestamp;

/// The first byte of the content.
const FORMAT: u8 = 1;
/// After this many versions, the older ones are deleted.
const KEPT: u64 = 16;

fn key_of(project: &str) -> Result<AggregateKey, Error> {
    Publication::check_project(project)?;
    AggregateKey::reserved(project, "snapfold.publication-removal", "")
}

pub(super) async fn get(
    publications: &PublicationDocuments,
    project: &str,
) -> Result<Option<ArtifactRemoval>, Error> {
    Ok(newest(publications, &key_of(project)?).await?.map(|(_, removal)| removal))
}

pub(super) async fn replace(
    publications: &PublicationDocuments,
    project: &str,
    removal: &ArtifactRemoval,
) -> Result<bool, Error> {
    removal.check()?;
    let key = key_of(project)?;
    let (from, there) = match newest(publications, &key).await? {
        Some((from, there)) => (from, Some(there)),
        None => (Edition::none(0), None),
    };
    if there.as_ref() == Some(removal) {
        return Ok(true);
    }
    if from.version.checked_add(1) != Some(removal.revision) {
        return Ok(false);
    }
    let edit = [Edit { key: key.clone(), from, last: u64::MAX, content: to_bytes(removal) }];
    let made = publications.editions.write(&edit).await?.pop().flatten();
    if made.as_ref().is_some_and(|made| made.version.is_multiple_of(KEPT)) {
        publications.editions.forget(&key, Selection::Below(removal.revision)).await;
    }
    // Another call with the same removal may have been faster.
    Ok(made.is_some() || get(publications, project).await?.as_ref() == Some(removal))
}

async fn newest(
    publications: &PublicationDocuments,
    key: &AggregateKey,
) -> Result<Option<(Edition, ArtifactRemoval)>, Error> {
    let Some(document) = publications.editions.get(key, u64::MAX).await? else { return Ok(None) };
    let revision = document.version;
    let (edition, removal) = edition::read(&document, key, |content| parse(revision, content))?;
    removal.map(|removal| Some((edition, removal))).ok_or_else(|| newer(key))
}

fn to_bytes(removal: &ArtifactRemoval) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend(removal.until.as_micros().to_le_bytes());
    bytes.extend(removal.artifacts.iter().flat_map(ArtifactId::as_bytes));
    bytes
}

/// `None` if it is damaged, `Some(None)` if its format is newer.
#[expect(clippy::option_option, reason = "the two have different errors")]
fn parse(revision: u64, content: &[u8]) -> Option<Option<ArtifactRemoval>> {
    let (&format, rest) = content.split_first()?;
    if format > FORMAT {
        return Some(None);
    }
    let (until, ids) = rest.split_first_chunk()?;
    let (ids, rest) = ids.as_chunks::<32>();
    let removal = ArtifactRemoval {
        revision,
        artifacts: ids.iter().map(|id| ArtifactId::from_bytes(*id)).collect(),
        until: Timestamp::from_micros(i64::from_le_bytes(*until)),
    };
    let is_whole = format == FORMAT && rest.is_empty() && removal.artifacts.len() == ids.len();
    (is_whole && removal.check().is_ok()).then_some(Some(removal))
}
