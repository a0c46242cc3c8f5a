use std::time::{Duration, Instant};

use async_trait::async_trait;
use disintegrate::serde::json::Json;
use disintegrate::{
    Decision, DecisionMaker, EventSourcedStateStore, EventStore as _, LoadState, NoSnapshot,
    StateMutate, StateQuery, WithSnapshot,
};
use disintegrate_postgres::{PgEventId, PgEventStore, PgSnapshotter, WithPgSnapshot};
use serde::{Deserialize, Serialize};
use sqlx08::postgres::{PgPool, PgPoolOptions};

use crate::account::{Account, Event, Subject, deposit};
use crate::peer::Peer;

#[derive(Clone, Debug, PartialEq, disintegrate::Event, Serialize, Deserialize)]
#[stream(AccountEvent, [Opened, Deposited])]
pub enum DomainEvent {
    Opened {
        #[id]
        account_id: String,
        slots: u32,
    },
    Deposited {
        #[id]
        account_id: String,
        amount: i64,
        memo: String,
    },
}

impl From<Event> for DomainEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Opened { account_id, slots } => Self::Opened { account_id, slots },
            Event::Deposited { account_id, amount, memo } => {
                Self::Deposited { account_id, amount, memo }
            }
        }
    }
}

#[derive(Clone, Debug, Default, StateQuery, Serialize, Deserialize)]
#[state_query(AccountEvent)]
pub struct State {
    #[id]
    account_id: String,
    slots: u32,
    balance: i64,
    count: u64,
    last: Vec<(i64, String)>,
}

impl State {
    fn of(id: &str) -> Self {
        Self { account_id: id.to_owned(), ..Self::default() }
    }

    fn account(&self) -> Account {
        let Self { account_id, slots, balance, count, last } = self.clone();
        Account { account_id, slots, balance, count, last }
    }
}

impl StateMutate for State {
    fn mutate(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::Opened { slots, .. } => self.slots = slots,
            AccountEvent::Deposited { amount, memo, .. } => {
                deposit(&mut self.last, self.slots, self.count, amount, &memo);
                self.balance += amount;
            }
        }
        self.count += 1;
    }
}

struct Append {
    id: String,
    event: DomainEvent,
}

impl Decision for Append {
    type Event = DomainEvent;
    type StateQuery = State;
    type Error = std::convert::Infallible;

    fn state_query(&self) -> State {
        State::of(&self.id)
    }

    fn process(&self, _: &State) -> Result<Vec<DomainEvent>, Self::Error> {
        Ok(vec![self.event.clone()])
    }
}

type EventStore = PgEventStore<DomainEvent, Json<DomainEvent>>;
type States<S> = EventSourcedStateStore<PgEventId, DomainEvent, EventStore, S>;

pub struct Disintegrate {
    pool: PgPool,
    events: EventStore,
    replay: States<NoSnapshot>,
    snapshots: States<WithPgSnapshot>,
    commands: DecisionMaker<States<WithPgSnapshot>>,
}

impl Disintegrate {
    pub async fn connect(url: &str) -> Self {
        let pool = PgPoolOptions::new().connect(url).await.unwrap();
        let events = match EventStore::try_new(pool.clone(), Json::default()).await {
            Ok(events) => events,
            Err(_) => {
                sqlx08::raw_sql(REST).execute(&pool).await.unwrap();
                EventStore::new_uninitialized(pool.clone(), Json::default())
            }
        };
        PgSnapshotter::try_new(pool.clone(), 100).await.unwrap();
        let every =
            |events: u64| WithSnapshot::new(PgSnapshotter::new_uninitialized(pool.clone(), events));
        Self {
            replay: States::new(events.clone(), NoSnapshot),
            snapshots: States::new(events.clone(), every(100)),
            commands: DecisionMaker::new(States::new(events.clone(), every(10))),
            events,
            pool,
        }
    }
}

#[async_trait]
impl Peer for Disintegrate {
    async fn fill(&mut self, subject: &Subject) {
        let part = async |versions: std::ops::RangeInclusive<u64>| {
            let events: Vec<DomainEvent> =
                subject.events(versions).into_iter().map(Into::into).collect();
            for events in events.chunks(5_000) {
                self.events.append_without_validation(events.to_vec()).await.unwrap();
            }
        };
        part(1..=subject.at).await;
        // It takes snapshots while it loads.
        let now = WithSnapshot::new(PgSnapshotter::new_uninitialized(self.pool.clone(), 0));
        States::new(self.events.clone(), now).load(State::of(&subject.id)).await.unwrap();
        part(subject.at + 1..=subject.len()).await;
    }

    async fn replay(&mut self, id: &str) -> Account {
        self.replay.load(State::of(id)).await.unwrap().state().account()
    }

    async fn load(&mut self, id: &str) -> Account {
        self.snapshots.load(State::of(id)).await.unwrap().state().account()
    }

    async fn command(&mut self, id: &str, event: Event) -> (Duration, bool) {
        let version = async || -> i64 {
            let sql = "SELECT version FROM snapshot WHERE query LIKE '%=' || $1 || ')'";
            sqlx08::query_scalar(sql).bind(id).fetch_one(&self.pool).await.unwrap()
        };
        let before = version().await;
        let append = Append { id: id.to_owned(), event: event.into() };
        let began = Instant::now();
        self.commands.make(append).await.unwrap();
        (began.elapsed(), version().await != before)
    }

    fn size_query(&self) -> &'static str {
        "SELECT octet_length(payload)::bigint, pg_column_size(s.*)::bigint \
         FROM snapshot s WHERE query LIKE '%=' || $1 || ')'"
    }
}

/// What its migrator does after the step that fails before PostgreSQL 16: version 4.0.1 writes a
/// number there in a way that only newer servers understand.
const REST: &str = "
    CREATE OR REPLACE FUNCTION event_store_begin_epoch() RETURNS void LANGUAGE sql AS $$
        SELECT
            pg_try_advisory_xact_lock_shared(
                (SELECT oid::int FROM pg_database WHERE datname = current_database()), 0),
            pg_try_advisory_xact_lock_shared(1, (last_value & 4294967295)::bit(32)::int),
            pg_try_advisory_xact_lock_shared(2, (last_value >> 32)::bit(32)::int)
        FROM seq_event_event_id
    $$;
    ALTER TABLE event ADD COLUMN IF NOT EXISTS account_id text;
    CREATE INDEX IF NOT EXISTS idx_event_account_id ON event (account_id)
        WHERE account_id IS NOT NULL";
