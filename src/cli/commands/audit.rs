//! `audit`: the trail of changes, and its hash chain.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::ls::limit;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Grid, GridColumn, Tone, count, key_json, minute, shown, shown_key, tell};
use crate::cli::session::CliSession;
use crate::hex::unhex;
use crate::ledger::{
    AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRecord, AuditRequest, Ledger, SignedHead,
    SignedTrail, TrailCheck,
};
use crate::record::SigningKeys;

/// List the changes in the audit trail, and verify its hash chain
///
/// Each tenant has a trail of its own; without --tenant it is that of the default tenant. The trail is
/// the one that is kept in this store.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR audit ls --last 20")]
pub(crate) struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// List entries, oldest first
    Ls {
        /// List only entries about aggregates of this kind: needs ID
        #[arg(requires = "id")]
        kind: Option<String>,
        /// List only entries about this aggregate
        id: Option<String>,
        /// Continue after the entry with this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: u64,
        /// How many entries to list at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
        limit: usize,
        /// List the last N entries; reads the whole trail
        #[arg(long, value_name = "N", value_parser = limit, conflicts_with_all = ["after", "limit"])]
        last: Option<usize>,
    },
    /// Verify the hash chain, from the beginning or from a head that was kept elsewhere
    ///
    /// Without --head, an end that was cut off, or a trail that was written anew, is not noticed. With
    /// --key-file, the signatures in the trail are verified as well: they reveal each change before
    /// them.
    Verify {
        /// A head that `audit head` printed earlier
        #[arg(long, value_name = "NUMBER:HASH", value_parser = head)]
        head: Option<AuditHead>,
        /// A line that `audit sign` printed earlier, instead of --head
        #[arg(long, value_name = "LINE", requires = "key_file", conflicts_with = "head")]
        signed: Option<SignedHead>,
        /// The keys of the signatures: a file with KEYID:SECRET in each line
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
    /// Sign the trail if it has new entries, and print the signature: keep it elsewhere
    ///
    /// The trail is first verified from its last signature on. Prints nothing if there is nothing new.
    Sign {
        /// The keys: a file with KEYID:SECRET in each line, the secret in 64 hexadecimal digits. The
        /// first key signs, the others only verify
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
    /// Print the head of the trail: keep it elsewhere, for `audit verify --head`
    Head,
}

impl AuditArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let signs = matches!(self.command, AuditCommand::Sign { .. });
        let ledger = session.open(signs).await?.ledger;
        let tenant = session.tenant.clone().unwrap_or_default();
        match self.command {
            AuditCommand::Sign { key_file } => {
                let (keys, now) = (keys_of(&key_file)?, session.now);
                let actor = session.context.actor.clone();
                let signed = keys.sign_trail(&*ledger, &tenant, now, &actor).await?;
                print_signed(session, signed.as_ref())
            }
            AuditCommand::Verify { head, signed, key_file: Some(key_file) } => {
                let keys = keys_of(&key_file)?;
                if let Some(signed) = &signed {
                    keys.verify_head(&tenant, signed).map_err(|reason| {
                        CliFailure::Usage(format!("the head of --signed is not valid: {reason}"))
                    })?;
                }
                let from = head.or(signed.map(|signed| signed.head)).unwrap_or(AuditHead::START);
                let check = keys.check_trail(&*ledger, &tenant, from).await?;
                signatures_verified(session, from, check)
            }
            AuditCommand::Verify { head, .. } => {
                let from = head.unwrap_or(AuditHead::START);
                let check = ledger.check_trail(&tenant, from).await?;
                verified(session, from, check)
            }
            AuditCommand::Head => match ledger.check_trail(&tenant, AuditHead::START).await? {
                TrailCheck::Whole(head) => {
                    let document =
                        json!({ "sequence": head.sequence, "hash": head.hash.to_string() });
                    if session.json {
                        session.screen.json(&document)?;
                    } else {
                        session.screen.line(format_args!("{}:{}", head.sequence, head.hash))?;
                    }
                    Ok(CliFinding::Fine)
                }
                broken => verified(session, AuditHead::START, broken),
            },
            AuditCommand::Ls { kind, id, after, limit, last } => {
                let key = match (kind, id) {
                    (Some(kind), Some(id)) => Some(session.key(&kind, &id)?),
                    _ => None,
                };
                let mut request = AuditRequest::new().tenant(&tenant).after(after);
                if let Some(key) = &key {
                    request = request.key(key);
                }
                let (records, next) = match last {
                    Some(last) => (last_of(&*ledger, request, last).await?, None),
                    None => first_of(&*ledger, request, limit).await?,
                };
                list(session, &records, next)
            }
        }
    }
}

