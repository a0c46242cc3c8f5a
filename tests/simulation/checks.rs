//! Whether what an operation answered can be true, given what happened while it ran.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use snapfold::manager::{AggregateStats, CreateOutcome, Fetched, Origin, Rebuilt};
use snapfold::record::{RejectReason, SnapshotMeta};
use snapfold::store::Deleted;
use snapfold::{Error, ErrorKind, Loaded, SnapshotId, Timestamp};

use crate::model::{Before, Since, Stored, fold};
use crate::node::Client;
use crate::states::Subject;

/// What a load was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Now,
    Version(u64),
    Time(Timestamp),
    Known(u64),
}

impl Asked {
    /// Whether a load could begin at this snapshot.
    fn admits(self, id: SnapshotId, stored: &Stored) -> bool {
        match self {
            Self::Now => true,
            Self::Version(version) | Self::Known(version) => id.version <= version,
            Self::Time(time) => stored.as_of <= time,
        }
    }
}

impl<A: Subject> Client<A> {
    /// Only a failure of what is below explains a failure (R2, R4).
    pub(crate) fn check_error(
        &self,
        before: &Before,
        key: usize,
        doing: &str,
        error: Option<&Error>,
    ) {
        let Some(error) = error else { return };
        let since = self.book.since(before, key);
        let explained = match error.kind() {
            ErrorKind::Store | ErrorKind::Timeout => since.failed,
            ErrorKind::EventSource => since.source_failed,
            _ => false,
        };
        self.book.note(&format!("{key}: {doing}: {error}"));
        self.book.require("R2", explained, || format!("{doing} {key}: {error:?}, {since:?}"));
    }

    pub(crate) fn check_load(
        &self,
        before: &Before,
        key: usize,
        asked: Asked,
        loaded: Result<&Loaded<A>, &Error>,
        quiet: bool,
    ) {
        let since = self.book.since(before, key);
        match loaded {
            Ok(loaded) => self.check_loaded(before, key, asked, loaded, since),
            Err(error) => self.check_unloaded(before, key, asked, error, since, quiet),
        }
    }

    fn check_loaded(
        &self,
        before: &Before,
        key: usize,
        asked: Asked,
        loaded: &Loaded<A>,
        since: Since,
    ) {
        let (book, version) = (&self.book, loaded.version);
        let model = book.lock();
        let stream = &model.streams[key];
        let (from, to) = (before.of(key).head, stream.head());
        let (lowest, highest) = match asked {
            Asked::Now => (from, to),
            Asked::Version(version) => (version, version),
            Asked::Known(version) => (version.min(from), version.min(to)),
            Asked::Time(time) => (stream.version_at(time, from), stream.version_at(time, to)),
        };
        let folded = usize::try_from(version).unwrap();
        let events = stream.events();
        let folded = (folded <= events.len()).then(|| fold::<A>(self.key(key), &events[..folded]));
        let used = loaded.provenance.snapshot.map(|used| used.id);
        let is_lost = |id: SnapshotId| model.truth.get(&(key, id)).is_some_and(|s| s.is_lost);
        let used_a_lost_one = loaded.provenance.origin == Origin::Snapshot
            && used.is_some_and(|id| id.version > version || (is_lost(id) && !since.stale));
        drop(model);
        let origin = loaded.provenance.origin;
        let line = format!(
            "{key}: {asked:?} gave {version}, {origin:?} {:?} +{}, rejected {}",
            used.map(|id| id.version),
            loaded.provenance.events_replayed,
            loaded.provenance.rejected.len(),
        );
        book.note(&line);
        book.require("R1", (lowest..=highest).contains(&version), || {
            format!("{line}: the version is not in {lowest}..={highest}")
        });
        book.require("R6", !used_a_lost_one, || format!("{line}: from a lost history"));
        let right =
            folded.is_some_and(|(state, as_of)| state == *loaded.state && as_of == loaded.as_of);
        book.require("R1", right, || format!("{line}: the state is not the fold"));
        if version > 0 {
            book.met(&format!("a load from {origin:?}"));
        }
        for rejected in &loaded.provenance.rejected {
            let named = format!("{:?}", rejected.reason);
            book.met(named.split(['(', ' ']).next().unwrap());
        }
        // It says that there was no snapshot: then there was none.
        let says_none = origin == Origin::Replay && loaded.provenance.rejected.is_empty();
        if says_none && version > 0 && !since.stale && !since.removed {
            let there = &before.of(key).there;
            let missed = there.iter().find(|(id, stored)| asked.admits(**id, stored));
            book.require("R4", missed.is_none(), || {
                format!("{line}: {:?} was there", missed.map(|(id, _)| id))
            });
        }
    }

