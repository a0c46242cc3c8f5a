//! A kit that stops at the first store that panics or hangs, or that cannot say what is wrong, is
//! no help to those who need it most. These stores misbehave; the run comes to its end and says so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use snapfold::conformance::{self, CaseVerdict, Conformance, Level, Scorecard, Site, StoreFactory};
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange,
    Page, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, BoxError, Error, ErrorKind, MemoryStore, SnapshotId, SnapshotStore};

/// What the store does wrong when a snapshot is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vice {
    BlocksItsThread,
    Fails,
    Hangs,
    LosesEveryHundredthPut,
    None,
    Panics,
}

#[derive(Debug)]
struct Vicious {
    inner: MemoryStore,
    vice: Vice,
    puts: AtomicU64,
}

#[async_trait]
impl SnapshotStore for Vicious {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("vicious").atomic_batches(true).marks(true)
    }

    async fn put(
        &self,
        mut records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let count = records.len();
        if self.vice == Vice::LosesEveryHundredthPut {
            records.retain(|_| self.puts.fetch_add(1, Ordering::Relaxed) % 100 != 99);
        }
        let mut outcomes = self.inner.put(records, options).await?;
        outcomes.resize(count, PutOutcome::Stored);
        Ok(outcomes)
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        match self.vice {
            Vice::BlocksItsThread => std::thread::sleep(Duration::from_millis(400)),
            Vice::Fails => return Err(Error::new(ErrorKind::Store, "get", "it is Sunday")),
            Vice::Hangs => std::future::pending::<()>().await,
            Vice::Panics => panic!("no such thing as {}", query.key),
            Vice::LosesEveryHundredthPut | Vice::None => {}
        }
        self.inner.get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.inner.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.inner.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.inner.delete(key, selection, options).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.inner.mark(key, selection, change).await
    }
}

fn factory(vice: Vice) -> impl StoreFactory {
    conformance::in_memory(move || {
        Arc::new(Vicious { inner: MemoryStore::new(), vice, puts: AtomicU64::new(0) })
    })
}

async fn core(vice: Vice) -> Scorecard {
    let factory = factory(vice);
    // Every case waits this long for a call that never ends.
    Conformance::of(&factory).only(Level::Core).patience(Duration::from_millis(20)).run().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_panics_hangs_or_fails_is_told_so_and_the_run_goes_on() {
    for (vice, promise) in [(Vice::Panics, "C-03"), (Vice::Hangs, "C-03"), (Vice::Fails, "C-02")] {
        let card = core(vice).await;
        assert_eq!(card.broken_promises(), BTreeSet::from([promise]), "{vice:?}: {card}");
        let tally = card.tally();
        assert!(tally.failed > 10 && tally.passed > 5, "{vice:?}: {card}");
        assert_eq!(tally.all(), conformance::cases().filter(|c| c.level() == Level::Core).count());
        assert!(card.into_result().is_err());
    }
    let card = core(Vice::Panics).await;
    let (_, failure) = card.failures().next().unwrap();
    assert!(failure.got.contains("no such thing as account \"nobody\""), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_blocks_its_thread_is_reported() {
    let factory = factory(Vice::BlocksItsThread);
    let card = Conformance::of(&factory)
        .named("never put is absent")
        .and(Level::Core)
        .patience(Duration::from_millis(10))
        .run()
        .await;
    assert_eq!(card.tally().all(), 0, "no such statement");
    assert!(!card.is_conformant(), "nothing was proven");
    let card = Conformance::of(&factory)
        .only(Level::Core)
        .named("nothing is found for a key")
        .patience(Duration::from_millis(10))
        .run()
        .await;
    assert_eq!(card.broken_promises(), BTreeSet::from(["C-03"]), "{card}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_put_is_told_as_that_at_every_level() {
    let factory = factory(Vice::LosesEveryHundredthPut);
    let card = Conformance::of(&factory).scale(1_000).run().await;
    assert_eq!(card.broken_promises(), BTreeSet::from(["C-10"]), "{card}");
    assert!(card.tally().failed >= 5, "{card}");
}

/// Makes no site, or one that does not open.
struct Broken {
    makes_sites: bool,
}

#[async_trait]
impl StoreFactory for Broken {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        if self.makes_sites { Ok(Box::new(Ruin)) } else { Err("no disk".into()) }
    }
}

struct Ruin;

#[async_trait]
impl Site for Ruin {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        Err("no key".into())
    }
}

#[tokio::test]
async fn what_cannot_be_set_up_says_nothing_about_promises() {
    for makes_sites in [false, true] {
        let broken = Broken { makes_sites };
        let card = Conformance::of(&broken).only(Level::Delete).run().await;
        assert!(!card.is_conformant());
        assert_eq!(card.broken_promises(), BTreeSet::new());
        assert_eq!((card.store_name(), card.tally().passed), ("unknown", 0));
        let text = card.to_string();
        assert!(text.contains("NOT PROVEN") && text.contains("could not be set up"), "{text}");
    }
}

fn assert_fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} wide: {line}", line.chars().count());
        assert_eq!(line.trim_end(), line, "blanks at the end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scorecard_fits_eighty_columns_and_its_json_is_the_same_each_time() {
    let mut cards = Vec::new();
    for _ in 0..2 {
        let factory = factory(Vice::LosesEveryHundredthPut);
        let kit = Conformance::of(&factory).without(Level::Concurrent).scale(1_000).seed(5);
        cards.push(kit.run().await);
    }
    let [one, other] = &*cards else { unreachable!() };
    assert_fits(&one.to_string());
    assert_fits(&format!("{one:#}"));
    let json = one.to_json();
    assert_eq!(json, other.to_json());
    assert_eq!(json["store"], "vicious");
    assert_eq!(json["seed"], 5);
    assert_eq!(json["broken"], serde_json::json!(["C-10"]));
    assert_eq!(json["cases"].as_array().unwrap().len(), one.results().len());
    let failed = one.results().iter().filter(|r| matches!(r.verdict, CaseVerdict::Failed(_)));
    assert_eq!(json["failed"], failed.count());
    assert_eq!(json["capabilities"]["durable"], false);
    let error = cards.pop().unwrap().into_result().unwrap_err();
    assert_eq!(error.to_string(), error.scorecard().to_string());
    assert!(format!("{error:?}").contains("NOT CONFORMANT: breaks C-10"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_a_vice_is_conformant() {
    let factory = factory(Vice::None);
    let card = conformance::store(&factory).await.into_result().unwrap();
    assert_eq!(card.tally().failed, 0);
    let text = format!("{card:#}");
    assert_fits(&text);
    assert!(text.contains("conformant: every obligation that was checked is kept"));
    assert!(text.contains("skipped, requires Capabilities::durable: 17"), "{text}");
}
