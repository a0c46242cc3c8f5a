//! The event store: slow, and failing at times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use snapfold::{Aggregate, AggregateKey, BoxError, EventRange, EventSource, MemoryEvents, Replay};

use crate::model::Book;
use crate::states::Posted;

#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) events: MemoryEvents<Posted>,
    pub(crate) book: Arc<Book>,
    seed: u64,
    failing: f64,
    calls: Arc<AtomicU64>,
    is_calm: Arc<AtomicBool>,
}

impl Source {
    pub(crate) fn new(book: Arc<Book>, seed: u64, failing: f64) -> Self {
        Self {
            events: MemoryEvents::new(),
            book,
            seed,
            failing,
            calls: Arc::default(),
            is_calm: Arc::default(),
        }
    }

    /// Whether calls fail at all.
    pub(crate) fn weather(&self, bad: bool) {
        self.is_calm.store(!bad, Ordering::Relaxed);
    }

    fn dice(&self) -> Rng {
        let count = self.calls.fetch_add(1, Ordering::Relaxed);
        Rng::with_seed(self.seed.rotate_left(32) ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn fails(&self, rng: &mut Rng) -> bool {
        let fails = rng.f64() < self.failing && !self.is_calm.load(Ordering::Relaxed);
        if fails {
            self.book.note("  source: fails");
            self.book.lock().source_failures += 1;
        }
        fails
    }

    /// Asks for a head or a floor, which takes its time there and back.
    async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, BoxError> {
        let mut rng = self.dice();
        wait(&mut rng).await;
        let answer = answer.await;
        wait(&mut rng).await;
        if self.fails(&mut rng) {
            return Err("the event store is down".into());
        }
        answer
    }
}

async fn wait(rng: &mut Rng) {
    if rng.bool() {
        tokio::time::sleep(Duration::from_millis(rng.u64(0..8))).await;
    }
}

#[async_trait]
impl<A: Aggregate<Event = Posted>> EventSource<A> for Source {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        let mut rng = self.dice();
        wait(&mut rng).await;
        let some = EventRange::new(range.after, range.until.min(range.after + rng.u64(0..4)));
        if self.fails(&mut rng) {
            self.events.read(key, some, replay).await?;
            return Err("the event store went away".into());
        }
        self.events.read(key, range, replay).await?;
        wait(&mut rng).await;
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        self.ask(EventSource::<A>::head(&self.events, key)).await
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        self.ask(EventSource::<A>::floor(&self.events, key)).await
    }
}
