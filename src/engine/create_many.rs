//! Taking several snapshots: current states are loaded together, and records are put together.
//!
//! Requests are handled in chunks, several at a time. A chunk loads as many states together as are
//! expected to fit into [`LOAD_BYTES`], and puts its records when they reach [`PUT_BYTES`]. Memory
//! is bounded by these, whatever the number of requests.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};

use super::SnapshotEngine;
use super::annotations::Annotations;
use super::audited::{Audited, audited};
use super::captured::Capture;
use super::core::caught;
use super::create::PreparedSnapshot;
use super::reconstructed::{Purpose, Reconstructed};
use super::recorder::creation;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{AdminContext, CreateOutcome, CreateRequest};
use crate::mark::Marks;
use crate::record::Record;
use crate::state::Aggregate;
use crate::store::PutOutcome;

/// The number of requests in a chunk, and the maximum number of records in a put.
pub(super) const CHUNK: usize = 64;
/// The number of chunks that are handled at a time.
const CHUNKS: usize = 4;
/// The states that are loaded together have about this size at most.
const LOAD_BYTES: u64 = 4 << 20;
/// Records are put early when they reach this size.
const PUT_BYTES: usize = 8 << 20;
/// The number of states that are loaded together while no size is known.
const FIRST_LOADS: usize = 8;
/// The number of states that a chunk loads at a time if they cannot be loaded together.
const SINGLE_LOADS: usize = 8;

const CREATE: &str = "take a snapshot";

/// The size of the largest state in the last load, in bytes; 0 if it is not known yet.
#[derive(Default)]
pub(super) struct ExpectedSize(AtomicU64);

impl ExpectedSize {
    /// Returns how many states are loaded together.
    fn loads(&self) -> usize {
        match self.0.load(Ordering::Relaxed) {
            0 => FIRST_LOADS,
            size => usize::try_from(LOAD_BYTES / size).unwrap_or(CHUNK).clamp(1, CHUNK),
        }
    }

    fn set(&self, size: u64) {
        if size > 0 {
            self.0.store(size, Ordering::Relaxed);
        }
    }
}

type Created = Result<CreateOutcome, Error>;

impl<A: Aggregate> SnapshotEngine<A> {
    /// Takes the requested snapshots; one result per request, in order.
    pub(super) async fn create_requests(
        &self,
        requests: &[CreateRequest],
        context: &AdminContext,
        size: &ExpectedSize,
    ) -> Vec<Created> {
        let mut results: Vec<Option<Created>> = requests.iter().map(|_| None).collect();
        for round in rounds(requests) {
            let chunks = round.chunks(CHUNK).map(|places| {
                let chunk = places.iter().filter_map(|place| requests.get(*place)).collect();
                self.chunk(chunk, context, size)
            });
            // The vector makes the lifetimes concrete, which the compiler needs to see that the
            // future is `Send`.
            let chunks: Vec<_> = chunks.collect();
            let created: Vec<_> = stream::iter(chunks).buffered(CHUNKS).collect().await;
            for (place, created) in round.iter().zip(created.into_iter().flatten()) {
                if let Some(slot) = results.get_mut(*place) {
                    *slot = Some(created);
                }
            }
        }
        results.into_iter().map(|created| created.unwrap_or_else(|| Err(unanswered()))).collect()
    }

    fn chunk<'f>(
        &'f self,
        requests: Vec<&'f CreateRequest>,
        context: &'f AdminContext,
        size: &'f ExpectedSize,
    ) -> BoxFuture<'f, Vec<Created>> {
        Box::pin(async move {
            let mut chunk = CreateChunk::new(self, requests, context);
            match refusal(context) {
                Some(error) => chunk.refuse(&error),
                None => chunk.run(size).await,
            }
            chunk.into_results()
        })
    }
}

/// A chunk of requests for different aggregates, or of few enough to be loaded together.
struct CreateChunk<'a, A: Aggregate> {
    engine: &'a SnapshotEngine<A>,
    context: &'a AdminContext,
    places: Vec<RequestPlace<'a, A>>,
    /// The records that wait for a put, each with the index of its place.
    ready: Vec<(usize, Record)>,
    ready_bytes: usize,
}

/// A request, and what came of it so far.
struct RequestPlace<'a, A: Aggregate> {
    request: &'a CreateRequest,
    /// Its entry in the audit trail, until there is a result.
    audited: Option<Audited<'a, A>>,
    /// The pins of its snapshot.
    marks: Marks,
    took: Duration,
    result: Option<Created>,
}

