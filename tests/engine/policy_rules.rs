//! What retention policies keep, against a model that follows the definitions in the documentation
//! word by word, and against examples that were worked out by hand.
//!
//! Guards against: a rule that keeps or drops another snapshot than it says, over clocks that run
//! ahead, retired snapshots and several generations; a reason that leaves out a rule.

use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::property::runner;
use snapfold::record::{Generation, SnapshotMeta};
use snapfold::retention::{
    Action, Policy, PolicyBuilder, Retention, RetentionContext, RetentionPlan,
};
use snapfold::store::{Mark, Marks};
use snapfold::{AggregateKey, Timestamp};

const DAY: i64 = 86_400;
const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 1 };

#[derive(Clone, Debug)]
enum Rule {
    All,
    Last(u64),
    Within(i64),
    Calendar(Unit, u64),
    Every(u64),
    Label(&'static str),
    Reachable(u64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// Seconds as a duration.
fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap())
}

impl Rule {
    fn add(&self, builder: PolicyBuilder) -> PolicyBuilder {
        match *self {
            Self::All => builder.all(),
            Self::Last(n) => builder.last(n),
            Self::Within(period) => builder.within(seconds(period)),
            Self::Calendar(Unit::Hour, n) => builder.hourly(n),
            Self::Calendar(Unit::Day, n) => builder.daily(n),
            Self::Calendar(Unit::Week, n) => builder.weekly(n),
            Self::Calendar(Unit::Month, n) => builder.monthly(n),
            Self::Calendar(Unit::Year, n) => builder.yearly(n),
            Self::Every(n) => builder.every_versions(n),
            Self::Label(label) => builder.label(label),
            Self::Reachable(n, period) => builder.reachable(n, seconds(period)),
        }
    }

    /// The text form alone.
    fn words(&self) -> String {
        self.add(Policy::builder()).build().unwrap().to_string()
    }
}

/// The snapshots of one generation, in any order.
struct Model<'a> {
    metas: &'a [SnapshotMeta],
    now: Timestamp,
    zone: TimeZone,
}

