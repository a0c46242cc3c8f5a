//! The search for a usable snapshot: newest first, at most three attempts (R2).

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
use crate::record::{Header, OpenWith, Record, RejectReason};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Found, Lookup, Query};
use crate::timestamp::Timestamp;

/// The number of candidates that are tried before the events are replayed from the beginning. If
/// the first events are gone, the search continues.
pub(super) const MAX_TRIES: u32 = 3;

/// A snapshot that was decoded.
pub(super) struct SearchCandidate<A> {
    pub(super) progress: Progress<A>,
    pub(super) used: SnapshotUsed,
}

/// A search in progress. A candidate that [`next`](Self::next) finds may still be rejected when it
/// is compared with the events. The search then continues below it.
pub(super) struct Search<'a, A: Aggregate> {
    core: &'a EngineCore<A>,
    pub(super) key: &'a AggregateKey,
    /// The upper bounds of the load, which never change.
    at_most: u64,
    as_of: Option<Timestamp>,
    /// The lowest version to accept: 0 until the search restarts because the floor has risen.
    at_least: u64,
    /// Whether states that differ from the ones that were written are accepted.
    is_lenient: bool,
    stage: SearchStage,
    tries: u32,
    /// The last candidate found, unless it was rejected.
    pub(super) candidate: Option<SearchCandidate<A>>,
    /// The hybrid source, if there is one. Answers the first query and also returns `ahead`.
    hybrid: Option<&'a dyn HybridSource<A>>,
    /// Events that a hybrid answer returned.
    pub(super) ahead: Option<Ahead<A>>,
    pub(super) rejected: Vec<Rejected>,
    /// The store's error, if the engine is configured to replay when the store fails.
    pub(super) store_error: Option<Error>,
    /// Whether the store was not asked, because it is down.
    has_skipped: bool,
    /// Whether the store is asked even if it is down.
    is_insistent: bool,
}

/// Events that were fetched together with a snapshot.
pub(super) struct Ahead<A> {
    /// The version after which the events begin.
    pub(super) after: u64,
    pub(super) tail: Box<dyn Tail<A>>,
}

enum SearchStage {
    /// Snapshots of the current generation, at or below this version.
    Current(u64),
    /// Readable snapshots of other generations, newest first.
    Others(VecDeque<SnapshotId>),
    Over,
}

