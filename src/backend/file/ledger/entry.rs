//! [`Entry`]: what the frames in the logs of a ledger hold, behind the guards of their bodies.

use super::super::layout::{self, GUARD_BYTES};
use super::super::wire::Bytes;
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, DailyStatistics, Day, Schedule};
use crate::timestamp::Timestamp;

/// The longest body of a frame (inclusive): the longest key and the longest texts take less.
pub(super) const MAX_BODY_BYTES: u64 = 256 << 10;

const MARK: u8 = 0;
const AUDIT: u8 = 1;
const SCHEDULE: u8 = 2;
const NO_SCHEDULE: u8 = 3;
const DAILY: u8 = 4;

/// What a frame of a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing; its frame says how much before it was durable.
    Mark,
    Audit(AuditEntry),
    Fact(Fact),
}

/// What something is from now on. The last fact about a thing counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Schedule(Schedule),
    NoSchedule(AggregateKey),
    Daily(AggregateKey, Day, DailyStatistics),
}

/// What a frame takes that holds an entry of so many bytes.
pub(super) const fn frame_bytes(entry_bytes: usize) -> u64 {
    layout::frame_bytes((GUARD_BYTES + entry_bytes) as u64)
}

/// The bytes that a schedule takes in its log.
pub(super) fn schedule_bytes(schedule: &Schedule) -> u64 {
    frame_bytes(1 + 1 + 8 + 2 + key_bytes(&schedule.key) + schedule.cron.len())
}

/// The bytes that the statistics of a day take in their log.
pub(super) fn daily_bytes(key: &AggregateKey) -> u64 {
    frame_bytes(1 + 4 + 32 + key_bytes(key))
}

fn key_bytes(key: &AggregateKey) -> usize {
    6 + key.tenant().len() + key.kind().len() + key.id().len()
}

pub(super) fn mark() -> Vec<u8> {
    vec![MARK]
}

/// The body for an entry whose texts are within their limits.
pub(super) fn audit(entry: &AuditEntry) -> Vec<u8> {
    let mut out = vec![AUDIT, u8::from(entry.version.is_some())];
    out.extend_from_slice(&entry.at.as_micros().to_le_bytes());
    out.extend_from_slice(&entry.version.unwrap_or(0).to_le_bytes());
    put_key(&mut out, &entry.key);
    let texts = [&*entry.actor, &entry.action, &entry.reason];
    put_texts(&mut out, &texts);
    out
}

impl Fact {
    /// The body for a fact whose texts are within their limits.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Schedule(schedule) => schedule_body(schedule),
            Self::NoSchedule(key) => {
                let mut out = vec![NO_SCHEDULE];
                put_key(&mut out, key);
                out
            }
            Self::Daily(key, day, sum) => daily_body(key, *day, sum),
        }
    }
}

pub(super) fn schedule_body(schedule: &Schedule) -> Vec<u8> {
    let flags = u8::from(schedule.enabled) | u8::from(schedule.next_run.is_some()) << 1;
    let mut out = vec![SCHEDULE, flags];
    let next_run = schedule.next_run.map_or(0, Timestamp::as_micros);
    out.extend_from_slice(&next_run.to_le_bytes());
    put_key(&mut out, &schedule.key);
    put_texts(&mut out, &[&schedule.cron]);
    out
}

pub(super) fn daily_body(key: &AggregateKey, day: Day, sum: &DailyStatistics) -> Vec<u8> {
    let mut out = vec![DAILY];
    out.extend_from_slice(&day.number().to_le_bytes());
    for number in [sum.created, sum.deleted, sum.bytes, sum.creation_micros] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_key(&mut out, key);
    out
}

impl Entry {
    /// `None` if `body` is not exactly one entry.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Bytes(body);
        let entry = match reader.u8()? {
            MARK => Self::Mark,
            AUDIT => Self::Audit(read_audit(&mut reader)?),
            SCHEDULE => Self::Fact(Fact::Schedule(read_schedule(&mut reader)?)),
            NO_SCHEDULE => Self::Fact(Fact::NoSchedule(read_key(&mut reader)?)),
            DAILY => {
                let day = Day::new(reader.array().map(i32::from_le_bytes)?);
                let sum = DailyStatistics {
                    created: reader.u64()?,
                    deleted: reader.u64()?,
                    bytes: reader.u64()?,
                    creation_micros: reader.u64()?,
                };
                Self::Fact(Fact::Daily(read_key(&mut reader)?, day, sum))
            }
            _ => return None,
        };
        reader.0.is_empty().then_some(entry)
    }
}

