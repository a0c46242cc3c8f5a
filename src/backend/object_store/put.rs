//! Puts and rewrites: first the records, then the index.

use std::sync::Arc;

use futures_util::{FutureExt as _, future};
use object_store::path::Path;

use super::bucket_store::BucketStore;
use super::error::{RequestEffect, failed};
use super::in_flight::{make_all, make_grouped};
use super::incoming::{Incoming, PutVerdict, PutVerdicts};
use super::index::{AggregateIndex, Indexed};
use super::known::KnownIndex;
use crate::error::{Error, Retry};
use crate::key::AggregateKey;
use crate::random::random_number;
use crate::record::Record;
use crate::store::{PutOptions, PutOutcome, Rewrite};

const PUT: &str = "put a snapshot";

/// The records of one aggregate, and where each is in the call.
type Group = Vec<(usize, Incoming)>;

impl BucketStore {
    pub(super) async fn put(
        &self,
        records: Vec<Record>,
        options: &PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let limit = self.options.max_record_bytes;
        let incoming =
            records.into_iter().map(|record| Incoming::put(record, limit, random_number(PUT)?));
        let incoming = incoming.collect::<Result<Vec<_>, _>>()?;
        let count = incoming.len();
        let groups = self.groups(incoming)?;
        if options.replace && !options.marks.is_empty() {
            self.check_marks(&groups, options).await?;
        }
        self.apply_groups(groups, options, PutOutcome::Stored, count).await
    }

