//! `show`: one snapshot, or the state that an application loads.

use clap::Args;
use serde_json::{Value, json};

use super::keys::{no_snapshots, snapshots_of};
use super::payload::json_payload;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{
    Grid, GridColumn, age, clean, key_json, meta_json, pretty, shown, shown_key,
};
use crate::cli::session::{CliSession, OpenStore};
use crate::hex::hex;
use crate::key::AggregateKey;
use crate::manager::{Point, SnapshotAdmin};
use crate::record::{SnapshotDetails, SnapshotMeta};
use crate::store::{Lookup, Query};
use crate::timestamp::Timestamp;

/// Show one snapshot: its header, its marks, and its state if that is JSON
///
/// By default the newest snapshot of the aggregate that is not retired. In a binary with an
/// application's kinds, it shows the state that the application loads instead, with the events after
/// the snapshot; --stored shows the snapshot.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR show account alice --version 1200")]
pub(crate) struct ShowArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// The snapshot at exactly this version; or the state after this many events
    #[arg(long, value_name = "N", conflicts_with = "time")]
    version: Option<u64>,
    /// The newest snapshot at or before this time; or the state at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    time: Option<Timestamp>,
    /// The snapshot of the generation with this fingerprint, if there are several
    #[arg(long, value_name = "HEX", value_parser = fingerprint)]
    fingerprint: Option<u64>,
    /// Show the stored snapshot, also in a binary with an application's kinds
    #[arg(long)]
    stored: bool,
}

fn fingerprint(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "use up to 16 hexadecimal digits".to_owned())
}

impl ShowArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let key = session.key(&self.kind, &self.id)?;
        let admin =
            session.admin(key.kind()).filter(|_| !self.stored && self.fingerprint.is_none());
        match admin {
            Some(admin) => self.state(session, &key, &*admin).await,
            None => self.snapshot(session, &key).await,
        }
    }

    /// Shows what the application loads.
    async fn state(
        self,
        session: &mut CliSession,
        key: &AggregateKey,
        admin: &dyn SnapshotAdmin,
    ) -> Result<CliFinding, CliFailure> {
        let point = match (self.version, self.time) {
            (Some(version), _) => Point::Version(version),
            (None, Some(time)) => Point::Time(time),
            (None, None) => Point::Now,
        };
        let view = admin.view(key, point).await?;
        if session.json {
            let document = json!({
                "key": key_json(key),
                "version": view.version,
                "as_of": view.as_of.map(|time| time.to_string()),
                "state": state_json(&view.state.to_string()),
                "provenance": view.provenance.to_string(),
            });
            session.screen.json(&document)?;
            return Ok(CliFinding::Fine);
        }
        let title = format!("{} at version {}", shown_key(key), view.version);
        session.screen.heading(&title)?;
        if let Some(as_of) = view.as_of {
            session.screen.line(format_args!("as of {as_of}"))?;
        }
        session.screen.paragraph(&view.provenance.to_string())?;
        session.screen.line(clean(&format!("{:#}", view.state)))?;
        Ok(CliFinding::Fine)
    }

    /// Shows what the store contains.
    async fn snapshot(
        self,
        session: &mut CliSession,
        key: &AggregateKey,
    ) -> Result<CliFinding, CliFailure> {
        let opened = session.store().await?;
        let metas = snapshots_of(&*opened.store, key).await?;
        if metas.is_empty() {
            return Err(no_snapshots(key));
        }
        let Some(meta) = self.choose(&metas) else {
            let message =
                format!("{key} has no such snapshot: `ls` with its kind and id lists all");
            return Err(CliFailure::Absent(message));
        };
        let (finding, state) = state_of(&opened, meta).await?;
        if session.json {
            let (state, reason) = match &state {
                Ok(state) => (state_json(state), Value::Null),
                Err(reason) => (Value::Null, json!(reason)),
            };
            let document = json!({
                "key": key_json(key),
                "snapshot": meta_json(meta),
                "state": state,
                "state_left_out": reason,
            });
            session.screen.json(&document)?;
            return Ok(finding);
        }
        let title = format!("{} at version {}", shown_key(key), meta.version);
        session.screen.heading(&title)?;
        let mut grid = Grid::new(&[GridColumn::Word("FIELD"), GridColumn::Text("VALUE")]);
        for (name, value) in fields(meta, session.now) {
            grid.row([name.to_owned(), value]);
        }
        grid.write(&mut session.screen)?;
        match state {
            Ok(state) => session.screen.line(clean(&pretty(&state)))?,
            Err(reason) => {
                let text = format!("The state is left out: {reason}.");
                session.screen.paragraph(&text)?;
            }
        }
        Ok(finding)
    }

    fn choose<'m>(&self, metas: &'m [SnapshotMeta]) -> Option<&'m SnapshotMeta> {
        let admitted = metas.iter().filter(|meta| {
            self.version.is_none_or(|version| meta.version == version)
                && self.time.is_none_or(|time| meta.as_of <= time)
                && self.fingerprint.is_none_or(|of| meta.generation.fingerprint == of)
        });
        // Loads do not use retired ones, so they are shown only if nothing else is meant.
        let mut admitted = admitted.peekable();
        let first = admitted.peek().copied();
        admitted.find(|meta| self.version.is_some() || !meta.is_retired()).or(first)
    }
}

