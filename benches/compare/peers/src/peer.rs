//! What is measured of each library.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::account::{Account, Event, Subject};

/// A library with its store, in a database of its own. Whatever fails ends the benchmark.
#[async_trait]
pub trait Peer: Send {
    /// Writes a history through the library, with a snapshot at `at` and no other.
    async fn fill(&mut self, subject: &Subject);

    /// The state from all events.
    async fn replay(&mut self, id: &str) -> Account;

    /// The state from the snapshot and the events after it.
    async fn load(&mut self, id: &str) -> Account;

    /// The same for several aggregates, in the way that the library offers for this.
    async fn load_many(&mut self, ids: &[String]) -> Vec<Account> {
        let mut accounts = Vec::new();
        for id in ids {
            accounts.push(self.load(id).await);
        }
        accounts
    }

    /// Loads, decides, and appends one event, with a snapshot due each tenth event. Returns the
    /// time, and whether one was due.
    async fn command(&mut self, id: &str, event: Event) -> (Duration, bool);

    /// An aggregate's id as it is stored.
    fn stored_id(&self, id: &str) -> String {
        id.to_owned()
    }

    /// A query for the bytes of a snapshot: of its payload, and of its whole row. `$1` is the
    /// stored id.
    fn size_query(&self) -> &'static str;

    /// Calls `replay` or `load` several times, and measures each call. A library that runs in
    /// another process measures there.
    async fn timed(&mut self, way: Way, id: &str, times: usize) -> (Account, Vec<Duration>) {
        let mut took = Vec::new();
        let mut account = Account::default();
        for _ in 0..times {
            let began = Instant::now();
            account = match way {
                Way::Replay => self.replay(id).await,
                Way::Snapshot => self.load(id).await,
            };
            took.push(began.elapsed());
        }
        (account, took)
    }

    async fn timed_many(&mut self, ids: &[String]) -> (Vec<Account>, Duration) {
        let began = Instant::now();
        let accounts = self.load_many(ids).await;
        (accounts, began.elapsed())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Replay,
    Snapshot,
}
