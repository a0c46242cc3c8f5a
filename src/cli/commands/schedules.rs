//! `schedules`: what is run regularly.

use clap::{Args, Subcommand};
use serde_json::json;

use super::ls::limit;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Grid, GridColumn, age, minute, shown, shown_id, tell};
use crate::cli::session::CliSession;
use crate::ledger::{Schedule, ScheduleKey};

/// List the schedules that are kept in this store
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR schedules ls")]
pub(crate) struct SchedulesArguments {
    #[command(subcommand)]
    command: SchedulesCommand,
}

#[derive(Subcommand)]
enum SchedulesCommand {
    /// List the schedules, with their next runs and the nodes that run them
    Ls {
        /// List only schedules of this kind of aggregate
        kind: Option<String>,
        /// How many schedules to list at most
        #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = limit)]
        limit: usize,
    },
}

impl SchedulesArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let SchedulesCommand::Ls { kind, limit } = self.command;
        let ledger = session.store().await?.ledger;
        let mut schedules: Vec<Schedule> = Vec::new();
        let mut after: Option<ScheduleKey> = None;
        let is_cut = loop {
            let page = ledger.schedules(after.as_ref(), 256).await?;
            schedules.extend(page.items.into_iter().filter(|schedule| {
                kind.as_ref().is_none_or(|kind| schedule.key.kind() == kind)
                    && session.tenant.as_ref().is_none_or(|of| schedule.key.tenant() == of)
            }));
            if schedules.len() > limit {
                schedules.truncate(limit);
                break true;
            }
            if page.next.is_none() || page.next == after {
                break false;
            }
            after = page.next;
        };
        print(session, &schedules)?;
        if is_cut {
            session.screen.flush()?;
            tell("more follow: raise --limit");
        }
        Ok(CliFinding::Fine)
    }
}

fn print(session: &mut CliSession, schedules: &[Schedule]) -> Result<(), CliFailure> {
    if session.json {
        let documents = schedules.iter().map(|schedule| {
            let Schedule { key, cadence, task, enabled, next_run, lease, .. } = schedule;
            json!({
                "tenant": key.tenant(),
                "kind": key.kind(),
                "id": key.as_aggregate().map(crate::key::AggregateKey::id),
                "name": key.name(),
                "cadence": cadence.to_string(),
                "task": task.to_string(),
                "enabled": enabled,
                "next_run": next_run.map(|time| time.to_string()),
                "lease": lease.as_ref().map(|lease| json!({
                    "holder": lease.holder,
                    "until": lease.until.to_string(),
                })),
            })
        });
        let documents: Vec<_> = documents.collect();
        return Ok(session.screen.json(&json!({ "schedules": documents }))?);
    }
    if schedules.is_empty() {
        return Ok(session.screen.line("no schedules")?);
    }
    let now = session.now;
    let mut grid = Grid::new(&[
        GridColumn::Text("SUBJECT"),
        GridColumn::Text("TASK"),
        GridColumn::Text("CADENCE"),
        GridColumn::Word("NEXT RUN (UTC)"),
        GridColumn::Text("STATE"),
    ]);
    for Schedule { key, cadence, task, enabled, next_run, lease, .. } in schedules {
        let mut subject = match key.as_aggregate() {
            Some(key) => format!("{} {}", shown_id(key.kind()), shown_id(key.id())),
            None => format!("all of {}", shown_id(key.kind())),
        };
        for (what, of) in [(" of tenant ", key.tenant()), (": ", key.name())] {
            if !of.is_empty() {
                subject.push_str(what);
                subject.push_str(&shown(of));
            }
        }
        let state = match (enabled, lease, next_run) {
            (false, ..) => "disabled".to_owned(),
            (true, Some(lease), _) if lease.until > now => {
                format!("runs on {}", shown(&lease.holder))
            }
            (true, _, Some(next)) if *next < now => format!("overdue by {}", age(*next, now)),
            _ => "waits".to_owned(),
        };
        grid.row([
            subject,
            shown(&task.to_string()),
            shown(&cadence.to_string()),
            next_run.map_or_else(|| "never".to_owned(), minute),
            state,
        ]);
    }
    Ok(grid.write(&mut session.screen)?)
}