    fn check_unloaded(
        &self,
        before: &Before,
        key: usize,
        asked: Asked,
        error: &Error,
        since: Since,
        quiet: bool,
    ) {
        let book = &self.book;
        let line = format!("{key}: {asked:?} failed: {error}");
        book.note(&line);
        let (head, floor) = {
            let model = book.lock();
            (model.streams[key].head(), model.streams[key].floor)
        };
        // Behind a cache it may have waited for a load that began before it.
        let joined = self.config.cache.is_some() && matches!(asked, Asked::Now) && !quiet;
        match error.kind() {
            ErrorKind::BeyondHead => {
                let beyond =
                    matches!(asked, Asked::Version(version) if version > before.of(key).head);
                book.require("R8", beyond, || format!("{line}: the head is {head}"));
            }
            ErrorKind::EventSource => book.require("R2", since.source_failed, || line.clone()),
            ErrorKind::Store | ErrorKind::Timeout => {
                book.met("a load that failed with the store");
                let excused = !self.config.replays_on_failure || floor > 0;
                book.require("R4", (since.failed || joined) && excused, || line.clone());
            }
            ErrorKind::Unrecoverable => {
                book.met("unrecoverable");
                let empty = matches!(asked, Asked::Version(0) | Asked::Known(0));
                book.require("R2", floor > 0 && !empty, || format!("{line}: the floor is {floor}"));
                let odd = since.failed
                    || since.stale
                    || since.damaged
                    || since.removed
                    || since.truncated_often
                    || since.rotted;
                if odd || joined {
                    return;
                }
                let bridges = |id: SnapshotId, stored: &Stored, floor| {
                    self.readable.contains(&id.generation)
                        && stored.is_usable_alone(id.version, floor)
                        && asked.admits(id, stored)
                };
                let then = before.of(key);
                let was_whole = then.floor == 0
                    || then.there.iter().any(|(id, stored)| bridges(*id, stored, then.floor));
                let model = book.lock();
                // One from before the load; or, if events went meanwhile, from before that.
                let old = |id: &SnapshotId| {
                    if since.truncated {
                        was_whole && model.streams[key].bridges.contains(id)
                    } else {
                        then.there.contains_key(id)
                    }
                };
                let bridge =
                    model.of_key(key).find(|(id, stored)| bridges(*id, stored, floor) && old(id));
                let bridge = bridge.map(|(id, _)| id);
                drop(model);
                book.require("R2", bridge.is_none(), || format!("{line}: {bridge:?} is usable"));
            }
            _ => book.violate("R2", line),
        }
    }