impl Model<'_> {
    fn time(&self, meta: &SnapshotMeta) -> Option<Timestamp> {
        if meta.as_of <= self.now {
            Some(meta.as_of)
        } else if meta.last_recorded_at <= self.now {
            Some(meta.last_recorded_at)
        } else {
            Some(meta.created_at).filter(|time| *time <= self.now)
        }
    }

    fn live(&self) -> impl Iterator<Item = &SnapshotMeta> {
        self.metas.iter().filter(|meta| !meta.is_retired())
    }

    fn is_in_period(&self, meta: &SnapshotMeta, period: i64) -> bool {
        let oldest = self.now.saturating_sub(seconds(period));
        self.time(meta).is_some_and(|time| oldest <= time && time <= self.now)
    }

    /// What the calendar calls the time; equal for times of the same unit, and ordered.
    fn named(&self, unit: Unit, time: Timestamp) -> [i64; 3] {
        let time = jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(
            if time < Timestamp::from_micros(0) {
                jiff::Timestamp::MIN
            } else {
                jiff::Timestamp::MAX
            },
        );
        let local = time.to_zoned_datetime(self.zone.clone());
        let (year, month) = (i64::from(local.year()), i64::from(local.month()));
        match unit {
            Unit::Year => [year, 0, 0],
            Unit::Month => [year, month, 0],
            Unit::Week => {
                let week = local.date().iso_week_date();
                [week.year().into(), week.week().into(), 0]
            }
            Unit::Day => [year, month, local.day().into()],
            Unit::Hour => {
                let since = i64::from(local.minute()) * 60 + i64::from(local.second());
                let micros = time.as_microsecond();
                [(micros - micros.rem_euclid(1_000_000)) / 1_000_000 - since, 0, 0]
            }
        }
    }

    fn keeps(&self, rule: &Rule, meta: &SnapshotMeta) -> bool {
        let by_time = matches!(rule, Rule::Within(_) | Rule::Calendar(..) | Rule::Reachable(..));
        if by_time && self.metas.iter().all(|meta| meta.created_at > self.now) {
            return true;
        }
        let counts = !matches!(rule, Rule::All | Rule::Within(_) | Rule::Label(_));
        if counts && meta.is_retired() {
            return false;
        }
        match *rule {
            Rule::All => true,
            Rule::Label(label) => meta.labels.iter().any(|own| own == label),
            Rule::Within(period) => self.is_in_period(meta, period),
            Rule::Last(n) => {
                let newer = self.live().filter(|other| other.version > meta.version);
                newer.count() < usize::try_from(n).unwrap()
            }
            Rule::Every(n) => (1..=meta.version / n).map(|m| m * n).any(|at| {
                let above = self.live().map(|other| other.version).filter(|own| *own >= at);
                above.min() == Some(meta.version)
            }),
            Rule::Calendar(unit, n) => {
                let Some(own) = self.time(meta).map(|time| self.named(unit, time)) else {
                    return false;
                };
                let with_time = self.live().filter_map(|it| Some((it, self.time(it)?)));
                let mut newer = Vec::new();
                for (other, time) in with_time {
                    let of = self.named(unit, time);
                    if of == own && other.version > meta.version {
                        return false;
                    }
                    if of > own && !newer.contains(&of) {
                        newer.push(of);
                    }
                }
                newer.len() < usize::try_from(n).unwrap()
            }
            Rule::Reachable(events, period) => {
                self.reachable(events, period).contains(&meta.version)
            }
        }
    }

    /// The version from which on the promise holds.
    fn promised_from(&self, period: i64) -> Option<u64> {
        let highest = |below: Option<u64>| {
            let below = self.live().filter(|it| below.is_none_or(|below| it.version < below));
            below.filter(|it| self.time(it).is_some()).map(|it| it.version).max()
        };
        match self.live().filter(|it| self.is_in_period(it, period)).map(|it| it.version).min() {
            Some(lowest) => Some(highest(Some(lowest)).unwrap_or(lowest)),
            None => highest(None).or_else(|| self.live().map(|it| it.version).max()),
        }
    }

    fn reachable(&self, events: u64, period: i64) -> Vec<u64> {
        let mut kept: Vec<u64> = self.promised_from(period).into_iter().collect();
        while let Some(last) = kept.last().copied() {
            let above = || self.live().map(|it| it.version).filter(|version| *version > last);
            let near = above().filter(|version| *version <= last + events + 1).max();
            match near.or(above().min()) {
                Some(next) => kept.push(next),
                None => break,
            }
        }
        kept
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    let unit =
        prop::sample::select(vec![Unit::Hour, Unit::Day, Unit::Week, Unit::Month, Unit::Year]);
    let period =
        || prop_oneof![1..10_i64, 3_600..100_000_i64, (1..400_i64).prop_map(|days| days * DAY)];
    prop_oneof![
        1 => Just(Rule::All),
        3 => (1..6_u64).prop_map(Rule::Last),
        3 => period().prop_map(Rule::Within),
        8 => (unit, 1..5_u64).prop_map(|(unit, n)| Rule::Calendar(unit, n)),
        3 => (1..30_u64).prop_map(Rule::Every),
        2 => prop::sample::select(vec!["release", "audit"]).prop_map(Rule::Label),
        6 => (0..25_u64, period()).prop_map(|(n, period)| Rule::Reachable(n, period)),
    ]
}

/// Where the clocks of a snapshot stand, from the time of the plan on.
#[derive(Clone, Debug)]
struct Shape {
    gap: u64,
    /// Seconds since the one before.
    later: i64,
    wild: u8,
    retired: bool,
    pinned: bool,
    labels: u8,
    second: bool,
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let later = prop_oneof![0..600_i64, 0..7_200_i64, 0..2 * DAY, 0..40 * DAY, 0..400 * DAY];
    // Half of the histories have honest clocks.
    (any::<bool>(), 0..40_usize).prop_flat_map(move |(is_wild, most)| {
        let shape = (
            1..8_u64,
            later.clone(),
            if is_wild { 0..16_u8 } else { 0..1 },
            prop::bool::weighted(0.15),
            prop::bool::weighted(0.05),
            0..8_u8,
            prop::bool::weighted(0.2),
        );
        let shape = shape.prop_map(|(gap, later, wild, retired, pinned, labels, second)| Shape {
            gap,
            later,
            wild,
            retired,
            pinned,
            labels,
            second,
        });
        prop::collection::vec(shape, 0..=most)
    })
}