/// Returns the state of a snapshot as JSON, or why it is left out. Finds that something is wrong if
/// the record is damaged.
async fn state_of(
    opened: &OpenStore,
    meta: &SnapshotMeta,
) -> Result<(CliFinding, Result<String, String>), CliFailure> {
    let lookup = opened.store.get(Query::exact(&meta.key, meta.id())).await?;
    let Lookup::Found(found) = lookup else {
        return Ok((CliFinding::Wrong, Err("the store no longer finds the snapshot".to_owned())));
    };
    Ok(match found.record.verify() {
        Ok(header) => (CliFinding::Fine, json_payload(&found.record, &header)),
        Err(reject) => (CliFinding::Wrong, Err(reject.to_string())),
    })
}

/// Returns a state as it is if it is JSON, or else as a text.
fn state_json(state: &str) -> Value {
    serde_json::from_str(state).unwrap_or_else(|_| json!(state))
}

fn fields(meta: &SnapshotMeta, now: Timestamp) -> Vec<(&'static str, String)> {
    let generation = meta.generation;
    let mut fields = vec![
        ("generation", generation.to_string()),
        ("as of", meta.as_of.to_string()),
        ("last recorded at", meta.last_recorded_at.to_string()),
        ("created at", format!("{} ({} ago)", meta.created_at, age(meta.created_at, now))),
        ("origin", meta.origin.as_deref().map_or_else(|| "unknown".to_owned(), shown)),
        ("codec", meta.codec.to_string()),
        ("compression", meta.compression.to_string()),
        ("stored bytes", meta.stored_bytes.to_string()),
        ("raw bytes", meta.raw_bytes.to_string()),
        ("payload checksum", format!("{:08x}", meta.payload_checksum)),
        ("digest", meta.digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())),
        ("anchor", meta.anchor.as_deref().map_or_else(|| "none".to_owned(), hex)),
    ];
    fields.extend(meta.base.map(|base| ("delta of version", base.version.to_string())));
    fields.extend(meta.dictionary.map(|id| ("dictionary", format!("{id:016x}"))));
    fields.extend(meta.seal_key.as_deref().map(|key| ("sealed with the key", shown(key))));
    fields.extend(meta.labels.iter().map(|label| ("label", shown(label))));
    fields.extend(detail_fields(meta.details()));
    for mark in meta.marks.iter() {
        let mut text = format!("{} since {}", shown(&mark.name), mark.at);
        for (what, of) in [(" by ", &mark.actor), (": ", &mark.note)] {
            if !of.is_empty() {
                text.push_str(what);
                text.push_str(&shown(of));
            }
        }
        fields
            .push((if mark.kind == crate::store::MarkKind::Pin { "pin" } else { "retired" }, text));
    }
    fields
}

fn detail_fields(details: &SnapshotDetails) -> Vec<(&'static str, String)> {
    let mut fields = vec![("source", details.source.to_string())];
    fields.extend(details.created_by.as_deref().map(|actor| ("created by", shown(actor))));
    fields.extend(details.producer.as_deref().map(|build| ("producer", shown(build))));
    let predecessor = details.predecessor.map(|id| ("predecessor", id.version.to_string()));
    fields.extend(predecessor);
    fields.extend(details.idempotency_key.as_deref().map(|key| ("idempotency key", shown(key))));
    let own = details.fields.iter();
    fields.extend(own.map(|(name, value)| ("field", format!("{}: {}", shown(name), shown(value)))));
    fields.extend(details.warnings.iter().map(|warning| ("warning", shown(warning))));
    if let Some(changes) = &details.changes {
        let paths: Vec<_> = changes.paths.iter().map(|path| shown(path)).collect();
        fields.push(("changes", format!("{changes}: {}", paths.join(", "))));
    }
    fields
}