    pub(crate) fn check_fetch(
        &self,
        before: &Before,
        key: usize,
        version: Option<u64>,
        fetched: Result<Fetched<A>, Error>,
    ) {
        let book = &self.book;
        let since = book.since(before, key);
        self.check_error(before, key, "fetch", fetched.as_ref().err());
        let Ok(fetched) = fetched else { return };
        let odd = since.stale || since.removed;
        let then = before.of(key).there.iter();
        let asked: Vec<_> =
            then.filter(|(id, _)| version.is_none_or(|version| version == id.version)).collect();
        match fetched {
            Fetched::Absent => {
                book.note(&format!("{key}: fetched {version:?}: absent"));
                book.require("R4", odd || asked.is_empty(), || {
                    format!(
                        "{key}: {version:?} is called absent: {:?}",
                        asked.first().map(|(id, _)| id)
                    )
                });
            }
            Fetched::Rejected(rejected) => {
                book.note(&format!("{key}: fetched {version:?}: {rejected}"));
                let rotten = asked.iter().any(|(_, stored)| stored.is_rotten);
                let foreign = matches!(rejected.reason, RejectReason::Stale(_));
                // The base of a delta may be damaged, replaced or gone.
                let rotten = rotten || asked.iter().any(|(_, stored)| stored.base.is_some());
                let excused = odd || since.damaged || since.rotted || rotten || foreign;
                book.require("R4", excused, || format!("{key}: {version:?}: {rejected}"));
            }
            Fetched::Usable(snapshot) => {
                let found = snapshot.meta.id();
                book.note(&format!("{key}: fetched {version:?}: {}", found.version));
                let model = book.lock();
                let folded = usize::try_from(found.version).unwrap();
                let right = model.streams[key].lives.iter().any(|events| {
                    folded <= events.len()
                        && fold::<A>(self.key(key), &events[..folded]).0 == *snapshot.state
                });
                drop(model);
                book.require("R1", right, || format!("{key}: {found:?} holds another state"));
                let own = |id: &SnapshotId| id.generation == self.readable[0];
                let newest = asked.iter().map(|(id, _)| **id).filter(own).max();
                let hidden = newest.is_some_and(|newest| newest > found);
                book.require("R10", odd || !hidden, || {
                    format!("{key}: {found:?} hides {newest:?}")
                });
            }
            _ => book.violate("R4", format!("{key}: an unknown answer")),
        }
    }

    pub(crate) fn check_list(
        &self,
        before: &Before,
        key: usize,
        listed: Result<Vec<SnapshotMeta>, Error>,
    ) {
        let book = &self.book;
        let since = book.since(before, key);
        self.check_error(before, key, "list", listed.as_ref().err());
        let Ok(metas) = listed else { return };
        let ids: BTreeSet<_> = metas.iter().map(SnapshotMeta::id).collect();
        book.require("R4", ids.len() == metas.len(), || format!("{key}: listed twice"));
        let known = |id: &SnapshotId| book.lock().attempted.contains(&(key, *id));
        let invented = ids.iter().find(|id| !known(id));
        book.require("R11", invented.is_none(), || format!("{key}: {invented:?} was never put"));
        if !since.stale && !since.removed {
            let missing = before.of(key).there.keys().find(|id| !ids.contains(id));
            book.require("R4", missing.is_none(), || format!("{key}: {missing:?} is not listed"));
        }
    }

    pub(crate) fn check_stats(
        &self,
        before: &Before,
        key: usize,
        stats: &Result<AggregateStats, Error>,
    ) {
        self.check_error(before, key, "stats", stats.as_ref().err());
        let Ok(stats) = stats else { return };
        let heads = before.of(key).head..=self.book.lock().streams[key].head();
        let right = stats.head.is_some_and(|head| heads.contains(&head));
        self.book.require("R4", right, || format!("{key}: {stats:?}, not {heads:?}"));
    }

