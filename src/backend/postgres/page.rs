//! `list` and `keys`: pages that continue after the last item, never by counting.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::connection::{Failure, Operation};
use super::error::{Effect, damaged};
use super::key_text::{self, KeyText};
use super::names::Names;
use super::version;
use crate::envelope::{Header, SnapshotMeta};
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::store::{Cursor, KeysRequest, ListRequest, Page};

/// The most items of one page, whatever was asked for: what a page holds in memory is bounded.
const MAX_ITEMS: usize = 10_000;

pub(super) fn list_sql(names: &Names) -> String {
    let Names { snapshots, .. } = names;
    format!(
        "SELECT schema_version, fingerprint, version, header FROM {snapshots} \
         WHERE tenant = $1 AND kind = $2 AND id = $3 AND version BETWEEN $4 AND $5 \
           AND (version, schema_version, fingerprint) < ($6, $7, $8) \
         ORDER BY version DESC, schema_version DESC, fingerprint DESC LIMIT $9"
    )
}

/// A text for each combination of conditions, so that each is answered from the index.
fn keys_sql(names: &Names, request: &KeysRequest<'_>) -> String {
    let Names { snapshots, .. } = names;
    let mut conditions = vec!["true"];
    conditions.extend(request.after.map(|_| "(tenant, kind, id) > ($2, $3, $4)"));
    conditions.extend(request.tenant.map(|_| "tenant = $5"));
    conditions.extend(request.kind.map(|_| "kind = $6"));
    format!(
        "SELECT DISTINCT tenant, kind, id FROM {snapshots} \
         WHERE {} AND num_nulls($2::text, $3::text, $4::text, $5::text, $6::text) < 6 \
         ORDER BY tenant, kind, id LIMIT $1",
        conditions.join(" AND ")
    )
}

pub(super) struct List<'a> {
    pub(super) sql: &'a Arc<str>,
    pub(super) key: &'a KeyText<'a>,
    pub(super) request: ListRequest<'a>,
}

impl Operation for List<'_> {
    type Output = Page<SnapshotMeta, SnapshotId>;
    const NAME: &'static str = "list snapshots";
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Self::Output, Failure> {
        let Ok(at_least) = i64::try_from(self.request.at_least) else {
            return Ok(Page::new(Vec::new(), None));
        };
        let limit = self.request.limit.clamp(1, MAX_ITEMS);
        loop {
            let after = self.request.after;
            // Nothing stored is above the highest version that a column holds; no schema version
            // is as high as its column could hold.
            let (version, schema_version, fingerprint) = after
                .filter(|after| after.version <= version::MAX)
                .map_or((i64::MAX, i64::MAX, i64::MAX), |after| {
                    let Generation { schema_version, fingerprint } = after.generation;
                    let fingerprint = version::fingerprint_column(fingerprint);
                    (version::at_most(after.version), schema_version.into(), fingerprint)
                });
            let rows = sqlx::query(AssertSqlSafe(Arc::clone(self.sql)))
                .bind(&*self.key.tenant)
                .bind(&*self.key.kind)
                .bind(&*self.key.id)
                .bind(at_least)
                .bind(version::at_most(self.request.at_most))
                .bind(version)
                .bind(schema_version)
                .bind(fingerprint)
                .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
                .fetch_all(&mut *connection)
                .await?;
            let more = rows.len() > limit;
            let mut items = Vec::with_capacity(rows.len().min(limit));
            let mut last = None;
            for row in rows.iter().take(limit) {
                let schema_version = u32::try_from(row.try_get::<i64, _>(0)?)
                    .map_err(|_| damaged(Self::NAME, "an impossible schema version"))?;
                let fingerprint = version::fingerprint(row.try_get(1)?);
                last = Some(SnapshotId {
                    generation: Generation { schema_version, fingerprint },
                    version: version::from_column(row.try_get(2)?),
                });
                if let Ok(header) = Header::parse(row.try_get::<&[u8], _>(3)?) {
                    items.push(SnapshotMeta::from_header(&header)?);
                }
            }
            if !more {
                return Ok(Page::new(items, None));
            }
            if !items.is_empty() {
                return Ok(Page::new(items, last));
            }
            // A whole page of headers that cannot be read: the list goes on below them.
            self.request.after = last;
        }
    }
}

pub(super) struct Keys<'a> {
    pub(super) names: &'a Names,
    pub(super) request: KeysRequest<'a>,
}

impl Operation for Keys<'_> {
    type Output = Page<AggregateKey, Cursor>;
    const NAME: &'static str = "list aggregates";
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Self::Output, Failure> {
        let after = self.request.after.map(cursor_key).transpose()?;
        let (tenant, kind, id) =
            after.as_ref().map_or(("", "", ""), |key| (key.tenant(), key.kind(), key.id()));
        let after_text = KeyText::new(tenant, kind, id);
        let limit = self.request.limit.clamp(1, MAX_ITEMS);
        let rows = sqlx::query(AssertSqlSafe(keys_sql(self.names, &self.request)))
            .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
            .bind(&*after_text.tenant)
            .bind(&*after_text.kind)
            .bind(&*after_text.id)
            .bind(self.request.tenant.map(key_text::encode).as_deref())
            .bind(self.request.kind.map(key_text::encode).as_deref())
            .fetch_all(connection)
            .await?;
        let keys = rows
            .iter()
            .take(limit)
            .map(|row| key(Self::NAME, row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
            .collect::<Result<Vec<_>, Failure>>()?;
        let next = keys.last().filter(|_| rows.len() > limit).map(key_cursor);
        Ok(Page::new(keys, next))
    }
}

/// The key whose parts are stored as these texts.
pub(super) fn key(
    operation: &'static str,
    tenant: &str,
    kind: &str,
    id: &str,
) -> Result<AggregateKey, Failure> {
    let part = |stored| {
        key_text::decode(stored).ok_or_else(|| damaged(operation, "a key that nobody wrote"))
    };
    Ok(AggregateKey::from_parts(&part(tenant)?, &part(kind)?, &part(id)?)?)
}

/// The lengths of tenant and kind, then the three parts.
fn key_cursor(key: &AggregateKey) -> Cursor {
    let mut bytes = Vec::new();
    for part in [key.tenant(), key.kind()] {
        bytes.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes());
    }
    for part in [key.tenant(), key.kind(), key.id()] {
        bytes.extend_from_slice(part.as_bytes());
    }
    Cursor::new(bytes)
}

fn cursor_key(cursor: &Cursor) -> Result<AggregateKey, Error> {
    let parts = || {
        let (tenant, rest) = cursor.as_bytes().split_first_chunk::<2>()?;
        let (kind, rest) = rest.split_first_chunk::<2>()?;
        let (tenant, rest) = rest.split_at_checked(u16::from_le_bytes(*tenant).into())?;
        let (kind, id) = rest.split_at_checked(u16::from_le_bytes(*kind).into())?;
        let text = |bytes| std::str::from_utf8(bytes).ok();
        Some((text(tenant)?, text(kind)?, text(id)?))
    };
    match parts() {
        Some((tenant, kind, id)) => AggregateKey::from_parts(tenant, kind, id),
        None => Err(Error::new(
            ErrorKind::InvalidInput,
            "list aggregates",
            "the cursor was not made by this store: start again without one",
        )),
    }
}
