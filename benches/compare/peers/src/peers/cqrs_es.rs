use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{EventStoreAggregateContext, PersistedEventStore};
use cqrs_es::{Aggregate, CqrsFramework, DomainEvent, EventStore};
use postgres_es::PostgresEventRepository;
use sqlx08::postgres::{PgPool, PgPoolOptions};

use crate::account::{Account, Event, Subject};
use crate::peer::Peer;

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Event::Opened { .. } => "Opened".to_owned(),
            Event::Deposited { .. } => "Deposited".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("nothing is refused")]
pub struct Never;

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Event;
    type Event = Event;
    type Error = Never;
    type Services = ();

    async fn handle(
        &mut self,
        command: Event,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Never> {
        sink.write(command, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        Account::apply(self, &event);
    }
}

type Store = PersistedEventStore<PostgresEventRepository, Account>;

pub struct CqrsEs {
    pool: PgPool,
    events: Store,
    snapshots: Store,
    commands: Store,
}

impl CqrsEs {
    /// `is_tested`: whether the pool tests each connection before each use, as it does by default.
    pub async fn connect(url: &str, is_tested: bool) -> Self {
        let pool = PgPoolOptions::new().test_before_acquire(is_tested).connect(url).await.unwrap();
        // As its README gives them.
        let tables = "
            CREATE TABLE IF NOT EXISTS events (
                aggregate_type text NOT NULL, aggregate_id text NOT NULL,
                sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL,
                event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
                PRIMARY KEY (aggregate_type, aggregate_id, sequence));
            CREATE TABLE IF NOT EXISTS snapshots (
                aggregate_type text NOT NULL, aggregate_id text NOT NULL,
                last_sequence bigint CHECK (last_sequence >= 0) NOT NULL,
                current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL,
                payload json NOT NULL,
                PRIMARY KEY (aggregate_type, aggregate_id, last_sequence))";
        sqlx08::raw_sql(tables).execute(&pool).await.unwrap();
        let repository = || PostgresEventRepository::new(pool.clone());
        Self {
            events: Store::new_event_store(repository()),
            snapshots: Store::new_snapshot_store(repository(), 100),
            commands: Store::new_snapshot_store(repository(), 10),
            pool,
        }
    }

    /// Commands as the framework runs them. With version 0.5.0 and snapshots, the aggregate has
    /// applied its new events already when the store applies them once more for the snapshot.
    pub async fn framework(&self, subject: &Subject, commands: u64) -> Account {
        let store = Store::new_snapshot_store(PostgresEventRepository::new(self.pool.clone()), 10);
        let framework = CqrsFramework::new(store, Vec::new(), ());
        for version in 1..=commands {
            framework.execute(&subject.id, subject.event(version)).await.unwrap();
        }
        self.commands.load_aggregate(&subject.id).await.unwrap().aggregate
    }
}

#[async_trait]
impl Peer for CqrsEs {
    async fn fill(&mut self, subject: &Subject) {
        let at_snapshot = Store::new_snapshot_store(
            PostgresEventRepository::new(self.pool.clone()),
            subject.at as usize,
        );
        let (mut state, mut version) = (Account::default(), 0);
        while version < subject.len() {
            let before = subject.at.saturating_sub(50);
            let (store, to) = match version {
                _ if version < before => (&self.events, before.min(version + 1_000)),
                _ if version < subject.at => (&at_snapshot, subject.at),
                _ => (&self.events, subject.len().min(version + 1_000)),
            };
            let events = subject.events(version + 1..=to);
            let context = EventStoreAggregateContext {
                aggregate_id: subject.id.clone(),
                aggregate: state.clone(),
                current_sequence: version as usize,
                current_snapshot: None,
            };
            for event in &events {
                Account::apply(&mut state, event);
            }
            store.commit(events, context, HashMap::new()).await.unwrap();
            version = to;
        }
    }

    async fn replay(&mut self, id: &str) -> Account {
        self.events.load_aggregate(id).await.unwrap().aggregate
    }

    async fn load(&mut self, id: &str) -> Account {
        let context = self.snapshots.load_aggregate(id).await.unwrap();
        assert!(context.current_snapshot.is_some());
        context.aggregate
    }

    /// Through the store, not the framework: so the snapshots are right.
    async fn command(&mut self, id: &str, event: Event) -> (Duration, bool) {
        let began = Instant::now();
        let context = self.commands.load_aggregate(id).await.unwrap();
        let is_due = (context.current_sequence + 1) % 10 == 0;
        self.commands.commit(vec![event], context, HashMap::new()).await.unwrap();
        (began.elapsed(), is_due)
    }

    fn size_query(&self) -> &'static str {
        "SELECT octet_length(payload::text)::bigint, pg_column_size(s.*)::bigint \
         FROM snapshots s WHERE aggregate_id = $1"
    }
}