/// Snapshots, highest version first. The last is as old as the time of the plan, or a little newer.
fn metas(shapes: &[Shape], now: Timestamp) -> Vec<SnapshotMeta> {
    let second =
        |seconds: i64| Timestamp::from_micros(now.as_micros().saturating_add(seconds * 1_000_000));
    let key = AggregateKey::new("account", "a").unwrap();
    let mut age = shapes.iter().map(|shape| shape.later).sum::<i64>();
    let mut version = 0;
    let mut as_of = Timestamp::MIN;
    let mut metas = Vec::new();
    for shape in shapes {
        version += shape.gap;
        age -= shape.later;
        let honest = second(-age);
        let generation = Generation { fingerprint: 1 + u64::from(shape.second), ..GENERATION };
        let last = match shape.wild {
            1 => second(1_000 * DAY),
            2 => second(3),
            3 => Timestamp::MAX,
            4 => Timestamp::MIN,
            5 => second(-age - 5 * DAY),
            _ => honest,
        };
        as_of = as_of.max(last);
        let mut meta = SnapshotMeta::new(key.clone(), generation, version, as_of);
        meta.last_recorded_at = last;
        meta.created_at = match shape.wild {
            2 | 6 => second(1),
            3 | 7 => second(2_000 * DAY),
            8 => Timestamp::MIN,
            _ => honest,
        };
        // An event without a time, or metadata of foreign code.
        if shape.wild == 9 {
            meta.as_of = second(-age - 400 * DAY);
        }
        let names = ["release", "audit", "other"];
        let own = names.iter().enumerate().filter(|(bit, _)| shape.labels == 1 << bit);
        meta.labels = own.map(|(_, name)| (*name).to_owned()).collect();
        let retired = shape.retired.then(|| Mark::retirement("wrong", Timestamp::MIN));
        let pinned = shape.pinned.then(|| Mark::pin("audit", Timestamp::MIN));
        meta.marks = Marks::new(retired.into_iter().chain(pinned)).unwrap();
        metas.push(meta);
    }
    metas.reverse();
    metas
}

fn zones() -> Vec<&'static str> {
    if cfg!(feature = "schedules") {
        vec!["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"]
    } else {
        vec!["UTC"]
    }
}

/// 2026-11-28, near a change of clocks, the beginning of a year, and the ends of the calendar.
fn times() -> Vec<Timestamp> {
    ["2026-11-28T10:00:00Z", "2026-10-25T02:10:00Z", "2026-01-01T00:30:00Z", "2026-04-05T04:00:00Z"]
        .iter()
        .map(|time| time.parse().unwrap())
        .chain([Timestamp::MAX, Timestamp::MIN, Timestamp::from_seconds(-5)])
        .collect()
}

#[test]
fn each_snapshot_is_kept_by_the_rules_that_the_model_says_and_by_no_others() {
    let cases = (
        shapes(),
        prop::collection::vec(rule(), 1..5),
        prop::sample::select(zones()),
        prop::sample::select(times()),
    );
    let mut runner = runner(0x9011, 1_500, 20_000);
    let test = |(shapes, rules, zone, now): (Vec<Shape>, Vec<Rule>, &str, Timestamp)| {
        let mut metas = metas(&shapes, now);
        metas.retain(|meta| meta.generation == GENERATION);
        let builder = rules.iter().fold(Policy::builder().zone(zone), |b, rule| rule.add(b));
        let judged = builder.build().unwrap().judge(&metas, now);
        prop_assert_eq!(judged.len(), metas.len());
        let model = Model { metas: &metas, now, zone: TimeZone::get(zone).unwrap() };
        for (meta, judged) in metas.iter().zip(&judged) {
            let keeping = rules.iter().filter(|rule| model.keeps(rule, meta));
            let expected: Vec<_> = keeping.map(Rule::words).collect();
            let parts = judged.reason.split("; ").filter(|_| judged.action == Action::Keep);
            let named: Vec<_> = parts.map(|part| part.split(": ").next().unwrap()).collect();
            prop_assert_eq!(named, expected, "version {}: {}", meta.version, &judged.reason);
        }
        Ok(())
    };
    runner.run(&cases, test).unwrap();
}