/// Parses what `audit head` prints.
fn head(text: &str) -> Result<AuditHead, String> {
    let parse = || {
        let (sequence, hash) = text.split_once(':')?;
        let hash: [u8; 32] = unhex(hash)?.try_into().ok()?;
        Some(AuditHead { sequence: sequence.parse().ok()?, hash: AuditHash::from_bytes(hash) })
    };
    parse().ok_or_else(|| "use a number, a colon and 64 hexadecimal digits".to_owned())
}

async fn first_of(
    ledger: &dyn Ledger,
    mut request: AuditRequest<'_>,
    limit: usize,
) -> Result<(Vec<AuditRecord>, Option<u64>), CliFailure> {
    let mut records = Vec::new();
    loop {
        request.limit = limit.saturating_sub(records.len()).max(1);
        let page = ledger.entries(request).await?;
        records.extend(page.items);
        match page.next {
            Some(next) if next > request.after && records.len() < limit => request.after = next,
            next => return Ok((records, next)),
        }
    }
}

async fn last_of(
    ledger: &dyn Ledger,
    mut request: AuditRequest<'_>,
    last: usize,
) -> Result<Vec<AuditRecord>, CliFailure> {
    let mut records = VecDeque::new();
    loop {
        let page = ledger.entries(request).await?;
        for record in page.items {
            if records.len() >= last {
                records.pop_front();
            }
            records.push_back(record);
        }
        match page.next {
            Some(next) if next > request.after => request.after = next,
            _ => return Ok(records.into()),
        }
    }
}

fn list(
    session: &mut CliSession,
    records: &[AuditRecord],
    next: Option<u64>,
) -> Result<CliFinding, CliFailure> {
    if session.json {
        let entries: Vec<_> = records.iter().map(record_json).collect();
        session.screen.json(&json!({ "entries": entries, "next_after": next }))?;
        return Ok(CliFinding::Fine);
    }
    if records.is_empty() {
        session.screen.line("no entries")?;
        return Ok(CliFinding::Fine);
    }
    let mut grid = Grid::new(&[
        GridColumn::Number("ENTRY"),
        GridColumn::Word("AT (UTC)"),
        GridColumn::Text("WHAT, BY WHOM, RESULT AND REASON"),
    ]);
    for AuditRecord { sequence, entry, .. } in records {
        grid.row([sequence.to_string(), minute(entry.at), described(entry)]);
    }
    grid.write(&mut session.screen)?;
    if let Some(next) = next {
        session.screen.flush()?;
        tell(&format!("more may follow: --after {next}"));
    }
    Ok(CliFinding::Fine)
}

/// Returns an entry as a sentence.
fn described(entry: &AuditEntry) -> String {
    let mut text = shown(&entry.action);
    if let Some(key) = &entry.key {
        text.push_str(" of ");
        text.push_str(&shown_key(key));
    }
    if let Some(version) = entry.version {
        let _ = write!(text, " at version {version}");
    }
    let actor = if entry.actor.is_empty() { "the application" } else { &entry.actor };
    let _ = write!(text, " by {}: ", shown(actor));
    match &entry.outcome {
        AuditOutcome::Ok => text.push_str("done"),
        AuditOutcome::Failed { kind, message } => {
            let _ = write!(text, "failed, {}: {}", shown(kind), shown(message));
        }
    }
    if !entry.reason.is_empty() {
        let _ = write!(text, ", because {}", shown(&entry.reason));
    }
    text
}

fn record_json(record: &AuditRecord) -> Value {
    let entry = &record.entry;
    let failure = match &entry.outcome {
        AuditOutcome::Ok => Value::Null,
        AuditOutcome::Failed { kind, message } => json!({ "kind": kind, "message": message }),
    };
    json!({
        "sequence": record.sequence,
        "at": entry.at.to_string(),
        "actor": entry.actor,
        "action": entry.action,
        "key": entry.key.as_ref().map(key_json),
        "version": entry.version,
        "reason": entry.reason,
        "meta": entry.meta,
        "idempotency": entry.idempotency,
        "failure": failure,
        "previous": record.previous.to_string(),
        "hash": record.hash.to_string(),
    })
}

