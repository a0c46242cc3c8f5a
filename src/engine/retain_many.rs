//! Retention for many aggregates in a few round trips.
//!
//! A batch handles the usual case. An aggregate with more snapshots than fit the batch, and every
//! aggregate when a call for several fails, is handled separately, as if it had been requested
//! alone. Both ways share the plan ([`Planning`]) and the checks of a snapshot.

use futures_util::future::join_all;

use super::cache::Outdates;
use super::core::{EngineCore, check_kind};
use super::head::ends_early;
use super::load_many::Outage;
use super::planning::{Planning, RetentionCandidate};
use crate::error::Error;
use crate::events::{Ended, KeyedReplay, Limits, Progress, Replay};
use crate::key::AggregateKey;
use crate::manager::{Point, Retained};
use crate::retention::{Retention, RetentionPlan};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{DeleteOptions, Deleted, ListRequest, Query};

/// The number of aggregates that are handled together. Larger requests are split.
const BATCH: usize = 1_024;
/// An aggregate with more snapshots is handled alone, to bound the memory of a batch.
const MAX_SNAPSHOTS: usize = 32;
/// The maximum number of snapshots that are read together.
const MAX_READ: usize = 64;
/// The maximum size of the records that are read together, unless one alone is larger.
const MAX_READ_BYTES: u64 = 8 << 20;
/// The number of aggregates that are handled alone at the same time.
const ALONE: usize = 8;
/// After this many aggregates in a row failed because the store did, the rest of the batch fail with
/// the last of these errors. Otherwise each would wait for the same store.
const FAILURES: usize = 32;

/// An aggregate in a batch.
struct BatchItem<'a> {
    /// Its index in the batch.
    place: usize,
    key: &'a AggregateKey,
    planning: Planning<'a>,
}

/// A snapshot to be checked, of the aggregate in a batch at this index.
type Wanted = (usize, RetentionCandidate);

