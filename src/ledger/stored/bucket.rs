//! [`Bucket`]: a part of the schedules, as one document.
//!
//! The content is the last fencing token (u64), then each schedule: tenant, kind, a byte of flags
//! (1: for one aggregate, otherwise for all of the kind; 2: with a name and a task), id, name and
//! task if flag 2 is set, the cadence as a string, a byte 1 if it is enabled, next run, created,
//! updated, and the lease: holder, end, token. Times are i64, microseconds since 1970. Strings are
//! preceded by their length (u32). An optional value is a byte 0, or a byte 1 and the value.

use std::collections::{BTreeMap, BTreeSet};

use crate::key::AggregateKey;
use crate::ledger::{Cadence, Lease, Schedule, ScheduleKey, Task};
use crate::timestamp::Timestamp;
use crate::wire::{ByteReader, put_option, put_text, put_time};

const SINGLE: u8 = 1;
const NAME_AND_TASK: u8 = 2;

/// The schedules whose keys have the same hash.
#[derive(Clone, Default)]
pub(super) struct Bucket {
    /// The last fencing token. It is kept when schedules are removed.
    pub(super) token: u64,
    schedules: BTreeMap<ScheduleKey, Schedule>,
    /// The enabled schedules with a next run, ordered by it.
    by_time: BTreeSet<(Timestamp, ScheduleKey)>,
}

impl Bucket {
    pub(super) fn get(&self, key: &ScheduleKey) -> Option<&Schedule> {
        self.schedules.get(key)
    }

    pub(super) fn insert(&mut self, schedule: Schedule) {
        self.remove(&schedule.key);
        self.by_time.extend(place_of(&schedule));
        self.schedules.insert(schedule.key.clone(), schedule);
    }

    pub(super) fn remove(&mut self, key: &ScheduleKey) -> bool {
        let removed = self.schedules.remove(key);
        if let Some(place) = removed.as_ref().and_then(place_of) {
            self.by_time.remove(&place);
        }
        removed.is_some()
    }

    /// Returns the schedules after `after`, ordered by key.
    pub(super) fn after(&self, after: Option<&ScheduleKey>) -> impl Iterator<Item = &Schedule> {
        use std::ops::Bound::{Excluded, Unbounded};
        let lower = after.map_or(Unbounded, Excluded);
        self.schedules.range::<ScheduleKey, _>((lower, Unbounded)).map(|(_, schedule)| schedule)
    }

    /// Returns the schedules that are due at `now`, longest overdue first.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = &Schedule> {
        let by_time = self.by_time.iter().take_while(move |(at, _)| *at <= now);
        by_time
            .filter_map(|(_, key)| self.schedules.get(key))
            .filter(move |schedule| schedule.due_at(now).is_some())
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.token.to_le_bytes().to_vec();
        for schedule in self.schedules.values() {
            let key = &schedule.key;
            put_text(&mut out, key.tenant());
            put_text(&mut out, key.kind());
            // Most schedules have neither.
            let more = !key.name().is_empty() || schedule.task != Task::Snapshot;
            let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
            out.push(flag(key.is_single(), SINGLE) | flag(more, NAME_AND_TASK));
            put_text(&mut out, key.id());
            if more {
                put_text(&mut out, key.name());
                put_text(&mut out, &schedule.task.to_string());
            }
            put_text(&mut out, &schedule.cadence.to_string());
            out.push(u8::from(schedule.enabled));
            put_option(&mut out, schedule.next_run, put_time);
            put_time(&mut out, schedule.created_at);
            put_time(&mut out, schedule.updated_at);
            put_option(&mut out, schedule.lease.as_ref(), |out, lease| {
                put_text(out, &lease.holder);
                put_time(out, lease.until);
                out.extend_from_slice(&lease.token.to_le_bytes());
            });
        }
        out
    }

    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(body);
        let mut bucket = Self { token: reader.u64()?, ..Self::default() };
        while !reader.0.is_empty() {
            bucket.insert(read_schedule(&mut reader)?);
        }
        Some(bucket)
    }
}

fn place_of(schedule: &Schedule) -> Option<(Timestamp, ScheduleKey)> {
    let at = schedule.next_run.filter(|_| schedule.enabled)?;
    Some((at, schedule.key.clone()))
}

fn read_schedule(reader: &mut ByteReader<'_>) -> Option<Schedule> {
    let (tenant, kind) = (reader.text()?, reader.text()?);
    let [flags] = reader.array()?;
    if flags & !(SINGLE | NAME_AND_TASK) != 0 {
        return None;
    }
    let key = AggregateKey::from_stored(tenant, kind, reader.text()?).ok()?;
    let (name, task) = match flags & NAME_AND_TASK {
        0 => ("", Task::Snapshot),
        _ => (reader.text()?, Task::from_stored(reader.text()?).ok()?),
    };
    let key = ScheduleKey::from_stored(key, flags & SINGLE != 0, name)?;
    let cadence = Cadence::from_stored(reader.text()?).ok()?;
    let enabled = reader.flag()?;
    let next_run = reader.option(ByteReader::time)?;
    let mut schedule = Schedule::from_stored(key, cadence, reader.time()?)
        .updated_at(reader.time()?)
        .task(task)
        .enabled(enabled)
        .next_run(next_run);
    schedule.lease =
        reader.option(|reader| Some(Lease::new(reader.text()?, reader.time()?, reader.u64()?)))?;
    Some(schedule)
}

#[cfg(test)]
mod tests {
    //! Each change of one schedule rewrites the whole bucket, so anything that the encoding omits
    //! is lost.

    use std::time::Duration;

    use super::*;

    #[test]
    fn schedules_come_back_as_they_were_and_what_is_cut_is_none() {
        let at = Timestamp::from_micros;
        let every = Cadence::every(Duration::from_secs(90)).unwrap();
        let cron = Cadence::from_stored("0 3 * * *").unwrap();
        let account = AggregateKey::from_parts("t", "account", "a\0").unwrap();
        let whole = ScheduleKey::kind_wide("t", "account").unwrap();
        let mut leased = Schedule::from_stored(account.into(), every, at(-5))
            .updated_at(Timestamp::MAX)
            .next_run(Some(Timestamp::MIN));
        leased.lease = Some(Lease::new("node", at(7), u64::MAX));
        let task = Task::from_stored("archive\0").unwrap();
        let named = whole.clone().named("nightly").unwrap();
        let paused = Schedule::from_stored(named.clone(), cron, at(1)).enabled(false).task(task);
        let mut bucket = Bucket { token: 9, ..Bucket::default() };
        bucket.insert(leased.clone());
        let one = bucket.to_bytes();
        // Without a name and with the default task, as it was before there were any.
        assert!(!one.windows(8).any(|bytes| bytes == b"snapshot"));
        bucket.insert(paused.clone());
        let bytes = bucket.to_bytes();
        let found = Bucket::parse(&bytes).unwrap();
        assert_eq!(found.token, 9);
        assert!(found.after(None).eq([&paused, &leased]));
        assert!(found.after(Some(&whole)).eq([&paused, &leased]));
        assert!(found.after(Some(&named)).eq([&leased]));
        assert_eq!((found.due(at(6)).count(), found.due(at(7)).count()), (0, 1));
        for len in 0..bytes.len() {
            let whole = len == one.len() || len == 8;
            assert!(
                Bucket::parse(&bytes[..len]).is_none()
                    || whole
                    || len == bytes.len() - one.len() + 8
            );
        }
    }
}
