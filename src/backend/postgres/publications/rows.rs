//! Publications as rows.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::calls::READ;
use super::parts;
use crate::backend::postgres::error::{self, StatementEffect, damaged};
use crate::backend::postgres::key_text::{self, KeyText};
use crate::backend::postgres::statement::Bound;
use crate::error::Error;
use crate::publication::{
    Publication, PublicationDetails, PublicationFailure, PublicationId, PublicationStatus,
};
use crate::timestamp::Timestamp;

/// The columns, with the type of the parameter of each.
pub(super) const COLUMNS: [(&str, &str); 23] = [
    ("tenant", "text"),
    ("id", "text::uuid"),
    ("revision", "int8"),
    ("status", "text"),
    ("failure", "text"),
    ("collection", "text"),
    ("title", "text"),
    ("author", "text"),
    ("description", "text"),
    ("tags", "text[]"),
    ("repo_owner", "text"),
    ("repo_name", "text"),
    ("commit_sha", "text"),
    ("branch", "text"),
    ("pull_request", "int8"),
    ("run_id", "text"),
    ("run_url", "text"),
    ("parts", "text::jsonb"),
    ("request_key", "bytea"),
    ("created_by", "text"),
    ("created_at", "int8"),
    ("expires_at", "int8"),
    ("ended_at", "int8"),
];

/// Those that never change, besides the identity.
const FIXED: [&str; 4] = ["request_key", "created_by", "created_at", "expires_at"];

fn joined(part: impl Fn(usize, &str, &str) -> String) -> String {
    let parts = (1..).zip(COLUMNS).map(|(number, (name, of))| part(number, name, of));
    parts.collect::<Vec<_>>().join(", ")
}

pub(super) fn names() -> String {
    joined(|_, name, _| name.to_owned())
}

/// The parameters 1 to 23.
pub(super) fn parameters() -> String {
    joined(|number, _, of| format!("${number}::{of}"))
}

/// Sets each column to its parameter.
pub(super) fn assignments() -> String {
    joined(|number, name, of| format!("{name} = ${number}::{of}"))
}

/// Holds if what never changes is as in the parameters.
pub(super) fn unchanged() -> String {
    let columns = (1..).zip(COLUMNS).filter(|(_, (name, _))| FIXED.contains(name));
    let conditions =
        columns.map(|(number, (name, of))| format!("{name} IS NOT DISTINCT FROM ${number}::{of}"));
    conditions.collect::<Vec<_>>().join(" AND ")
}

/// What a row is read from: the columns, those that the client has no type for as text, and after
/// them `place`, which orders rows as ids are ordered.
pub(super) fn selection() -> String {
    let columns = joined(|_, name, _| match name {
        "id" | "parts" => format!("{name}::text"),
        _ => name.to_owned(),
    });
    format!("{columns}, id AS place")
}

/// Binds the [`parameters`].
pub(super) fn bind<'q>(
    query: Bound<'q>,
    key: &KeyText<'_>,
    publication: &Publication,
) -> Bound<'q> {
    let text = |text: &str| key_text::encode(text).into_owned();
    let optional = |value: &Option<String>| value.as_deref().map(text);
    let details = &publication.details;
    let failure = match publication.status {
        PublicationStatus::Failed(why) => Some(why.name()),
        _ => None,
    };
    query
        .bind(key.tenant.to_string())
        .bind(publication.id.to_string())
        .bind(publication.revision.cast_signed())
        .bind(publication.status.name())
        .bind(failure)
        .bind(optional(&details.collection))
        .bind(optional(&details.title))
        .bind(optional(&details.author))
        .bind(optional(&details.description))
        .bind(details.tags.iter().map(|tag| text(tag)).collect::<Vec<_>>())
        .bind(optional(&details.repo_owner))
        .bind(optional(&details.repo_name))
        .bind(optional(&details.commit_sha))
        .bind(optional(&details.branch))
        .bind(details.pull_request.map(u64::cast_signed))
        .bind(optional(&details.run_id))
        .bind(optional(&details.run_url))
        .bind(parts::to_json(&publication.parts))
        .bind(publication.request_key.map(|key| key.to_vec()))
        .bind(text(&publication.created_by))
        .bind(publication.created_at.as_micros())
        .bind(publication.expires_at.as_micros())
        .bind(publication.ended_at.map(Timestamp::as_micros))
}

/// Reads a row of the [`selection`], whose first column is the guard.
pub(super) fn publication_of(row: &PgRow) -> Result<Publication, Error> {
    let mut next = RowReader { row, at: 0 };
    let project = next.text()?;
    let id: PublicationId = next.text()?.parse()?;
    let revision = next.read::<i64>()?.cast_unsigned();
    let (status, failure) = (next.text()?, next.optional()?);
    let details = PublicationDetails {
        collection: next.optional()?,
        title: next.optional()?,
        author: next.optional()?,
        description: next.optional()?,
        tags: next.texts()?,
        repo_owner: next.optional()?,
        repo_name: next.optional()?,
        commit_sha: next.optional()?,
        branch: next.optional()?,
        pull_request: next.read::<Option<i64>>()?.map(i64::cast_unsigned),
        run_id: next.optional()?,
        run_url: next.optional()?,
    };
    let parts = parts::from_json(next.read()?);
    let parts = parts.ok_or_else(|| damaged(READ, "invalid parts of a publication"))?;
    let request_key = next.read::<Option<Vec<u8>>>()?.map(<[u8; 32]>::try_from).transpose();
    let request_key = request_key.map_err(|_| damaged(READ, "an invalid request key"))?;
    let created_by = next.text()?;
    let created_at = Timestamp::from_micros(next.read()?);
    let mut found = Publication::new(project, id, created_at, Timestamp::from_micros(next.read()?));
    found.ended_at = next.read::<Option<i64>>()?.map(Timestamp::from_micros);
    found.status = status_of(&status, failure.as_deref())
        .ok_or_else(|| damaged(READ, "an unknown status of a publication"))?;
    (found.revision, found.details, found.parts) = (revision, details, parts);
    (found.request_key, found.created_by) = (request_key, created_by);
    Ok(found)
}

fn status_of(name: &str, failure: Option<&str>) -> Option<PublicationStatus> {
    use PublicationFailure::{Aborted, Expired, Refused};
    let failed = |name| [Aborted, Expired, Refused].into_iter().find(|why| why.name() == name);
    let all = match failure {
        None => vec![PublicationStatus::Generating, PublicationStatus::Completed],
        Some(failure) => vec![PublicationStatus::Failed(failed(failure)?)],
    };
    all.into_iter().find(|status| status.name() == name)
}

/// Reads the columns of a row one after the other.
struct RowReader<'r> {
    row: &'r PgRow,
    at: usize,
}

impl<'r> RowReader<'r> {
    fn read<T>(&mut self) -> Result<T, Error>
    where
        T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.at += 1;
        self.row
            .try_get(self.at)
            .map_err(|error| error::classify(READ, StatementEffect::Read, &error))
    }

    fn text(&mut self) -> Result<String, Error> {
        decoded(self.read()?)
    }

    fn optional(&mut self) -> Result<Option<String>, Error> {
        self.read::<Option<&str>>()?.map(decoded).transpose()
    }

    fn texts(&mut self) -> Result<Vec<String>, Error> {
        self.read::<Vec<String>>()?.iter().map(|text| decoded(text)).collect()
    }
}

fn decoded(stored: &str) -> Result<String, Error> {
    let text = key_text::decode(stored).ok_or_else(|| damaged(READ, "an invalid string"))?;
    Ok(text.into_owned())
}