    pub(super) async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        Rewrite::check_all(&rewrites)?;
        let limit = self.options.max_record_bytes;
        let incoming =
            rewrites.into_iter().map(|it| Incoming::rewrite(it, limit, random_number(PUT)?));
        let incoming = incoming.collect::<Result<Vec<_>, _>>()?;
        let count = incoming.len();
        let groups = self.groups(incoming)?;
        // Nothing is there: an outcome that no rewrite has.
        let none = PutOutcome::Existing { identical: false };
        let outcomes = self.apply_groups(groups, &PutOptions::default(), none, count).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome == PutOutcome::Replaced).collect())
    }

    /// Groups records by aggregate, in order. Fails if a key is too long.
    fn groups(&self, incoming: Vec<Incoming>) -> Result<Vec<Group>, Error> {
        let mut places = std::collections::HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for (position, one) in incoming.into_iter().enumerate() {
            self.layout.index(&one.key)?;
            let place = *places.entry(one.key.clone()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(place) {
                group.push((position, one));
            }
        }
        Ok(groups)
    }

    /// Fails if a replaced snapshot would have too many marks, before anything is stored.
    async fn check_marks(&self, groups: &[Group], options: &PutOptions) -> Result<(), Error> {
        for group in groups {
            let Some((_, first)) = group.first() else { continue };
            let known = self.read_index(&first.key).await?;
            for (_, one) in group {
                if let Some(there) = known.index.find(one.id)
                    && options.replaces(&there.marks)
                {
                    there.marks.merged(&options.marks)?;
                }
            }
        }
        Ok(())
    }

    async fn apply_groups(
        &self,
        groups: Vec<Group>,
        options: &PutOptions,
        default: PutOutcome,
        count: usize,
    ) -> Result<Vec<PutOutcome>, Error> {
        let puts = groups.into_iter().map(|group| {
            async move {
                let (positions, mut incoming): (Vec<_>, Vec<_>) = group.into_iter().unzip();
                let outcomes = self.apply_group(&mut incoming, options).await?;
                Ok(positions.into_iter().zip(outcomes).collect::<Vec<_>>())
            }
            .boxed()
        });
        make_grouped(self.options.in_flight, puts.collect(), vec![default; count]).await
    }

    /// Puts records of one aggregate.
    async fn apply_group(
        &self,
        incoming: &mut [Incoming],
        options: &PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let Some(key) = incoming.first().map(|first| first.key.clone()) else {
            return Ok(Vec::new());
        };
        let _lock = self.locks.exclusive(&key).await;
        let path = self.layout.index(&key)?;
        let mut start = self.memory.index(&path);
        let verdicts = loop {
            let known = if let Some(known) = start.take() {
                self.send_needed(&key, incoming, &known.index, options).await?;
                known
            } else {
                // Most records are new: they are sent while the index is read.
                let read = self.read_index(&key);
                let wanted = vec![true; incoming.len()];
                future::try_join(read, self.send(&key, incoming, &wanted)).await?.0
            };
            let change = |index: &AggregateIndex| Incoming::change(incoming, index, options);
            if let Some(verdicts) = self.update(&key, Some(known), change).await? {
                break verdicts;
            }
            // A snapshot was deleted meanwhile, so that a record is needed after all.
            start = self.memory.index(&path);
        };
        let unused = incoming.iter().zip(&verdicts.keeps);
        let unused = unused.filter(|(one, is_kept)| one.is_sent && !**is_kept);
        let unused = unused.map(|(one, _)| self.layout.record(&key, one.id, one.object));
        let mut garbage = unused.collect::<Result<Vec<_>, _>>()?;
        garbage.extend(self.record_paths(&key, &verdicts.removed)?);
        let outcomes = self.outcomes(&key, incoming, verdicts).await;
        self.discard(garbage).await;
        // Others of the records may have been stored.
        outcomes.map_err(|error| error.with_retry(Retry::Unknown))
    }

    /// Sends the records that this index needs.
    async fn send_needed(
        &self,
        key: &AggregateKey,
        incoming: &mut [Incoming],
        index: &AggregateIndex,
        options: &PutOptions,
    ) -> Result<(), Error> {
        // What is refused may be allowed by an index that is newer than this one.
        let Ok((_, verdicts)) = Incoming::apply_all(incoming, index, options) else {
            return Ok(());
        };
        let wanted: Vec<_> = verdicts.all.iter().map(PutVerdict::needs_object).collect();
        self.send(key, incoming, &wanted).await
    }

    async fn send(
        &self,
        key: &AggregateKey,
        incoming: &mut [Incoming],
        wanted: &[bool],
    ) -> Result<(), Error> {
        let unsent = incoming.iter_mut().zip(wanted);
        let sends = unsent.filter(|(one, wanted)| **wanted && !one.is_sent).map(|(one, _)| {
            async move {
                let path = self.layout.record(key, one.id, one.object)?;
                let bytes = one.record.clone().into_bytes();
                let sent = self.remote.write_new(&path, bytes).await;
                sent.map_err(|error| failed(PUT, RequestEffect::Write, &error))?;
                one.is_sent = true;
                Ok(())
            }
            .boxed()
        });
        make_all(self.options.in_flight, sends.collect()).await.map(drop)
    }

    async fn outcomes(
        &self,
        key: &AggregateKey,
        incoming: &[Incoming],
        verdicts: PutVerdicts,
    ) -> Result<Vec<PutOutcome>, Error> {
        let mut outcomes = Vec::with_capacity(incoming.len());
        for (one, verdict) in incoming.iter().zip(verdicts.all) {
            outcomes.push(match verdict {
                PutVerdict::Stored => PutOutcome::Stored,
                PutVerdict::Replaced => PutOutcome::Replaced,
                PutVerdict::Unexpected => PutOutcome::Existing { identical: false },
                PutVerdict::Existing(there) => {
                    let identical = self.is_state_of(key, incoming, &there, &one.record).await?;
                    PutOutcome::Existing { identical }
                }
            });
        }
        Ok(outcomes)
    }

    async fn is_state_of(
        &self,
        key: &AggregateKey,
        incoming: &[Incoming],
        there: &Indexed,
        record: &Record,
    ) -> Result<bool, Error> {
        let own = incoming.iter().find(|one| one.object == there.object);
        let stored = match own {
            Some(own) => Some(own.record.clone()),
            None => self.record(key, there).await?,
        };
        Ok(stored.is_some_and(|stored| stored.has_state_of(record)))
    }

    /// Deletes objects that no index names. What fails is left to `sweep`.
    pub(super) async fn discard(&self, paths: Vec<Path>) {
        drop(self.delete_objects(paths).await);
    }

    /// The index of an aggregate as it is in memory, to start a change from.
    pub(super) fn remembered(&self, key: &AggregateKey) -> Result<Option<Arc<KnownIndex>>, Error> {
        Ok(self.memory.index(&self.layout.index(key)?))
    }
}
