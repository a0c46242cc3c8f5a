//! Lies about which aggregates have snapshots of a time.

use std::sync::Mutex;

use snapfold::record::{Header, Record};
use snapfold::store::{KeysRequest, Page, PutOptions};
use snapfold::{AggregateKey, SnapshotId, Timestamp};

use super::mutant::{Keys, Mutant, Outcomes};
use super::truth::{Truth, cursor_at};

mutants! {
    looks_at_the_time_of_the_newest_snapshot_only: NewestOnly breaks "C-44";
    leaves_out_what_was_created_at_the_lower_bound: AfterFrom breaks "C-44";
    takes_the_time_of_the_events_for_that_of_creation: AsOf breaks "C-44";
    looks_at_the_time_of_the_earliest_snapshot_only: EarliestOnly breaks "C-44";
    keeps_the_time_of_a_replaced_snapshot: FirstTime breaks "C-44";
    lists_no_aggregates_of_other_times: Exact;
}

/// The keys, of which some are left out.
fn only(truth: &Truth, request: KeysRequest<'_>, keep: impl Fn(&AggregateKey) -> bool) -> Keys {
    if request.created_from.or(request.created_before).is_none() {
        return truth.keys(request);
    }
    let limit = request.limit.max(1);
    let mut items = truth.keys(request.limit(usize::MAX))?.items;
    items.retain(keep);
    let next = items.get(limit - 1).filter(|_| items.len() > limit).map(cursor_at);
    items.truncate(limit);
    Ok(Page::new(items, next))
}

/// A time of each snapshot of a key, by version.
fn times(truth: &Truth, key: &AggregateKey, of: fn(&Header<'_>) -> Timestamp) -> Vec<Timestamp> {
    let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
    rows.values().map(|row| of(&row.record.header().unwrap())).collect()
}

/// As a store with an index by time may.
#[derive(Default)]
struct Exact;

impl Mutant for Exact {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        only(truth, request, |key| {
            let times = times(truth, key, |header| header.created_at);
            times.into_iter().any(|time| request.admits_created_at(time))
        })
    }
}

#[derive(Default)]
struct NewestOnly;

impl Mutant for NewestOnly {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        only(truth, request, |key| {
            let times = times(truth, key, |header| header.created_at);
            times.last().is_some_and(|time| request.admits_created_at(*time))
        })
    }
}

#[derive(Default)]
struct AfterFrom;

impl Mutant for AfterFrom {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        only(truth, request, |key| {
            let times = times(truth, key, |header| header.created_at);
            let within = |time| request.admits_created_at(time);
            times.into_iter().any(|time| within(time) && Some(time) != request.created_from)
        })
    }
}

#[derive(Default)]
struct AsOf;

impl Mutant for AsOf {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        only(truth, request, |key| {
            let times = times(truth, key, |header| header.as_of);
            times.into_iter().any(|time| request.admits_created_at(time))
        })
    }
}

#[derive(Default)]
struct EarliestOnly;

impl Mutant for EarliestOnly {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        only(truth, request, |key| {
            let times = times(truth, key, |header| header.created_at);
            times.into_iter().min().is_some_and(|time| request.admits_created_at(time))
        })
    }
}

/// An index by time that a replacement does not change.
#[derive(Default)]
struct FirstTime(Mutex<Vec<(AggregateKey, SnapshotId, Timestamp)>>);

impl Mutant for FirstTime {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let incoming: Vec<_> = records
            .iter()
            .filter_map(|record| {
                let created = record.header().ok()?.created_at;
                let incoming = truth.incoming(record.clone());
                Some((incoming.key, incoming.id, created))
            })
            .collect();
        let outcomes = truth.put(records, options)?;
        let mut index = self.0.lock().unwrap();
        for (key, id, created) in incoming {
            if !index.iter().any(|(of, at, _)| (of, at) == (&key, &id)) {
                index.push((key, id, created));
            }
        }
        Ok(outcomes)
    }

    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        let index = self.0.lock().unwrap();
        only(truth, request, |key| {
            let mut own = index.iter().filter(|(of, ..)| of == key);
            own.any(|(_, _, time)| request.admits_created_at(*time))
        })
    }
}
