//! `pin`, `unpin`, `retire` and `restore`: the marks of a snapshot.

use clap::Args;
use serde_json::json;

use super::changes::audited;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{key_json, shown, shown_key};
use crate::cli::session::CliSession;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::store::{ListRequest, Mark, MarkChange, MarkKind, Selection, SnapshotStoreExt as _};

/// Which snapshot, and which of its marks.
#[derive(Args)]
struct MarkedSnapshot {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// The version of the snapshot; if several generations have one, all of them
    version: u64,
    /// The name of the mark; different names are independent of each other
    name: String,
}

/// Pin a snapshot, so that nothing deletes it
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR pin account alice 1200 audit-2026 \
                        --reason 'until the audit is closed'")]
pub(crate) struct PinArguments {
    #[command(flatten)]
    of: MarkedSnapshot,
    /// Why, for the mark and the audit trail
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Remove a pin
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR unpin account alice 1200 audit-2026")]
pub(crate) struct UnpinArguments {
    #[command(flatten)]
    of: MarkedSnapshot,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Retire a snapshot, so that no load uses it
///
/// The snapshot stays stored and can be restored. An application that is running may have states in
/// its hot cache that were built from the snapshot: restart it, or retire through a binary with its
/// kinds. Snapshots that were taken from such a state are not retired: retire them too if their
/// states are wrong.
#[derive(Args)]
#[command(
    after_help = "Example: snapfold --store file:DIR retire account alice 1200 wrong-refunds \
                        --reason 'folded with release 41'"
)]
pub(crate) struct RetireArguments {
    #[command(flatten)]
    of: MarkedSnapshot,
    /// Why, for the mark and the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Clear a retirement, so that loads use the snapshot again
#[derive(Args)]
#[command(
    after_help = "Example: snapfold --store file:DIR restore account alice 1200 wrong-refunds"
)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    of: MarkedSnapshot,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

impl PinArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        self.of.change(session, MarkKind::Pin, true, self.reason).await
    }
}

impl UnpinArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        self.of.change(session, MarkKind::Pin, false, self.reason).await
    }
}

impl RetireArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        self.of.change(session, MarkKind::Retirement, true, self.reason).await
    }
}

impl RestoreArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        self.of.change(session, MarkKind::Retirement, false, self.reason).await
    }
}

impl MarkedSnapshot {
    /// Sets or clears the mark.
    async fn change(
        self,
        session: &mut CliSession,
        kind: MarkKind,
        set: bool,
        reason: String,
    ) -> Result<CliFinding, CliFailure> {
        let key = session.key_to_change(&self.kind, &self.id)?;
        let mark = Mark::new(kind, self.name.as_str(), session.now)
            .actor(session.context.actor.as_str())
            .note(reason.as_str());
        let change =
            if set { MarkChange::Set(&mark) } else { MarkChange::Clear { kind, name: &self.name } };
        change.check()?;
        session.context = session.context.clone().reason(reason);
        let ids = self.ids(session, &key).await?;
        let changed = if let Some(admin) = session.admin(key.kind()) {
            admin.mark(&key, Selection::Ids(&ids), change, &session.context).await?
        } else {
            let opened = session.store_to_change().await?;
            let marking = opened.store.mark(&key, Selection::Ids(&ids), change).await;
            let action = match (kind, set) {
                (MarkKind::Pin, true) => "set_pin",
                (MarkKind::Pin, false) => "clear_pin",
                (MarkKind::Retirement, true) => "set_retirement",
                (MarkKind::Retirement, false) => "clear_retirement",
            };
            let action = format!("{action} {}", self.name);
            audited(session, &opened, (&action, &key, Some(self.version)), marking).await?
        };
        self.report(session, &key, kind, set, changed)?;
        Ok(CliFinding::Fine)
    }

    /// Returns the snapshots at the version.
    async fn ids(
        &self,
        session: &mut CliSession,
        key: &AggregateKey,
    ) -> Result<Vec<SnapshotId>, CliFailure> {
        let metas = if let Some(admin) = session.admin(key.kind()) {
            admin.snapshots(key, self.version..=self.version).await?
        } else {
            let request = ListRequest::new(key).at_most(self.version).at_least(self.version);
            session.store_to_change().await?.store.list_all(request).await?
        };
        if metas.is_empty() {
            let version = self.version;
            let message =
                format!("{key} has no snapshot at version {version}: list them with `ls`");
            return Err(CliFailure::Absent(message));
        }
        Ok(metas.iter().map(crate::record::SnapshotMeta::id).collect())
    }

    fn report(
        &self,
        session: &mut CliSession,
        key: &AggregateKey,
        kind: MarkKind,
        set: bool,
        changed: u64,
    ) -> Result<(), CliFailure> {
        let Self { version, name, .. } = self;
        if session.json {
            let document = json!({
                "key": key_json(key),
                "version": version,
                "mark": kind.to_string(),
                "name": name,
                "set": set,
                "changed": changed,
            });
            return Ok(session.screen.json(&document)?);
        }
        let what = match (kind, set, changed) {
            (_, false, 0) => "has no such mark",
            (MarkKind::Pin, true, _) => "is pinned",
            (MarkKind::Pin, false, _) => "is no longer pinned",
            (MarkKind::Retirement, true, _) => "is retired",
            (MarkKind::Retirement, false, _) => "is no longer retired",
        };
        let text = format!("{} at version {version} {what} by {}", shown_key(key), shown(name));
        Ok(session.screen.paragraph(&text)?)
    }
}