#[test]
fn a_plan_adds_only_its_protections_in_each_generation() {
    let cases = (shapes(), prop::collection::vec(rule(), 0..3));
    let now = times()[0];
    let mut runner = runner(0x9012, 500, 20_000);
    let test = |(shapes, rules): (Vec<Shape>, Vec<Rule>)| {
        let metas = metas(&shapes, now);
        let mut builder = rules.iter().fold(Policy::builder(), |builder, rule| rule.add(builder));
        if rules.is_empty() {
            builder = builder.nothing();
        }
        let plan =
            RetentionPlan::new(&metas, &builder.build().unwrap(), &RetentionContext::new(now));
        let mut expected = Vec::new();
        for generation in [1, 2] {
            let mut of_it = metas.clone();
            of_it.retain(|meta| meta.generation.fingerprint == generation);
            let model = Model { metas: &of_it, now, zone: TimeZone::UTC };
            let newest = of_it.iter().find(|meta| !meta.is_retired()).or(of_it.first());
            expected.extend(of_it.iter().filter_map(|meta| {
                let is_kept = Some(meta) == newest
                    || meta.is_pinned()
                    || rules.iter().any(|rule| model.keeps(rule, meta));
                is_kept.then(|| meta.id())
            }));
        }
        let mut kept: Vec<_> = plan.kept().map(|judged| judged.id).collect();
        kept.sort();
        expected.sort();
        prop_assert_eq!(kept, expected);
        Ok(())
    };
    runner.run(&cases, test).unwrap();
}

#[test]
fn each_version_of_the_period_stays_as_near_and_no_smaller_set_would_do() {
    let cases = (prop::collection::vec((1..8_u64, 0..3 * DAY), 0..10), 0..15_u64, 1..12 * DAY);
    let now = times()[0];
    let mut runner = runner(0x9013, 800, 20_000);
    let test = |(shapes, events, period): (Vec<(u64, i64)>, u64, i64)| {
        let honest = Shape {
            gap: 0,
            later: 0,
            wild: 0,
            retired: false,
            pinned: false,
            labels: 0,
            second: false,
        };
        let shapes: Vec<_> =
            shapes.into_iter().map(|(gap, later)| Shape { gap, later, ..honest.clone() }).collect();
        let metas = metas(&shapes, now);
        let policy = Policy::builder().reachable(events, seconds(period)).build().unwrap();
        let judged = policy.judge(&metas, now);
        let all: Vec<u64> = metas.iter().map(|meta| meta.version).collect();
        let kept = metas.iter().zip(&judged).filter(|(_, it)| it.action == Action::Keep);
        let kept: Vec<u64> = kept.map(|(meta, _)| meta.version).collect();
        // With honest clocks: the versions that were current at any time of the period.
        let oldest = now.saturating_sub(seconds(period));
        let before = metas.iter().filter(|meta| meta.as_of < oldest).map(|meta| meta.version).max();
        let from = before.or(all.last().copied()).unwrap_or(1);
        let until = all.first().map_or(0, |newest| newest + events + 2);
        let serves = |set: &[u64], version: u64| {
            set.iter().any(|own| *own <= version && version - own <= events)
        };
        let fulfils = |set: &[u64]| {
            (from..=until).all(|version| !serves(&all, version) || serves(set, version))
        };
        prop_assert!(fulfils(&kept), "{:?} of {:?} from {}", &kept, &all, from);
        for chosen in 0..1_u32 << all.len() {
            let set: Vec<u64> = all
                .iter()
                .enumerate()
                .filter(|(at, _)| chosen >> at & 1 == 1)
                .map(|(_, v)| *v)
                .collect();
            prop_assert!(set.len() >= kept.len() || !fulfils(&set), "{:?} < {:?}", set, &kept);
        }
        Ok(())
    };
    runner.run(&cases, test).unwrap();
}

