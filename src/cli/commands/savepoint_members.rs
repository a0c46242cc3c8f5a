//! The savepoints of a store, without the application's code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::changes::audited;
use super::keys::{snapshots_of_each, stored_keys};
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{
    Grid, GridColumn, age, count, key_json, meta_json, minute, shown, shown_id, shown_key, size,
    tell,
};
use crate::cli::session::{CliSession, OpenStore};
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::service::{savepoint_name, savepoint_pin};
use crate::snapshot_id::SnapshotId;
use crate::store::{Cursor, MarkChange, MarkKind, Selection};
use crate::timestamp::Timestamp;

/// A savepoint as a whole.
#[derive(Default)]
struct SavepointTotals {
    kinds: BTreeSet<String>,
    snapshots: u64,
    stored_bytes: u64,
    /// The latest time of its pins.
    taken_at: Option<Timestamp>,
}

/// Lists the savepoints of the tenant that was asked for, or of all.
pub(super) async fn list(session: &mut CliSession) -> Result<CliFinding, CliFailure> {
    let opened = session.store().await?;
    let mut found = BTreeMap::<(String, String), SavepointTotals>::new();
    let mut after = None;
    loop {
        let (page, next) = page(session, &opened, after.as_ref()).await?;
        for (key, metas) in &page {
            for meta in metas {
                for mark in meta.marks.iter() {
                    let Some(name) = savepoint_name(mark) else { continue };
                    let totals = found.entry((key.tenant().to_owned(), name.to_owned()));
                    let totals = totals.or_default();
                    totals.kinds.insert(key.kind().to_owned());
                    totals.snapshots += 1;
                    totals.stored_bytes = totals.stored_bytes.saturating_add(meta.stored_bytes);
                    totals.taken_at = totals.taken_at.max(Some(mark.at));
                }
            }
        }
        if next.is_none() {
            break;
        }
        after = next;
    }
    if session.json {
        let savepoints = found.iter().map(|((tenant, name), totals)| {
            json!({
                "tenant": tenant,
                "name": name,
                "kinds": totals.kinds,
                "snapshots": totals.snapshots,
                "stored_bytes": totals.stored_bytes,
                "taken_at": totals.taken_at.map(|time| time.to_string()),
            })
        });
        let savepoints: Vec<_> = savepoints.collect();
        session.screen.json(&json!({ "savepoints": savepoints }))?;
        return Ok(CliFinding::Fine);
    }
    if found.is_empty() {
        session.screen.line("no savepoints")?;
        return Ok(CliFinding::Fine);
    }
    let mut grid = Grid::new(&[
        GridColumn::Text("SAVEPOINT"),
        GridColumn::Text("TENANT"),
        GridColumn::Number("SNAPSHOTS"),
        GridColumn::Number("STORED"),
        GridColumn::Number("AGE"),
        GridColumn::Text("KINDS"),
    ]);
    for ((tenant, name), totals) in &found {
        let kinds: Vec<_> = totals.kinds.iter().map(|kind| shown_id(kind)).collect();
        grid.row([
            shown(name),
            shown(tenant),
            totals.snapshots.to_string(),
            size(totals.stored_bytes),
            totals.taken_at.map_or_else(String::new, |at| age(at, session.now)),
            kinds.join(", "),
        ]);
    }
    grid.write(&mut session.screen)?;
    Ok(CliFinding::Fine)
}

