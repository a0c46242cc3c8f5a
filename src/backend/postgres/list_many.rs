//! `list_many`: pages of many lists in few statements.

use sqlx::Row;

use super::connection::{CallFailure, Operation, Session};
use super::error::{StatementEffect, damaged};
use super::key_text::KeyText;
use super::marks::PARTS;
use super::names::Names;
use super::page::{self, List, MAX_ITEMS};
use super::statement::{Statement, select};
use super::version;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{ListRequest, Page};

/// The maximum number of requests in one statement. Together they get at most [`MAX_ITEMS`].
const MAX_REQUESTS: usize = 256;

/// One row for each item, with the position of its request, from 1.
pub(super) fn statement(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let order = "version DESC, schema_version DESC, fingerprint DESC";
    let rows = format!(
        "SELECT q.place, s.* \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::int8[], \
           $7::int8[], $8::int8[], $9::int8[]) WITH ORDINALITY AS q (tenant, kind, id, at_least, \
             at_most, after, schema_version, fingerprint, items, place) \
         CROSS JOIN LATERAL (SELECT schema_version, fingerprint, version, header, {PARTS} \
           FROM {snapshots} t WHERE t.tenant = q.tenant AND t.kind = q.kind AND t.id = q.id \
             AND t.version BETWEEN q.at_least AND q.at_most \
             AND (t.version, t.schema_version, t.fingerprint) \
               < (q.after, q.schema_version, q.fingerprint) \
           ORDER BY {order} LIMIT q.items) AS s"
    );
    Statement::new(|guard| select(guard, &rows, &format!("ORDER BY place, {order}")))
}

pub(super) struct ListMany<'a> {
    pub(super) many: &'a Statement,
    pub(super) single: &'a Statement,
    pub(super) requests: &'a [ListRequest<'a>],
}

type ListPage = Page<SnapshotMeta, SnapshotId>;

/// A request that may find something.
struct AskedList<'a> {
    /// Its position among the requests of the call.
    place: usize,
    key: KeyText<'a>,
    at_least: i64,
    request: ListRequest<'a>,
}

impl Operation for ListMany<'_> {
    type Output = Vec<ListPage>;
    const NAME: &'static str = "list snapshots";
    const EFFECT: StatementEffect = StatementEffect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<ListPage>, CallFailure> {
        let mut pages: Vec<_> = self.requests.iter().map(|_| Page::new(Vec::new(), None)).collect();
        let requests = self.requests.iter().enumerate();
        let asked = requests.filter_map(|(place, request)| {
            // Nothing is stored under a key that is too long, or above the highest version.
            let (key, at_least) = (KeyText::of(request.key)?, request.at_least.try_into().ok()?);
            Some(AskedList { place, key, at_least, request: *request })
        });
        let asked: Vec<_> = asked.collect();
        for chunk in asked.chunks(MAX_REQUESTS) {
            self.ask(session, chunk, &mut pages).await?;
        }
        Ok(pages)
    }
}

impl ListMany<'_> {
    async fn ask(
        &self,
        session: &mut Session<'_>,
        asked: &[AskedList<'_>],
        pages: &mut [ListPage],
    ) -> Result<(), CallFailure> {
        fn column<T>(asked: &[AskedList<'_>], of: impl Fn(&AskedList<'_>) -> T) -> Vec<T> {
            asked.iter().map(of).collect()
        }
        let most = MAX_ITEMS / asked.len().max(1);
        let limit = |asked: &AskedList<'_>| asked.request.limit.clamp(1, most);
        let bound = self
            .many
            .query(session)
            .bind(column(asked, |asked| asked.key.tenant.to_string()))
            .bind(column(asked, |asked| asked.key.kind.to_string()))
            .bind(column(asked, |asked| asked.key.id.to_string()))
            .bind(column(asked, |asked| asked.at_least))
            .bind(column(asked, |asked| version::at_most(asked.request.at_most)))
            .bind(column(asked, |asked| page::bound(asked.request.after).0))
            .bind(column(asked, |asked| page::bound(asked.request.after).1))
            .bind(column(asked, |asked| page::bound(asked.request.after).2))
            // One more than wanted, to find out whether there are more.
            .bind(column(asked, |asked| i64::try_from(limit(asked) + 1).unwrap_or(i64::MAX)));
        let rows = self.many.all(bound, session).await?;
        let mut rows = rows.iter().peekable();
        for (nth, asked) in (1_i64..).zip(asked) {
            let (mut items, mut read, mut last, mut next) = (Vec::new(), 0, None, None);
            while let Some(row) = rows.peek()
                && row.try_get::<i64, _>(1)? == nth
            {
                if read < limit(asked) {
                    let (id, meta) = page::item(Self::NAME, row, 2)?;
                    last = Some(id);
                    items.extend(meta);
                } else {
                    next = last;
                }
                read += 1;
                rows.next();
            }
            let page = if items.is_empty() && next.is_some() {
                // A whole page of unreadable headers: continue the list after them.
                let request = ListRequest { after: next, ..asked.request };
                List { statement: self.single, key: &asked.key, request }.run(session).await?
            } else {
                Page::new(items, next)
            };
            if let Some(slot) = pages.get_mut(asked.place) {
                *slot = page;
            }
        }
        if rows.next().is_some() {
            return Err(damaged(Self::NAME, "an invalid position").into());
        }
        Ok(())
    }
}
