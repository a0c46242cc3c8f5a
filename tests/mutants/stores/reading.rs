//! Lies about which snapshot is the newest within bounds, and whether there is one.

use std::sync::Mutex;

use snapfold::record::{Generation, RejectReason};
use snapfold::store::{Found, Lookup, Query};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId, Timestamp};

use super::mutant::{Answer, Mutant};
use super::truth::Truth;

mutants! {
    takes_the_version_bound_for_exclusive: VersionBelow breaks "C-20";
    takes_the_time_bound_for_exclusive: TimeBefore breaks "C-20";
    ignores_the_version_bound: AnyVersion breaks "C-20";
    ignores_the_time_bound: AnyTime breaks "C-20";
    takes_the_next_above_where_the_bound_is_missed: RoundsUp breaks "C-20";
    takes_the_latest_in_time_for_the_newest: ByTime breaks "C-20";
    applies_the_time_bound_to_the_newest_only: BoundsAfterwards breaks "C-20";
    rounds_times_to_milliseconds: Milliseconds breaks "C-20";
    tells_another_version_than_the_records: VersionAsAsked breaks "C-20";
    ignores_the_generation: AnyGeneration breaks "C-20";
    compares_half_of_the_fingerprint: HalfFingerprint breaks "C-20";
    says_absent_where_there_is_another_generation: OtherIsAbsent breaks "C-21";
    skips_damaged_records: SkipsDamage breaks "C-22";
    fails_on_damaged_records: FailsOnDamage breaks "C-22";
    takes_nothing_there_for_a_failure: AbsentIsFailure breaks "C-02";
    remembers_what_was_absent: RemembersMisses breaks "C-20", "C-23";
}

fn unless(found: Option<Found>, truth: &Truth, asked: Query<'_>) -> Lookup {
    found.map_or_else(|| truth.miss(asked), Lookup::Found)
}

#[derive(Default)]
struct VersionBelow;

impl Mutant for VersionBelow {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let below = query.at_most(query.at_most.saturating_sub(1));
        Ok(unless(truth.newest(below), truth, query))
    }
}

#[derive(Default)]
struct TimeBefore;

impl Mutant for TimeBefore {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let Some(as_of) = query.as_of else { return Ok(truth.get(query)) };
        let before = query.as_of(Timestamp::from_micros(as_of.as_micros().saturating_sub(1)));
        Ok(unless(truth.newest(before), truth, query))
    }
}

#[derive(Default)]
struct AnyVersion;

impl Mutant for AnyVersion {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        Ok(truth.get(query.at_most(u64::MAX)))
    }
}

#[derive(Default)]
struct AnyTime;

impl Mutant for AnyTime {
    async fn get(&self, truth: &Truth, mut query: Query<'_>) -> Answer {
        query.as_of = None;
        Ok(truth.get(query))
    }
}

#[derive(Default)]
struct RoundsUp;

impl Mutant for RoundsUp {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let rows = truth.rows(query.key);
        let mut rows = rows.iter().flat_map(|rows| &rows.by_id);
        let above = rows.find(|(id, row)| {
            id.generation == query.generation
                && id.version >= query.at_most
                && query.as_of.is_none_or(|bound| row.as_of <= bound)
        });
        let above = above.map(|(id, row)| Found::new(id.version, row.record.clone()));
        Ok(unless(above.or_else(|| truth.newest(query)), truth, query))
    }
}

#[derive(Default)]
struct ByTime;

impl Mutant for ByTime {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let rows = truth.rows(query.key);
        let rows = rows.iter().flat_map(|rows| &rows.by_id);
        let latest = rows
            .filter(|(id, row)| {
                id.generation == query.generation && query.admits(id.version, row.as_of)
            })
            .max_by_key(|(id, row)| (row.as_of, id.version));
        let latest = latest.map(|(id, row)| Found::new(id.version, row.record.clone()));
        Ok(unless(latest, truth, query))
    }
}

