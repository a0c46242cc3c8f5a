//! `deprecate`: retires the snapshots that a filter selects.

use clap::Args;
use serde_json::json;

use super::changes::audited;
use super::keys::{known_keys, snapshots_of_each, stored_keys};
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{count, key_json, shown, shown_key, tell};
use crate::cli::session::CliSession;
use crate::key::AggregateKey;
use crate::manager::SnapshotFilter;
use crate::mark::{Mark, MarkChange};
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{Cursor, Selection};
use crate::timestamp::Timestamp;

/// Retire all snapshots of a kind that have something in common; only show them without --yes
///
/// For example those that one build of the application took. Every given condition must apply. The
/// snapshots stay stored, and `restore` makes each of them usable again.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR deprecate account build-1.4.2 \
                        --producer 'billing 1.4.2' --reason 'ticket 4711' --yes")]
pub(crate) struct DeprecateArguments {
    /// The kind of aggregate
    kind: String,
    /// The name of the retirements
    name: String,
    /// Snapshots of this build of the application
    #[arg(long, value_name = "BUILD")]
    producer: Option<String>,
    /// Snapshots of this process or node
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Snapshots that this actor asked for
    #[arg(long, value_name = "ACTOR")]
    created_by: Option<String>,
    /// Snapshots with this label
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// Snapshots that were created at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    created_from: Option<Timestamp>,
    /// Snapshots that were created before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    created_before: Option<Timestamp>,
    /// Why, for the marks and the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Retire them
    #[arg(long)]
    yes: bool,
}

impl DeprecateArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        // snapfold's own documents are refused.
        session.key_to_change(&self.kind, "")?;
        let filter = self.filter();
        if filter.is_empty() {
            let message = "no condition was given: pass at least one, such as --producer";
            return Err(CliFailure::Failed(message.to_owned()));
        }
        let retirement = Mark::retirement(self.name.as_str(), session.now)
            .actor(session.context.actor.as_str())
            .note(self.reason.as_str());
        retirement.check()?;
        session.context = session.context.clone().reason(self.reason.as_str());
        let (mut aggregates, mut snapshots) = (0_u64, 0_u64);
        let mut after: Option<Cursor> = None;
        loop {
            let (keys, next) = self.page(session, after.as_ref()).await?;
            for (key, metas) in keys {
                let selected = filter.without_mark(&metas, &retirement);
                if selected.is_empty() {
                    continue;
                }
                aggregates += 1;
                snapshots += selected.len() as u64;
                if self.yes {
                    self.retire(session, &key, &selected, &filter, &retirement).await?;
                }
                report(session, &key, &selected)?;
            }
            if next.is_none() {
                break;
            }
            after = next;
        }
        self.end(session, &filter, aggregates, snapshots)?;
        Ok(CliFinding::Fine)
    }

    fn filter(&self) -> SnapshotFilter {
        let mut filter = SnapshotFilter::new();
        filter.producer.clone_from(&self.producer);
        filter.origin.clone_from(&self.origin);
        filter.created_by.clone_from(&self.created_by);
        filter.label.clone_from(&self.label);
        (filter.created_from, filter.created_before) = (self.created_from, self.created_before);
        filter
    }

    /// Returns a page of the aggregates with their snapshots, and where the list continues.
    async fn page(
        &self,
        session: &mut CliSession,
        after: Option<&Cursor>,
    ) -> Result<(Vec<(AggregateKey, Vec<SnapshotMeta>)>, Option<Cursor>), CliFailure> {
        if let Some(admin) = session.admin(&self.kind) {
            let (keys, next) = known_keys(session, &*admin, None, after).await?;
            let mut page = Vec::with_capacity(keys.len());
            for key in keys {
                let metas = admin.snapshots(&key, 0..=u64::MAX).await?;
                page.push((key, metas));
            }
            return Ok((page, next));
        }
        let opened = session.open(self.yes).await?;
        let store = &*opened.store;
        let (keys, next) = stored_keys(session, store, Some(&self.kind), None, after).await?;
        let metas = snapshots_of_each(store, &keys).await?;
        Ok((keys.into_iter().zip(metas).collect(), next))
    }

    async fn retire(
        &self,
        session: &mut CliSession,
        key: &AggregateKey,
        selected: &[SnapshotId],
        filter: &SnapshotFilter,
        retirement: &Mark,
    ) -> Result<(), CliFailure> {
        if let Some(admin) = session.admin(key.kind()) {
            admin.retire(key, filter, &self.name, &session.context).await?;
            return Ok(());
        }
        let opened = session.store_to_change().await?;
        let set = MarkChange::Set(retirement);
        let marking = opened.store.mark(key, Selection::Ids(selected), set).await;
        let action = format!("set_retirement {}", self.name);
        audited(session, &opened, (&action, key, None), marking).await.map(drop)
    }

    fn end(
        &self,
        session: &mut CliSession,
        filter: &SnapshotFilter,
        aggregates: u64,
        snapshots: u64,
    ) -> Result<(), CliFailure> {
        if session.json {
            let document = json!({
                "filter": filter.to_string(),
                "name": self.name,
                "dry_run": !self.yes,
                "aggregates": aggregates,
                "snapshots": snapshots,
            });
            return Ok(session.screen.json(&document)?);
        }
        let what = format!(
            "{} of {} ({})",
            count(snapshots, "snapshot", "snapshots"),
            count(aggregates, "aggregate", "aggregates"),
            shown(&filter.to_string())
        );
        if self.yes {
            return Ok(session.screen.paragraph(&format!("retired {what}"))?);
        }
        session.screen.paragraph(&format!("dry run: would retire {what}"))?;
        if snapshots > 0 {
            session.screen.flush()?;
            tell("nothing was retired: repeat the command with --yes to retire");
        }
        Ok(())
    }
}

fn report(
    session: &mut CliSession,
    key: &AggregateKey,
    selected: &[SnapshotId],
) -> Result<(), CliFailure> {
    let versions: Vec<_> = selected.iter().map(|id| id.version).collect();
    if session.json {
        let document = json!({ "key": key_json(key), "versions": versions });
        return Ok(session.screen.json(&document)?);
    }
    let versions: Vec<_> = versions.iter().map(u64::to_string).collect();
    Ok(session.screen.paragraph(&format!("{}: {}", shown_key(key), versions.join(", ")))?)
}