/// Snapshots of these times, oldest first; versions 10, 20 and so on.
fn at_times(times: &[&str]) -> Vec<SnapshotMeta> {
    let key = AggregateKey::new("account", "a").unwrap();
    let mut metas: Vec<_> = (1..)
        .zip(times)
        .map(|(n, time)| SnapshotMeta::new(key.clone(), GENERATION, n * 10, time.parse().unwrap()))
        .collect();
    metas.reverse();
    metas
}

/// The versions that a policy keeps, lowest first, and the reasons.
fn kept(policy: &str, metas: &[SnapshotMeta], now: &str) -> Vec<(u64, String)> {
    let policy: Policy = policy.parse().unwrap();
    let judged = policy.judge(metas, now.parse().unwrap());
    let kept = metas.iter().zip(judged).filter(|(_, judged)| judged.action == Action::Keep);
    kept.map(|(meta, judged)| (meta.version, judged.reason)).rev().collect()
}

fn versions(policy: &str, metas: &[SnapshotMeta], now: &str) -> Vec<u64> {
    kept(policy, metas, now).into_iter().map(|(version, _)| version).collect()
}

/// The examples that the documentation of restic gives for the same words.
#[test]
fn calendar_rules_mean_what_users_of_restic_expect() {
    // One on each Sunday of twelve weeks: the last four days with one are the last four Sundays.
    let sunday: jiff::Timestamp = "2019-09-01T11:00:00Z".parse().unwrap();
    let sundays: Vec<_> = (0..12)
        .map(|week| (sunday + jiff::SignedDuration::from_hours(week * 168)).to_string())
        .collect();
    let sundays: Vec<_> = sundays.iter().map(String::as_str).collect();
    let metas = at_times(&sundays);
    assert_eq!(versions("daily 4", &metas, "2019-11-20T00:00:00Z"), [90, 100, 110, 120]);
    // Months: the last Sundays of September, October and November until the 17th.
    assert_eq!(versions("monthly 12", &metas, "2019-11-20T00:00:00Z"), [50, 90, 120]);

    // One on each day of a hundred years up to Sunday, 2026-11-29: 7 days; 4 more Sundays; of the
    // 12 months, November's is one of the days, so 11 more; of the 75 years, 2026's is one of the
    // days and 2025's is one of the months, so 73 more.
    let last: jiff::Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
    let days: Vec<_> = (0..36_525)
        .rev()
        .map(|day| (last - jiff::SignedDuration::from_hours(day * 24)).to_string())
        .collect();
    let days: Vec<_> = days.iter().map(String::as_str).collect();
    let metas = at_times(&days);
    let now = "2026-11-29T13:00:00Z";
    let all = kept("daily 7, weekly 5, monthly 12, yearly 75", &metas, now);
    assert_eq!(all.len(), 7 + 4 + 11 + 73);
    let (_, newest) = all.last().unwrap();
    let reason = "daily 7: the newest of 2026-11-29; weekly 5: the newest of 2026-W48; \
                  monthly 12: the newest of 2026-11; yearly 75: the newest of 2026";
    assert_eq!(newest, reason);
    assert_eq!(all[0].1, "yearly 75: the newest of 1952");
    let of_2025: Vec<_> = all.iter().filter(|(_, reason)| reason.ends_with("of 2025")).collect();
    assert_eq!(of_2025.len(), 1);
    assert_eq!(of_2025[0].1, "monthly 12: the newest of 2025-12; yearly 75: the newest of 2025");
}

