//! [`Schedules`]: all schedules, in a fixed number of documents.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::Mutex;

use super::bucket::Bucket;
use super::operation::WRITE;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{Claim, Lease, Schedule, ScheduleKey};
use crate::store::document::{Document, Race, hash_of};
use crate::store::edition::{self, Edit, Edition, Editions};
use crate::store::{Page, Selection};
use crate::timestamp::Timestamp;

const KIND: &str = "snapfold.schedules";
/// The number of documents that contain schedules: a change writes one, listing reads all. A power
/// of two that never changes, because stored schedules would not be found with another number.
const BUCKETS: u8 = 32;
/// The maximum number of schedules in one result, whatever the requested limit.
const MAX_ITEMS: usize = 10_000;
/// After this many versions of a document, the older ones are deleted.
const KEPT: u64 = 16;

/// The documents as they were last read.
type Parsed = HashMap<u8, (Edition, Arc<Bucket>)>;

pub(super) struct Schedules {
    editions: Editions,
    parsed: std::sync::Mutex<Parsed>,
    /// Prevents writers of this process from racing with each other.
    writing: Mutex<()>,
}

impl Schedules {
    pub(super) fn new(editions: Editions) -> Self {
        Self { editions, parsed: std::sync::Mutex::default(), writing: Mutex::default() }
    }

    pub(super) async fn put(&self, schedule: &Schedule) -> Result<(), Error> {
        let put = |bucket: &mut Bucket| {
            let mut new = schedule.clone();
            new.lease = None;
            if let Some(old) = bucket.get(&schedule.key) {
                (new.created_at, new.lease) = (old.created_at, old.lease.clone());
            }
            bucket.insert(new);
            Some(())
        };
        self.change(&schedule.key, put).await.map(drop)
    }

    pub(super) async fn get(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error> {
        let (_, bucket) = self.bucket(bucket_of(key)).await?;
        Ok(bucket.get(key).cloned())
    }

    pub(super) async fn remove(&self, key: &ScheduleKey) -> Result<bool, Error> {
        let removed = self.change(key, |bucket| bucket.remove(key).then_some(())).await?;
        Ok(removed.is_some())
    }

    pub(super) async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error> {
        Lease::check(holder, now, until)?;
        let claim = |bucket: &mut Bucket| {
            let mut schedule = bucket.get(key).filter(|it| it.due_at(now) == Some(due))?.clone();
            bucket.token = bucket.token.saturating_add(1);
            schedule.lease = Some(Lease::new(holder, until, bucket.token));
            bucket.insert(schedule);
            Some(Claim::new(key.clone(), due, bucket.token))
        };
        self.change(key, claim).await
    }

    /// Changes the schedule of `claim` if its lease still belongs to that claim. Returns whether it
    /// does.
    pub(super) async fn leased(
        &self,
        claim: &Claim,
        change: impl Fn(&mut Schedule) + Send + Sync,
    ) -> Result<bool, Error> {
        let changed = |bucket: &mut Bucket| {
            let mut schedule = bucket.get(&claim.key)?.clone();
            schedule.lease.as_ref().filter(|lease| lease.token == claim.token)?;
            change(&mut schedule);
            bucket.insert(schedule);
            Some(())
        };
        Ok(self.change(&claim.key, changed).await?.is_some())
    }

    pub(super) async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        let limit = limit.clamp(1, MAX_ITEMS);
        let mut due = Vec::new();
        for bucket in self.buckets().await? {
            due.extend(bucket.due(now).take(limit).cloned());
        }
        due.sort_by(|a, b| (a.next_run, &a.key).cmp(&(b.next_run, &b.key)));
        due.truncate(limit);
        Ok(due)
    }

    pub(super) async fn page(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        let limit = limit.clamp(1, MAX_ITEMS);
        let mut items = Vec::new();
        for bucket in self.buckets().await? {
            items.extend(bucket.after(after).take(limit + 1).cloned());
        }
        items.sort_by(|a, b| a.key.cmp(&b.key));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().map(|schedule| schedule.key.clone()).filter(|_| more);
        Ok(Page::new(items, next))
    }

    /// Returns the document `number`, or an empty one of version 0 if there is none.
    async fn bucket(&self, number: u8) -> Result<(Edition, Arc<Bucket>), Error> {
        let key = document_key(number)?;
        let document = self.editions.get(&key, u64::MAX).await?;
        self.read(number, &key, document)
    }

    /// Returns all documents.
    async fn buckets(&self) -> Result<Vec<Arc<Bucket>>, Error> {
        let keys = (0..BUCKETS).map(document_key).collect::<Result<Vec<_>, _>>()?;
        let documents = self.editions.get_many(&keys).await?;
        let numbered = (0..BUCKETS).zip(&keys).zip(documents);
        numbered.map(|((number, key), document)| Ok(self.read(number, key, document)?.1)).collect()
    }

    fn read(
        &self,
        number: u8,
        key: &AggregateKey,
        document: Option<Document>,
    ) -> Result<(Edition, Arc<Bucket>), Error> {
        let Some(document) = document else {
            return Ok((Edition::none(0), Arc::default()));
        };
        // A version never changes, and is deleted only after a newer one exists.
        let parsed = self.parsed().get(&number).cloned();
        if let Some(parsed) = parsed.filter(|(edition, _)| edition.version == document.version) {
            return Ok(parsed);
        }
        let (edition, bucket) = edition::read(&document, key, Bucket::parse)?;
        let parsed = (edition, Arc::new(bucket));
        self.parsed().insert(number, parsed.clone());
        Ok(parsed)
    }

    /// Changes the document with `key`. `change` returns `None` if there is nothing to change. If
    /// another node has written a new version first, `change` is called again with that version.
    async fn change<T>(
        &self,
        key: &ScheduleKey,
        change: impl Fn(&mut Bucket) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, Error> {
        let number = bucket_of(key);
        let _writing = self.writing.lock().await;
        let mut race = Race::default();
        loop {
            let (from, old) = self.bucket(number).await?;
            let mut bucket = Bucket::clone(&old);
            let Some(done) = change(&mut bucket) else { return Ok(None) };
            let (key, content) = (document_key(number)?, bucket.to_bytes());
            let edit = [Edit { key, from, last: u64::MAX, content }];
            if let Some(edition) = self.editions.write(&edit).await?.pop().flatten() {
                let version = edition.version;
                self.parsed().insert(number, (edition, Arc::new(bucket)));
                if version.is_multiple_of(KEPT) {
                    let older = Selection::Below(version);
                    self.editions.forget(&document_key(number)?, older).await;
                }
                return Ok(Some(done));
            }
            race.lost(WRITE)?;
        }
    }

    // A panic cannot leave the map in an inconsistent state, because each change is one insert.
    fn parsed(&self) -> std::sync::MutexGuard<'_, Parsed> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bucket_of(key: &ScheduleKey) -> u8 {
    let [first, ..] = hash_of(&[key.tenant(), key.kind(), key.id()]);
    first % BUCKETS
}

fn document_key(number: u8) -> Result<AggregateKey, Error> {
    AggregateKey::reserved("", KIND, &number.to_string())
}
