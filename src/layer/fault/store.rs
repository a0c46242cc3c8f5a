//! [`FaultyStore`]: a store that injects faults into another store.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use tokio::runtime::Handle;

use super::config::Faults;
use super::dice::Draw;
use super::earlier::{Earlier, EarlierAnswer, EarlierQuestion};
use super::kind::{Fault, StoreCall};
use super::report::FaultReport;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Erased, Found, KeysRequest, ListRequest, Lookup,
    Page, PutOptions, PutOutcome, Query, Rewrite, Selection, SnapshotStore, get_each, list_each,
};

/// A store that injects faults into another store, to test applications and this crate.
///
/// The faults of the n-th call of a method depend only on the seed. A test that makes the same
/// calls in the same order gets the same faults. To reproduce a failure, use the seed that
/// [`report`](Self::report) and `Debug` print.
///
/// The faults are those of real disks, networks and replicas. With any of them, a load must still
/// equal a full replay or fail with a typed error. Clones share the faults and the report.
///
/// Delays and hangs use tokio's time, so they take no real time if the clock is paused. They
/// require a tokio runtime with time enabled. Outside a runtime, such a call fails with
/// [`ErrorKind::Unsupported`].
///
/// # Cancellation
/// As with a real store, a dropped call may or may not have taken effect. It has no effect later.
///
/// # Example
/// A test of an application: whatever the store does, the balance is correct.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use snapfold::engine::OnStoreFailure;
/// use snapfold::layer::{Fault, Faults, FaultyStore, StoreCall};
/// use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Account { balance: i64 }
/// # impl Aggregate for Account {
/// #     type Event = i64;
/// #     const KIND: &'static str = "account";
/// #     const SCHEMA_VERSION: u32 = 1;
/// #     fn initial(_: &AggregateKey) -> Self { Account { balance: 0 } }
/// #     fn apply(&mut self, paid: &i64) { self.balance += paid; }
/// # }
///
/// # tokio::runtime::Builder::new_current_thread()
/// #     .enable_time()
/// #     .start_paused(true)
/// #     .build()
/// #     .unwrap()
/// #     .block_on(async {
/// let faults = Faults::mixed(7, 0.05).rate_on(StoreCall::Get, Fault::Torn, 0.3);
/// let store = FaultyStore::new(MemoryStore::new(), faults);
/// let events = MemoryEvents::new();
/// let engine = SnapshotEngine::<Account>::builder(events.clone(), store.clone())
///     .on_store_failure(OnStoreFailure::Replay)
///     .build()?;
///
/// let key = Account::key("a-1")?;
/// for paid in 1..=200 {
///     events.append(&key, Timestamp::from_seconds(paid), 1);
///     let _ = engine.create(&key).await; // may fail, with or without effect
///     assert_eq!(engine.load(&key).await?.state.balance, paid, "{}", store.report());
/// }
/// assert!(store.report().count(Fault::Torn) > 20);
///
/// store.stop();
/// engine.create(&key).await?;
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn SnapshotStore>,
    faults: Arc<Faults>,
    shared: Arc<Mutex<SharedFaults>>,
}

#[derive(Default)]
struct SharedFaults {
    is_stopped: bool,
    report: FaultReport,
    forced: BTreeMap<StoreCall, VecDeque<Fault>>,
    earlier: Earlier,
}

