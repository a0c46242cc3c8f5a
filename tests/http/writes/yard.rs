//! A delivery with keys, an audit trail, and a store that counts, waits and fails on demand.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use snapfold::engine::ManualClock;
use snapfold::ledger::{AuditEntry, AuditRequest, Ledger, StoreLedger};
use snapfold::manager::{CreateOptions, Kinds};
use snapfold::record::{Record, SnapshotMeta};
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, DeliveryBuilder, Permission, Scope};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange,
    Page, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::trigger::manual;
use snapfold::{
    AggregateKey, Error, ErrorKind, MemoryEvents, MemoryStore, Retry, SnapshotEngine, SnapshotId,
    SnapshotStore,
};
use tokio::sync::Semaphore;
use tower_service::Service as _;

use crate::support::{Answer, Counter, Stock, at};

/// A store that counts the puts and deletes, and can stop or fail. Clones share everything.
#[derive(Clone, Debug)]
pub struct Watched {
    pub inner: Arc<dyn SnapshotStore>,
    pub puts: Arc<AtomicUsize>,
    pub deletes: Arc<AtomicUsize>,
    pub is_down: Arc<AtomicBool>,
    /// A put waits for a permit.
    pub gate: Arc<Semaphore>,
}

impl Watched {
    pub fn over(inner: impl SnapshotStore + 'static) -> Self {
        Self {
            inner: Arc::new(inner),
            puts: Arc::default(),
            deletes: Arc::default(),
            is_down: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    /// Lets puts wait until as many permits are added.
    pub fn close(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn up(&self) -> Result<(), Error> {
        if self.is_down.load(Ordering::SeqCst) {
            let error = Error::new(ErrorKind::Store, "ask a store", "it is down");
            return Err(error.with_retry(Retry::Later));
        }
        Ok(())
    }
}

#[async_trait]
impl SnapshotStore for Watched {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.up()?;
        self.gate.acquire().await.unwrap().forget();
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.inner.put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.up()?;
        self.inner.get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.up()?;
        self.inner.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.up()?;
        self.inner.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.up()?;
        self.deletes.fetch_add(1, Ordering::SeqCst);
        self.inner.delete(key, selection, options).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.up()?;
        self.inner.mark(key, selection, change).await
    }
}

pub struct Yard {
    pub counters: MemoryEvents<u64>,
    pub store: Watched,
    pub engine: SnapshotEngine<Counter>,
    pub kinds: Kinds,
    pub ledger: StoreLedger,
    pub clock: ManualClock,
    pub keys: ApiKeys,
    pub delivery: Delivery,
    /// May do everything in `north`, as `ops`.
    pub ops: String,
}

impl Yard {
    pub fn new() -> Self {
        Self::over(MemoryStore::new(), |builder| builder)
    }

    pub fn over(
        store: impl SnapshotStore + 'static,
        with: impl FnOnce(DeliveryBuilder) -> DeliveryBuilder,
    ) -> Self {
        let counters = MemoryEvents::new();
        let store = Watched::over(store);
        let (ledger, clock) = (StoreLedger::new(MemoryStore::new()), ManualClock::at(at(1_000)));
        let engine = SnapshotEngine::<Counter>::builder(counters.clone(), store.clone())
            .trigger(manual())
            .without_retention()
            .clock(clock.clone())
            .ledger(ledger.clone())
            .build()
            .unwrap();
        let other = SnapshotEngine::<Stock>::builder(MemoryEvents::new(), store.clone())
            .trigger(manual())
            .without_retention()
            .clock(clock.clone())
            .ledger(ledger.clone())
            .build()
            .unwrap();
        let kinds = Kinds::new().with(engine.clone()).unwrap().with(other).unwrap();
        let keys = ApiKeys::new();
        let builder = Delivery::builder(kinds.clone())
            .authenticator(keys.clone())
            .clock(clock.clone())
            .audit(ledger.clone());
        let delivery = with(builder).build().unwrap();
        let mut yard = Self {
            counters,
            store,
            engine,
            kinds,
            ledger,
            clock,
            keys,
            delivery,
            ops: String::new(),
        };
        yard.ops = yard.key(Scope::new(Permission::ALL.to_vec()).tenants(["north"]));
        yard
    }

    /// A new key. Its text as in `Authorization`.
    pub fn key(&self, scope: Scope) -> String {
        let (key, secret) = ApiKey::generate("k", [scope]).unwrap();
        self.keys.add(key);
        format!("Bearer {secret}")
    }

    /// Appends events up to `version`, one a second.
    pub fn grow(&self, key: &AggregateKey, from: u64, version: u64) {
        for n in from + 1..=version {
            self.counters.append(key, at(n), n);
        }
    }

    /// Grows `alice`, and takes snapshots at these versions.
    pub async fn alice(&self, version: u64, snapshots: &[u64]) -> AggregateKey {
        let key = counter("alice");
        self.grow(&key, 0, version);
        for snapshot in snapshots {
            self.snap(&key, *snapshot).await;
        }
        key
    }

    /// Takes a snapshot without the delivery.
    pub async fn snap(&self, key: &AggregateKey, version: u64) {
        let options = CreateOptions::new().at_version(version);
        self.engine.create_with(key, options).await.unwrap();
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut all = vec![("authorization", &*self.ops)];
        if !body.is_empty() {
            all.push(("content-type", "application/json"));
        }
        all.extend(headers);
        call(&self.delivery, method, path, &all, body.to_owned()).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    /// The versions that are stored, newest first.
    pub async fn stored(&self, key: &AggregateKey) -> Vec<u64> {
        let listed = self.store.inner.list(ListRequest::new(key)).await.unwrap();
        listed.items.iter().map(|meta| meta.version).collect()
    }

    /// A load equals a full replay, now and at each version.
    pub async fn check_loads(&self, key: &AggregateKey, head: u64) {
        let replayed = |version: u64| (1..=version).sum::<u64>();
        assert_eq!(self.engine.load(key).await.unwrap().state.0, replayed(head));
        for version in 1..=head {
            let loaded = self.engine.at_version(key, version).await.unwrap();
            assert_eq!(loaded.state.0, replayed(version), "{version}");
        }
    }

    /// The audit trail of a tenant.
    pub async fn trail(&self, tenant: &str) -> Vec<AuditEntry> {
        self.engine.flush(std::time::Duration::from_secs(10)).await.unwrap();
        let request = AuditRequest::new().tenant(tenant);
        let page = self.ledger.entries(request).await.unwrap();
        page.items.into_iter().map(|record| record.entry).collect()
    }
}

pub fn counter(id: &str) -> AggregateKey {
    AggregateKey::new("counter", id).unwrap().with_tenant("north").unwrap()
}

pub const ALICE: &str = "/projects/north/entities/counter/alice";

pub fn alice(rest: &str) -> String {
    format!("{ALICE}/{rest}")
}

pub async fn call<B>(
    delivery: &Delivery,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: B,
) -> Answer
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let Ok(answer) = delivery.clone().call(request.body(body).unwrap()).await;
    let (parts, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    Answer { status: parts.status, headers: parts.headers, body: bytes.into() }
}
