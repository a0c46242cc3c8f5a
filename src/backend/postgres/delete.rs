//! `delete`: snapshots of one key, in one statement.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::{Failure, Operation, Session};
use super::error::Effect;
use super::key_text::KeyText;
use super::names::Names;
use super::statement::{Bound, Statement};
use super::version;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, Deleted, Selection};

/// What a selection selects, as a condition whose parameters begin with `$4`.
pub(super) enum Selected<'a> {
    /// Versions up to this one.
    UpTo(i64),
    /// Of this generation, or (`false`) of all others.
    Generation(i64, i64, bool),
    Ids(Vec<&'a SnapshotId>),
}

impl<'a> Selected<'a> {
    /// `None` if there can be nothing.
    pub(super) fn of(selection: Selection<'a>) -> Option<Self> {
        Some(match selection {
            Selection::All => Self::UpTo(i64::MAX),
            Selection::Below(bound) => Self::UpTo(version::at_most(bound.checked_sub(1)?)),
            Selection::ExceptGeneration(generation) | Selection::Generation(generation) => {
                Self::Generation(
                    generation.schema_version.into(),
                    version::fingerprint_column(generation.fingerprint),
                    matches!(selection, Selection::Generation(_)),
                )
            }
            Selection::Ids(ids) => {
                Self::Ids(ids.iter().filter(|id| id.version <= version::MAX).collect())
            }
        })
    }

    /// The condition, and the number of the next parameter.
    pub(super) fn condition(&self) -> (&'static str, usize) {
        match self {
            Self::UpTo(_) => ("version <= $4", 5),
            Self::Generation(..) => ("(schema_version = $4 AND fingerprint = $5) = $6::bool", 7),
            Self::Ids(_) => (
                "(schema_version, fingerprint, version) IN \
                   (SELECT * FROM unnest($4::int8[], $5::int8[], $6::int8[]))",
                7,
            ),
        }
    }

    pub(super) fn bind<'q>(&self, query: Bound<'q>) -> Bound<'q> {
        match self {
            Self::UpTo(version) => query.bind(*version),
            Self::Generation(schema_version, fingerprint, own) => {
                query.bind(*schema_version).bind(*fingerprint).bind(*own)
            }
            Self::Ids(ids) => {
                let column =
                    |of: fn(&&SnapshotId) -> i64| -> Vec<i64> { ids.iter().map(of).collect() };
                query
                    .bind(column(|id| id.generation.schema_version.into()))
                    .bind(column(|id| version::fingerprint_column(id.generation.fingerprint)))
                    .bind(column(|id| version::at_most(id.version)))
            }
        }
    }
}

/// Deletes what is selected, not pinned (or `$N` overrules that), and not needed by a delta that
/// stays. The row of a snapshot that is being pinned meanwhile is looked at again once that is
/// committed. A delta that is being put meanwhile is not seen: it may lose its base, and is a miss
/// then.
fn statement(names: &Names, selected: &Selected<'_>) -> Statement {
    let Names { snapshots, .. } = names;
    let (condition, next) = selected.condition();
    let key = "tenant = $1 AND kind = $2 AND id = $3";
    let id = "schema_version, fingerprint, version";
    let (free, guard_at) = (format!("(pins IS NULL OR ${next}::bool)"), next + 1);
    Statement::new(|guard| {
        format!(
            "WITH RECURSIVE b AS (\
               SELECT schema_version, fingerprint, base AS version FROM {snapshots} \
               WHERE {key} AND base < version AND NOT ({condition} AND {free}) \
               UNION \
               SELECT t.schema_version, t.fingerprint, t.base FROM b JOIN {snapshots} t \
                 USING ({id}) WHERE {key} AND t.base < t.version), \
             d AS (DELETE FROM {snapshots} \
               WHERE {key} AND {condition} AND {free} AND ${guard_at} = {guard} \
                 AND ({id}) NOT IN (SELECT * FROM b) \
               RETURNING octet_length(header)::int8 + octet_length(payload) AS bytes) \
             SELECT {guard}, count(*), coalesce(sum(bytes), 0)::int8, \
               (SELECT count(*) FROM {snapshots} WHERE {key} AND {condition} AND NOT {free}), \
               (SELECT count(*) FROM {snapshots} WHERE {key} AND {condition} AND {free} \
                 AND ({id}) IN (SELECT * FROM b)) \
             FROM d"
        )
    })
}

/// What a statement tells that counts what it deleted.
pub(super) fn deleted(row: &PgRow) -> Result<Deleted, Failure> {
    Ok(Deleted::new(count(row.try_get(1)?), count(row.try_get(2)?)))
}

pub(super) struct Delete<'a> {
    pub(super) names: &'a Names,
    pub(super) key: &'a KeyText<'a>,
    pub(super) selection: Selection<'a>,
    pub(super) options: DeleteOptions,
}

impl Operation for Delete<'_> {
    type Output = Deleted;
    const NAME: &'static str = "delete snapshots";
    const EFFECT: Effect = Effect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Deleted, Failure> {
        let Some(selected) = Selected::of(self.selection) else { return Ok(Deleted::default()) };
        let statement = statement(self.names, &selected);
        let query = statement
            .query(session)
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id);
        let query = selected.bind(query).bind(self.options.overrule_pins);
        let row = statement.one(query.bind(statement.guard()), session).await?;
        Ok(deleted(&row)?.kept(count(row.try_get(3)?), count(row.try_get(4)?)))
    }
}

/// A count or a sum of lengths, which is never negative.
pub(super) fn count(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