#[test]
fn reasons_are_in_the_words_of_the_text_form() {
    let mut metas = at_times(&[
        "2026-11-01T00:00:00Z",
        "2026-11-27T10:00:00Z",
        "2026-11-27T10:30:00Z",
        "2026-11-28T09:00:00Z",
    ]);
    metas[3].labels = vec!["first; ever".to_owned()];
    let policy = "last 1, hourly 2, within 1d, every 20 versions, reachable 20 within 2d, \
                  label \"first; ever\"";
    let reasons = kept(policy, &metas, "2026-11-28T10:30:00Z");
    let expected = [
        (10, "reachable 20 within 2d: needed for versions 10 to 30; label \"first; ever\""),
        (20, "every 20 versions: the first at or above 20"),
        (
            30,
            "hourly 2: the newest of 2026-11-27 10:00; within 1d; \
             reachable 20 within 2d: needed for versions 30 to 50",
        ),
        (
            40,
            "last 1: number 1; hourly 2: the newest of 2026-11-28 09:00; within 1d; every 20 \
             versions: the first at or above 40; reachable 20 within 2d: needed for versions 40 to 60",
        ),
    ];
    let expected = expected.map(|(version, reason)| (version, reason.to_owned()));
    assert_eq!(reasons, expected);
}

#[test]
fn a_clock_that_is_behind_every_snapshot_drops_none_by_a_rule_of_time() {
    let metas = at_times(&["2026-11-28T10:00:00Z", "2026-11-28T11:00:00Z"]);
    for (policy, left) in
        [("daily 1", 2), ("within 1d", 2), ("reachable 99 within 1d", 2), ("last 1", 1)]
    {
        assert_eq!(versions(policy, &metas, "2026-11-28T09:00:00Z").len(), left, "{policy}");
    }
    assert_eq!(versions("daily 1", &metas, "2026-11-28T11:00:00Z"), [20]);
}

#[cfg(feature = "schedules")]
#[test]
fn days_and_hours_are_those_of_the_time_zone() {
    // In Berlin the clocks go back at 01:00 UTC, from 03:00 to 02:00.
    let metas = at_times(&[
        "2026-10-24T21:59:00Z",
        "2026-10-24T22:01:00Z",
        "2026-10-25T00:10:00Z",
        "2026-10-25T00:50:00Z",
        "2026-10-25T01:10:00Z",
        "2026-10-25T22:59:00Z",
        "2026-10-25T23:01:00Z",
    ]);
    let now = "2026-10-26T10:00:00Z";
    // A day of 25 hours.
    assert_eq!(versions("daily 3, zone Europe/Berlin", &metas, now), [10, 60, 70]);
    assert_eq!(versions("daily 3", &metas, now), [20, 70]);
    let hours = kept("hourly 9, zone Europe/Berlin", &metas, now);
    let hours: Vec<_> = hours.iter().map(|(v, why)| (*v, why.as_str())).collect();
    assert_eq!(hours[2], (40, "hourly 9: the newest of 2026-10-25 02:00+02"));
    assert_eq!(hours[3], (50, "hourly 9: the newest of 2026-10-25 02:00+01"));
    assert_eq!(hours.len(), 6);
    // The clocks of Lord Howe go back by half an hour, from 02:00 to 01:30.
    let metas = at_times(&["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-04T15:45:00Z"]);
    let zone = "hourly 9, zone Australia/Lord_Howe";
    assert_eq!(versions(zone, &metas, now), [10, 20, 30]);
    // Where clocks go forward, the hour in between does not exist.
    let metas = at_times(&["2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"]);
    let hours = kept("hourly 1, zone Europe/Berlin", &metas, now);
    assert_eq!(hours, [(20, "hourly 1: the newest of 2026-03-29 03:00+02".to_owned())]);
    // Samoa left out 2011-12-30.
    let metas = at_times(&["2011-12-30T09:59:00Z", "2011-12-30T10:00:00Z"]);
    let days = kept("daily 2, zone Pacific/Apia", &metas, now);
    assert!(days[0].1.ends_with("2011-12-29") && days[1].1.ends_with("2011-12-31"), "{days:?}");
}
