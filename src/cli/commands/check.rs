//! `check`: whether what is stored is undamaged.

use clap::Args;
use serde_json::{Value, json};

use super::check_aggregate::{UnsoundSnapshot, check_aggregate};
use super::keys::{no_snapshots, snapshots_of_each, stored_keys};
use crate::backend::file::FileStore;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{
    Tone, count, generation_json, key_json, shown, shown_error, shown_key, size, snapshots_progress,
};
use crate::cli::session::CliSession;
use crate::cli::store_url::StoreUrl;
use crate::error::ErrorKind;
use crate::key::AggregateKey;
use crate::store::Cursor;

/// The most problems that JSON lists. All are counted.
const MAX_LISTED: usize = 10_000;

/// Check that the stored snapshots are undamaged
///
/// Reads every record, and checks the checksums of its header and payload, its identity, and the base
/// of a delta. For a whole store in files, every byte of its files is checked too. Changes nothing.
/// Without the application's code it is not known whether a state can be decoded: the command
/// `verify` of a binary with its kinds checks that. Snapshots whose header cannot be read are found
/// only by the check of the files.
///
/// Ends with exit code 1 if something is wrong.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR check account")]
pub(crate) struct CheckArguments {
    /// Check only this kind of aggregate
    kind: Option<String>,
    /// Check only this aggregate
    id: Option<String>,
}

/// What was found so far.
#[derive(Default)]
struct CheckReport {
    /// The check of the files, if there was one.
    files: Option<Value>,
    aggregates: u64,
    snapshots: u64,
    bytes: u64,
    problems: u64,
    listed: Vec<Value>,
}

impl CheckArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let mut report = CheckReport::default();
        if self.kind.is_none() && session.tenant.is_none() {
            check_files(session, &mut report)?;
        }
        // A store with damaged files may not open, and its damage is already reported.
        let found = report.problems;
        match session.store().await {
            Err(CliFailure::Error(error))
                if found > 0 && error.kind() == ErrorKind::CorruptStore =>
            {
                if !session.json {
                    let text = format!("The records were not checked: {}", shown_error(&error));
                    session.screen.paragraph(&text)?;
                }
            }
            opened => {
                opened?;
                self.check_records(session, &mut report).await?;
            }
        }
        if session.json {
            let document = json!({
                "files": report.files,
                "aggregates": report.aggregates,
                "snapshots": report.snapshots,
                "bytes": report.bytes,
                "problem_count": report.problems,
                "problems": report.listed,
            });
            session.screen.json(&document)?;
        } else {
            let checked = format!(
                "{} of {} checked, {}",
                count(report.snapshots, "snapshot", "snapshots"),
                count(report.aggregates, "aggregate", "aggregates"),
                size(report.bytes),
            );
            let (tone, end) = match report.problems {
                0 => (Tone::Good, "no problems".to_owned()),
                problems => (Tone::Bad, count(problems, "problem", "problems")),
            };
            let end = session.screen.toned(tone, &end);
            session.screen.line(format_args!("{checked}: {end}"))?;
        }
        Ok(CliFinding::wrong_if(report.problems > 0))
    }

    async fn check_records(
        &self,
        session: &mut CliSession,
        report: &mut CheckReport,
    ) -> Result<(), CliFailure> {
        let opened = session.store().await?;
        let store = &*opened.store;
        let bar = snapshots_progress();
        let (kind, id) = (self.kind.as_deref(), self.id.as_deref());
        let mut after: Option<Cursor> = None;
        loop {
            let (keys, next) = stored_keys(session, store, kind, id, after.as_ref()).await?;
            for (key, metas) in keys.iter().zip(snapshots_of_each(store, &keys).await?) {
                if metas.is_empty() && self.id.is_some() {
                    return Err(no_snapshots(key));
                }
                report.aggregates += 1;
                let checked = |snapshots, bytes| {
                    report.snapshots += snapshots;
                    report.bytes = report.bytes.saturating_add(bytes);
                    bar.inc(snapshots);
                };
                for unsound in check_aggregate(store, key, &metas, checked).await? {
                    bar.suspend(|| report.note(session, key, &unsound))?;
                }
            }
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }
}

impl CheckReport {
    fn note(
        &mut self,
        session: &mut CliSession,
        key: &AggregateKey,
        unsound: &UnsoundSnapshot,
    ) -> Result<(), CliFailure> {
        self.problems += 1;
        let UnsoundSnapshot { id, reason, message } = unsound;
        if !session.json {
            let text = format!("{} at {id}: {}", shown_key(key), shown(message));
            return Ok(session.screen.paragraph(&text)?);
        }
        self.list(json!({
            "key": key_json(key),
            "version": id.version,
            "generation": generation_json(id.generation),
            "reason": reason,
            "message": message,
        }));
        Ok(())
    }

    fn list(&mut self, problem: Value) {
        if self.listed.len() < MAX_LISTED {
            self.listed.push(problem);
        }
    }
}

/// Checks every byte of a store in files, before it is opened.
fn check_files(session: &mut CliSession, report: &mut CheckReport) -> Result<(), CliFailure> {
    if session.opened.is_some() {
        return Ok(());
    }
    let StoreUrl::File(dir) = session.url()? else { return Ok(()) };
    if !dir.is_dir() {
        let message = format!("there is no directory {}: check the path", dir.display());
        return Err(CliFailure::Absent(message));
    }
    let found = FileStore::verify(&dir)?;
    report.files = Some(json!({
        "records": found.records,
        "deletes": found.deletes,
        "marks": found.marks,
        "torn_bytes": found.torn_bytes,
    }));
    for problem in &found.problems {
        report.problems += 1;
        if session.json {
            report.list(json!({
                "file": problem.file,
                "offset": problem.offset,
                "message": problem.to_string(),
            }));
        } else {
            session.screen.paragraph(&shown(&problem.to_string()))?;
        }
    }
    if !session.json {
        let log = format!(
            "{} in the files checked{}",
            count(found.records, "record", "records"),
            match found.torn_bytes {
                0 => String::new(),
                bytes => format!(", {bytes} bytes of an interrupted write at the end"),
            }
        );
        session.screen.line(log)?;
    }
    Ok(())
}