/// What to do after an answer from the store.
enum SearchStep {
    Found,
    Next,
    /// Search other generations.
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
            has_skipped: false,
            is_insistent: false,
        }
    }

    /// Records that a candidate was rejected.
    pub(super) fn reject(&mut self, version: u64, reject: RejectReason) {
        self.rejected.push(Rejected { version: Some(version), reason: reject });
    }

    /// Finds the next candidate and stores it in [`candidate`](Self::candidate), or stores `None`
    /// if there is no further one.
    pub(super) async fn next(&mut self, watch: &mut Stopwatch<'_>) -> Result<(), Error> {
        self.candidate = None;
        if self.tries == 0
            && !self.is_insistent
            && let Some(error) = self.core.store_is_skipped()
        {
            self.has_skipped = true;
            return self.give_up(error);
        }
        while let Some(query) = self.next_query() {
            let step = if let Some(hybrid) = self.hybrid.take() {
                Box::pin(self.ask_both(hybrid, query, watch)).await?
            } else {
                let mut asked = self.core.store.get(query);
                // Processed inside the poll, because moving the answer costs more than processing
                // it.
                poll_fn(|context| {
                    asked.as_mut().poll(context).map(|answer| self.look_at(answer, &query, watch))
                })
                .await?
            };
            match step {
                SearchStep::Found => return Ok(()),
                SearchStep::Next => {}
                // Boxed, so that the future of every load stays small.
                SearchStep::Others => match Box::pin(self.other_generations()).await {
                    Ok(ids) => self.stage = SearchStage::Others(ids),
                    Err(error) => return self.failed(error),
                },
                SearchStep::Over => break,
            }
        }
        Ok(())
    }

    /// Returns the next query, or `None` if the search is over or has used up its attempts.
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
        self.core.store_answered();
        watch.fetched();
        let found = match answer {
            Lookup::Found(found) if found.version >= self.at_least => found,
            _ if matches!(self.stage, SearchStage::Others(_)) => return Ok(SearchStep::Next),
            // `Absent` below a rejected snapshot does not exclude other generations above it.
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
                // A store that ignores the bounds cannot be searched further.
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

    /// Takes the answer to the first query, which was fetched together with those for other
    /// aggregates. Returns true if it is a candidate, or if there is no snapshot at all, and false
    /// if the search would have to continue.
    pub(super) fn begin_with(&mut self, answer: Hybrid<A>, watch: &mut Stopwatch<'_>) -> bool {
        let Some(query) = self.next_query() else { return false };
        let lookup = self.take_tail(answer);
        match self.look_at(Ok(lookup), &query, watch) {
            Ok(SearchStep::Found) => true,
            Ok(SearchStep::Over) => self.rejected.is_empty(),
            Ok(SearchStep::Next | SearchStep::Others) | Err(_) => false,
        }
    }

    /// Keeps the events of an answer for the replay.
    fn take_tail(&mut self, Hybrid { lookup, tail }: Hybrid<A>) -> Lookup {
        let after = match &lookup {
            Lookup::Found(found) => found.version.saturating_sub(1),
            Lookup::Absent | Lookup::OtherGeneration => 0,
        };
        self.ahead = tail.map(|tail| Ahead { after, tail });
        lookup
    }

    /// Allows further attempts; returns false if there is nothing left to try.
    pub(super) fn go_on(&mut self) -> bool {
        self.tries = 1;
        !matches!(self.stage, SearchStage::Over)
    }

    /// Restarts the search for snapshots at or above this floor; returns false if that was done
    /// before. Events are truncated only after a snapshot was taken, and that snapshot may be newer
    /// than the first search.
    pub(super) fn begin_again(&mut self, floor: u64) -> bool {
        if self.at_least > 0 {
            return false;
        }
        self.at_least = floor.max(1);
        self.restart();
        true
    }

    /// Restarts the search and accepts states that differ from the ones that were written, if the
    /// application allows that. Returns false if it does not, or if that was done before.
    pub(super) fn begin_leniently(&mut self) -> bool {
        if self.is_lenient || !self.core.accept_unverified {
            return false;
        }
        self.is_lenient = true;
        self.restart();
        true
    }

    /// Restarts the search and asks the store although it is down. Returns false if it was asked.
    pub(super) fn begin_insistently(&mut self) -> bool {
        self.is_insistent = std::mem::take(&mut self.has_skipped);
        if self.is_insistent {
            self.restart();
        }
        self.is_insistent
    }

    fn restart(&mut self) {
        self.stage = SearchStage::Current(self.at_most);
        self.tries = 0;
    }

    /// Queries the hybrid source, which also returns events.
    async fn ask_both(
        &mut self,
        hybrid: &dyn HybridSource<A>,
        query: Query<'_>,
        watch: &mut Stopwatch<'_>,
    ) -> Result<SearchStep, Error> {
        let answer = hybrid.fetch(query).await.map(|answer| self.take_tail(answer));
        self.look_at(answer, &query, watch)
    }

    /// Handles a store failure: returns the error, unless the engine is configured to replay.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        self.core.store_failed(&error);
        self.give_up(error)
    }

    fn give_up(&mut self, error: Error) -> Result<(), Error> {
        self.stage = SearchStage::Over;
        if self.core.on_store_failure != OnStoreFailure::Replay {
            return Err(error);
        }
        let reject = RejectReason::StoreFailed(error.to_string());
        self.rejected.push(Rejected { version: None, reason: reject });
        self.store_error = Some(error);
        Ok(())
    }

    /// Returns the readable snapshots of other generations within the bounds, newest first. Rejects
    /// the newest snapshot of each unreadable generation.
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
            // Continue below the record's own version. Otherwise, a store that returns the same
            // record for every requested version would be queried without end.
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
    /// What records are opened with, besides their own bases.
    pub(super) fn open_with<'a>(&'a self, bases: &'a [Record]) -> OpenWith<'a> {
        OpenWith { bases, openers: &self.openers, max_raw_bytes: self.max_state_bytes }
    }

    /// Decodes a record whose identity was checked (R3), and verifies the state by its digest.
    pub(super) fn decode(
        &self,
        found: &Found,
        header: &Header<'_>,
        is_lenient: bool,
    ) -> Result<(Arc<A>, Proof), RejectReason> {
        let reader = reader::choose(&self.readers, header)?;
        let judge = Judge { header, turns: &self.turns, is_lenient };
        found.record.open(header, self.open_with(&found.bases), |raw| reader.decode(raw, &judge))
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