impl FaultyStore {
    /// Wraps `inner`. The resulting store has the same capabilities.
    pub fn new(inner: impl SnapshotStore + 'static, faults: Faults) -> Self {
        let report = FaultReport { seed: faults.seed, ..FaultReport::default() };
        let shared = SharedFaults { report, ..SharedFaults::default() };
        Self {
            inner: Arc::new(inner),
            faults: Arc::new(faults),
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Applies `fault` to the next call to the store method `call`. If `fail_next` is called
    /// several times, the faults apply to successive calls. Faults that are planned in this way do
    /// not depend on the configured rates, and occur even if they are planned after
    /// [`stop`](Self::stop).
    ///
    /// A fault that cannot be applied, for example if there is no record to truncate, is used up
    /// but not counted.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the method does not support the fault.
    pub fn fail_next(&self, call: StoreCall, fault: Fault) -> Result<(), Error> {
        if !fault.can_befall(call) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "plan a fault",
                format!("a {call} call cannot be {fault}: choose another fault"),
            ));
        }
        self.lock().forced.entry(call).or_default().push_back(fault);
        Ok(())
    }

    /// Stops all faults, including those planned with [`fail_next`](Self::fail_next). Calls that
    /// are already hanging still fail.
    pub fn stop(&self) {
        let mut shared = self.lock();
        shared.is_stopped = true;
        shared.forced.clear();
    }

    /// Resumes the random faults after [`stop`](Self::stop).
    pub fn start(&self) {
        self.lock().is_stopped = false;
    }

    /// Returns the faults that have occurred.
    pub fn report(&self) -> FaultReport {
        self.lock().report.clone()
    }

    // Each change is complete before anything that can panic.
    fn lock(&self) -> MutexGuard<'_, SharedFaults> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the faults of the call that is starting.
    fn draw(&self, call: StoreCall) -> Draw {
        let mut shared = self.lock();
        let count = shared.report.calls.entry(call).or_default();
        *count += 1;
        let count = *count;
        match shared.forced.get_mut(&call).and_then(VecDeque::pop_front) {
            Some(fault) => Draw::forced(&self.faults, call, count, fault),
            None if shared.is_stopped => Draw::quiet(&self.faults, call, count),
            None => Draw::new(&self.faults, call, count),
        }
    }

    fn count(&self, call: StoreCall, fault: Fault) {
        *self.lock().report.faults.entry((call, fault)).or_default() += 1;
    }

    /// Runs `act`, unless the call fails before that. `lost` is the answer to a put that is lost.
    /// Returns the draw, for faults in the answer.
    async fn call<T>(
        &self,
        call: StoreCall,
        lost: Option<T>,
        act: impl Future<Output = Result<T, Error>>,
    ) -> Result<(T, Draw), Error> {
        let draw = self.draw(call);
        let (before, after) = draw.delay.unwrap_or_default();
        if draw.delay.is_some() {
            self.count(call, Fault::Delayed);
            wait(before).await?;
        }
        let unknown = if call.writes() { Retry::Unknown } else { Retry::Later };
        let met = draw.fault.unwrap_or(Fault::Delayed);
        let result = match (met, lost) {
            (Fault::Refused, _) => {
                self.count(call, met);
                Err(failure(ErrorKind::Store, Retry::Later, "injected fault: the call was refused"))
            }
            (Fault::Hung, _) => {
                self.count(call, met);
                if call.writes() && draw.is_done {
                    act.await?;
                }
                wait(self.faults.hang).await?;
                Err(failure(ErrorKind::Timeout, unknown, "injected fault: the call hung"))
            }
            (Fault::Unacknowledged, _) => {
                act.await?;
                self.count(call, met);
                Err(failure(ErrorKind::Store, unknown, "injected fault: the answer was lost"))
            }
            (Fault::Lost, Some(answer)) => {
                self.count(call, met);
                Ok(answer)
            }
            _ => act.await,
        };
        if draw.delay.is_some() {
            wait(after).await?;
        }
        result.map(|answer| (answer, draw))
    }

    /// Returns the answer of a lagging replica, or the true answer if there is no earlier one.
    fn lagging(
        &self,
        call: StoreCall,
        question: &EarlierQuestion,
        truth: EarlierAnswer,
        without_newest: Option<EarlierAnswer>,
        rng: &mut Rng,
    ) -> EarlierAnswer {
        let lie = self.lock().earlier.pick(question, &truth, without_newest, rng);
        match lie {
            Some(lie) => {
                self.count(call, Fault::Stale);
                lie
            }
            None => truth,
        }
    }

    fn spoil(&self, mut found: Found, fault: Fault, rng: &mut Rng) -> Found {
        let of_base = rng.bool();
        let record = match found.bases.first_mut() {
            Some(base) if of_base => base,
            _ => &mut found.record,
        };
        let mut bytes = record.as_bytes().to_vec();
        if bytes.is_empty() {
            return found;
        }
        if fault == Fault::Torn {
            bytes.truncate(rng.usize(..bytes.len()));
        } else {
            let (at, bit) = (rng.usize(..bytes.len()), rng.u8(..8));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        *record = Record::from_bytes(bytes);
        self.count(StoreCall::Get, fault);
        found
    }
}

