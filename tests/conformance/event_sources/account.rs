//! The aggregate whose events the sources hold: an event is the number that the kit gives.

use snapfold::{Aggregate, AggregateKey};

#[derive(Clone)]
pub(crate) struct Account;

impl Aggregate for Account {
    type Event = u64;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self
    }

    fn apply(&mut self, _: &u64) {}
}
