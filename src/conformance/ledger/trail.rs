//! Each tenant has one audit trail, which is ordered, immutable and chained.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::case::{NAMES, Nodes, at, done, key, refused, same};
use crate::conformance::failure::Stop;
use crate::key::AggregateKey;
use crate::ledger::{
    AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRecord, AuditRequest, Ledger, TrailCheck,
};
use crate::timestamp::Timestamp;

super::case::cases! {
    "sequence numbers count the entries of each tenant from 1", ["L-01", "L-02", "L-30"], counted;
    "every node returns entries as they were appended", ["L-04", "L-32"], kept;
    "the pages of a trail are in order and complete", ["L-01", "L-32"], paged;
    "each record is chained to the previous one", ["L-31"], chained;
    "concurrent appends of many nodes form one complete chain", ["L-30", "L-31"], raced;
    "an entry with a string that is too long is refused with its batch", ["L-03"], refusals;
}

fn entry(n: i64) -> AuditEntry {
    AuditEntry::new(at(n), "ops", "delete")
}

/// Returns the records of `request`, across its pages.
async fn all(ledger: &dyn Ledger, mut request: AuditRequest<'_>) -> Result<Vec<AuditRecord>, Stop> {
    let mut all = Vec::new();
    loop {
        let page = done("L-32", "read a page", ledger.entries(request).await)?;
        let short = page.items.len() <= request.limit.max(1);
        same("L-32", "a page has at most as many records as requested", &short, &true)?;
        all.extend(page.items);
        let Some(next) = page.next else { return Ok(all) };
        same("L-32", "`next` is after the start of its page", &(next > request.after), &true)?;
        request = request.after(next);
    }
}

async fn counted(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let nothing = done("L-02", "read entries", ledger.entries(AuditRequest::new()).await)?;
    same("L-02", "read an empty trail", &(nothing.items, nothing.next), &(Vec::new(), None))?;
    same(
        "L-30",
        "append no entries",
        &done("L-30", "append entries", ledger.append_all(&[]).await)?,
        &vec![],
    )?;
    let whole = done("L-31", "check a trail", ledger.check_trail("", AuditHead::START).await)?;
    same("L-31", "check an empty trail", &whole, &TrailCheck::Whole(AuditHead::START))?;
    let mut batch = Vec::new();
    for (place, tenant) in (0..).zip(NAMES) {
        batch.push(entry(place).in_tenant(tenant));
        batch.push(entry(place).about(key(tenant, "a")?));
    }
    for round in 0..3 {
        let found = done("L-30", "append entries", ledger.append_all(&batch).await)?;
        let expected: Vec<_> = NAMES.iter().flat_map(|_| [2 * round + 1, 2 * round + 2]).collect();
        same("L-30", "the sequence numbers of a batch of all tenants", &found, &expected)?;
    }
    let one = done("L-30", "append entries", nodes.node(1)?.append(&entry(9)).await)?;
    same("L-30", "the next sequence number", &one, &7)?;
    for (place, tenant) in (0..).zip(NAMES) {
        let found = all(ledger, AuditRequest::new().tenant(tenant)).await?;
        let own = found.iter().all(|record| record.entry.tenant() == tenant);
        same("L-01", "the trail of one tenant", &own, &true)?;
        let expected = if place == 0 { 7 } else { 6 };
        same("L-30", "the length of a trail", &found.len(), &expected)?;
    }
    Ok(())
}

/// Entries that differ in every field.
fn entries() -> Result<Vec<AuditEntry>, Stop> {
    let long = |bytes| "x".repeat(bytes);
    let (name, text) = (long(AuditEntry::MAX_NAME_BYTES), long(AuditEntry::MAX_REASON_BYTES));
    Ok(vec![
        entry(0),
        entry(-5).about(key("", "a\0\u{1}")?).reason("cleaned \u{1} up").version(0),
        AuditEntry::new(Timestamp::MIN, "", "").version(u64::MAX).meta("{\"role\":\"\u{1f600}\"}"),
        AuditEntry::new(Timestamp::MAX, "a\0'", "b%").idempotency("call 7\0"),
        entry(1).outcome(AuditOutcome::failed("Store", "gone\0")),
        entry(1).outcome(AuditOutcome::failed("", "")),
        AuditEntry::new(at(2), name.clone(), name.clone())
            .about(key("", "a")?)
            .reason(text.clone())
            .meta(text.clone())
            .idempotency(name.clone())
            .outcome(AuditOutcome::failed(name, text)),
    ])
}

async fn kept(nodes: Nodes) -> Result<(), Stop> {
    let entries = entries()?;
    for ledger in [nodes.node(0)?, nodes.node(1)?] {
        done("L-30", "append entries", ledger.append_all(&entries).await)?;
    }
    let found = all(&**nodes.node(2)?, AuditRequest::new()).await?;
    same("L-04", "read entries on another node", &found.len(), &(2 * entries.len()))?;
    for (record, entry) in found.iter().zip(entries.iter().chain(&entries)) {
        same("L-32", "read an entry", &record.entry, entry)?;
    }
    Ok(())
}

