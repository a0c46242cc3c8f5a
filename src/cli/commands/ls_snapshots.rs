//! `ls KIND ID`: the snapshots of an aggregate.

use serde_json::json;

use super::keys::no_snapshots;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{
    Grid, GridColumn, age, count, key_json, meta_json, minute, shown, size, tell,
};
use crate::cli::session::CliSession;
use crate::key::AggregateKey;
use crate::record::{Generation, SnapshotMeta, SnapshotSource};
use crate::store::{ListRequest, MarkKind, SnapshotStoreExt as _};

pub(super) async fn ls_snapshots(
    session: &mut CliSession,
    key: &AggregateKey,
    limit: usize,
    below: Option<u64>,
) -> Result<CliFinding, CliFailure> {
    let opened = session.store().await?;
    let at_most = below.map_or(u64::MAX, |version| version.saturating_sub(1));
    let mut pages = opened.store.list_pages(ListRequest::new(key).at_most(at_most).limit(limit));
    let mut metas: Vec<SnapshotMeta> = Vec::new();
    let mut follows = false;
    while let Some(page) = pages.next().await? {
        for meta in page {
            // A list is continued by version, so all generations of one stay together.
            let is_same = metas.last().is_some_and(|last| last.version == meta.version);
            follows = metas.len() >= limit && !is_same;
            if follows {
                break;
            }
            metas.push(meta);
        }
        if follows {
            break;
        }
    }
    if metas.is_empty() && below.is_none() {
        return Err(no_snapshots(key));
    }
    let next = metas.last().filter(|_| follows).map(|meta| meta.version);
    if session.json {
        let snapshots: Vec<_> = metas.iter().map(meta_json).collect();
        let document = json!({ "key": key_json(key), "snapshots": snapshots, "next_below": next });
        session.screen.json(&document)?;
        return Ok(CliFinding::Fine);
    }
    let generations = generations_of(metas.iter().map(|meta| meta.generation));
    for (at, generation) in generations.iter().enumerate() {
        session.screen.paragraph(&format!("generation {}: {generation}", letter(at)))?;
    }
    let mut grid = Grid::new(&[
        GridColumn::Number("VERSION"),
        GridColumn::Word("GEN"),
        GridColumn::Number("AGE"),
        GridColumn::Word("AS OF (UTC)"),
        GridColumn::Number("STORED"),
        GridColumn::Number("RAW"),
        GridColumn::Word("CODEC"),
        GridColumn::Text("NOTES"),
    ]);
    for meta in &metas {
        let generation = generations.iter().position(|of| *of == meta.generation);
        grid.row([
            meta.version.to_string(),
            generation.map_or_else(String::new, letter),
            age(meta.created_at, session.now),
            minute(meta.as_of),
            size(meta.stored_bytes),
            size(meta.raw_bytes),
            meta.codec.to_string(),
            notes(meta),
        ]);
    }
    grid.write(&mut session.screen)?;
    if let Some(next) = next {
        session.screen.flush()?;
        tell(&format!("more follow: --below {next}"));
    }
    Ok(CliFinding::Fine)
}

/// Returns each generation once, in the order in which they come.
pub(super) fn generations_of(all: impl Iterator<Item = Generation>) -> Vec<Generation> {
    let mut generations = Vec::new();
    for generation in all {
        if !generations.contains(&generation) {
            generations.push(generation);
        }
    }
    generations
}

/// Returns the letter of a generation in tables: A to Z, then numbers.
pub(super) fn letter(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place @ 0..=25) => char::from(b'A' + place).to_string(),
        _ => place.to_string(),
    }
}

/// Returns what is special about a snapshot: its compression, base, seal, marks, labels
/// and where it came from.
pub(super) fn notes(meta: &SnapshotMeta) -> String {
    let mut notes = vec![meta.compression.to_string()];
    notes.extend(meta.base.map(|base| format!("delta of {}", base.version)));
    notes.extend(meta.dictionary.map(|id| format!("dictionary {id:016x}")));
    notes.extend(meta.seal_key.as_ref().map(|key| format!("sealed with {}", shown(key))));
    notes.extend(meta.marks.iter().map(|mark| match mark.kind {
        MarkKind::Pin => format!("pinned by {}", shown(&mark.name)),
        MarkKind::Retirement => format!("retired by {}", shown(&mark.name)),
    }));
    notes.extend(meta.labels.iter().map(|label| format!("label {}", shown(label))));
    let details = meta.details();
    if details.source != SnapshotSource::Trigger {
        notes.push(details.source.to_string());
    }
    notes.extend(details.producer.as_ref().map(|producer| format!("by {}", shown(producer))));
    if !details.warnings.is_empty() {
        notes.push(count(details.warnings.len() as u64, "warning", "warnings"));
    }
    notes.join(", ")
}
