//! `get_many`: answers many queries in few statements.

use std::collections::BTreeMap;

use sqlx::Row;

use super::connection::{CallFailure, Operation, Session};
use super::error::{StatementEffect, damaged};
use super::key_text::KeyText;
use super::lookup::{Get, GetStatements, found};
use super::names::Names;
use super::statement::{Statement, select};
use super::version;
use crate::store::{Lookup, Query};

/// The maximum number of queries in one statement. It is low because all rows of a result are in
/// memory at the same time.
const MAX_QUERIES: usize = 64;

/// Queries without a bound on time, one row each. Version 0 means that only other generations
/// exist, NULL that nothing exists.
pub(super) fn statement(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let within = "t.tenant = q.tenant AND t.kind = q.kind AND t.id = q.id \
         AND t.version <= q.at_most AND t.version >= q.at_least \
         AND (t.retirements IS NULL OR q.retired)";
    let rows = format!(
        "SELECT q.place, coalesce(s.version, CASE WHEN EXISTS (\
             SELECT FROM {snapshots} t WHERE {within}) THEN 0::int8 END), \
           s.header, s.payload, s.base \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::int8[], \
           $7::int8[], $8::bool[]) WITH ORDINALITY AS q (tenant, kind, id, schema_version, \
             fingerprint, at_most, at_least, retired, place) \
         LEFT JOIN LATERAL (SELECT version, header, payload, base FROM {snapshots} t \
           WHERE {within} AND t.schema_version = q.schema_version \
             AND t.fingerprint = q.fingerprint ORDER BY t.version DESC LIMIT 1) AS s ON true"
    );
    Statement::new(|guard| select(guard, &rows, "ORDER BY place"))
}

pub(super) struct GetMany<'a> {
    pub(super) many: &'a Statement,
    pub(super) single: GetStatements<'a>,
    pub(super) queries: &'a [Query<'a>],
}

impl Operation for GetMany<'_> {
    type Output = Vec<Lookup>;
    const NAME: &'static str = "get snapshots";
    const EFFECT: StatementEffect = StatementEffect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<Lookup>, CallFailure> {
        let mut answers = BTreeMap::new();
        let mut together = Vec::new();
        for (place, query) in self.queries.iter().enumerate() {
            // Nothing is stored under a key that is too long, or above the highest version.
            let key = KeyText::of(query.key).filter(|_| query.at_least <= version::MAX);
            match key {
                None => drop(answers.insert(place, Lookup::Absent)),
                Some(key) if query.as_of.is_some() => {
                    let mut get = Get { statements: self.single, key: &key, query: *query };
                    answers.insert(place, get.run(session).await?);
                }
                Some(key) => together.push((place, key, query)),
            }
        }
        for chunk in together.chunks(MAX_QUERIES) {
            self.ask(session, chunk, &mut answers).await?;
        }
        Ok(answers.into_values().collect())
    }
}

type Asked<'a> = (usize, KeyText<'a>, &'a Query<'a>);

impl GetMany<'_> {
    async fn ask(
        &self,
        session: &mut Session<'_>,
        asked: &[Asked<'_>],
        answers: &mut BTreeMap<usize, Lookup>,
    ) -> Result<(), CallFailure> {
        fn column<T>(asked: &[Asked<'_>], of: impl Fn(&KeyText<'_>, &Query<'_>) -> T) -> Vec<T> {
            asked.iter().map(|(_, key, query)| of(key, query)).collect()
        }
        let bound = self
            .many
            .query(session)
            .bind(column(asked, |key, _| key.tenant.to_string()))
            .bind(column(asked, |key, _| key.kind.to_string()))
            .bind(column(asked, |key, _| key.id.to_string()))
            .bind(column(asked, |_, query| i64::from(query.generation.schema_version)))
            .bind(column(asked, |_, q| version::fingerprint_column(q.generation.fingerprint)))
            .bind(column(asked, |_, query| version::at_most(query.at_most)))
            .bind(column(asked, |_, query| version::at_most(query.at_least)))
            .bind(column(asked, |_, query| query.include_retired));
        let rows = self.many.all(bound, session).await?;
        if rows.len() != asked.len() {
            return Err(CallFailure::Foreign);
        }
        for (row, (nth, (place, key, query))) in rows.iter().zip((1_i64..).zip(asked)) {
            if row.try_get::<i64, _>(1)? != nth {
                return Err(damaged(Self::NAME, "an invalid position").into());
            }
            let lookup = match row.try_get::<Option<i64>, _>(2)? {
                None => Lookup::Absent,
                Some(0) => Lookup::OtherGeneration,
                Some(_) => {
                    let bases = self.single.bases;
                    Lookup::Found(found(bases, key, query, (row, 2), session).await?)
                }
            };
            answers.insert(*place, lookup);
        }
        Ok(())
    }
}
