//! [`Judging`]: which rules keep which snapshots, as far as they were applied.

use std::cmp::Reverse;
use std::fmt::Write;

use super::calendar::{Local, NamedPeriod};
use super::reach;
use crate::policy::{CalendarUnit, Rule, Zone};
use crate::record::SnapshotMeta;
use crate::retention::Disposition;
use crate::retention::keep::{clock_is_behind, past};
use crate::timestamp::Timestamp;

/// The snapshots of one generation, highest version first, and why each is kept.
pub(super) struct Judging<'s> {
    snapshots: &'s [SnapshotMeta],
    now: Timestamp,
    zone: &'s Zone,
    /// Whether all snapshots were created in the future.
    clock_is_behind: bool,
    /// The local times of the snapshots, from the first calendar rule on. `None` for retired ones,
    /// and where all times are in the future.
    local: Option<Vec<Option<Local>>>,
    /// For each snapshot; empty if no rule keeps it.
    reasons: Vec<String>,
}

impl<'s> Judging<'s> {
    pub(super) fn new(snapshots: &'s [SnapshotMeta], now: Timestamp, zone: &'s Zone) -> Self {
        Self {
            snapshots,
            now,
            zone,
            clock_is_behind: clock_is_behind(snapshots, now),
            local: None,
            reasons: vec![String::new(); snapshots.len()],
        }
    }

    pub(super) fn apply(&mut self, rule: &Rule) {
        let words = rule.to_string();
        let (snapshots, now) = (self.snapshots, self.now);
        match rule {
            Rule::All => self.keep_if(&words, |_| true),
            Rule::Label(label) => {
                self.keep_if(&words, |meta| meta.labels.iter().any(|own| **own == **label));
            }
            Rule::Last(number) => {
                for (rank, at) in (1..=*number).zip(self.usable()) {
                    self.keep(at, &words, format_args!(": number {rank}"));
                }
            }
            Rule::Every(versions) => self.keep_every(*versions, &words),
            Rule::Within(_) | Rule::Calendar(..) | Rule::Reachable { .. }
                if self.clock_is_behind =>
            {
                for at in 0..snapshots.len() {
                    let why = format_args!(
                        ": all were created after the current time {now}: check the clock"
                    );
                    self.keep(at, &words, why);
                }
            }
            Rule::Within(period) => {
                let oldest = now.saturating_sub(period.duration());
                self.keep_if(&words, |meta| past(meta, now).is_some_and(|time| time >= oldest));
            }
            Rule::Calendar(unit, number) => self.keep_newest(*unit, *number, &words),
            Rule::Reachable { events, within } => {
                let oldest = now.saturating_sub(within.duration());
                let usable: Vec<_> = self.usable().collect();
                let places = usable.iter().filter_map(|at| {
                    let meta = snapshots.get(*at)?;
                    Some((meta.version, past(meta, now)))
                });
                let places: Vec<_> = places.collect();
                for place in reach::needed(&places, oldest, *events) {
                    let of = usable.get(place).zip(places.get(place));
                    let Some((at, (version, _))) = of else { continue };
                    let end = version.saturating_add(*events);
                    let why = format_args!(": needed for versions {version} to {end}");
                    self.keep(*at, &words, why);
                }
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Disposition> {
        let disposition = |reason: String| {
            if reason.is_empty() { Disposition::drop() } else { Disposition::keep(reason) }
        };
        self.reasons.into_iter().map(disposition).collect()
    }

    /// Returns the places of the snapshots that loads can start from, highest version first.
    fn usable(&self) -> impl Iterator<Item = usize> + use<'s> {
        let all = self.snapshots.iter().enumerate();
        all.filter(|(_, meta)| !meta.is_retired()).map(|(at, _)| at)
    }

    fn keep(&mut self, at: usize, words: &str, why: std::fmt::Arguments<'_>) {
        let Some(reason) = self.reasons.get_mut(at) else { return };
        let separator = if reason.is_empty() { "" } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(reason, "{separator}{words}{why}");
    }

    fn keep_if(&mut self, words: &str, keeps: impl Fn(&SnapshotMeta) -> bool) {
        for (at, meta) in self.snapshots.iter().enumerate() {
            if keeps(meta) {
                self.keep(at, words, format_args!(""));
            }
        }
    }

    /// Keeps the lowest snapshot between each multiple of `versions` and the next one.
    fn keep_every(&mut self, versions: u64, words: &str) {
        let multiples = |at: usize| {
            let version = self.snapshots.get(at).map_or(0, |meta| meta.version);
            version.checked_div(versions).unwrap_or(0)
        };
        let mut places = self.usable().map(|at| (at, multiples(at))).peekable();
        let mut first = Vec::new();
        while let Some((at, multiple)) = places.next() {
            let below = places.peek().map_or(0, |(_, below)| *below);
            if multiple > below {
                first.push((at, multiple));
            }
        }
        for (at, multiple) in first {
            let multiple = multiple.saturating_mul(versions);
            self.keep(at, words, format_args!(": the first at or above {multiple}"));
        }
    }

    /// Keeps the highest version of each of the newest `number` units of the calendar.
    fn keep_newest(&mut self, unit: CalendarUnit, number: u64, words: &str) {
        let zone = self.zone;
        let local = self.local.take().unwrap_or_else(|| self.local_times());
        let mut newest: Vec<(Reverse<i64>, usize)> = Vec::new();
        for (at, local) in local.iter().enumerate() {
            let Some(local) = local else { continue };
            let unit = Reverse(local.number_of(unit));
            if newest.last().is_none_or(|(last, _)| *last != unit) {
                newest.push((unit, at));
            }
        }
        newest.sort_unstable();
        newest.dedup_by_key(|(unit, _)| *unit);
        newest.truncate(usize::try_from(number).unwrap_or(usize::MAX));
        for (_, at) in newest {
            if let Some(Some(local)) = local.get(at) {
                let name = NamedPeriod { unit, local, zone };
                self.keep(at, words, format_args!(": the newest of {name}"));
            }
        }
        self.local = Some(local);
    }

    fn local_times(&self) -> Vec<Option<Local>> {
        let local = |meta: &SnapshotMeta| {
            let time = past(meta, self.now).filter(|_| !meta.is_retired())?;
            Some(Local::new(time, self.zone))
        };
        self.snapshots.iter().map(local).collect()
    }
}
