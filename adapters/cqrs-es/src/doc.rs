//! What examples and tests need: an aggregate, and a repository in memory.

use std::sync::{Arc, Mutex, MutexGuard};

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{
    PersistedEventRepository, PersistenceError, ReplayStream, SerializedEvent, SerializedSnapshot,
};
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An account. Its fold is not idempotent: an event that is applied twice counts twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub cents: i64,
    pub entries: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
pub enum AccountCommand {
    Deposit { cents: i64 },
    Withdraw { cents: i64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
}

/// There is not enough money.
#[derive(Debug, PartialEq, Eq)]
pub struct Overdrawn;

impl std::fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is not enough money")
    }
}

impl std::error::Error for Overdrawn {}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        match self {
            Self::Deposited { .. } => "Deposited".to_owned(),
            Self::Withdrawn { .. } => "Withdrawn".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "2.0".to_owned()
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = Overdrawn;
    type Services = ();

    async fn handle(
        &mut self,
        command: AccountCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Overdrawn> {
        let event = match command {
            AccountCommand::Deposit { cents } => AccountEvent::Deposited { cents },
            AccountCommand::Withdraw { cents } if cents > self.cents => return Err(Overdrawn),
            AccountCommand::Withdraw { cents } => AccountEvent::Withdrawn { cents },
        };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: AccountEvent) {
        let change = match event {
            AccountEvent::Deposited { cents } => cents,
            AccountEvent::Withdrawn { cents } => -cents,
        };
        self.cents += change;
        self.entries.push(change);
    }
}

/// A repository in memory. Clones share the events.
#[derive(Clone, Debug, Default)]
pub struct Repository(Arc<Mutex<Vec<SerializedEvent>>>);

impl Repository {
    fn lock(&self) -> MutexGuard<'_, Vec<SerializedEvent>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds an event as a former release wrote it.
    pub fn add(&self, event: SerializedEvent) {
        self.lock().push(event);
    }

    fn after(&self, kind: &str, id: &str, sequence: usize) -> Vec<SerializedEvent> {
        let is_wanted = |event: &&SerializedEvent| {
            event.aggregate_type == kind && event.aggregate_id == id && event.sequence > sequence
        };
        self.lock().iter().filter(is_wanted).cloned().collect()
    }
}

impl PersistedEventRepository for Repository {
    async fn get_events<A: Aggregate>(
        &self,
        id: &str,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        Ok(self.after(A::TYPE, id, 0))
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        Ok(self.after(A::TYPE, id, last_sequence))
    }

    async fn get_snapshot<A: Aggregate>(
        &self,
        _: &str,
    ) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        Ok(None)
    }

    async fn persist<A: Aggregate>(
        &self,
        events: &[SerializedEvent],
        _: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        let mut all = self.lock();
        let is_taken = |new: &SerializedEvent| {
            all.iter().any(|old| {
                (&old.aggregate_type, &old.aggregate_id, old.sequence)
                    == (&new.aggregate_type, &new.aggregate_id, new.sequence)
            })
        };
        if events.iter().any(is_taken) {
            return Err(PersistenceError::OptimisticLockError);
        }
        all.extend_from_slice(events);
        Ok(())
    }

    async fn stream_events<A: Aggregate>(&self, _: &str) -> Result<ReplayStream, PersistenceError> {
        Ok(ReplayStream::new(1).1)
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        Ok(ReplayStream::new(1).1)
    }
}
