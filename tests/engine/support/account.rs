//! The aggregate of the tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use snapfold::{Aggregate, AggregateKey};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub owner: String,
    pub balance: i64,
    /// Depends on each event and on their order, so that no two histories fold alike.
    pub digest: u64,
    pub note: String,
}

#[derive(Clone, Debug)]
pub enum Event {
    Deposited(i64),
    Noted(String),
    /// Panics when it is applied while the flag is set.
    Fused(Arc<AtomicBool>),
}

impl Aggregate for Account {
    type Event = Event;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self { owner: key.id().to_owned(), ..Self::default() }
    }

    fn apply(&mut self, event: &Event) {
        let amount = match event {
            Event::Deposited(amount) => *amount,
            Event::Noted(note) => {
                self.note.clone_from(note);
                i64::try_from(note.len()).unwrap()
            }
            Event::Fused(fuse) => {
                assert!(!fuse.load(Ordering::SeqCst), "the fuse blew");
                0
            }
        };
        self.balance += amount;
        self.digest = self.digest.wrapping_mul(31).wrapping_add(amount.cast_unsigned() ^ 0x5a);
    }
}

/// The account as an older release knew it.
#[derive(Clone, Serialize, Deserialize)]
pub struct OldAccount {
    pub balance: i64,
}

impl Aggregate for OldAccount {
    type Event = Event;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 0;

    fn initial(_: &AggregateKey) -> Self {
        Self { balance: 0 }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Deposited(amount) = event {
            self.balance += amount;
        }
    }
}
