//! The content of a publication's documents: a byte for the format, then JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::artifact::{Artifact, ArtifactId};
use crate::hex::{hex, unhex};
use crate::publication::{
    Publication, PublicationDetails, PublicationFailure, PublicationId, PublicationPart,
    PublicationStatus,
};
use crate::timestamp::Timestamp;

/// What is within the limits of a publication takes less, however it is escaped.
const MAX_BYTES: usize = 4 << 20;

/// Writes all but the project and the revision, which are the tenant and the version of the
/// document.
pub(super) fn encode(publication: &Publication) -> Vec<u8> {
    let Publication { details, parts, .. } = publication;
    let parts: Map<_, _> =
        parts.iter().map(|(name, part)| (name.clone(), part_value(part))).collect();
    let value = json!({
        "id": publication.id.to_string(),
        "status": status_name(publication.status),
        "details": details_value(details),
        "parts": parts,
        "request_key": publication.request_key.map(|key| hex(&key)),
        "created_by": publication.created_by,
        "created_at": publication.created_at.as_micros(),
        "expires_at": publication.expires_at.as_micros(),
        "ended_at": publication.ended_at.map(Timestamp::as_micros),
    });
    value.to_string().into_bytes()
}

/// Reads what [`encode`] wrote. `None` if it is damaged.
pub(super) fn decode(project: &str, revision: u64, bytes: &[u8]) -> Option<Publication> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    let publication =
        publication_of(project, revision, serde_json::from_slice(bytes).ok()?).ok()?;
    publication.check().is_ok().then_some(publication)
}

fn publication_of(project: &str, revision: u64, value: Value) -> Result<Publication, Damaged> {
    let mut fields = Fields::of(value)?;
    let id: PublicationId = needed(fields.text("id")?)?.parse().map_err(|_| Damaged)?;
    let created_at = Timestamp::from_micros(needed(fields.signed("created_at")?)?);
    let expires_at = Timestamp::from_micros(needed(fields.signed("expires_at")?)?);
    let mut publication = Publication::new(project, id, created_at, expires_at);
    publication.revision = revision;
    publication.status = needed(status_of(&needed(fields.text("status")?)?))?;
    publication.details = details_of(needed(fields.object("details")?)?)?;
    let parts = needed(fields.object("parts")?)?.0.into_iter();
    let part = |(name, value)| Ok((name, part_of(Fields::of(value)?)?));
    publication.parts = parts.map(part).collect::<Result<BTreeMap<_, _>, _>>()?;
    let key = fields.text("request_key")?;
    publication.request_key = match key {
        Some(key) => Some(needed(unhex(&key).and_then(|key| key.try_into().ok()))?),
        None => None,
    };
    publication.created_by = needed(fields.text("created_by")?)?;
    publication.ended_at = fields.signed("ended_at")?.map(Timestamp::from_micros);
    fields.end()?;
    Ok(publication)
}

fn details_value(details: &PublicationDetails) -> Value {
    json!({
        "collection": details.collection,
        "title": details.title,
        "author": details.author,
        "description": details.description,
        "tags": details.tags,
        "repo_owner": details.repo_owner,
        "repo_name": details.repo_name,
        "commit_sha": details.commit_sha,
        "branch": details.branch,
        "pull_request": details.pull_request,
        "run_id": details.run_id,
        "run_url": details.run_url,
    })
}

fn details_of(mut fields: Fields) -> Result<PublicationDetails, Damaged> {
    let details = PublicationDetails {
        collection: fields.text("collection")?,
        title: fields.text("title")?,
        author: fields.text("author")?,
        description: fields.text("description")?,
        tags: fields.texts("tags")?,
        repo_owner: fields.text("repo_owner")?,
        repo_name: fields.text("repo_name")?,
        commit_sha: fields.text("commit_sha")?,
        branch: fields.text("branch")?,
        pull_request: fields.number("pull_request")?,
        run_id: fields.text("run_id")?,
        run_url: fields.text("run_url")?,
    };
    fields.end()?;
    Ok(details)
}

fn part_value(part: &PublicationPart) -> Value {
    let stored = part.stored.as_ref().map(|it| {
        json!({ "size": it.size, "sha256": it.id.to_string(), "content_type": it.content_type })
    });
    json!({
        "size": part.size,
        "sha256": part.sha256.map(|id| id.to_string()),
        "content_type": part.content_type,
        "stored": stored,
    })
}

fn part_of(mut fields: Fields) -> Result<PublicationPart, Damaged> {
    let part = PublicationPart {
        size: fields.number("size")?,
        sha256: fields.artifact_id("sha256")?,
        content_type: fields.text("content_type")?,
        stored: match fields.object("stored")? {
            Some(mut stored) => {
                let id = needed(stored.artifact_id("sha256")?)?;
                let artifact = Artifact::new(id, needed(stored.number("size")?)?);
                let artifact = artifact.content_type(needed(stored.text("content_type")?)?);
                stored.end()?;
                Some(artifact)
            }
            None => None,
        },
    };
    fields.end()?;
    Ok(part)
}

fn status_name(status: PublicationStatus) -> &'static str {
    match status {
        PublicationStatus::Failed(why) => why.name(),
        other => other.name(),
    }
}

fn status_of(name: &str) -> Option<PublicationStatus> {
    use PublicationFailure::{Aborted, Expired, Refused};
    let failed = [Aborted, Expired, Refused].map(PublicationStatus::Failed);
    let all = [PublicationStatus::Generating, PublicationStatus::Completed].into_iter();
    all.chain(failed).find(|status| status_name(*status) == name)
}

/// A field is missing, is unknown or has another type.
struct Damaged;

fn needed<T>(field: Option<T>) -> Result<T, Damaged> {
    field.ok_or(Damaged)
}

/// The fields of an object, each of which is taken once. A field that is null is `None`.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(value: Value) -> Result<Self, Damaged> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(Damaged),
        }
    }

    fn take<T>(
        &mut self,
        name: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<Option<T>, Damaged> {
        match needed(self.0.remove(name))? {
            Value::Null => Ok(None),
            value => needed(read(value)).map(Some),
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Damaged> {
        self.take(name, text)
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, Damaged> {
        match needed(self.0.remove(name))? {
            Value::Array(texts) => needed(texts.into_iter().map(text).collect()),
            _ => Err(Damaged),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, Damaged> {
        self.take(name, |value| value.as_u64())
    }

    fn signed(&mut self, name: &str) -> Result<Option<i64>, Damaged> {
        self.take(name, |value| value.as_i64())
    }

    fn object(&mut self, name: &str) -> Result<Option<Self>, Damaged> {
        self.take(name, |value| Self::of(value).ok())
    }

    fn artifact_id(&mut self, name: &str) -> Result<Option<ArtifactId>, Damaged> {
        self.take(name, |value| value.as_str()?.parse().ok())
    }

    /// Refuses other fields.
    fn end(self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
