//! An aggregate whose events are in a table, for tests of event sources.

use serde::{Deserialize, Serialize};
use snapfold::postgres::EventRow;
use snapfold::{Aggregate, AggregateKey, BoxError};

/// Order matters to it: a fold that misses, repeats or swaps events ends elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub hash: u64,
    pub count: u64,
}

impl Aggregate for Account {
    type Event = i64;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { hash: 7, count: 0 }
    }

    fn apply(&mut self, event: &i64) {
        self.hash = self.hash.wrapping_mul(31).wrapping_add(event.cast_unsigned());
        self.count += 1;
    }
}

/// The state after these events.
pub fn folded(events: impl IntoIterator<Item = i64>) -> Account {
    let mut account = Account::initial(&key("a"));
    events.into_iter().for_each(|event| account.apply(&event));
    account
}

pub fn decode(row: EventRow<'_>) -> Result<i64, BoxError> {
    Ok(std::str::from_utf8(row.payload)?.trim_matches(['"', ' ']).parse()?)
}

pub fn key(id: &str) -> AggregateKey {
    Account::key(id).unwrap()
}

/// The messages of an error and of its causes.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