impl<A: Aggregate> EngineCore<A> {
    /// Applies `policy` to each aggregate; one result per key, in order.
    pub(super) async fn apply_many(
        &self,
        keys: &[AggregateKey],
        policy: &dyn Retention,
    ) -> Vec<Result<Retained, Error>> {
        let mut results = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            let _outdates: Vec<_> =
                batch.iter().map(|key| Outdates { cache: &self.cache, key }).collect();
            // A batch of one aggregate has no advantage.
            let done =
                if batch.len() > 1 { self.apply_batch(batch, policy).await } else { vec![None] };
            let alone = batch.iter().zip(&done).filter(|(_, done)| done.is_none());
            let alone: Vec<_> = alone.map(|(key, _)| key).collect();
            let mut alone = self.retain_each(&alone, policy).await.into_iter();
            results
                .extend(done.into_iter().filter_map(|done| done.map(Ok).or_else(|| alone.next())));
        }
        results
    }

    /// Applies `policy` to aggregates one by one, several at the same time.
    async fn retain_each(
        &self,
        keys: &[&AggregateKey],
        policy: &dyn Retention,
    ) -> Vec<Result<Retained, Error>> {
        let mut results = Vec::with_capacity(keys.len());
        let mut outage = Outage::default();
        for keys in keys.chunks(ALONE) {
            if let Some(error) = outage.error_after(FAILURES) {
                results.extend(keys.iter().map(|_| Err(error.clone())));
                continue;
            }
            let each: Vec<_> = keys.iter().map(|key| self.retain(key, policy, None)).collect();
            results.extend(join_all(each).await.into_iter().map(|retained| outage.note(retained)));
        }
        results
    }

    /// Applies `policy` to aggregates together. `None` means that the aggregate must be handled
    /// alone.
    async fn apply_batch(
        &self,
        keys: &[AggregateKey],
        policy: &dyn Retention,
    ) -> Vec<Option<Retained>> {
        let mut done: Vec<_> = keys.iter().map(|_| None).collect();
        let listed = self.list_batch(keys, policy).await;
        let begun = self.begin_planning(listed).await;
        let planned = self.judge_batch(begun).await;
        let plans = planned.into_iter().map(|item| (item.place, item.key, item.planning.finish()));
        for (place, retained) in self.delete_planned(plans.collect()).await {
            if let Some(slot) = done.get_mut(place) {
                *slot = Some(retained);
            }
        }
        done
    }

    /// Lists the snapshots of each aggregate.
    async fn list_batch<'a>(
        &self,
        keys: &'a [AggregateKey],
        policy: &'a dyn Retention,
    ) -> Vec<BatchItem<'a>> {
        let keys = keys.iter().enumerate().filter(|(_, key)| check_kind::<A>(key).is_ok());
        let keys: Vec<_> = keys.collect();
        let all = |(_, key): &(usize, &'a AggregateKey)| {
            ListRequest::new(key).at_most(SnapshotId::MAX_VERSION).limit(MAX_SNAPSHOTS)
        };
        let requests: Vec<_> = keys.iter().map(all).collect();
        let pages = match self.store.list_many(&requests).await {
            Ok(pages) if pages.len() == requests.len() => pages,
            _ => return Vec::new(),
        };
        let whole = keys.into_iter().zip(pages).filter(|(_, page)| page.next.is_none());
        whole
            .map(|((place, key), page)| {
                let planning = self.planning(page.items, policy, None);
                BatchItem { place, key, planning }
            })
            .collect()
    }

    /// Gets the replay floor of those aggregates that may lose a snapshot.
    async fn begin_planning<'a>(&self, mut items: Vec<BatchItem<'a>>) -> Vec<BatchItem<'a>> {
        let dropping = || items.iter().filter(|item| item.planning.drops());
        let keys: Vec<_> = dropping().map(|item| item.key).collect();
        if keys.is_empty() {
            return items;
        }
        match self.source.floor_many(&keys).await {
            Ok(floors) if floors.len() == keys.len() => {
                let dropping = items.iter_mut().filter(|item| item.planning.drops());
                for (item, floor) in dropping.zip(floors) {
                    item.planning.begin(floor);
                }
            }
            _ => items.retain(|item| !item.planning.drops()),
        }
        items
    }

    /// Checks the snapshots on which the plans depend: in each round, the next one of each
    /// aggregate.
    async fn judge_batch<'a>(&self, mut items: Vec<BatchItem<'a>>) -> Vec<BatchItem<'a>> {
        let mut open: Vec<_> = items.iter_mut().map(Some).collect();
        loop {
            let next = open.iter_mut().enumerate();
            let wanted =
                next.filter_map(|(at, item)| Some((at, item.as_mut()?.planning.wanted()?)));
            let wanted: Vec<Wanted> = wanted.collect();
            if wanted.is_empty() {
                break;
            }
            let mut rest = &wanted[..];
            while !rest.is_empty() {
                let (part, after) = rest.split_at(read_together(rest));
                rest = after;
                let of_part: Vec<_> = part
                    .iter()
                    .filter_map(|(at, candidate)| Some((open.get(*at)?.as_ref()?.key, *candidate)))
                    .collect();
                let judged = self.judge(&of_part).await;
                for ((at, _), is_usable) in part.iter().zip(judged) {
                    let Some(slot) = open.get_mut(*at) else { continue };
                    match (slot.as_mut(), is_usable) {
                        (Some(item), Some(is_usable)) => item.planning.judged(is_usable),
                        _ => *slot = None,
                    }
                }
            }
        }
        let known: Vec<_> = open.iter().map(Option::is_some).collect();
        items.into_iter().zip(known).filter(|(_, known)| *known).map(|(item, _)| item).collect()
    }

    /// Returns whether a load could resume from each of these snapshots. `None` means that it could
    /// not be found out together with the others.
    async fn judge(&self, wanted: &[(&AggregateKey, RetentionCandidate)]) -> Vec<Option<bool>> {
        let queries: Vec<_> = wanted.iter().map(|(key, of)| Query::exact(key, of.id)).collect();
        let lookups = match self.store.get_many(&queries).await {
            Ok(lookups) if lookups.len() == queries.len() => lookups,
            _ => return vec![None; wanted.len()],
        };
        let mut opened = Vec::with_capacity(wanted.len());
        for ((key, candidate), lookup) in wanted.iter().zip(lookups) {
            opened.push(self.opened(key, candidate.id, lookup));
        }
        let agree = self.agree_with_history(wanted, &mut opened).await;
        let mut judged = Vec::with_capacity(wanted.len());
        for ((opened, agrees), (key, _)) in opened.into_iter().zip(agree).zip(wanted) {
            judged.push(match opened {
                None => Some(false),
                Some(_) if agrees => Some(true),
                // The reading of one aggregate finds out why.
                Some(progress) => self.agrees_with_history(key, progress).await.ok(),
            });
        }
        judged
    }

    /// Compares snapshots with the events at their versions. Returns false if that has to be done
    /// separately.
    async fn agree_with_history(
        &self,
        wanted: &[(&AggregateKey, RetentionCandidate)],
        opened: &mut [Option<Progress<A>>],
    ) -> Vec<bool> {
        let mut agree = vec![false; wanted.len()];
        let mut reads = Vec::with_capacity(wanted.len());
        let mut ranges = vec![None; wanted.len()];
        let each = wanted.iter().zip(opened).zip(&mut ranges).enumerate();
        for (place, (((key, candidate), opened), asked)) in each {
            let Some(progress) = opened else { continue };
            let limits = Limits::from(Point::Version(candidate.id.version));
            let replay = Replay::new(progress, limits, &*self.clock);
            let range = replay.range();
            *asked = Some(range);
            reads.push(KeyedReplay::new(key, range, replay).at(place));
        }
        if reads.is_empty() || self.source.read_many(&mut reads).await.is_err() {
            return agree;
        }
        // The source may have put them into another order, and moved their ranges on.
        for read in reads {
            let place = read.place();
            let range = ranges.get(place).copied().flatten();
            let is_whole = range.is_some_and(|range| !ends_early(range, &read.replay))
                && read.replay.finish().ended == Ended::Whole;
            if let Some(slot) = agree.get_mut(place) {
                *slot = is_whole;
            }
        }
        agree
    }

    /// Deletes what the plans drop. Leaves out the aggregates of which it is not known whether that
    /// was done.
    async fn delete_planned(
        &self,
        plans: Vec<(usize, &AggregateKey, RetentionPlan)>,
    ) -> Vec<(usize, Retained)> {
        let ids = |plan: &RetentionPlan| plan.dropped().map(|judged| judged.id).collect::<Vec<_>>();
        let dropped: Vec<_> = plans.iter().map(|(_, key, plan)| (*key, ids(plan))).collect();
        let dropping = dropped.iter().filter(|(_, ids)| !ids.is_empty());
        let selected: Vec<_> = dropping.map(|(key, ids)| (*key, &ids[..])).collect();
        let deleted = if selected.is_empty() {
            Some(Vec::new())
        } else {
            let deleted = self.store.delete_many(&selected, DeleteOptions::default()).await;
            deleted.ok().filter(|deleted| deleted.len() == selected.len())
        };
        let mut deleted = deleted.map(Vec::into_iter);
        let mut retained = Vec::with_capacity(plans.len());
        for ((place, _, plan), (_, ids)) in plans.into_iter().zip(&dropped) {
            let deleted = match &mut deleted {
                _ if ids.is_empty() => Some(Deleted::default()),
                Some(deleted) => deleted.next(),
                None => None,
            };
            retained.extend(deleted.map(|deleted| (place, Retained::new(plan, deleted))));
        }
        retained
    }
}

/// Returns how many of these snapshots are read together, at least one.
fn read_together(wanted: &[Wanted]) -> usize {
    let mut bytes = 0_u64;
    let fitting = wanted.iter().take(MAX_READ).take_while(|(_, candidate)| {
        bytes = bytes.saturating_add(candidate.stored_bytes);
        bytes <= MAX_READ_BYTES
    });
    fitting.count().clamp(1, wanted.len())
}