#[derive(Default)]
struct BoundsAfterwards;

impl Mutant for BoundsAfterwards {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let mut any_time = query;
        any_time.as_of = None;
        let newest = truth.newest(any_time).filter(|found| {
            let header = found.record.header();
            header.map_or(true, |header| query.admits(found.version, header.as_of))
        });
        Ok(unless(newest, truth, query))
    }
}

#[derive(Default)]
struct Milliseconds;

impl Mutant for Milliseconds {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let Some(as_of) = query.as_of else { return Ok(truth.get(query)) };
        let rounded = as_of.as_micros().div_euclid(1_000).saturating_mul(1_000);
        Ok(unless(truth.newest(query.as_of(Timestamp::from_micros(rounded))), truth, query))
    }
}

#[derive(Default)]
struct VersionAsAsked;

impl Mutant for VersionAsAsked {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let mut answer = truth.get(query);
        if let Lookup::Found(found) = &mut answer
            && query.at_most < SnapshotId::MAX_VERSION
        {
            found.version = query.at_most;
        }
        Ok(answer)
    }
}

#[derive(Default)]
struct AnyGeneration;

impl Mutant for AnyGeneration {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        Ok(newest_of(truth, query, |_| true))
    }
}

#[derive(Default)]
struct HalfFingerprint;

impl Mutant for HalfFingerprint {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let half = |g: Generation| (g.schema_version, g.fingerprint & 0xffff_ffff);
        Ok(newest_of(truth, query, |generation| half(generation) == half(query.generation)))
    }
}

fn newest_of(truth: &Truth, query: Query<'_>, of: impl Fn(Generation) -> bool) -> Lookup {
    let rows = truth.rows(query.key);
    let mut rows = rows.iter().flat_map(|rows| &rows.by_id).rev();
    let found = rows.find(|(id, row)| of(id.generation) && query.admits(id.version, row.as_of));
    let found = found.map(|(id, row)| Found::new(id.version, row.record.clone()));
    unless(found, truth, query)
}

#[derive(Default)]
struct OtherIsAbsent;

impl Mutant for OtherIsAbsent {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        Ok(truth.newest(query).map_or(Lookup::Absent, Lookup::Found))
    }
}

#[derive(Default)]
struct SkipsDamage;

impl Mutant for SkipsDamage {
    async fn get(&self, truth: &Truth, mut query: Query<'_>) -> Answer {
        loop {
            match truth.get(query) {
                Lookup::Found(found) if found.record.verify().is_err() => {
                    query.at_most = found.version.saturating_sub(1);
                }
                answer => return Ok(answer),
            }
        }
    }
}

#[derive(Default)]
struct FailsOnDamage;

impl Mutant for FailsOnDamage {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let damaged =
            |_: RejectReason| Error::new(ErrorKind::CorruptStore, "get", "a damaged record");
        let answer = truth.get(query);
        if let Lookup::Found(found) = &answer {
            found.record.verify().map_err(damaged)?;
        }
        Ok(answer)
    }
}

#[derive(Default)]
struct AbsentIsFailure;

impl Mutant for AbsentIsFailure {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        match truth.get(query) {
            Lookup::Absent => Err(Error::new(ErrorKind::Store, "get", "there is no such key")),
            answer => Ok(answer),
        }
    }
}

/// A cache of misses that no put clears.
#[derive(Default)]
struct RemembersMisses(Mutex<Vec<(AggregateKey, SnapshotId)>>);

impl Mutant for RemembersMisses {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let asked = SnapshotId { generation: query.generation, version: query.at_most };
        let asked = (query.key.clone(), asked);
        let mut absent = self.0.lock().unwrap();
        if absent.contains(&asked) {
            return Ok(Lookup::Absent);
        }
        let answer = truth.get(query);
        if answer == Lookup::Absent {
            absent.push(asked);
        }
        Ok(answer)
    }
}
