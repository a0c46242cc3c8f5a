//! `delete`: snapshots of one key, in one statement.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::{Failure, Operation, Session};
use super::error::Effect;
use super::key_text::KeyText;
use super::names::Names;
use super::statement::Statement;
use super::version;
use crate::snapshot_id::SnapshotId;
use crate::store::{Deleted, Selection};

/// Deletes the versions up to a bound.
pub(super) fn below(names: &Names) -> Statement {
    counted(names, "version <= $4", "$5")
}

/// Deletes the ids that three arrays hold.
pub(super) fn ids(names: &Names) -> Statement {
    counted(
        names,
        "(schema_version, fingerprint, version) IN \
           (SELECT * FROM unnest($4::int8[], $5::int8[], $6::int8[]))",
        "$7",
    )
}

/// Deletes those of a generation, or all but those.
pub(super) fn generation(names: &Names) -> Statement {
    counted(names, "(schema_version = $4 AND fingerprint = $5) = $6::bool", "$7")
}

fn counted(names: &Names, condition: &str, last: &str) -> Statement {
    let Names { snapshots, .. } = names;
    Statement::new(|guard| {
        format!(
            "WITH d AS (DELETE FROM {snapshots} \
               WHERE tenant = $1 AND kind = $2 AND id = $3 AND {condition} AND {last} = {guard} \
               RETURNING octet_length(header)::int8 + octet_length(payload) AS bytes) \
             SELECT {guard}, count(*), coalesce(sum(bytes), 0)::int8 FROM d"
        )
    })
}

/// What a statement tells that counts what it deleted.
pub(super) fn deleted(row: &PgRow) -> Result<Deleted, Failure> {
    Ok(Deleted::new(count(row.try_get(1)?), count(row.try_get(2)?)))
}

pub(super) struct Delete<'a> {
    pub(super) below: &'a Statement,
    pub(super) ids: &'a Statement,
    pub(super) generation: &'a Statement,
    pub(super) key: &'a KeyText<'a>,
    pub(super) selection: Selection<'a>,
}

impl Operation for Delete<'_> {
    type Output = Deleted;
    const NAME: &'static str = "delete snapshots";
    const EFFECT: Effect = Effect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Deleted, Failure> {
        let statement = match self.selection {
            Selection::All | Selection::Below(_) => self.below,
            Selection::ExceptGeneration(_) | Selection::Generation(_) => self.generation,
            Selection::Ids(_) => self.ids,
        };
        let query = statement
            .query(session)
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id);
        let query = match self.selection {
            Selection::All => query.bind(i64::MAX),
            Selection::Below(0) => return Ok(Deleted::default()),
            Selection::Below(bound) => query.bind(version::at_most(bound - 1)),
            Selection::ExceptGeneration(generation) | Selection::Generation(generation) => query
                .bind(i64::from(generation.schema_version))
                .bind(version::fingerprint_column(generation.fingerprint))
                .bind(matches!(self.selection, Selection::Generation(_))),
            Selection::Ids(ids) => {
                let ids: Vec<_> = ids.iter().filter(|id| id.version <= version::MAX).collect();
                let column =
                    |of: fn(&&SnapshotId) -> i64| -> Vec<i64> { ids.iter().map(of).collect() };
                query
                    .bind(column(|id| id.generation.schema_version.into()))
                    .bind(column(|id| version::fingerprint_column(id.generation.fingerprint)))
                    .bind(column(|id| version::at_most(id.version)))
            }
        };
        deleted(&statement.one(query.bind(statement.guard()), session).await?)
    }
}

/// A count or a sum of lengths, which is never negative.
pub(super) fn count(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
