//! The search for a usable snapshot: newest first, at most three tries (R2).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;

use super::core::EngineCore;
use super::on_store_failure::OnStoreFailure;
use super::reader;
use super::stopwatch::Stopwatch;
use super::verify::Judge;
use crate::error::Error;
use crate::events::{Hybrid, HybridSource, Limits, Position, Progress, Tail};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::manager::{Proof, Rejected, SnapshotUsed};
use crate::record::{Header, RejectReason};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Found, Lookup, Query};
use crate::timestamp::Timestamp;

/// How many candidates are looked at before the events are replayed from the beginning; more only
/// if those are gone.
pub(super) const MAX_TRIES: u32 = 3;

/// A snapshot that could be decoded.
pub(super) struct SearchCandidate<A> {
    pub(super) progress: Progress<A>,
    pub(super) used: SnapshotUsed,
}

/// A search in progress. What [`next`](Self::next) finds may still be rejected when it is
/// compared with the events; the search then goes on below it.
pub(super) struct Search<'a, A: Aggregate> {
    core: &'a EngineCore<A>,
    pub(super) key: &'a AggregateKey,
    /// The bounds of the load; never narrowed.
    at_most: u64,
    as_of: Option<Timestamp>,
    /// 0 until the search begins again, above a floor that has risen meanwhile.
    at_least: u64,
    /// States that are not the ones that were written are accepted.
    is_lenient: bool,
    stage: SearchStage,
    tries: u32,
    /// The last one found, if it is of use so far.
    pub(super) candidate: Option<SearchCandidate<A>>,
    /// Answers the first question, if there is one, and brings `ahead` along.
    hybrid: Option<&'a dyn HybridSource<A>>,
    /// Events that came with an answer.
    pub(super) ahead: Option<Ahead<A>>,
    pub(super) rejected: Vec<Rejected>,
    /// What the store failed with, where the engine was told to replay then.
    pub(super) store_error: Option<Error>,
}

/// Events that were fetched together with a snapshot.
pub(super) struct Ahead<A> {
    /// The version after which they begin.
    pub(super) after: u64,
    pub(super) tail: Box<dyn Tail<A>>,
}

enum SearchStage {
    /// Snapshots of today's generation, at or below this version.
    Current(u64),
    /// Readable snapshots of other generations, newest first.
    Others(VecDeque<SnapshotId>),
    Over,
}

/// What the store's answer leads to.
enum SearchStep {
    Found,
    Next,
    /// To a look at other generations.
    Others,
    Over,
}

impl<'a, A: Aggregate> Search<'a, A> {
    pub(super) fn new(core: &'a EngineCore<A>, key: &'a AggregateKey, limits: Limits) -> Self {
        Self {
            core,
            key,
            at_most: limits.until,
            as_of: limits.until_time,
            at_least: 0,
            is_lenient: false,
            stage: SearchStage::Current(limits.until),
            tries: 0,
            candidate: None,
            hybrid: core.hybrid.as_deref(),
            ahead: None,
            rejected: Vec::new(),
            store_error: None,
        }
    }

    /// Notes that a candidate was not used after all.
    pub(super) fn reject(&mut self, version: u64, reject: RejectReason) {
        self.rejected.push(Rejected { version: Some(version), reason: reject });
    }

    /// Finds the next candidate and leaves it in [`candidate`](Self::candidate): none if there is
    /// no further one.
    pub(super) async fn next(&mut self, watch: &mut Stopwatch<'_>) -> Result<(), Error> {
        self.candidate = None;
        while let Some(query) = self.next_query() {
            let step = if let Some(hybrid) = self.hybrid.take() {
                Box::pin(self.ask_both(hybrid, query, watch)).await?
            } else {
                let mut asked = self.core.store.get(query);
                // The answer is looked at where it arrives: moving it about costs more than that.
                poll_fn(|context| {
                    asked.as_mut().poll(context).map(|answer| self.look_at(answer, &query, watch))
                })
                .await?
            };
            match step {
                SearchStep::Found => return Ok(()),
                SearchStep::Next => {}
                // Boxed, so that the future of every load does not have to hold it.
                SearchStep::Others => match Box::pin(self.other_generations()).await {
                    Ok(ids) => self.stage = SearchStage::Others(ids),
                    Err(error) => return self.failed(error),
                },
                SearchStep::Over => break,
            }
        }
        Ok(())
    }