impl<'a, A: Aggregate> CreateChunk<'a, A> {
    fn new(
        engine: &'a SnapshotEngine<A>,
        requests: Vec<&'a CreateRequest>,
        context: &'a AdminContext,
    ) -> Self {
        let place = |request: &'a CreateRequest| RequestPlace {
            request,
            audited: Some(audited(
                &engine.core,
                "create",
                &request.key,
                request.options.version,
                context,
            )),
            marks: Marks::NONE,
            took: Duration::ZERO,
            result: None,
        };
        let places = requests.into_iter().map(place).collect();
        Self { engine, context, places, ready: Vec::new(), ready_bytes: 0 }
    }

    async fn run(&mut self, size: &ExpectedSize) {
        let (mut together, mut single) = (Vec::new(), Vec::new());
        for at in 0..self.places.len() {
            let Some(place) = self.places.get_mut(at) else { break };
            let (request, options) = (place.request, &place.request.options);
            let checked = Annotations::of(options, self.context).details.check();
            let pins = || self.engine.core.pins(options, &self.context.actor);
            match checked.and_then(|()| pins()) {
                Ok(marks) => place.marks = marks,
                Err(error) => {
                    self.done(at, Err(error));
                    continue;
                }
            }
            let is_current = options.version.is_none()
                && !options.if_changed
                && !options.summarize_changes
                && self.context.idempotency_key.is_none();
            if is_current { &mut together } else { &mut single }.push((at, request));
        }
        for requests in single.chunks(SINGLE_LOADS) {
            self.prepare(requests).await;
        }
        let mut rest = together.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(size.loads().min(rest.len()));
            size.set(self.load(now).await);
            rest = later;
        }
        self.put().await;
    }

    /// Loads states that cannot be loaded together, and encodes them.
    async fn prepare(&mut self, requests: &[(usize, &'a CreateRequest)]) {
        let (engine, context) = (self.engine, self.context);
        let prepare = |(at, request): &(usize, &'a CreateRequest)| -> BoxFuture<'a, _> {
            let (at, request) = (*at, *request);
            Box::pin(async move {
                let started = engine.core.clock.monotonic();
                let prepare = engine.core.prepare(&request.key, &request.options, context);
                let prepared = caught(CREATE, prepare).await.and_then(|prepared| prepared);
                (at, prepared, engine.core.clock.monotonic().saturating_sub(started))
            })
        };
        let prepared: Vec<_> = requests.iter().map(prepare).collect();
        let mut prepared = stream::iter(prepared).buffered(SINGLE_LOADS);
        while let Some((at, prepared, took)) = prepared.next().await {
            self.prepared(at, prepared, took).await;
        }
    }

    /// Loads current states together, and encodes them one after another. Returns the size of the
    /// largest.
    async fn load(&mut self, requests: &[(usize, &'a CreateRequest)]) -> u64 {
        let core = &self.engine.core;
        let keys: Vec<_> = requests.iter().map(|(_, request)| request.key.clone()).collect();
        let started = core.clock.monotonic();
        let loaded = core.load_many::<Reconstructed<A>>(&keys, Purpose::Capture).await;
        let share = share(core.clock.monotonic().saturating_sub(started), requests.len());
        let mut largest = 0;
        for ((at, request), loaded) in requests.iter().zip(loaded) {
            let started = core.clock.monotonic();
            let prepared = match loaded {
                Ok(loaded) => {
                    let annotations = Annotations::of(&request.options, self.context);
                    let encode = core.encode_loaded(loaded, &annotations);
                    caught(CREATE, encode).await.and_then(|prepared| prepared)
                }
                Err(error) => Err(error),
            };
            if let Ok(PreparedSnapshot::Captured(capture)) = &prepared {
                largest = largest.max(capture.bytes);
            }
            let encoding = core.clock.monotonic().saturating_sub(started);
            self.prepared(*at, prepared, share.saturating_add(encoding)).await;
        }
        largest
    }

    /// Adds a record to those that wait, or the result if there is nothing to put.
    async fn prepared(
        &mut self,
        at: usize,
        prepared: Result<PreparedSnapshot<A>, Error>,
        took: Duration,
    ) {
        self.took(at, took);
        let record = match prepared {
            Ok(PreparedSnapshot::Captured(Capture { record, .. })) => record,
            Ok(PreparedSnapshot::Done(outcome)) => return self.done(at, Ok(*outcome)),
            Err(error) => return self.done(at, Err(error)),
        };
        self.ready_bytes = self.ready_bytes.saturating_add(record.as_bytes().len());
        self.ready.push((at, record));
        if self.ready_bytes >= PUT_BYTES {
            self.put().await;
        }
    }

    /// Puts the records that wait: those with pins, or that may replace, one by one, the others together.
    async fn put(&mut self) {
        self.ready_bytes = 0;
        let (mut marked, mut plain, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for (at, record) in mem::take(&mut self.ready) {
            let place = self.places.get(at);
            let replaces = place.is_some_and(|place| place.request.options.or_replace);
            match place.map(|place| place.marks.clone()) {
                Some(marks) if replaces || !marks.is_empty() => {
                    marked.push((at, record, marks, replaces));
                }
                _ => {
                    plain.push(at);
                    records.push(record);
                }
            }
        }
        let core = &self.engine.core;
        let started = core.clock.monotonic();
        let put = self.put_together(&records).await;
        let share = share(core.clock.monotonic().saturating_sub(started), records.len());
        for ((at, record), outcome) in plain.into_iter().zip(&records).zip(put) {
            let started = core.clock.monotonic();
            let created = match outcome {
                Ok(outcome) => {
                    let settled = caught(CREATE, core.settled(record, Some(outcome))).await;
                    settled.and_then(|created| created)
                }
                Err(error) => Err(error),
            };
            let settling = core.clock.monotonic().saturating_sub(started);
            self.took(at, share.saturating_add(settling));
            self.done(at, created);
        }
        for (at, record, marks, replaces) in marked {
            let started = core.clock.monotonic();
            let created = caught(CREATE, core.create_marked(&record, marks, replaces)).await;
            self.took(at, core.clock.monotonic().saturating_sub(started));
            self.done(at, created.and_then(|created| created));
        }
    }

    /// Puts records in one call and returns the outcome of each.
    async fn put_together(&self, records: &[Record]) -> Vec<Result<PutOutcome, Error>> {
        if records.is_empty() {
            return Vec::new();
        }
        let core = &self.engine.core;
        let panic = match caught(CREATE, core.put_each(records)).await {
            Ok(outcomes) => return outcomes,
            Err(panic) if records.len() == 1 => return vec![Err(panic)],
            Err(panic) => panic,
        };
        // Putting each record by itself shows for which of them the store panics.
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records.chunks(1) {
            let put = caught(CREATE, core.put_each(record)).await;
            outcomes.extend(put.unwrap_or_else(|_| vec![Err(panic.clone())]));
        }
        outcomes
    }

    fn took(&mut self, at: usize, more: Duration) {
        if let Some(place) = self.places.get_mut(at) {
            place.took = place.took.saturating_add(more);
        }
    }

    /// Remembers, records and reports a result.
    fn done(&mut self, at: usize, created: Created) {
        let Some(place) = self.places.get_mut(at) else { return };
        if let Ok(created) = &created {
            self.engine.remember(created);
            self.engine.core.enter(creation(created, place.took));
        }
        if let Some(audited) = place.audited.take() {
            audited.created_in(place.took, &created);
        }
        place.result = Some(created);
    }

    fn refuse(&mut self, error: &Error) {
        for at in 0..self.places.len() {
            self.done(at, Err(error.clone()));
        }
    }

    fn into_results(self) -> Vec<Created> {
        let results = self.places.into_iter().map(|place| place.result);
        results.map(|result| result.unwrap_or_else(|| Err(unanswered()))).collect()
    }
}

/// Returns why a context is refused.
fn refusal(context: &AdminContext) -> Option<Error> {
    context.check().err().or_else(|| {
        let message = "an expected version applies to one aggregate, not to several: leave it out";
        let refused = |_| Error::new(ErrorKind::InvalidInput, "create snapshots", message);
        context.expected_version.map(refused)
    })
}

/// Returns the indexes of the requests in rounds: the first request for each aggregate, then the
/// second ones, and so on.
fn rounds(requests: &[CreateRequest]) -> Vec<Vec<usize>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    let mut seen: HashMap<&AggregateKey, usize> = HashMap::with_capacity(requests.len());
    for (place, request) in requests.iter().enumerate() {
        let earlier = seen.entry(&request.key).or_default();
        match rounds.get_mut(*earlier) {
            Some(round) => round.push(place),
            None => rounds.push(vec![place]),
        }
        *earlier += 1;
    }
    rounds
}

fn share(took: Duration, among: usize) -> Duration {
    took / u32::try_from(among).unwrap_or(u32::MAX).max(1)
}

/// The error for a request that got no answer. No code path leads here.
fn unanswered() -> Error {
    Error::new(ErrorKind::Store, CREATE, "the request was not handled: this is a bug in snapfold")
}
