//! `keys`: pages of the aggregates that have snapshots.

use std::borrow::Cow;
use std::cmp::Ordering;

use sqlx::Row;

use super::connection::{CallFailure, Operation, Session};
use super::error::{StatementEffect, damaged};
use super::key_text::{self, KeyText};
use super::names::{Names, not_reserved};
use super::page::MAX_ITEMS;
use super::statement::{Statement, select};
use crate::key::AggregateKey;
use crate::store::{Cursor, KeysRequest, Page};

/// Snapshots within bounds on the creation time are few if there are at most this many for each key
/// of a full page: reading all of them costs less than finding a page of them among all rows, up to
/// millions.
const FEW_PER_KEY: usize = 64;
/// The most snapshots that are few, so that a page takes tens of milliseconds.
const MOST_FEW: usize = 16_384;
/// Begins the cursor of a page among many such snapshots, so that they are not counted again. As the
/// length of a tenant, it is more than any that is stored.
const MANY: [u8; 2] = [0xff; 2];

/// Selects up to `$1` keys, starting at the one that is stored as `$2`, `$3`, `$4`.
///
/// Each key is found by an index search that starts after the previous one, so the cost of a page
/// depends on the number of keys in it, not on their snapshots. All conditions are written so that
/// they determine where that search starts.
fn statement(names: &Names, request: &KeysRequest<'_>) -> Statement {
    let Names { snapshots, .. } = names;
    let (first, next) = match (request.tenant, request.kind) {
        (None, None) => {
            ("(tenant, kind, id) >= ($2, $3, $4)", "(tenant, kind, id) > (k.tenant, k.kind, k.id)")
        }
        (Some(_), None) => (
            "tenant = $2 AND (kind, id) >= ($3, $4)",
            "tenant = $2 AND (kind, id) > (k.kind, k.id)",
        ),
        (Some(_), Some(_)) => {
            ("tenant = $2 AND kind = $3 AND id >= $4", "tenant = $2 AND kind = $3 AND id > k.id")
        }
        (None, Some(_)) => return of_kind(names),
    };
    // Reserved kinds are adjacent, so they are skipped once per tenant.
    let free = free(request);
    let find = |condition: &str| {
        format!(
            "SELECT tenant, kind, id FROM {snapshots} WHERE {condition}{free} \
             ORDER BY tenant, kind, id LIMIT 1"
        )
    };
    let (first, next) = (find(first), find(next));
    Statement::new(|guard| {
        format!(
            "WITH RECURSIVE k AS (\
               SELECT f.*, 1::int8 AS n FROM ({first}) AS f \
               UNION ALL \
               SELECT f.*, k.n + 1 FROM k CROSS JOIN LATERAL ({next}) AS f WHERE k.n < $1) \
             {}",
            select(guard, "SELECT tenant, kind, id, n FROM k", "ORDER BY n")
        )
    })
}

/// Returns the condition that excludes reserved kinds, unless they were requested.
fn free(request: &KeysRequest<'_>) -> String {
    if request.reserved || request.kind.is_some() {
        String::new()
    } else {
        format!(" AND {}", not_reserved("kind"))
    }
}