/// Lists the snapshots of one savepoint.
pub(super) async fn show(session: &mut CliSession, name: &str) -> Result<CliFinding, CliFailure> {
    session.tenant.get_or_insert_default();
    let pin = savepoint_pin(name)?;
    let opened = session.store().await?;
    let mut members = Vec::new();
    let mut after = None;
    loop {
        let (page, next) = page(session, &opened, after.as_ref()).await?;
        members.extend(page.into_iter().flat_map(|(_, metas)| metas).filter(|of| has(of, &pin)));
        if next.is_none() {
            break;
        }
        after = next;
    }
    if members.is_empty() {
        return Err(no_savepoint(name));
    }
    if session.json {
        let snapshots = members
            .iter()
            .map(|meta| json!({ "key": key_json(&meta.key), "snapshot": meta_json(meta) }));
        let snapshots: Vec<_> = snapshots.collect();
        let document = json!({ "name": name, "snapshots": snapshots });
        session.screen.json(&document)?;
        return Ok(CliFinding::Fine);
    }
    let mut grid = Grid::new(&[
        GridColumn::Text("AGGREGATE"),
        GridColumn::Number("VERSION"),
        GridColumn::Number("AGE"),
        GridColumn::Word("AS OF (UTC)"),
        GridColumn::Number("STORED"),
    ]);
    for meta in &members {
        grid.row([
            shown_key(&meta.key),
            meta.version.to_string(),
            age(meta.created_at, session.now),
            minute(meta.as_of),
            size(meta.stored_bytes),
        ]);
    }
    grid.write(&mut session.screen)?;
    Ok(CliFinding::Fine)
}

/// Clears the pins of a savepoint, or only counts them.
pub(super) async fn release(
    session: &mut CliSession,
    name: &str,
    yes: bool,
) -> Result<CliFinding, CliFailure> {
    session.tenant.get_or_insert_default();
    let pin = savepoint_pin(name)?;
    let opened = session.open(yes).await?;
    let (mut aggregates, mut snapshots) = (0_u64, 0_u64);
    let mut after = None;
    loop {
        let (page, next) = page(session, &opened, after.as_ref()).await?;
        for (key, metas) in page {
            let members = metas.iter().filter(|of| has(of, &pin));
            let ids: Vec<_> = members.map(SnapshotMeta::id).collect();
            if ids.is_empty() {
                continue;
            }
            aggregates += 1;
            snapshots += ids.len() as u64;
            if yes {
                clear(session, &opened, &key, &ids, &pin).await?;
            }
        }
        if next.is_none() {
            break;
        }
        after = next;
    }
    if snapshots == 0 {
        return Err(no_savepoint(name));
    }
    if session.json {
        session.screen.json(&json!({
            "name": name,
            "dry_run": !yes,
            "aggregates": aggregates,
            "snapshots": snapshots,
        }))?;
        return Ok(CliFinding::Fine);
    }
    let what = format!(
        "{}: {} of {}",
        shown(name),
        count(snapshots, "snapshot", "snapshots"),
        count(aggregates, "aggregate", "aggregates")
    );
    if yes {
        session.screen.paragraph(&format!("released {what}"))?;
    } else {
        session.screen.paragraph(&format!("dry run: would release {what}"))?;
        session.screen.flush()?;
        tell("nothing was released: repeat the command with --yes to release");
    }
    Ok(CliFinding::Fine)
}

async fn clear(
    session: &CliSession,
    opened: &OpenStore,
    key: &AggregateKey,
    ids: &[SnapshotId],
    pin: &str,
) -> Result<(), CliFailure> {
    let change = MarkChange::Clear { kind: MarkKind::Pin, name: pin };
    if let Some(admin) = session.admin(key.kind()) {
        admin.mark(key, Selection::Ids(ids), change, &session.context).await?;
        return Ok(());
    }
    let marking = opened.store.mark(key, Selection::Ids(ids), change).await;
    let action = format!("clear_pin {pin}");
    audited(session, opened, (&action, key, None), marking).await.map(drop)
}

/// Returns a page of the aggregates with their snapshots, and where the list continues.
async fn page(
    session: &CliSession,
    opened: &OpenStore,
    after: Option<&Cursor>,
) -> Result<(Vec<(AggregateKey, Vec<SnapshotMeta>)>, Option<Cursor>), CliFailure> {
    let (keys, next) = stored_keys(session, &*opened.store, None, None, after).await?;
    let metas = snapshots_of_each(&*opened.store, &keys).await?;
    Ok((keys.into_iter().zip(metas).collect(), next))
}

fn has(meta: &SnapshotMeta, pin: &str) -> bool {
    meta.marks.find(MarkKind::Pin, pin).is_some()
}

fn no_savepoint(name: &str) -> CliFailure {
    let name = shown(name);
    let message = format!(
        "this tenant has no savepoint {name}: `savepoint ls` lists those of all tenants, and \
         --tenant chooses one"
    );
    CliFailure::Absent(message)
}
