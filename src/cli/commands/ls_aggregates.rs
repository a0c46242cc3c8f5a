//! `ls KIND`: the aggregates of a kind.

use serde_json::json;

use super::keys::{keys_request, snapshots_of_each};
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Grid, GridColumn, age, key_json, shown, shown_id, size, tell};
use crate::cli::session::CliSession;
use crate::hex::{hex, unhex};
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::Cursor;

/// What the snapshots of an aggregate add up to.
#[derive(Default)]
struct AggregateSum {
    snapshots: u64,
    stored_bytes: u64,
    raw_bytes: u64,
    pinned: u64,
    newest: Option<SnapshotMeta>,
}

impl AggregateSum {
    /// Adds up the snapshots of an aggregate, highest version first.
    fn new(metas: Vec<SnapshotMeta>) -> Self {
        let mut sum = Self::default();
        for meta in metas {
            sum.snapshots += 1;
            sum.stored_bytes = sum.stored_bytes.saturating_add(meta.stored_bytes);
            sum.raw_bytes = sum.raw_bytes.saturating_add(meta.raw_bytes);
            sum.pinned += u64::from(meta.is_pinned());
            sum.newest.get_or_insert(meta);
        }
        sum
    }
}

pub(super) async fn ls_aggregates(
    session: &mut CliSession,
    kind: &str,
    limit: usize,
    after: Option<&str>,
    prefix: &str,
) -> Result<CliFinding, CliFailure> {
    let opened = session.store().await?;
    let store = &*opened.store;
    let mut cursor = after.map(parse_cursor).transpose()?;
    let mut keys = Vec::new();
    loop {
        // No page is longer than what is still wanted, so that the cursor is that of the last one.
        let mut request = keys_request(session, Some(kind), false);
        (request.after, request.limit) = (cursor.as_ref(), limit.saturating_sub(keys.len()).max(1));
        let page = store.keys(request).await?;
        let is_stuck = page.next.is_some() && page.next == cursor;
        keys.extend(page.items.into_iter().filter(|key| key.id().starts_with(prefix)));
        cursor = page.next.filter(|_| !is_stuck);
        if cursor.is_none() || keys.len() >= limit {
            break;
        }
    }
    let sums: Vec<_> =
        snapshots_of_each(store, &keys).await?.into_iter().map(AggregateSum::new).collect();
    let next = cursor.map(|cursor| hex(cursor.as_bytes()));
    print(session, &keys, &sums, next.as_deref())?;
    Ok(CliFinding::Fine)
}

fn print(
    session: &mut CliSession,
    keys: &[AggregateKey],
    sums: &[AggregateSum],
    next: Option<&str>,
) -> Result<(), CliFailure> {
    if session.json {
        let aggregates = keys.iter().zip(sums).map(|(key, sum)| {
            json!({
                "key": key_json(key),
                "snapshots": sum.snapshots,
                "stored_bytes": sum.stored_bytes,
                "raw_bytes": sum.raw_bytes,
                "pinned": sum.pinned,
                "newest_version": sum.newest.as_ref().map(|meta| meta.version),
                "newest_created_at": sum.newest.as_ref().map(|meta| meta.created_at.to_string()),
            })
        });
        let aggregates: Vec<_> = aggregates.collect();
        session.screen.json(&json!({ "aggregates": aggregates, "next": next }))?;
        return Ok(());
    }
    if keys.is_empty() {
        session.screen.line("no aggregates")?;
        return Ok(());
    }
    let mut grid = Grid::new(&[
        GridColumn::Text("ID"),
        GridColumn::Text("TENANT"),
        GridColumn::Number("SNAPSHOTS"),
        GridColumn::Number("VERSION"),
        GridColumn::Number("AGE"),
        GridColumn::Number("STORED"),
        GridColumn::Number("RAW"),
    ]);
    for (key, sum) in keys.iter().zip(sums) {
        let newest = sum.newest.as_ref();
        grid.row([
            shown_id(key.id()),
            shown(key.tenant()),
            sum.snapshots.to_string(),
            newest.map_or_else(String::new, |meta| meta.version.to_string()),
            newest.map_or_else(String::new, |meta| age(meta.created_at, session.now)),
            size(sum.stored_bytes),
            size(sum.raw_bytes),
        ]);
    }
    grid.write(&mut session.screen)?;
    if let Some(next) = next {
        session.screen.flush()?;
        tell(&format!("more follow: --after {next}"));
    }
    Ok(())
}

fn parse_cursor(text: &str) -> Result<Cursor, CliFailure> {
    let message = "--after takes the cursor that the previous list ended with";
    let bytes = unhex(text).ok_or_else(|| CliFailure::Usage(message.to_owned()))?;
    Ok(Cursor::new(bytes))
}