/// Selects the keys that have snapshots created within the bounds, and whether there are many such
/// snapshots, unless they are known to be `many`. The bounds that are given are `$5` and `$6`.
///
/// If there are few such snapshots, they are found by their creation time, and sorted for each page.
/// Among many, the server chooses: it usually reads rows in the order of keys until the page is
/// full. It would do so for few as well, because it takes rows of one tenant to lie side by side.
/// The choice also depends on the bounds, so the statement must be planned for its parameters.
fn of_time(names: &Names, request: &KeysRequest<'_>, limit: usize, many: bool) -> Statement {
    let Names { snapshots, .. } = names;
    let rest = match (request.tenant, request.kind) {
        (None, None) => "(tenant, kind, id) >= ($2, $3, $4)",
        (Some(_), None) => "tenant = $2 AND (kind, id) >= ($3, $4)",
        (Some(_), Some(_)) => "tenant = $2 AND kind = $3 AND id >= $4",
        (None, Some(_)) => "kind = $3 AND (tenant, id) >= ($2, $4)",
    };
    let times = match (request.created_from, request.created_before) {
        (Some(_), Some(_)) => "created_at >= $5 AND created_at < $6",
        (Some(_), None) => "created_at >= $5",
        (None, _) => "created_at < $5",
    };
    let find = format!(
        "SELECT DISTINCT tenant, kind, id FROM {snapshots} WHERE {rest} AND {times}{}",
        free(request)
    );
    let page = "ORDER BY tenant, kind, id LIMIT $1";
    if many {
        let rows = format!("SELECT *, true FROM ({find} {page}) AS k");
        return Statement::new(|guard| select(guard, &rows, "ORDER BY tenant, kind, id"));
    }
    let few = limit.saturating_mul(FEW_PER_KEY).min(MOST_FEW);
    let rows = format!(
        "(SELECT *, false FROM by_time {page}) UNION ALL \
         (SELECT *, true FROM ({find} AND NOT (SELECT yes FROM few) {page}) AS k)"
    );
    Statement::new(|guard| {
        format!(
            "WITH few AS MATERIALIZED (SELECT count(*) <= {few} AS yes FROM (\
               SELECT FROM {snapshots} WHERE {times} ORDER BY created_at LIMIT {few} + 1) AS f), \
             by_time AS MATERIALIZED ({find} AND (SELECT yes FROM few)) \
             {}",
            select(guard, &rows, "ORDER BY tenant, kind, id")
        )
    })
}

/// Selects the keys of one kind in all tenants. A step finds the next id in the tenant, or else the
/// next tenant, and skips other kinds.
fn of_kind(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let keys = "SELECT tenant, $3::text, id, n FROM k WHERE id IS NOT NULL";
    Statement::new(|guard| {
        format!(
            "WITH RECURSIVE k (tenant, start, id, n) AS (\
               SELECT $2::text COLLATE \"C\", $4::text COLLATE \"C\", NULL::text COLLATE \"C\", \
                 0::int8 \
               UNION ALL \
               SELECT g.tenant, coalesce(f.id || chr(1), ''), f.id, k.n + num_nonnulls(f.id) \
               FROM k CROSS JOIN LATERAL (SELECT (\
                   SELECT id FROM {snapshots} \
                   WHERE tenant = k.tenant AND kind = $3 AND id >= k.start \
                   ORDER BY id LIMIT 1) AS id OFFSET 0) AS f \
                 CROSS JOIN LATERAL (SELECT CASE WHEN f.id IS NOT NULL THEN k.tenant ELSE (\
                   SELECT tenant FROM {snapshots} WHERE tenant > k.tenant \
                   ORDER BY tenant LIMIT 1) END AS tenant OFFSET 0) AS g \
               WHERE k.n < $1 AND g.tenant IS NOT NULL) \
             {}",
            select(guard, keys, "ORDER BY n")
        )
    })
}

/// The start of a page (inclusive), in the stored form.
#[derive(Debug, PartialEq, Eq)]
struct Start {
    tenant: String,
    kind: String,
    id: String,
}

impl Start {
    /// Starts after `after`, at the first key that can match the request. `None` if there is none.
    fn of(after: Option<&AggregateKey>, request: &KeysRequest<'_>) -> Option<Self> {
        let mut start = Self { tenant: String::new(), kind: String::new(), id: String::new() };
        if let Some(key) = after {
            let text = KeyText::new(key.tenant(), key.kind(), key.id());
            start = Self {
                tenant: text.tenant.into_owned(),
                kind: text.kind.into_owned(),
                id: behind(text.id),
            };
        }
        if let Some(tenant) = request.tenant.map(key_text::encode) {
            match start.tenant.as_str().cmp(&tenant) {
                Ordering::Less => {
                    start = Self {
                        tenant: tenant.into_owned(),
                        kind: String::new(),
                        id: String::new(),
                    };
                }
                Ordering::Equal => {}
                Ordering::Greater => return None,
            }
        }
        if let Some(kind) = request.kind.map(key_text::encode) {
            match start.kind.as_str().cmp(&kind) {
                Ordering::Less => start.id.clear(),
                Ordering::Equal => {}
                Ordering::Greater if request.tenant.is_some() => return None,
                Ordering::Greater => {
                    start.tenant = behind(start.tenant.into());
                    start.id.clear();
                }
            }
            start.kind = kind.into_owned();
        }
        Some(start)
    }
}

