//! The kit for ledgers can fail. Each mutant is a ledger that keeps every obligation but the ones named
//! beside it, and the kit has to report just those; one it lets pass would let a real ledger run a
//! schedule twice, or lose an entry of an audit trail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapfold::conformance::{self, LedgerCase, LedgerFactory, ledger_cases};
use snapfold::ledger::{
    AuditEntry, AuditHash, AuditRecord, AuditRequest, Cadence, Claim, DailyStatistics, Day, Ledger,
    Schedule, ScheduleKey, StoreLedger, Task,
};
use snapfold::store::Page;
use snapfold::{AggregateKey, BoxError, Error, ErrorKind, MemoryStore, Timestamp};

use crate::verdict::assert_all_are_broken;

/// What is wrong with a ledger, and which obligations that breaks.
const LIES: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("removes the schedules of every tenant", &["L-01"]),
    ("adds the statistics of every tenant to one", &["L-01"]),
    ("reads the trail of another tenant", &["L-01"]),
    ("fails to remove what is not there", &["L-02"]),
    ("panics at an empty trail", &["L-02"]),
    ("takes a holder without a name", &["L-03"]),
    ("appends what comes before the entry that is too long", &["L-03"]),
    ("sees nothing of others before it has written", &["L-04"]),
    ("takes the time of creation that it is given", &["L-10"]),
    ("ends the lease at a put", &["L-10"]),
    ("forgets the cadence", &["L-10", "L-11"]),
    ("forgets the task", &["L-10", "L-11"]),
    ("keeps one schedule of each subject", &["L-01", "L-12"]),
    ("leaves out the last schedule of a page", &["L-12"]),
    ("always has another page", &["L-12"]),
    ("gives due schedules by key", &["L-13"]),
    ("gives due schedules that are claimed", &["L-13"]),
    ("claims what is not due", &["L-14"]),
    ("claims for everyone", &["L-14"]),
    ("counts tokens from the start after a removal", &["L-15"]),
    ("completes with any token", &["L-16"]),
    ("says that nothing was renewed", &["L-16"]),
    ("sets the next run of a schedule that was changed", &["L-17"]),
    ("adds each item of a batch in two parts", &["L-21"]),
    ("reads before it adds", &["L-20"]),
    ("adds an aggregate once a batch", &["L-20"]),
    ("gives the latest day first", &["L-22"]),
    ("leaves out the last day", &["L-22"]),
    ("leaves gaps in the sequences", &["L-30"]),
    ("appends a batch of three twice", &["L-30"]),
    ("hashes nothing", &["L-31"]),
    ("hashes each record alone", &["L-31"]),
    ("cuts reasons", &["L-32"]),
    ("skips a record at the end of a page", &["L-32"]),
];

#[derive(Debug)]
struct Mutant {
    ledger: StoreLedger,
    lie: &'static str,
    /// A ledger that only this node has.
    own: StoreLedger,
    off: Arc<Mutex<BTreeMap<ScheduleKey, u64>>>,
}

impl Mutant {
    fn is(&self, lie: &str) -> bool {
        // A lie that is told and not in the list would never be tried.
        assert!(LIES.iter().any(|(name, _)| *name == lie), "{lie}");
        self.lie == lie
    }

    /// What is taken off the tokens of a key.
    fn off(&self, key: &ScheduleKey) -> u64 {
        self.off.lock().unwrap().get(key).copied().unwrap_or(0)
    }

    /// The claim as the ledger knows it.
    fn real(&self, claim: &Claim) -> Claim {
        Claim::new(claim.key.clone(), claim.due, claim.token.wrapping_add(self.off(&claim.key)))
    }
}