    /// What to ask the store for next, or `None` when the search is over, or given up for now.
    fn next_query(&mut self) -> Option<Query<'a>> {
        if self.tries >= MAX_TRIES {
            return None;
        }
        let (generation, at_most) = match &mut self.stage {
            SearchStage::Current(at_most) => (self.core.generation, *at_most),
            SearchStage::Others(ids) => {
                let Some(id) = ids.pop_front() else {
                    self.stage = SearchStage::Over;
                    return None;
                };
                (id.generation, id.version)
            }
            SearchStage::Over => return None,
        };
        let query = Query::latest(self.key, generation).at_most(at_most);
        Some(match self.as_of {
            Some(time) => query.as_of(time),
            None => query,
        })
    }

    fn look_at(
        &mut self,
        answer: Result<Lookup, Error>,
        query: &Query<'_>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<SearchStep, Error> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.failed(error).map(|()| SearchStep::Over),
        };
        watch.fetched();
        let found = match answer {
            Lookup::Found(found) if found.version >= self.at_least => found,
            _ if matches!(self.stage, SearchStage::Others(_)) => return Ok(SearchStep::Next),
            // Absent below a rejected snapshot says nothing of other generations above it.
            Lookup::Absent if self.tries == 0 => {
                self.stage = SearchStage::Over;
                return Ok(SearchStep::Over);
            }
            _ => return Ok(SearchStep::Others),
        };
        self.tries += 1;
        if let SearchStage::Current(at_most) = &mut self.stage {
            match found.version.checked_sub(1) {
                Some(below) if below < *at_most => *at_most = below,
                // A store that does not keep to the bounds cannot be searched further.
                _ => self.stage = SearchStage::Over,
            }
        }
        let opened = self.open(&found, query);
        watch.decoded();
        match opened {
            Ok(()) => Ok(SearchStep::Found),
            Err(reject) => {
                self.reject(found.version, reject);
                Ok(SearchStep::Next)
            }
        }
    }

    /// Allows as many tries again; false if there is nothing left to try.
    pub(super) fn go_on(&mut self) -> bool {
        self.tries = 1;
        !matches!(self.stage, SearchStage::Over)
    }

    /// Looks once more for snapshots, at or above this floor; false if that was done before. Events
    /// are truncated after a snapshot was taken, which may be newer than this search.
    pub(super) fn begin_again(&mut self, floor: u64) -> bool {
        if self.at_least > 0 {
            return false;
        }
        self.at_least = floor.max(1);
        self.restart();
        true
    }

    /// Looks once more and accepts states that are not the ones that were written, if the
    /// application does; false if it does not, or if that was done before.
    pub(super) fn begin_leniently(&mut self) -> bool {
        if self.is_lenient || !self.core.accept_unverified {
            return false;
        }
        self.is_lenient = true;
        self.restart();
        true
    }

    fn restart(&mut self) {
        self.stage = SearchStage::Current(self.at_most);
        self.tries = 0;
    }

    /// Asks the source that answers with the events as well.
    async fn ask_both(
        &mut self,
        hybrid: &dyn HybridSource<A>,
        query: Query<'_>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<SearchStep, Error> {
        let answer = hybrid.fetch(query).await.map(|Hybrid { lookup, tail }| {
            let after = match &lookup {
                Lookup::Found(found) => found.version.saturating_sub(1),
                Lookup::Absent | Lookup::OtherGeneration => 0,
            };
            self.ahead = tail.map(|tail| Ahead { after, tail });
            lookup
        });
        self.look_at(answer, &query, watch)
    }

    /// The store failed: that ends the load, unless the engine was told to replay then.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        self.stage = SearchStage::Over;
        if self.core.on_store_failure != OnStoreFailure::Replay {
            return Err(error);
        }
        let reject = RejectReason::StoreFailed(error.to_string());
        self.rejected.push(Rejected { version: None, reason: reject });
        self.store_error = Some(error);
        Ok(())
    }

    /// What other generations have to offer within the bounds: the readable ones to try, newest
    /// first, and the newest of each unreadable one as a reason.
    async fn other_generations(&mut self) -> Result<VecDeque<SnapshotId>, Error> {
        let mut readable = VecDeque::new();
        let mut unreadable: Vec<Generation> = Vec::new();
        for meta in self.core.list(self.key, self.at_least..=self.at_most).await? {
            let id = meta.id();
            let in_time = self.as_of.is_none_or(|time| meta.as_of <= time);
            if id.generation == self.core.generation || !in_time || meta.is_retired() {
                continue;
            }
            if self.core.readers.iter().any(|reader| reader.knows(id.generation)) {
                readable.push_back(id);
            } else if !unreadable.contains(&id.generation) {
                unreadable.push(id.generation);
                self.reject(id.version, RejectReason::Stale(id.generation));
            }
        }
        Ok(readable)
    }

    fn open(&mut self, found: &Found, query: &Query<'_>) -> Result<(), RejectReason> {
        let header = found.record.header()?;
        if !header.is_of(self.key) {
            return Err(RejectReason::WrongAggregate);
        }
        if header.version != found.version {
            // Below its own version too: a store that calls a record by any version that it is
            // asked for would be asked for ever.
            if let SearchStage::Current(at_most) = &mut self.stage {
                *at_most = (*at_most).min(header.version.saturating_sub(1));
            }
            return Err(RejectReason::WrongVersion(header.version));
        }
        if !query.admits(header.version, header.as_of) {
            return Err(RejectReason::WrongVersion(header.version));
        }
        let (state, proof) = self.core.decode(found, &header, self.is_lenient)?;
        let progress = Progress { state, position: position(&header) };
        self.candidate = Some(SearchCandidate { progress, used: used(&header, proof) });
        Ok(())
    }
}

impl<A: Aggregate> EngineCore<A> {
    /// Decodes a record whose identity was checked (R3), and compares the state with the one that
    /// was written.
    pub(super) fn decode(
        &self,
        found: &Found,
        header: &Header<'_>,
        is_lenient: bool,
    ) -> Result<(Arc<A>, Proof), RejectReason> {
        let reader = reader::choose(&self.readers, header)?;
        let judge = Judge { header, turns: &self.turns, is_lenient };
        found.record.open(header, self.max_state_bytes, |raw| reader.decode(raw, &judge))
    }
}

pub(super) fn position(header: &Header<'_>) -> Position {
    Position {
        version: header.version,
        as_of: header.as_of,
        last_recorded_at: header.last_recorded_at,
        anchor: header.anchor.map(<[u8]>::to_vec),
    }
}

fn used(header: &Header<'_>, proof: Proof) -> SnapshotUsed {
    SnapshotUsed {
        id: SnapshotId { generation: header.generation, version: header.version },
        created_at: header.created_at,
        stored_bytes: header.record_bytes(),
        raw_bytes: header.raw_bytes.into(),
        proof,
        is_compared: true,
    }
}