/// Returns the next string after `text`, because stored strings contain nothing below U+0001.
fn behind(text: Cow<'_, str>) -> String {
    let mut text = text.into_owned();
    text.push('\u{1}');
    text
}

pub(super) struct Keys<'a> {
    pub(super) names: &'a Names,
    pub(super) request: KeysRequest<'a>,
}

impl Operation for Keys<'_> {
    type Output = Page<AggregateKey, Cursor>;
    const NAME: &'static str = "list aggregates";
    const EFFECT: StatementEffect = StatementEffect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Self::Output, CallFailure> {
        let many = self.request.after.and_then(|after| after.as_bytes().strip_prefix(&MANY));
        let after = match many {
            Some(own) => Some(Cursor::new(own).to_key()?),
            None => self.request.after.map(Cursor::to_key).transpose()?,
        };
        let is_hidden = |kind| !self.request.reserved && AggregateKey::reserves(kind);
        let start = Start::of(after.as_ref(), &self.request);
        let Some(start) = start.filter(|_| !self.request.kind.is_some_and(is_hidden)) else {
            return Ok(Page::new(Vec::new(), None));
        };
        let limit = self.request.limit.clamp(1, MAX_ITEMS);
        let is_timed = self.request.is_timed();
        let statement = if is_timed {
            of_time(self.names, &self.request, limit, many.is_some())
        } else {
            statement(self.names, &self.request)
        };
        let mut query = statement
            .query(session)
            .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
            .bind(&start.tenant)
            .bind(&start.kind)
            .bind(&start.id);
        if is_timed {
            // A statement with a name may be planned for any parameters.
            query = query.persistent(false);
            let times = [self.request.created_from, self.request.created_before];
            for time in times.into_iter().flatten() {
                query = query.bind(time.as_micros());
            }
        }
        let rows = statement.all(query, session).await?;
        let keys = rows
            .iter()
            .take(limit)
            .map(|row| key(Self::NAME, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
            .collect::<Result<Vec<_>, CallFailure>>()?;
        let mut next = keys.last().filter(|_| rows.len() > limit).map(Cursor::of_key);
        if is_timed
            && let (Some(cursor), Some(row)) = (&next, rows.first())
            && row.try_get(4)?
        {
            next = Some(Cursor::new([&MANY, cursor.as_bytes()].concat()));
        }
        Ok(Page::new(keys, next))
    }
}

/// Decodes the key whose parts are stored as these strings.
pub(super) fn key(
    operation: &'static str,
    tenant: &str,
    kind: &str,
    id: &str,
) -> Result<AggregateKey, CallFailure> {
    let part =
        |stored| key_text::decode(stored).ok_or_else(|| damaged(operation, "an invalid key"));
    Ok(AggregateKey::from_stored(&part(tenant)?, &part(kind)?, &part(id)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(after: [&str; 3], request: KeysRequest<'_>) -> Option<[String; 3]> {
        let key = AggregateKey::from_parts(after[0], after[1], after[2]).unwrap();
        Start::of(Some(&key), &request).map(|start| [start.tenant, start.kind, start.id])
    }

    #[test]
    fn a_page_begins_behind_its_cursor_and_within_its_filters() {
        let all = KeysRequest::new();
        let first = Start::of(None, &all.tenant("t").kind("k")).unwrap();
        assert_eq!([first.tenant, first.kind, first.id], ["t", "k", ""]);
        let after = ["t", "k", "i"];
        let own = |parts: [&str; 3]| Some(parts.map(str::to_owned));
        assert_eq!(start(after, all), own(["t", "k", "i\u{1}"]));
        assert_eq!(start(after, all.tenant("s")), None);
        assert_eq!(start(after, all.tenant("t")), own(["t", "k", "i\u{1}"]));
        assert_eq!(start(after, all.tenant("u")), own(["u", "", ""]));
        assert_eq!(start(after, all.kind("j")), own(["t\u{1}", "j", ""]));
        assert_eq!(start(after, all.kind("k")), own(["t", "k", "i\u{1}"]));
        assert_eq!(start(after, all.kind("l")), own(["t", "l", ""]));
        assert_eq!(start(after, all.tenant("t").kind("j")), None);
        assert_eq!(start(after, all.tenant("u").kind("j")), own(["u", "j", ""]));
    }
}