fn failure(kind: ErrorKind, retry: Retry, message: &str) -> Error {
    Error::new(kind, "use a faulty store", message).with_retry(retry)
}

async fn wait(time: Duration) -> Result<(), Error> {
    if time.is_zero() {
        return Ok(());
    }
    if Handle::try_current().is_err() {
        let message = "delays need a tokio runtime: call the store inside one";
        return Err(failure(ErrorKind::Unsupported, Retry::Never, message));
    }
    tokio::time::sleep(time).await;
    Ok(())
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SnapshotStore for FaultyStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let lost = Some(vec![PutOutcome::Stored; records.len()]);
        let put = self.inner.put(records, options);
        self.call(StoreCall::Put, lost, put).await.map(|(outcomes, _)| outcomes)
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        let lost = Some(vec![true; rewrites.len()]);
        let rewrite = self.inner.rewrite(rewrites);
        self.call(StoreCall::Put, lost, rewrite).await.map(|(rewritten, _)| rewritten)
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let (truth, mut draw) = self.call(StoreCall::Get, None, self.inner.get(query)).await?;
        let mut answer = truth.clone();
        let question = EarlierQuestion::from(&query);
        if draw.fault == Some(Fault::Stale) {
            let below = match &truth {
                Lookup::Found(found) => found.version.checked_sub(1),
                Lookup::Absent | Lookup::OtherGeneration => None,
            };
            let older = match below {
                Some(below) => Some(self.inner.get(query.at_most(below)).await?),
                None => None,
            };
            let (truth, older) =
                (EarlierAnswer::Lookup(truth.clone()), older.map(EarlierAnswer::Lookup));
            let lag = self.lagging(StoreCall::Get, &question, truth, older, &mut draw.rng);
            if let EarlierAnswer::Lookup(lookup) = lag {
                answer = lookup;
            }
        }
        self.lock().earlier.remember(question, EarlierAnswer::Lookup(truth));
        Ok(match (answer, draw.fault) {
            (Lookup::Found(found), Some(fault @ (Fault::Torn | Fault::Flipped))) => {
                Lookup::Found(self.spoil(found, fault, &mut draw.rng))
            }
            (answer, _) => answer,
        })
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        let (truth, mut draw) = self.call(StoreCall::List, None, self.inner.list(request)).await?;
        let mut answer = truth.clone();
        let question = EarlierQuestion::from(&request);
        if draw.fault == Some(Fault::Stale) {
            // A page with a `next` is never empty (C-31).
            let older = (truth.items.len() > 1 || truth.next.is_none()).then(|| {
                let items = truth.items.iter().skip(1).cloned().collect();
                EarlierAnswer::Page(Page::new(items, truth.next))
            });
            let truth = EarlierAnswer::Page(truth.clone());
            let lag = self.lagging(StoreCall::List, &question, truth, older, &mut draw.rng);
            if let EarlierAnswer::Page(page) = lag {
                answer = page;
            }
        }
        self.lock().earlier.remember(question, EarlierAnswer::Page(truth));
        Ok(answer)
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.call(StoreCall::Keys, None, self.inner.keys(request)).await.map(|(page, _)| page)
    }

    /// Calls `get` for each query, so that each answer can be damaged.
    async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        get_each(self, queries).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        let delete = self.inner.delete(key, selection, options);
        self.call(StoreCall::Delete, None, delete).await.map(|(deleted, _)| deleted)
    }

    /// Calls `list` for each request, so that each page can be stale.
    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        list_each(self, requests).await
    }

    /// Counts as one delete, whose fault affects all elements.
    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        let delete = self.inner.delete_many(selected, options);
        self.call(StoreCall::Delete, None, delete).await.map(|(deleted, _)| deleted)
    }

    /// Counts as a delete.
    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        let erase = self.inner.erase(key);
        self.call(StoreCall::Delete, None, erase).await.map(|(erased, _)| erased)
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        let mark = self.inner.mark(key, selection, change);
        self.call(StoreCall::Mark, None, mark).await.map(|(changed, _)| changed)
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore")
            .field("inner", &self.inner)
            .field("report", &format_args!("{}", self.report()))
            .finish_non_exhaustive()
    }
}