fn read_audit(reader: &mut Bytes<'_>) -> Option<AuditEntry> {
    let flags = reader.u8()?;
    let at = Timestamp::from_micros(reader.array().map(i64::from_le_bytes)?);
    let version = reader.u64()?;
    let key = read_key(reader)?;
    let [actor, action, reason] = [reader.u16()?, reader.u16()?, reader.u16()?];
    let mut entry =
        AuditEntry::new(at, reader.text(actor.into())?, reader.text(action.into())?, key)
            .reason(reader.text(reason.into())?);
    entry.version = (flags == 1).then_some(version);
    (flags <= 1 && (flags == 1 || version == 0)).then_some(entry)
}

fn read_schedule(reader: &mut Bytes<'_>) -> Option<Schedule> {
    let flags = reader.u8()?;
    let next_run = Timestamp::from_micros(reader.array().map(i64::from_le_bytes)?);
    let key = read_key(reader)?;
    let cron = reader.u16()?;
    let schedule = Schedule::new(key, reader.text(cron.into())?).ok()?;
    let due = flags & 2 != 0;
    (flags <= 3 && (due || next_run.as_micros() == 0))
        .then(|| schedule.enabled(flags & 1 != 0).next_run(due.then_some(next_run)))
}

/// First all lengths, then all texts. The limits of all texts are below 65,536 bytes.
fn put_texts(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    }
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

fn put_key(out: &mut Vec<u8>, key: &AggregateKey) {
    put_texts(out, &[key.tenant(), key.kind(), key.id()]);
}

fn read_key(reader: &mut Bytes<'_>) -> Option<AggregateKey> {
    let [tenant, kind, id] = [reader.u16()?, reader.u16()?, reader.u16()?];
    let [tenant, kind, id] =
        [reader.text(tenant.into())?, reader.text(kind.into())?, reader.text(id.into())?];
    AggregateKey::from_parts(tenant, kind, id).ok()
}

#[cfg(test)]
mod tests {
    //! An entry that comes back as another one rewrites the audit trail.

    use super::*;

    #[test]
    fn entries_of_any_size_come_back_as_written_and_fit_their_frames() {
        let part = "x".repeat(AggregateKey::MAX_PART_BYTES);
        let longest = AggregateKey::from_parts(&part, &part, &part).unwrap();
        for key in [AggregateKey::from_parts("t", "", "i\0").unwrap(), longest] {
            let name = "n".repeat(AuditEntry::MAX_NAME_BYTES);
            let written = AuditEntry::new(Timestamp::MIN, name.clone(), name, key.clone())
                .reason("r".repeat(AuditEntry::MAX_REASON_BYTES));
            for written in [written.clone(), written.version(0)] {
                written.check().unwrap();
                let body = audit(&written);
                assert!((GUARD_BYTES + body.len()) as u64 <= MAX_BODY_BYTES);
                assert_eq!(Entry::parse(&body), Some(Entry::Audit(written)));
            }
            let cron = "c".repeat(Schedule::MAX_CRON_BYTES);
            let schedule = Schedule::new(key.clone(), cron).unwrap();
            for schedule in [
                schedule.clone().enabled(false),
                schedule.next_run(Some(Timestamp::from_micros(0))),
            ] {
                let body = schedule_body(&schedule);
                assert_eq!(schedule_bytes(&schedule), frame_bytes(body.len()));
                assert_eq!(Entry::parse(&body), Some(Entry::Fact(Fact::Schedule(schedule))));
            }
            let sum =
                DailyStatistics { created: 1, deleted: 2, bytes: 3, creation_micros: u64::MAX };
            let daily = Fact::Daily(key.clone(), Day::new(i32::MIN), sum);
            assert_eq!(daily_bytes(&key), frame_bytes(daily.to_bytes().len()));
            for fact in [daily, Fact::NoSchedule(key.clone())] {
                assert_eq!(Entry::parse(&fact.to_bytes()), Some(Entry::Fact(fact)));
            }
        }
        assert_eq!(Entry::parse(&mark()), Some(Entry::Mark));
    }

    #[test]
    fn what_is_not_exactly_an_entry_is_none() {
        let key = AggregateKey::from_parts("t", "k", "i").unwrap();
        let entry = AuditEntry::new(Timestamp::from_micros(5), "a", "b", key.clone()).version(7);
        let schedule = Schedule::new(key.clone(), "* * *").unwrap();
        let sum = DailyStatistics::deleted(3);
        for body in [
            audit(&entry),
            schedule_body(&schedule),
            Fact::NoSchedule(key.clone()).to_bytes(),
            daily_body(&key, Day::new(1), &sum),
            mark(),
        ] {
            for len in 0..body.len() {
                assert_eq!(Entry::parse(&body[..len]), None);
            }
            assert_eq!(Entry::parse(&[&body[..], &[0]].concat()), None);
        }
        let mut flags = audit(&entry);
        flags[1] = 2;
        assert_eq!(Entry::parse(&flags), None);
        assert_eq!(Entry::parse(&[9]), None);
    }
}