async fn paged(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let (a, b) = (key("", "a")?, key("", "b")?);
    // Two nodes append batches of 1, 2, 3, ... entries.
    let mut n = 0;
    for batch in 1..=16 {
        let about = |n: i64| if n % 2 == 0 { a.clone() } else { b.clone() };
        let entries: Vec<_> = (n..n + batch).map(|n| entry(n).about(about(n))).collect();
        n += batch;
        let node = nodes.node(usize::try_from(batch).unwrap_or(0) % 2)?;
        done("L-30", "append entries", node.append_all(&entries).await)?;
    }
    let sequences = |found: Vec<AuditRecord>| -> Vec<u64> {
        found.into_iter().map(|record| record.sequence).collect()
    };
    let whole: Vec<u64> = (1..=136).collect();
    let odd: Vec<u64> = (1..=136).step_by(2).collect();
    for limit in [0, 1, 7, 68, 135, 136, 137, usize::MAX] {
        let found = all(ledger, AuditRequest::new().limit(limit)).await?;
        same("L-32", "read all pages", &sequences(found), &whole)?;
        let found = all(ledger, AuditRequest::new().key(&a).limit(limit)).await?;
        same("L-32", "read all pages about one aggregate", &sequences(found), &odd)?;
    }
    for after in 0..=136 {
        let page = ledger.entries(AuditRequest::new().after(after).limit(1)).await;
        let first = done("L-32", "read a page", page)?.items.first().map(|record| record.sequence);
        same(
            "L-32",
            "the first record after a sequence number",
            &first,
            &(after < 136).then_some(after + 1),
        )?;
    }
    let beyond = all(ledger, AuditRequest::new().after(u64::MAX)).await?;
    same("L-32", "read the pages after the last sequence number", &sequences(beyond), &Vec::new())?;
    for key in [key("", "z")?, key("t", "a")?] {
        let found = all(ledger, AuditRequest::new().key(&key)).await?;
        same(
            "L-01",
            "read the entries about an aggregate without entries",
            &sequences(found),
            &Vec::new(),
        )?;
    }
    let found = all(ledger, AuditRequest::new().tenant("t")).await?;
    same("L-01", "read the entries of a tenant without entries", &sequences(found), &Vec::new())
}

async fn chained(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let mut known = AuditHead::START;
    for _ in 0..3 {
        done("L-30", "append entries", ledger.append_all(&entries()?).await)?;
        let check = done("L-31", "check a trail", ledger.check_trail("", known).await)?;
        let TrailCheck::Whole(head) = check else {
            return same("L-31", "check a trail", &check, &TrailCheck::Whole(known));
        };
        known = head;
    }
    let mut previous = AuditHash::START;
    for record in all(ledger, AuditRequest::new().limit(3)).await? {
        same("L-31", "the previous hash of a record", &record.previous, &previous)?;
        let hash = AuditHash::of(&previous, record.sequence, &record.entry);
        same("L-31", "the hash of a record", &record.hash, &hash)?;
        previous = hash;
    }
    same("L-31", "the head of a trail", &known.hash, &previous)
}

async fn raced(nodes: Nodes) -> Result<(), Stop> {
    const TASKS: usize = 8;
    const ROUNDS: i64 = 12;
    let appended = nodes.at_once(TASKS, |task, ledger: Arc<dyn Ledger>| async move {
        let mut sequences = Vec::new();
        for round in 0..ROUNDS {
            let entry = |n: i64| {
                let actor = format!("{task}");
                AuditEntry::new(at(round * 3 + n), actor, "race")
            };
            let batch: Vec<_> = (0..=round % 3).map(entry).collect();
            let got = done("L-30", "append entries", ledger.append_all(&batch).await)?;
            sequences.extend(got.into_iter().zip(batch));
        }
        Ok(sequences)
    });
    let appended: Vec<_> = appended.await?.into_iter().flatten().collect();
    let ledger = &**nodes.node(0)?;
    let found = all(ledger, AuditRequest::new()).await?;
    let sequences: BTreeSet<_> = found.iter().map(|record| record.sequence).collect();
    let expected: BTreeSet<_> = (1..=appended.len() as u64).collect();
    same("L-30", "the sequence numbers of all nodes", &sequences, &expected)?;
    same("L-30", "the number of records", &found.len(), &appended.len())?;
    for (sequence, entry) in &appended {
        let record = found.iter().find(|record| record.sequence == *sequence);
        same(
            "L-30",
            "read an entry at its sequence number",
            &record.map(|it| &it.entry),
            &Some(entry),
        )?;
    }
    let check = done("L-31", "check a trail", ledger.check_trail("", AuditHead::START).await)?;
    let head = found.last().map(|last| AuditHead { sequence: last.sequence, hash: last.hash });
    same(
        "L-31",
        "the chain of all nodes",
        &check,
        &TrailCheck::Whole(head.unwrap_or(AuditHead::START)),
    )
}

async fn refusals(nodes: Nodes) -> Result<(), Stop> {
    let ledger = nodes.node(0)?;
    let name = "x".repeat(AuditEntry::MAX_NAME_BYTES + 1);
    let text = "x".repeat(AuditEntry::MAX_REASON_BYTES + 1);
    let tenant = "x".repeat(AggregateKey::MAX_PART_BYTES + 1);
    for long in [
        AuditEntry::new(at(0), name.clone(), ""),
        AuditEntry::new(at(0), "", name.clone()),
        entry(0).reason(text.clone()),
        entry(0).meta(text.clone()),
        entry(0).idempotency(name.clone()),
        entry(0).outcome(AuditOutcome::failed(name, "")),
        entry(0).outcome(AuditOutcome::failed("", text)),
        entry(0).in_tenant(tenant),
    ] {
        refused("append", ledger.append_all(&[entry(1), long, entry(2)]).await)?;
    }
    let left = all(&**ledger, AuditRequest::new()).await?;
    same("L-03", "the trail after a refused batch", &left.len(), &0)
}
