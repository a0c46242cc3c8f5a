//! [`Days`]: statistics per aggregate and day, one document each.
//!
//! The version of a document consists of the day and the revision, and the newest revision counts.
//! The days of an aggregate are therefore ordered, and reading one day is one read. The content is
//! four sums (u64): created, deleted, bytes, microseconds.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tokio::sync::Mutex;

use super::operation::WRITE;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::ledger::{DailyStatistics, Day};
use crate::store::Selection;
use crate::store::document::{self, Race, name_of};
use crate::store::edition::{self, Edit, Edition, Editions};
use crate::wire::ByteReader;

const KIND: &str = "snapfold.daily";
/// The maximum number of days in one result.
const MAX_DAYS: usize = 10_000;
/// How many days are written at a time.
const BATCH: usize = 256;
/// The number of version bits that count revisions. With the 32 bits of the day, they are below 63.
const REVISION_BITS: u32 = 30;
/// After this many revisions, the older ones are deleted.
const KEPT: u64 = 16;

pub(super) struct Days {
    editions: Editions,
    /// Prevents writers of this process from racing with each other.
    writing: Mutex<()>,
}

/// Returns the first and the last version of a day.
fn versions(day: Day) -> (u64, u64) {
    // Versions must be ordered like days, so the lowest day becomes 0.
    let place = u64::from(day.number().cast_unsigned() ^ 1 << 31) << REVISION_BITS;
    (place + 1, place | ((1 << REVISION_BITS) - 1))
}

fn day_of(version: u64) -> Option<Day> {
    let place = u32::try_from(version >> REVISION_BITS).ok()?;
    Some(Day::new((place ^ 1 << 31).cast_signed()))
}

impl Days {
    pub(super) fn new(editions: Editions) -> Self {
        Self { editions, writing: Mutex::default() }
    }

    pub(super) async fn add(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error> {
        let mut sums: BTreeMap<(&AggregateKey, Day), DailyStatistics> = BTreeMap::new();
        for (key, day, more) in batch {
            let sum = sums.entry((key, *day)).or_default();
            *sum = sum.plus(*more);
        }
        let items = sums.into_iter().map(|((key, day), more)| Ok((key_of(key)?, day, more)));
        let items = items.collect::<Result<Vec<_>, Error>>()?;
        let _writing = self.writing.lock().await;
        for chunk in items.chunks(BATCH) {
            self.add_some(chunk.to_vec()).await?;
        }
        Ok(())
    }

    async fn add_some(
        &self,
        mut items: Vec<(AggregateKey, Day, DailyStatistics)>,
    ) -> Result<(), Error> {
        let mut race = Race::default();
        while !items.is_empty() {
            let mut edits = Vec::with_capacity(items.len());
            for (key, day, more) in &items {
                let (first, last) = versions(*day);
                let (from, sum) = self.newest(key, first, last).await?;
                if from.version == last {
                    let message = format!(
                        "day {} of {key} has the maximum number of revisions",
                        day.number()
                    );
                    return Err(Error::new(ErrorKind::OutOfSpace, WRITE, message));
                }
                let content = bytes_of(sum.plus(*more));
                edits.push(Edit { key: key.clone(), from, last, content });
            }
            let made = self.editions.write(&edits).await?;
            for (edit, made) in edits.iter().zip(&made) {
                if let Some(made) = made.as_ref().filter(|made| is_mark(made.version)) {
                    self.forget_before(&edit.key, made.version).await;
                }
            }
            let mut made = made.into_iter();
            items.retain(|_| made.next().flatten().is_none());
            if !items.is_empty() {
                race.lost(WRITE)?;
            }
        }
        Ok(())
    }

    /// Returns the newest version from `first` to `last`, and its content. If there is none,
    /// returns the version before `first` without content.
    async fn newest(
        &self,
        key: &AggregateKey,
        first: u64,
        last: u64,
    ) -> Result<(Edition, DailyStatistics), Error> {
        match self.editions.get(key, last).await? {
            Some(found) if found.version >= first => edition::read(&found, key, parse),
            _ => Ok((Edition::none(first - 1), DailyStatistics::default())),
        }
    }

    /// Deletes the revisions before `version` that the last such deletion left.
    async fn forget_before(&self, key: &AggregateKey, version: u64) {
        let ids: Vec<_> = (version - KEPT..version).map(document::id).collect();
        self.editions.forget(key, Selection::Ids(&ids)).await;
    }

    pub(super) async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        let key = key_of(key)?;
        let (lowest, mut last) = (versions(*days.start()).0, versions(*days.end()).1);
        let mut found = Vec::new();
        while last >= lowest
            && let Some(document) = self.editions.get(&key, last).await?
            && document.version >= lowest
            && let Some(day) = day_of(document.version)
        {
            found.push((day, edition::read(&document, &key, parse)?.1));
            last = versions(day).0 - 1;
        }
        found.reverse();
        found.truncate(MAX_DAYS);
        Ok(found)
    }
}

/// Returns whether the revisions before this version are deleted.
fn is_mark(version: u64) -> bool {
    let revision = version & ((1 << REVISION_BITS) - 1);
    revision > 0 && revision.is_multiple_of(KEPT)
}

fn key_of(key: &AggregateKey) -> Result<AggregateKey, Error> {
    AggregateKey::reserved(key.tenant(), KIND, &name_of(&[key.kind(), key.id()]))
}

fn bytes_of(sum: DailyStatistics) -> Vec<u8> {
    [sum.created, sum.deleted, sum.bytes, sum.creation_micros].map(u64::to_le_bytes).concat()
}

fn parse(body: &[u8]) -> Option<DailyStatistics> {
    let mut reader = ByteReader(body);
    let sum = DailyStatistics {
        created: reader.u64()?,
        deleted: reader.u64()?,
        bytes: reader.u64()?,
        creation_micros: reader.u64()?,
    };
    reader.0.is_empty().then_some(sum)
}