struct Mutants(&'static str);

#[async_trait]
impl LedgerFactory for Mutants {
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn Ledger>>, BoxError> {
        let (store, off) = (MemoryStore::new(), Arc::default());
        let node = |_| {
            let ledger = StoreLedger::new(store.clone());
            let own = StoreLedger::new(MemoryStore::new());
            Arc::new(Mutant { ledger, lie: self.0, own, off: Arc::clone(&off) }) as Arc<dyn Ledger>
        };
        Ok((0..count).map(node).collect())
    }
}

#[async_trait]
impl Ledger for Mutant {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        let mut schedule = schedule.clone();
        if self.is("forgets the cadence") {
            schedule.cadence = Cadence::from_stored("every 60s")?;
        }
        if self.is("forgets the task") {
            schedule.task = Task::Snapshot;
        }
        if self.is("keeps one schedule of each subject") {
            for other in self.ledger.schedules(None, 1_000).await?.items {
                let unnamed = |key: &ScheduleKey| key.clone().named("");
                if unnamed(&other.key)? == unnamed(&schedule.key)? && other.key != schedule.key {
                    self.ledger.remove_schedule(&other.key).await?;
                }
            }
        }
        if self.is("ends the lease at a put")
            && let Some(old) = self.ledger.schedule(&schedule.key).await?
            && let Some(lease) = old.lease
        {
            self.ledger.release(&Claim::new(old.key, Timestamp::MIN, lease.token)).await?;
        }
        if self.is("takes the time of creation that it is given") {
            let old = self.ledger.schedule(&schedule.key).await?;
            if old.is_some_and(|old| old.created_at != schedule.created_at) {
                self.ledger.remove_schedule(&schedule.key).await?;
            }
        }
        self.ledger.put_schedule(&schedule).await
    }

    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error> {
        let mut found = self.ledger.schedule(key).await?;
        if let Some(lease) = found.as_mut().and_then(|found| found.lease.as_mut()) {
            lease.token -= self.off(key);
        }
        Ok(found)
    }

    async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error> {
        if self.is("removes the schedules of every tenant") {
            for other in self.ledger.schedules(None, 1_000).await?.items {
                if other.key.as_aggregate().map(AggregateKey::id)
                    == key.as_aggregate().map(AggregateKey::id)
                    && other.key.tenant() != key.tenant()
                {
                    self.ledger.remove_schedule(&other.key).await?;
                }
            }
        }
        if self.is("counts tokens from the start after a removal")
            && let Some(lease) = self.ledger.schedule(key).await?.and_then(|it| it.lease)
        {
            self.off.lock().unwrap().insert(key.clone(), lease.token);
        }
        let removed = self.ledger.remove_schedule(key).await?;
        if !removed && self.is("fails to remove what is not there") {
            return Err(Error::new(ErrorKind::Store, "remove", "there is no schedule"));
        }
        Ok(removed)
    }

    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        let mut page = self.ledger.schedules(after, limit).await?;
        if self.is("leaves out the last schedule of a page") && limit == 7 {
            page.items.pop();
            page.next = page.next.and(page.items.last().map(|last| last.key.clone()));
            if page.items.is_empty() {
                page.next = None;
            }
        }
        if self.is("always has another page") && limit == 108 && page.next.is_none() {
            page.next = page.items.first().map(|first| first.key.clone());
        }
        Ok(page)
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        if self.is("gives due schedules that are claimed") {
            let all = self.ledger.schedules(None, 1_000).await?.items;
            let due = |it: &Schedule| it.enabled && it.next_run.is_some_and(|at| at <= now);
            let mut due: Vec<_> = all.into_iter().filter(due).collect();
            due.sort_by_key(|schedule| schedule.next_run);
            due.truncate(limit.max(1));
            return Ok(due);
        }
        let mut due = self.ledger.due(now, limit).await?;
        if self.is("gives due schedules by key") {
            due.sort_by_key(|schedule| schedule.key.clone());
        }
        Ok(due)
    }

    async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error> {
        if self.is("takes a holder without a name") && holder.is_empty() {
            return self.ledger.claim(key, due, "nobody", now, until).await;
        }
        if self.is("claims what is not due") && now < due {
            return self.ledger.claim(key, due, holder, due, until).await;
        }
        let claim = self.ledger.claim(key, due, holder, now, until).await?;
        if claim.is_none()
            && self.is("claims for everyone")
            && let Some(schedule) = self.ledger.schedule(key).await?
            && let Some(lease) = schedule.lease
        {
            return Ok(Some(Claim::new(key.clone(), due, lease.token)));
        }
        Ok(claim.map(|mut claim| {
            claim.token -= self.off(key);
            claim
        }))
    }

    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, Error> {
        let renewed = self.ledger.renew(&self.real(claim), until).await?;
        Ok(renewed && !self.is("says that nothing was renewed"))
    }

    async fn release(&self, claim: &Claim) -> Result<bool, Error> {
        self.ledger.release(&self.real(claim)).await
    }

    async fn complete(&self, claim: &Claim, next: Option<Timestamp>) -> Result<bool, Error> {
        let mut claim = self.real(claim);
        if let Some(found) = self.ledger.schedule(&claim.key).await? {
            if self.is("completes with any token")
                && let Some(lease) = found.lease
            {
                claim.token = lease.token;
            }
            if self.is("sets the next run of a schedule that was changed")
                && let Some(due) = found.next_run
            {
                claim.due = due;
            }
        }
        self.ledger.complete(&claim, next).await
    }

    async fn add_statistics(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error> {
        let mut batch = batch.to_vec();
        if self.is("adds the statistics of every tenant to one") {
            for (key, ..) in &mut batch {
                if key.tenant() == "%" {
                    *key = key.with_tenant("a")?;
                }
            }
        }
        if self.is("adds an aggregate once a batch") {
            batch.dedup_by_key(|(key, day, _)| (key.clone(), *day));
            batch.reverse();
            let mut seen = BTreeSet::new();
            batch.retain(|(key, day, _)| seen.insert((key.clone(), *day)));
        }
        if self.is("adds each item of a batch in two parts") {
            let mut rest = batch.clone();
            for (_, _, sum) in &mut rest {
                (sum.bytes, sum.creation_micros) = (0, 0);
            }
            for (_, _, sum) in &mut batch {
                (sum.created, sum.deleted) = (0, 0);
            }
            self.ledger.add_statistics(&rest).await?;
            tokio::task::yield_now().await;
        }
        if self.is("reads before it adds") {
            let mut before = Vec::new();
            for (key, day, _) in &batch {
                before.push(self.ledger.daily(key, *day..=*day).await?.len());
            }
            tokio::task::yield_now().await;
            // What another added meanwhile is not seen, and so this is lost.
            let now = async |key: &AggregateKey, day: Day| self.ledger.daily(key, day..=day).await;
            let mut lost = false;
            for ((key, day, _), before) in batch.iter().zip(before) {
                lost |= now(key, *day).await?.len() != before;
            }
            if lost {
                return Ok(());
            }
        }
        self.ledger.add_statistics(&batch).await
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        let mut days = days;
        if self.is("leaves out the last day") && days.start() < days.end() {
            days = *days.start()..=Day::new(days.end().number() - 1);
        }
        let mut found = self.ledger.daily(key, days).await?;
        if self.is("gives the latest day first") && found.len() == 7 {
            found.reverse();
        }
        Ok(found)
    }

    async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error> {
        let mut entries = entries.to_vec();
        if self.is("cuts reasons") {
            for entry in &mut entries {
                if entry.check().is_ok() {
                    entry.reason.truncate(9_000);
                }
            }
        }
        if self.is("appends what comes before the entry that is too long") {
            let fit = entries.iter().position(|entry| entry.check().is_err()).unwrap_or(0);
            self.ledger.append_all(&entries[..fit]).await?;
        }
        self.own.append_all(&entries).await?;
        let mut sequences = self.ledger.append_all(&entries).await?;
        if self.is("appends a batch of three twice")
            && matches!(&entries[..], [_, _, last] if last.action == "race")
        {
            sequences = self.ledger.append_all(&entries).await?;
        }
        if self.is("leaves gaps in the sequences") {
            for sequence in &mut sequences {
                *sequence *= 2;
            }
        }
        Ok(sequences)
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        let mut request = request;
        if self.is("reads the trail of another tenant") && request.tenant == "%" {
            request.tenant = "a";
        }
        let mut page = self.ledger.entries(request).await?;
        if self.is("sees nothing of others before it has written") {
            let own = self.own.entries(AuditRequest::new().tenant(request.tenant)).await?;
            if own.items.is_empty() {
                page = own;
            }
        }
        assert!(!page.items.is_empty() || !self.is("panics at an empty trail"), "as it says");
        for record in &mut page.items {
            if self.is("hashes nothing") {
                record.hash = AuditHash::START;
            }
            if self.is("hashes each record alone") {
                record.previous = AuditHash::START;
                record.hash = AuditHash::of(&AuditHash::START, record.sequence, &record.entry);
            }
        }
        if self.is("skips a record at the end of a page") && request.limit == 7 {
            page.next = page.next.map(|next| next + 1);
        }
        Ok(page)
    }
}

#[tokio::test(start_paused = true)]
async fn the_kit_names_what_each_mutant_breaks_and_passes_what_breaks_nothing() {
    let mut wrong = String::new();
    for (lie, breaks) in LIES {
        let report = conformance::ledger(&Mutants(lie)).await;
        let expected: BTreeSet<_> = breaks.iter().copied().collect();
        if report.broken() != expected || report.failures().next().is_some() == breaks.is_empty() {
            writeln!(wrong, "a ledger that {lie} breaks {breaks:?}:").unwrap();
            for (case, failure) in report.failures() {
                writeln!(wrong, "    {}: {failure}", case.name()).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_obligation_is_broken_by_some_mutant() {
    let promised = ledger_cases().flat_map(LedgerCase::ids).copied().collect();
    let docs = include_str!("../../src/ledger/mod.rs");
    assert_all_are_broken(LIES, &promised, (docs, "L-"));
}