    pub(crate) fn check_create(
        &self,
        before: &Before,
        key: usize,
        version: Option<u64>,
        created: Result<CreateOutcome, Error>,
    ) {
        let book = &self.book;
        match created {
            Ok(created) => {
                let Some(meta) = created.meta() else {
                    let empty = before.of(key).head == 0 || version == Some(0);
                    book.require("R4", empty, || format!("{key}: called empty"));
                    return;
                };
                book.note(&format!("{key}: created at {}", meta.version));
                book.met("a snapshot created");
                let heads = before.of(key).head..=book.lock().streams[key].head();
                let right = match version {
                    Some(version) => version == meta.version,
                    None => heads.contains(&meta.version),
                };
                book.require("R1", right, || format!("{key}: {}, not {heads:?}", meta.version));
                let id = book.id_of(meta);
                book.require_durable(before, id);
                if matches!(created, CreateOutcome::Existing { .. }) {
                    let since = book.since(before, key);
                    let odd = since.stale || since.removed || since.damaged || since.rotted;
                    let lost = before.of(key).there.get(&id.1).is_some_and(|then| then.is_lost);
                    let again = book.lock().truth.get(&id).is_none_or(|now| !now.is_lost);
                    book.require("R10", odd || !lost || again, || {
                        format!("{key}: {} of a life that is over was confirmed", meta.version)
                    });
                }
            }
            // It may be there or not: unknown, never absent.
            Err(error) => {
                book.met("a create that failed");
                let asked = version.map_or(Asked::Now, Asked::Version);
                let since = book.since(before, key);
                let by_store = matches!(error.kind(), ErrorKind::Store | ErrorKind::Timeout);
                let in_the_way = |stored: &Stored| stored.is_rotten || stored.is_lost;
                let was_in_the_way = before.of(key).there.values().any(in_the_way);
                let model = book.lock();
                let mut truth = model.truth.iter().filter(|((of, _), _)| *of == key);
                let is_in_the_way = truth.any(|(_, stored)| in_the_way(stored));
                drop(model);
                let conflict = error.kind() == ErrorKind::Conflict;
                // The base of a delta went while it was made, or what is in the way lost its base.
                let by_base = book.lock().has_deltas(key);
                // A stale answer may show a damaged record that was replaced before.
                let damaged = since.damaged
                    || since.stale
                    || since.rotted
                    || was_in_the_way
                    || is_in_the_way
                    || by_base;
                if (by_store && since.failed) || (conflict && damaged) {
                    book.note(&format!("{key}: not created: {error}"));
                } else {
                    self.check_load(before, key, asked, Err(&error), false);
                }
            }
        }
    }

    pub(crate) fn check_delete(
        &self,
        before: &Before,
        key: usize,
        versions: RangeInclusive<u64>,
        deleted: &Result<Deleted, Error>,
    ) {
        let book = &self.book;
        self.check_error(before, key, "delete", deleted.as_ref().err());
        if deleted.is_err() || book.since(before, key).stale {
            return;
        }
        let model = book.lock();
        let left = before.of(key).there.iter().find(|(id, then)| {
            let now = model.truth.get(&(key, **id));
            // It was not put anew meanwhile, and no pin keeps it (R22).
            versions.contains(&id.version)
                && now.is_some_and(|now| now.put_at == then.put_at && !now.is_pinned)
                && !model.bases.contains(&(key, **id))
        });
        let left = left.map(|(id, _)| *id);
        drop(model);
        book.require("R4", left.is_none(), || format!("{key}: {left:?} was not deleted"));
    }

    pub(crate) fn check_repair(
        &self,
        before: &Before,
        key: usize,
        version: u64,
        repaired: Result<Rebuilt, Error>,
    ) {
        let book = &self.book;
        match repaired {
            Ok(repaired) => {
                book.note(&format!("{key}: repaired {version}"));
                book.met("a repair");
                let id = book.id_of(&repaired.meta);
                book.require_durable(before, id);
                let rotted = book.since(before, key).rotted;
                let model = book.lock();
                let bad = model.truth.get(&id).is_some_and(|now| now.is_rotten || now.is_lost)
                    && !model.lost.contains(&id);
                drop(model);
                book.require("R10", !bad || rotted, || format!("{key}: {version} is not repaired"));
            }
            Err(error) => {
                let floor = book.lock().streams[key].floor;
                let explained = match error.kind() {
                    ErrorKind::InvalidInput => version == 0,
                    ErrorKind::BeyondHead => version > before.of(key).head,
                    ErrorKind::Unrecoverable => floor > 0,
                    ErrorKind::Conflict => book.lock().has_deltas(key),
                    _ => return self.check_error(before, key, "rebuild", Some(&error)),
                };
                book.require("R2", explained, || format!("repair {key}@{version}: {error:?}"));
            }
        }
    }
}