fn verified(
    session: &mut CliSession,
    from: AuditHead,
    check: TrailCheck,
) -> Result<CliFinding, CliFailure> {
    let (document, text, tone) = match check {
        TrailCheck::Whole(head) => {
            let checked = count(head.sequence.saturating_sub(from.sequence), "entry", "entries");
            let text = format!(
                "the trail is whole: {checked} checked\nhead {}:{}",
                head.sequence, head.hash
            );
            let head = json!({ "sequence": head.sequence, "hash": head.hash.to_string() });
            (json!({ "whole": true, "head": head }), text, Tone::Good)
        }
        TrailCheck::Broken { sequence, reason } => (
            json!({ "whole": false, "sequence": sequence, "reason": reason }),
            format!("the trail is broken at entry {sequence}: {reason}"),
            Tone::Bad,
        ),
    };
    if session.json {
        session.screen.json(&document)?;
    } else {
        let text = session.screen.toned(tone, &text);
        session.screen.line(text)?;
    }
    Ok(CliFinding::wrong_if(tone == Tone::Bad))
}

/// Reads keys from a file. No message contains a line of it.
fn keys_of(path: &Path) -> Result<SigningKeys, CliFailure> {
    let cannot = |why: &str| CliFailure::Usage(format!("the key file {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| cannot(&error.to_string()))?;
    let mut keys: Option<SigningKeys> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let key = line.split_once(':').and_then(|(id, secret)| {
            let secret: [u8; 32] = unhex(secret.trim_end())?.try_into().ok()?;
            Some((id, secret))
        });
        let Some((id, secret)) = key else {
            let why = "use KEYID:SECRET, with a secret of 64 hexadecimal digits";
            return Err(cannot(&format!("line {number}: {why}")));
        };
        let added = match keys {
            None => SigningKeys::new(id, secret),
            Some(keys) => keys.also(id, secret),
        };
        // The id may be a secret in the wrong place.
        let why =
            "the id of a key is used twice, is empty, longer than 64 bytes, or has white space";
        keys = Some(added.map_err(|_| cannot(&format!("line {number}: {why}")))?);
    }
    keys.ok_or_else(|| cannot("it has no keys: add a line KEYID:SECRET"))
}

fn signed_json(signed: &SignedHead) -> Value {
    json!({
        "sequence": signed.head.sequence,
        "hash": signed.head.hash.to_string(),
        "key_id": signed.key_id,
        "line": signed.to_string(),
    })
}

fn print_signed(
    session: &mut CliSession,
    signed: Option<&SignedHead>,
) -> Result<CliFinding, CliFailure> {
    if session.json {
        session.screen.json(&json!({ "signed": signed.map(signed_json) }))?;
    } else if let Some(signed) = signed {
        session.screen.line(signed)?;
    } else {
        session.screen.flush()?;
        tell("the trail has no new entries, so nothing was signed");
    }
    Ok(CliFinding::Fine)
}

fn signatures_verified(
    session: &mut CliSession,
    from: AuditHead,
    check: SignedTrail,
) -> Result<CliFinding, CliFailure> {
    let (head, signed, unsigned) = match check {
        SignedTrail::Whole { head, signed, unsigned } => (head, signed, unsigned),
        SignedTrail::Broken { sequence, reason } => {
            return verified(session, from, TrailCheck::Broken { sequence, reason });
        }
    };
    let checked = count(head.sequence.saturating_sub(from.sequence), "entry", "entries");
    let entries = count(unsigned, "entry", "entries");
    let text = match &signed {
        Some(signed) => format!(
            "the trail is whole: {checked} checked\nsigned up to entry {} with the key {}; {entries} \
             after that not signed\nhead {}:{}",
            signed.head.sequence,
            shown(&signed.key_id),
            head.sequence,
            head.hash
        ),
        None => format!(
            "the trail is whole: {checked} checked\nno signature; {entries} not signed\nhead {}:{}",
            head.sequence, head.hash
        ),
    };
    if session.json {
        let head = json!({ "sequence": head.sequence, "hash": head.hash.to_string() });
        let signed = signed.as_ref().map(signed_json);
        let document =
            json!({ "whole": true, "head": head, "signed": signed, "unsigned": unsigned });
        session.screen.json(&document)?;
    } else {
        let text = session.screen.toned(Tone::Good, &text);
        session.screen.line(text)?;
    }
    Ok(CliFinding::Fine)
}
